/* SPDX-License-Identifier: Apache-2.0
 *
 * THE HOT PATH: what an update does. Inlined, because a call through the PLT costs more than everything else here.
 * Include <libshm.h>, which includes this.
 *
 * Every update: no system call, no lock, no allocation; wait-free on a per-CPU cell, lock-free on an atomic one;
 * async-signal-safe; safe in a forked child. An update cannot fail visibly: through a handle that could not be set up
 * (or was never set up: all zero) it does nothing and is counted. */
#ifndef LIBSHM_HOT_H
#define LIBSHM_HOT_H

#include <libshm/rseq.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Handles: by value, to copy freely, made by the functions of <libshm.h>. All zero is a valid handle that does nothing.
 * The fields are the library's. */
typedef struct libshm_counter {
    struct libshm_cell *cell; /* in CPU lane 0; NULL: no-op */
    uint32_t series;          /* number of the series */
    uint16_t cpu_limit;       /* CPU lanes of its group; 0: atomic only */
    uint8_t atomic_mask;      /* atomic lanes - 1 */
    uint8_t segment;          /* which of this process's segments counts what is dropped; 0: none */
} libshm_counter;

typedef struct libshm_histogram {
    struct libshm_cell *cell; /* of the first bucket */
    uint32_t series;
    uint16_t cpu_limit;
    uint8_t atomic_mask;
    uint8_t segment;
    uint64_t range;                       /* of the bucket search: keys of the highest and of the lowest cell, 16 bits
                                             each, then 16 zero bits, then cpu_limit: one load for all of them */
    uintptr_t table;                      /* of the bucket search: where its entry for the value 0.0 would be */
    const struct libshm_buckets *buckets; /* process-local; the rest of the search */
} libshm_histogram;

typedef struct libshm_gauge {
    struct libshm_cell *cell;    /* shared: its cell; NULL: live, or no-op */
    struct libshm_process *live; /* live: where this process's cells are */
    uint64_t stamp;              /* live: generation of the series */
    uint32_t number;             /* live: its live cell */
    uint32_t series;             /* number of the series */
    uint8_t segment;
} libshm_gauge;

/* Out of line, for the rare ways out. Async-signal-safe. */
void libshm_update_dropped(unsigned segment);
void libshm_value_dropped(unsigned segment);
void libshm_histogram_observe_otherwise(libshm_histogram histogram, double value);
void libshm_gauge_set_live(const libshm_gauge *gauge, double value);
void libshm_gauge_add_live(const libshm_gauge *gauge, double value);

/* Threads spread over the atomic lanes of a group by their thread pointer. */
static inline struct libshm_cell *libshm_atomic_cell(struct libshm_cell *cell, uint32_t mask)
{
    uint64_t lane = mask ? ((uint64_t)(uintptr_t)__builtin_thread_pointer() * UINT64_C(0x9e3779b97f4a7c15)) >> 60 : 0;
    return (struct libshm_cell *)(void *)((char *)cell - LIBSHM_PAGE * (1 + (lane & mask)));
}

static inline void libshm_atomic_add_double(double *at, double v)
{
    uint64_t *word = (uint64_t *)(void *)at, old = __atomic_load_n(word, __ATOMIC_RELAXED), sum;
    do {
        double d;
        __builtin_memcpy(&d, &old, 8);
        d += v;
        __builtin_memcpy(&sum, &d, 8);
    } while (!__atomic_compare_exchange_n(word, &old, sum, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

/* Counter += n. */
static inline void libshm_counter_add(const libshm_counter *counter, uint64_t n)
{
    if (__builtin_expect(libshm_rseq_add_integer(counter->cell, n, counter->cpu_limit), 1))
        return;
    if (!counter->cell)
        libshm_update_dropped(counter->segment);
    else
        __atomic_fetch_add(&libshm_atomic_cell(counter->cell, counter->atomic_mask)->integer, n, __ATOMIC_RELAXED);
}

static inline void libshm_counter_inc(const libshm_counter *counter)
{
    libshm_counter_add(counter, 1);
}

/* Counter += v, for v >= 0. A negative v or NaN is dropped and counted: a counter never goes down. */
static inline void libshm_counter_add_double(const libshm_counter *counter, double v)
{
    if (!(v >= 0))
        libshm_value_dropped(counter->segment);
    else if (__builtin_expect(libshm_rseq_add_fractional(counter->cell, v, counter->cpu_limit), 1))
        return;
    else if (!counter->cell)
        libshm_update_dropped(counter->segment);
    else
        libshm_atomic_add_double(&libshm_atomic_cell(counter->cell, counter->atomic_mask)->fractional, v);
}

/* One observation. ±Inf goes to the outermost buckets and into the sum; NaN is dropped and counted. */
static inline void libshm_histogram_observe(const libshm_histogram *histogram, double v)
{
    if (__builtin_expect(v != v, 0))
        libshm_value_dropped(histogram->segment);
    else if (__builtin_expect(!libshm_rseq_observe(histogram->cell, v, histogram->range, histogram->table), 0))
        libshm_histogram_observe_otherwise(*histogram, v);
}

/* Gauges. NaN is dropped and counted. */
static inline void libshm_gauge_set(const libshm_gauge *gauge, double v)
{
    if (v != v)
        libshm_value_dropped(gauge->segment);
    else if (gauge->cell)
        __atomic_store(&gauge->cell->fractional, &v, __ATOMIC_RELAXED);
    else
        libshm_gauge_set_live(gauge, v);
}

static inline void libshm_gauge_add(const libshm_gauge *gauge, double v)
{
    if (v != v)
        libshm_value_dropped(gauge->segment);
    else if (gauge->cell)
        libshm_atomic_add_double(&gauge->cell->fractional, v);
    else
        libshm_gauge_add_live(gauge, v);
}

static inline void libshm_gauge_inc(const libshm_gauge *gauge)
{
    libshm_gauge_add(gauge, 1);
}

static inline void libshm_gauge_dec(const libshm_gauge *gauge)
{
    libshm_gauge_add(gauge, -1);
}

#ifdef __cplusplus
}
#endif
#endif
