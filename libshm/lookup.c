/* SPDX-License-Identifier: Apache-2.0
 *
 * The look-up cache behind the *_with functions: label values -> handle, local to this process, no lock on a hit.
 *
 * An entry holds its series like any handle. To forget an entry (its series was removed, or idles) nobody may be in the
 * middle of using it, and threads must not have to register for that. So a look-up counts itself in and out, on per-CPU
 * cells of private memory with the same restartable sequences that update metrics (the scheme of SRCU):
 *
 *      look-up:  in[phase] += 1;  find, check, update;                   out[phase] += 1
 *      trim:     take the entry out of the table; fence; phase ^= 1;  sum out[old], fence, sum in[old]: equal -> free
 *
 * A look-up that is counted in after the sum was taken finds the table without the entry. "Counted in before it looks"
 * needs a fence on the look-up's side (store, then load); membarrier() moves it to the side of the trim, and where that
 * system call is not to be had, look-ups carry the fence themselves.
 * Programs look up with the same strings again and again, mostly at the same addresses. So there is a second way to an
 * entry, by the addresses: it saves measuring and hashing the values, and is only a hint: they are compared all the
 * same.
 *
 * Trim never waits: what is still in use is looked at again the next time. The counters are wiped in a forked child,
 * where the threads that were counted in do not exist. */
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libshm/internal.h"
#include "libshm/labels.h"

enum { FIRST_SLOTS = 64, MOST_LANES = 256, TRIM_INTERVAL_NS = 1000000000 };

/* What a hit looks at comes first, in one or two cache lines; the rest follows the key. */
struct child {
    const struct libshm_family *family;
    uint32_t bytes; /* of the key */
    uint32_t series;
    union {
        libshm_counter counter;
        libshm_gauge gauge;
        libshm_histogram histogram;
    };
    char key[]; /* u16 lengths, then the values, each ended by a zero; padded to 8; struct origin */
};

struct origin {
    struct child *next;     /* among the retired */
    const uint64_t *status; /* of the series, in the segment */
    uint64_t generation;
};

struct table {
    struct table *next; /* among the retired */
    uint32_t mask, used;
    struct child **by_address; /* as many; atomic; filled under the mutex */
    struct slot {
        uint64_t hash;
        struct child *child; /* NULL: empty; &forgotten: was forgotten */
    } slot[];
};

static struct child forgotten;

struct waiting {
    struct child *children;
    struct table *tables;
};

struct libshm_lookup {
    struct table *table; /* atomic */
    uint32_t phase;      /* atomic */
    bool fence;          /* no membarrier: look-ups carry the fence */
    uint32_t strangers;  /* hits that the addresses did not lead to; approximate */
    libshm_counter in[2], out[2];
    char *lanes; /* baseline page (unused), one atomic lane, CPU lanes; wiped on fork */
    size_t lanes_size;
    uint64_t removals; /* atomic: header.removals when every entry was known to be good */
    const uint64_t *removals_now;
    struct waiting now, later; /* for the grace period that runs; for the one after it */
    uint64_t trimmed_ns;
};

/* `bytes` is that of the key without the zeros. */
static size_t origin_at(uint32_t bytes, uint32_t n_labels)
{
    return offsetof(struct child, key) + (((size_t)bytes + n_labels + 7) & ~(size_t)7);
}

static struct origin *origin(const struct child *child)
{
    return (struct origin *)(void *)((char *)(uintptr_t)child + origin_at(child->bytes, child->family->n_labels));
}

static int membarrier(int command)
{
    return (int)syscall(__NR_membarrier, command, 0, 0);
}

static struct table *table_new(uint32_t slots)
{
    struct table *table = calloc(1, sizeof *table + slots * (sizeof table->slot[0] + sizeof table->by_address[0]));
    if (table) {
        table->mask = slots - 1;
        table->by_address = (struct child **)(void *)&table->slot[slots];
    }
    return table;
}

struct libshm_lookup *libshm_lookup_new(struct libshm_segment *segment)
{
    struct libshm_lookup *lookup = calloc(1, sizeof *lookup);
    uint32_t lanes = segment->per_cpu ? segment->header->cpu_lanes : 0;
    lanes = lanes < MOST_LANES ? lanes : MOST_LANES;
    if (lookup) {
        lookup->lanes_size = (2 + (size_t)lanes) * LIBSHM_PAGE;
        lookup->lanes =
            mmap(NULL, lookup->lanes_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        lookup->table = table_new(FIRST_SLOTS);
    }
    if (!lookup || lookup->lanes == MAP_FAILED || !lookup->table) {
        if (lookup && lookup->lanes != MAP_FAILED)
            munmap(lookup->lanes, lookup->lanes_size);
        if (lookup)
            free(lookup->table);
        free(lookup);
        libshm_error_set(LIBSHM_E_MEMORY, "out of memory");
        return NULL;
    }
    lookup->removals_now = &segment->header->removals;
    lookup->removals = __atomic_load_n(lookup->removals_now, __ATOMIC_ACQUIRE);
    madvise(lookup->lanes, lookup->lanes_size, MADV_WIPEONFORK);
    lookup->fence = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0;
    struct libshm_cell *first = (struct libshm_cell *)(void *)(lookup->lanes + 2 * LIBSHM_PAGE);
    for (uint32_t phase = 0; phase < 2; phase++) {
        lookup->in[phase] = (libshm_counter){.cell = first + 8 * phase, .cpu_limit = (uint16_t)lanes};
        lookup->out[phase] = (libshm_counter){.cell = first + 8 * phase + 4, .cpu_limit = (uint16_t)lanes};
    }
    return lookup;
}

static void free_waiting(struct libshm_segment *segment, struct waiting *waiting)
{
    while (waiting->children) {
        struct child *child = waiting->children;
        waiting->children = origin(child)->next;
        if (segment)
            libshm_unhold(segment, child->series);
        free(child);
    }
    while (waiting->tables) {
        struct table *table = waiting->tables;
        waiting->tables = table->next;
        free(table);
    }
}

void libshm_lookup_free(struct libshm_lookup *lookup)
{
    if (!lookup)
        return;
    free_waiting(NULL, &lookup->now);
    free_waiting(NULL, &lookup->later);
    for (uint32_t i = 0; i <= lookup->table->mask; i++)
        if (lookup->table->slot[i].child != &forgotten)
            free(lookup->table->slot[i].child);
    free(lookup->table);
    munmap(lookup->lanes, lookup->lanes_size);
    free(lookup);
}

/* ---- in and out ---- */

static inline uint32_t enter(struct libshm_lookup *lookup)
{
    uint32_t phase = __atomic_load_n(&lookup->phase, __ATOMIC_RELAXED) & 1;
    libshm_counter_add(&lookup->in[phase], 1);
    if (lookup->fence)
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* counted in before the table is looked at */
    else
        __atomic_signal_fence(__ATOMIC_SEQ_CST); /* the same: trim's membarrier makes it hold across CPUs */
    return phase;
}

static inline void leave(struct libshm_lookup *lookup, uint32_t phase)
{
#ifdef LIBSHM_THREAD_SANITIZER /* does not know fences */
    __atomic_fetch_add(&libshm_atomic_cell(lookup->out[phase].cell, 0)->integer, 1, __ATOMIC_RELEASE);
#else
    __atomic_thread_fence(__ATOMIC_RELEASE); /* the entry was used before this is counted out */
    libshm_counter_add(&lookup->out[phase], 1);
#endif
}

static void heavy_fence(const struct libshm_lookup *lookup)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!lookup->fence)
        (void)membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

static uint64_t sum(const struct libshm_lookup *lookup, const libshm_counter *counter)
{
    uint64_t total = 0;
    const char *cell = (const char *)counter->cell - LIBSHM_PAGE;
    for (size_t page = 1; page * LIBSHM_PAGE < lookup->lanes_size; page++, cell += LIBSHM_PAGE)
        total += __atomic_load_n(&((const struct libshm_cell *)(const void *)cell)->integer, __ATOMIC_ACQUIRE);
    return total;
}

static bool nobody_in(const struct libshm_lookup *lookup, uint32_t phase)
{
    uint64_t out = sum(lookup, &lookup->out[phase]);
    heavy_fence(lookup); /* out before in: who is counted out here was counted in before */
    return sum(lookup, &lookup->in[phase]) == out;
}

/* ---- the table: changes under the mutex ---- */

__attribute__((always_inline)) static inline bool same_key(const struct child *child,
                                                           const struct libshm_labels *labels)
{
    const char *key = child->key;
    if (child->bytes != labels->bytes || !libshm_same_bytes(key, (const char *)labels->length, labels->n * 2))
        return false;
    key += labels->n * 2;
    for (uint32_t n = 0; n < labels->n; key += labels->length[n] + 1, n++)
        if (!libshm_same_bytes(key, labels->values[n], labels->length[n]))
            return false;
    return true;
}

/* Where the addresses lead to. */
__attribute__((always_inline)) static inline struct child **
addressed(const struct table *table, const struct libshm_family *family, const char *const *values)
{
    uint64_t hash = (uintptr_t)family;
    for (uint32_t n = 0; n < family->n_labels; n++)
        hash = (hash ^ (uintptr_t)values[n]) * UINT64_C(0x9e3779b97f4a7c15);
    return &table->by_address[hash >> 32 & table->mask];
}

/* The entry that was found last for strings at these addresses, if they still say the same. */
__attribute__((always_inline)) static inline struct child *
find_again(const struct table *table, const struct libshm_family *family, const char *const *values)
{
    for (uint32_t n = 0; n < family->n_labels; n++)
        if (!values || !values[n])
            return NULL;
    struct child *child = __atomic_load_n(addressed(table, family, values), __ATOMIC_ACQUIRE);
    if (!child || child->family != family)
        return NULL;
    const char *value = child->key + family->n_labels * 2;
    for (uint32_t n = 0; n < family->n_labels; n++) {
        uint16_t length;
        if (strcmp(value, values[n]) != 0)
            return NULL;
        memcpy(&length, child->key + n * 2, 2);
        value += length + 1;
    }
    return !values || !values[family->n_labels] ? child : NULL;
}

__attribute__((always_inline)) static inline struct child *
find(const struct table *table, const struct libshm_family *family, const struct libshm_labels *labels)
{
    for (uint32_t i = (uint32_t)labels->hash;; i++) {
        const struct slot *slot = &table->slot[i & table->mask];
        struct child *child = __atomic_load_n(&slot->child, __ATOMIC_ACQUIRE);
        if (!child)
            return NULL;
        if (slot->hash == labels->hash && child != &forgotten && child->family == family && same_key(child, labels))
            return child;
    }
}

static bool usable(const struct child *child)
{
    const struct origin *from = origin(child);
    uint64_t status = libshm_status(from->status);
    return LIBSHM_STATUS_GENERATION(status) == from->generation && libshm_status_shown(status);
}

/* The same for a hit: as long as no series of the segment was removed, none needs to be looked at. */
static inline bool still_good(const struct libshm_lookup *lookup, const struct child *child)
{
    uint64_t known = __atomic_load_n(&lookup->removals, __ATOMIC_ACQUIRE);
    return __builtin_expect(__atomic_load_n(lookup->removals_now, __ATOMIC_RELAXED) == known, 1) || usable(child);
}

static void place(struct table *table, uint64_t hash, struct child *child)
{
    uint32_t i = (uint32_t)hash;
    while (table->slot[i & table->mask].child)
        i++;
    table->slot[i & table->mask].hash = hash;
    __atomic_store_n(&table->slot[i & table->mask].child, child, __ATOMIC_RELEASE); /* the entry before its address */
    table->used++;
}

static bool make_room(struct libshm_lookup *lookup)
{
    struct table *old = lookup->table;
    uint32_t live = 0;
    if ((old->used + 1) * 2 <= old->mask + 1)
        return true;
    for (uint32_t i = 0; i <= old->mask; i++)
        live += old->slot[i].child && old->slot[i].child != &forgotten;
    uint32_t slots = FIRST_SLOTS;
    while (slots < (live + 1) * 3)
        slots *= 2;
    struct table *new = table_new(slots);
    if (!new)
        return false;
    for (uint32_t i = 0; i <= old->mask; i++)
        if (old->slot[i].child && old->slot[i].child != &forgotten)
            place(new, old->slot[i].hash, old->slot[i].child);
    __atomic_store_n(&lookup->table, new, __ATOMIC_RELEASE); /* filled before it is found */
    old->next = lookup->later.tables;
    lookup->later.tables = old;
    return true;
}

static void grace(struct libshm_segment *segment, struct libshm_lookup *lookup)
{
    for (int i = 0; i < 2; i++) {
        uint32_t phase = lookup->phase & 1;
        bool now = lookup->now.children || lookup->now.tables, later = lookup->later.children || lookup->later.tables;
        /* Before the phase that becomes the current one is counted on again, nobody may be in it either: a look-up that
         * read `phase` long ago counts itself in there, and would be taken for one that came after the change. */
        if ((!now && !later) || !nobody_in(lookup, phase ^ 1))
            return;
        free_waiting(segment, &lookup->now);
        if (!later)
            return;
        lookup->now = lookup->later;
        lookup->later = (struct waiting){NULL, NULL};
        heavy_fence(lookup); /* out of the table before the phase changes */
        __atomic_store_n(&lookup->phase, phase ^ 1, __ATOMIC_RELEASE);
        heavy_fence(lookup);
    }
}

void libshm_lookup_trim(struct libshm_segment *segment)
{
    struct libshm_lookup *lookup = segment->lookup;
    uint64_t now = libshm_now_ns(CLOCK_MONOTONIC);
    grace(segment, lookup);
    if (now - lookup->trimmed_ns < TRIM_INTERVAL_NS && lookup->trimmed_ns != 0)
        return;
    bool any = false;
    lookup->trimmed_ns = now;
    uint64_t removals = __atomic_load_n(lookup->removals_now, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i <= lookup->table->mask; i++) {
        struct child *child = lookup->table->slot[i].child;
        if (!child || child == &forgotten)
            continue;
        uint64_t status = libshm_status(origin(child)->status);
        if (LIBSHM_STATUS_GENERATION(status) == origin(child)->generation &&
            LIBSHM_STATUS_STATE(status) == LIBSHM_STATE_LIVE)
            continue;
        __atomic_store_n(&lookup->table->slot[i].child, &forgotten, __ATOMIC_RELEASE);
        origin(child)->next = lookup->later.children;
        lookup->later.children = child;
        any = true;
    }
    for (uint32_t i = 0; any && i <= lookup->table->mask; i++)
        __atomic_store_n(&lookup->table->by_address[i], NULL, __ATOMIC_RELEASE);
    /* Only under the insert lock: else a removal may have been announced that is not made yet, and would be missed. */
    if (segment->lock_fd >= 0)
        __atomic_store_n(&lookup->removals, removals, __ATOMIC_RELEASE);
    grace(segment, lookup);
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
    struct libshm_lookup *lookup = family->segment->lookup;
    size_t size = (origin_at(labels->bytes, labels->n) + sizeof(struct origin) + 63) & ~(size_t)63;
    struct child *child = make_room(lookup) ? aligned_alloc(64, size) : NULL;
    if (!child) { /* it works without */
        libshm_unhold(family->segment, found->number);
        return;
    }
    child->family = family;
    child->bytes = labels->bytes;
    child->series = found->number;
    *origin(child) = (struct origin){.status = &found->entry->status, .generation = found->generation};
    char *to = child->key + labels->n * 2;
    memcpy(child->key, labels->length, labels->n * 2);
    for (uint32_t n = 0; n < labels->n; to += labels->length[n] + 1, n++)
        memcpy(to, labels->values[n], labels->length[n] + 1u);
    if (libshm_cell_kind(family->type, family->gauge_mode) != LIBSHM_CELLS_PER_CPU)
        child->gauge = handles->gauge;
    else if (family->type == LIBSHM_TYPE_COUNTER)
        child->counter = handles->counter;
    else
        child->histogram = handles->histogram;
    place(lookup->table, labels->hash, child);
    __atomic_store_n(addressed(lookup->table, family, labels->values), child, __ATOMIC_RELEASE);
}

/* A hit that the addresses did not lead to: the next time they do. Not each time: values may be in ever changing
 * places. Under the mutex, which trim has too: an entry on its way out is not put here again. */
static void remember_address(struct libshm_family *family, const struct libshm_labels *labels)
{
    struct libshm_lookup *lookup = family->segment->lookup;
    if (pthread_mutex_trylock(&family->segment->process.wiped->mutex) != 0)
        return;
    struct child *child = find(lookup->table, family, labels);
    if (child)
        __atomic_store_n(addressed(lookup->table, family, labels->values), child, __ATOMIC_RELEASE);
    libshm_mutex_unlock(family->segment);
}

/* Mutex held, and kept by the caller until it has used the handles. */
static void miss(struct libshm_family *family, const struct libshm_labels *labels, struct handles *handles)
{
    struct libshm_segment *segment = family->segment;
    struct libshm_found found = {NULL, 0, 0};
    int error = libshm_series_obtain(family, labels, &found);
    if (error && error != LIBSHM_E_OVERFLOW)
        found.entry = NULL;
    make_handles(family, &found, handles);
    if (error)
        return; /* the overflow series, or a no-op that counts what is dropped */
    if (found.entry->group == LIBSHM_NO_GROUP)
        (void)libshm_live_cell(segment, (uint32_t)(found.entry->cells - 1), false);
    struct child *stale = find(segment->lookup->table, family, labels);
    if (stale && usable(stale)) { /* another thread was faster */
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

/* One operation on what the labels name: `what` is done to `handle`. */
#define WITH(kind, fits, what)                                                                                         \
    struct libshm_labels labels;                                                                                       \
    if (__builtin_expect(!family || !(fits), 0)) {                                                                     \
        refuse(family);                                                                                                \
        return;                                                                                                        \
    }                                                                                                                  \
    struct libshm_lookup *lookup = family->segment->lookup;                                                            \
    uint32_t phase = enter(lookup);                                                                                    \
    const struct table *table = __atomic_load_n(&lookup->table, __ATOMIC_ACQUIRE);                                     \
    const struct child *child = find_again(table, family, values);                                                     \
    if (__builtin_expect(child && still_good(lookup, child), 1)) {                                                     \
        const libshm_##kind *handle = &child->kind;                                                                    \
        what;                                                                                                          \
        leave(lookup, phase);                                                                                          \
        return;                                                                                                        \
    }                                                                                                                  \
    if (!libshm_labels_scan(family, values, &labels)) {                                                                \
        leave(lookup, phase);                                                                                          \
        refuse(family);                                                                                                \
        return;                                                                                                        \
    }                                                                                                                  \
    child = find(table, family, &labels);                                                                              \
    if (child && still_good(lookup, child)) {                                                                          \
        const libshm_##kind *handle = &child->kind;                                                                    \
        what;                                                                                                          \
        leave(lookup, phase);                                                                                          \
        uint32_t strangers = __atomic_load_n(&lookup->strangers, __ATOMIC_RELAXED);                                    \
        __atomic_store_n(&lookup->strangers, strangers + 1, __ATOMIC_RELAXED);                                         \
        if (strangers % 16 == 0)                                                                                       \
            remember_address(family, &labels);                                                                         \
        return;                                                                                                        \
    }                                                                                                                  \
    leave(lookup, phase);                                                                                              \
    struct handles handles = {.counter = {.segment = 0}};                                                              \
    libshm_mutex_lock(family->segment);                                                                                \
    miss(family, &labels, &handles);                                                                                   \
    const libshm_##kind *handle = &handles.kind;                                                                       \
    what;                                                                                                              \
    libshm_mutex_unlock(family->segment)

/* Only bounded writes to the stack here, and the canary costs a tenth of a hit. */
#define HOT __attribute__((no_stack_protector))

static bool counter_like(const struct libshm_family *family)
{
    return family->type == LIBSHM_TYPE_COUNTER;
}

static bool histogram_like(const struct libshm_family *family)
{
    return family->type == LIBSHM_TYPE_HISTOGRAM || family->type == LIBSHM_TYPE_SUMMARY;
}

HOT void libshm_counter_add_with(libshm_family *family, const char *const *values, uint64_t n)
{
    WITH(counter, counter_like(family), libshm_counter_add(handle, n));
}

HOT void libshm_counter_add_double_with(libshm_family *family, const char *const *values, double v)
{
    WITH(counter, counter_like(family), libshm_counter_add_double(handle, v));
}

HOT void libshm_histogram_observe_with(libshm_family *family, const char *const *values, double v)
{
    WITH(histogram, histogram_like(family), libshm_histogram_observe(handle, v));
}

HOT void libshm_gauge_set_with(libshm_family *family, const char *const *values, double v)
{
    WITH(gauge, !counter_like(family) && !histogram_like(family), libshm_gauge_set(handle, v));
}

HOT void libshm_gauge_add_with(libshm_family *family, const char *const *values, double v)
{
    WITH(gauge, !counter_like(family) && !histogram_like(family), libshm_gauge_add(handle, v));
}
