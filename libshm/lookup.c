/* SPDX-License-Identifier: Apache-2.0
 *
 * The *_with functions: look label values up in this process's cache and update; no lock on a hit. A hit is tried in
 * three ways: in one restartable sequence (hit.h), by the addresses of the values, by the values; the latter two are
 * counted in and out (grace.h). A miss goes to the segment, under the mutex. */
#include <stdlib.h>

#include "libshm/buckets.h"
#include "libshm/hit.h"

/* As long as no series of the segment was removed, none needs to be looked at. `known`: lookup->removals, loaded before
 * the entry was found; loaded later, it could be that of a trim which just took the entry out. */
static inline bool still_good(const struct libshm_lookup *lookup, const struct libshm_child *child, uint64_t known)
{
    return __builtin_expect(__atomic_load_n(lookup->removals_now, __ATOMIC_RELAXED) == known, 1) ||
           libshm_child_usable(child);
}

/* ---- miss ---- */

struct handles {
    libshm_counter counter;
    libshm_gauge gauge;
    libshm_histogram histogram;
};

static void make_handles(struct libshm_family *family, const struct libshm_found *found, struct handles *handles)
{
    switch (libshm_cell_kind(family->type, family->gauge_mode)) {
    case LIBSHM_CELLS_PER_CPU:
        if (family->type == LIBSHM_TYPE_COUNTER)
            libshm_counter_handle(family, found, &handles->counter);
        else
            libshm_histogram_handle(family, found, &handles->histogram);
        break;
    case LIBSHM_CELLS_GAUGE:
    case LIBSHM_CELLS_LIVE:
        libshm_gauge_handle(family, found, &handles->gauge);
        break;
    }
}

static void remember(struct libshm_family *family, const struct libshm_labels *labels, const struct libshm_found *found,
                     const struct handles *handles)
{
    struct libshm_child *child = libshm_child_new(family, labels, found);
    if (child) {
        if (libshm_cell_kind(family->type, family->gauge_mode) != LIBSHM_CELLS_PER_CPU)
            child->gauge = handles->gauge;
        else if (family->type == LIBSHM_TYPE_COUNTER)
            child->counter = handles->counter;
        else
            child->histogram = handles->histogram;
    }
    if (!child || !libshm_child_publish(family->segment->lookup, labels, child)) { /* it works without */
        free(child);
        libshm_unhold(family->segment, found->number);
    }
}

/* A hit that the addresses did not lead to: the next time they do. Not each time: values may be in ever changing
 * places. Under the mutex, which trim has too: an entry on its way out is not put here again. */
static void remember_address(struct libshm_family *family, const struct libshm_labels *labels)
{
    struct libshm_lookup *lookup = family->segment->lookup;
    if (pthread_mutex_trylock(&family->segment->process.wiped->mutex) != 0)
        return;
    struct libshm_child *child = libshm_find(lookup->table, family, labels);
    if (child)
        libshm_child_address(lookup->table, libshm_address(family, labels->values), child);
    libshm_mutex_unlock(family->segment);
}

/* Mutex held, and kept by the caller until it has used the handles. */
static void miss(struct libshm_family *family, const struct libshm_labels *labels, struct handles *handles)
{
    struct libshm_segment *segment = family->segment;
    struct libshm_found found = {NULL, 0, 0};
    int error = libshm_series_obtain(family, labels, &found);
    make_handles(family, &found, handles);
    if (error)
        return; /* the overflow series, or a no-op that counts what is dropped */
    if (found.entry->group == LIBSHM_NO_GROUP)
        (void)libshm_live_cell(segment, (uint32_t)(found.entry->cells - 1), false);
    struct libshm_child *stale = libshm_find(segment->lookup->table, family, labels);
    if (stale && libshm_child_usable(stale)) { /* another thread was faster */
        libshm_unhold(segment, found.number);
        return;
    }
    if (stale)
        segment->lookup->trimmed_ns = 0; /* a removed series: forget it */
    libshm_lookup_trim(segment);
    remember(family, labels, &found, handles);
}

static void refuse(const struct libshm_family *family)
{
    if (family)
        LIBSHM_COUNT(family->segment, rejected, 1);
    libshm_update_dropped(family ? family->segment->id : 0);
}

#define KEY_AT(kind) (offsetof(struct libshm_child, kind) + sizeof(libshm_##kind))

/* One operation on what the labels name, without a sequence: `what` is done to `handle`. */
#define WITH(kind, fits, what)                                                                                         \
    struct libshm_labels labels;                                                                                       \
    if (__builtin_expect(!family || !(fits), 0)) {                                                                     \
        refuse(family);                                                                                                \
        return;                                                                                                        \
    }                                                                                                                  \
    struct libshm_lookup *lookup = family->segment->lookup;                                                            \
    uint32_t phase = libshm_grace_enter(&lookup->grace);                                                               \
    uint64_t known = __atomic_load_n(&lookup->removals, __ATOMIC_ACQUIRE);                                             \
    const struct libshm_lookup_table *table = __atomic_load_n(&lookup->table, __ATOMIC_ACQUIRE);                       \
    const struct libshm_child *child =                                                                                 \
        address ? libshm_find_again(table, family, values, address, KEY_AT(kind)) : NULL;                              \
    if (__builtin_expect(child && still_good(lookup, child, known), 1)) {                                              \
        const libshm_##kind *handle = &child->kind;                                                                    \
        what;                                                                                                          \
        libshm_grace_leave(&lookup->grace, phase);                                                                     \
        return;                                                                                                        \
    }                                                                                                                  \
    if (!libshm_labels_scan(family, values, &labels)) {                                                                \
        libshm_grace_leave(&lookup->grace, phase);                                                                     \
        refuse(family);                                                                                                \
        return;                                                                                                        \
    }                                                                                                                  \
    child = libshm_find(table, family, &labels);                                                                       \
    if (child && still_good(lookup, child, known)) {                                                                   \
        const libshm_##kind *handle = &child->kind;                                                                    \
        what;                                                                                                          \
        libshm_grace_leave(&lookup->grace, phase);                                                                     \
        uint32_t strangers = __atomic_load_n(&lookup->strangers, __ATOMIC_RELAXED);                                    \
        __atomic_store_n(&lookup->strangers, strangers + 1, __ATOMIC_RELAXED);                                         \
        if (strangers % 16 == 0)                                                                                       \
            remember_address(family, &labels);                                                                         \
        return;                                                                                                        \
    }                                                                                                                  \
    libshm_grace_leave(&lookup->grace, phase);                                                                         \
    struct handles handles = {.counter = {.segment = 0}};                                                              \
    libshm_mutex_lock(family->segment);                                                                                \
    miss(family, &labels, &handles);                                                                                   \
    const libshm_##kind *handle = &handles.kind;                                                                       \
    what;                                                                                                              \
    libshm_mutex_unlock(family->segment)

/* Only bounded writes to the stack here, and the canary costs a tenth of a hit. */
#define HOT __attribute__((no_stack_protector))
/* Of its own, so that the fast way pays nothing for its registers and its stack. */
#define SECOND HOT __attribute__((noinline))

static inline bool counter_like(const struct libshm_family *family)
{
    return family->type == LIBSHM_TYPE_COUNTER;
}

static inline bool histogram_like(const struct libshm_family *family)
{
    return family->type == LIBSHM_TYPE_HISTOGRAM || family->type == LIBSHM_TYPE_SUMMARY;
}

static inline bool gauge_like(const struct libshm_family *family)
{
    return !counter_like(family) && !histogram_like(family);
}

static inline bool in_sequence(const struct libshm_family *family)
{
    return __builtin_expect(family->segment->lookup->grace.sequences, 1);
}

SECOND static void add(libshm_family *family, const char *const *values, uint64_t address, uint64_t n)
{
    WITH(counter, counter_like(family), libshm_counter_add(handle, n));
}

HOT void libshm_counter_add_with(libshm_family *family, const char *const *values, uint64_t n)
{
    uint64_t address = family ? libshm_address(family, values) : 0;
    if (__builtin_expect(!address || !counter_like(family) || !in_sequence(family) ||
                             !libshm_hit_add_integer(family, values, address, n),
                         0))
        add(family, values, address, n);
}

SECOND static void add_double(libshm_family *family, const char *const *values, uint64_t address, double v)
{
    WITH(counter, counter_like(family), libshm_counter_add_double(handle, v));
}

HOT void libshm_counter_add_double_with(libshm_family *family, const char *const *values, double v)
{
    uint64_t address = family ? libshm_address(family, values) : 0;
    if (__builtin_expect(!address || !counter_like(family) || !(v >= 0) || !in_sequence(family) ||
                             !libshm_hit_add_fractional(family, values, address, v),
                         0))
        add_double(family, values, address, v);
}

SECOND static void observe(libshm_family *family, const char *const *values, uint64_t address, double v)
{
    WITH(histogram, histogram_like(family), libshm_histogram_observe(handle, v));
}

HOT void libshm_histogram_observe_with(libshm_family *family, const char *const *values, double v)
{
    uint64_t address = family ? libshm_address(family, values) : 0;
    if (__builtin_expect(
            !address || !histogram_like(family) || v != v || !in_sequence(family) ||
                !libshm_hit_add_bucket(family, values, address,
                                       libshm_histogram_bucket(&family->search, v) * sizeof(struct libshm_cell), v),
            0))
        observe(family, values, address, v);
}

HOT void libshm_gauge_set_with(libshm_family *family, const char *const *values, double v)
{
    uint64_t address = family ? libshm_address(family, values) : 0;
    WITH(gauge, gauge_like(family), libshm_gauge_set(handle, v));
}

HOT void libshm_gauge_add_with(libshm_family *family, const char *const *values, double v)
{
    uint64_t address = family ? libshm_address(family, values) : 0;
    WITH(gauge, gauge_like(family), libshm_gauge_add(handle, v));
}
