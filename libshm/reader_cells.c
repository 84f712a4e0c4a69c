/* SPDX-License-Identifier: Apache-2.0
 *
 * The numbers. A page group is read page by page, in the order in which it lies: baseline, atomic lanes, CPU lanes.
 * That is the fixed order of every sum, it is what a processor reads fastest, and the baseline comes first: a reset
 * stores there what the lanes had, and lanes only grow, so that lanes read afterwards are never below it. */
#include <math.h>
#include <string.h>

#include "libshm/cell.h"
#include "libshm/fingerprint.h"
#include "libshm/reader_internal.h"

/* Sums of the cells of one group, the two halves apart. */
struct sums {
    _Alignas(16) uint64_t integer[LIBSHM_CELLS_PER_PAGE];
    _Alignas(16) double fractional[LIBSHM_CELLS_PER_PAGE];
};

/* The cells of one page, added to `before`; NULL: to nothing. `first` and `end` are even. */
static inline __attribute__((always_inline)) void sum_page(struct sums *sums, const struct sums *before,
                                                           const unsigned char *page, uint32_t first, uint32_t end)
{
    const struct libshm_cell *cells = (const struct libshm_cell *)(const void *)page;
#if LIBSHM_RSEQ
    /* two cells a turn: their integers in one register, doubles in another */
    for (uint32_t i = first; i < end; i += 2) {
        /* the same place in the next page: hardware stops at a page's end, and begins to guess anew behind it */
        __builtin_prefetch(page + i * sizeof *cells + LIBSHM_PAGE);
        __m128i a = libshm_cell_load_vector(cells + i), b = libshm_cell_load_vector(cells + i + 1);
        __m128i integer = _mm_unpacklo_epi64(a, b);
        __m128d fractional = _mm_castsi128_pd(_mm_unpackhi_epi64(a, b));
        if (before)
            integer = _mm_add_epi64(integer, _mm_load_si128((const __m128i *)(const void *)(before->integer + i)));
        /* -0 plus 0 is 0 */
        fractional = _mm_add_pd(fractional, before ? _mm_load_pd(before->fractional + i) : _mm_setzero_pd());
        _mm_store_si128((__m128i *)(void *)(sums->integer + i), integer);
        _mm_store_pd(sums->fractional + i, fractional);
    }
#else
    for (uint32_t i = first; i < end; i++) {
        struct libshm_cell cell = libshm_cell_read(cells + i);
        sums->integer[i] = cell.integer + (before ? before->integer[i] : 0);
        sums->fractional[i] = cell.fractional + (before ? before->fractional[i] : 0);
    }
#endif
}

static void set_to_page(struct sums *sums, const unsigned char *page, uint32_t first, uint32_t end)
{
    sum_page(sums, NULL, page, first, end);
}

static void add_page(struct sums *sums, const unsigned char *page, uint32_t first, uint32_t end)
{
    sum_page(sums, sums, page, first, end);
}

/* A count since the baseline: a baseline that is only half there yet gives nothing, never less than nothing. */
static uint64_t count_since(uint64_t total, uint64_t baseline)
{
    return total >= baseline ? total - baseline : 0;
}

/* Inf - Inf is no number: a sum that was infinite when it was reset stays so. */
static double sum_since(double total, double baseline)
{
    return isfinite(baseline) ? total - baseline : total;
}

/* Of a counter or a gauge. */
static void read_number(const struct sums *total, const struct sums *baseline, uint32_t kind, uint32_t cell,
                        uint64_t *integer, double *fractional)
{
    if (kind == LIBSHM_VALUE_GAUGE) { /* keeps its value through a reset */
        *fractional = total->fractional[cell];
        return;
    }
    double since = sum_since(total->fractional[cell], baseline->fractional[cell]);
    *integer = count_since(total->integer[cell], baseline->integer[cell]);
    *fractional = since >= 0 ? since : 0; /* not if it is no number, either */
}

static void read_buckets(const struct sums *total, const struct sums *baseline, uint32_t cell, uint32_t n,
                         struct libshm_cell *buckets, uint64_t *count, double *sum)
{
    *count = 0;
    *sum = 0;
    for (uint32_t i = 0; i < n; i++, cell++) {
        buckets[i].integer = count_since(total->integer[cell], baseline->integer[cell]);
        buckets[i].fractional = buckets[i].integer ? sum_since(total->fractional[cell], baseline->fractional[cell]) : 0;
        *count += buckets[i].integer;
        *sum += buckets[i].fractional;
    }
}

static void read_item(struct libshm_reader *r, const struct sums *total, const struct sums *baseline,
                      const struct libshm_reader_item *item)
{
    if (!item->dynamic) {
        libshm_series_view *view = (libshm_series_view *)r->views.data + item->place;
        if (item->kind != LIBSHM_VALUE_BUCKETS)
            read_number(total, baseline, item->kind, item->cell, &view->integer, &view->fractional);
        else /* the buckets are the reader's own memory, read-only for others */
            read_buckets(total, baseline, item->cell, item->last_cell + 1u,
                         (struct libshm_cell *)(uintptr_t)view->buckets, &view->count, &view->sum);
        return;
    }
    struct libshm_reader_dynamic *d = (struct libshm_reader_dynamic *)r->dynamic.data + item->place;
    struct libshm_reader_value *value = &d->value;
    if (item->kind != LIBSHM_VALUE_BUCKETS)
        read_number(total, baseline, item->kind, item->cell, &value->integer, &value->fractional);
    else
        read_buckets(total, baseline, item->cell, item->last_cell + 1u, value->buckets, &value->integer,
                     &value->fractional);
    d->fingerprint = LIBSHM_FINGERPRINT_START;
    for (uint32_t i = item->cell; i <= (uint32_t)item->cell + item->last_cell; i++)
        d->fingerprint =
            libshm_fingerprint_add(d->fingerprint, (struct libshm_cell){total->integer[i], total->fractional[i]});
}

static void read_group(struct libshm_reader *r, const struct libshm_reader_group *g)
{
    struct sums baseline, total;
    uint32_t first = g->first_cell & ~1u, end = (g->end_cell + 1u) & ~1u;
    const struct libshm_reader_item *items = (const struct libshm_reader_item *)r->items.data + g->first_item;
    const unsigned char *page = g->base;
    set_to_page(&baseline, page, first, end);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);              /* the baseline before the lanes, see above */
    set_to_page(&total, page += LIBSHM_PAGE, first, end); /* a group has an atomic lane */
    for (uint32_t lane = 1; lane < g->atomic_lanes; lane++)
        add_page(&total, page += LIBSHM_PAGE, first, end);
    uint64_t atomic = 0;
    for (uint32_t i = 0; i < g->n_items; i++)
        if (items[i].kind != LIBSHM_VALUE_GAUGE)
            for (uint32_t n = 0; n <= items[i].last_cell; n++)
                atomic += total.integer[items[i].cell + n];
    r->snapshot.atomic_total += atomic;
    for (uint32_t lane = 0; lane < g->cpu_lanes; lane++)
        add_page(&total, page += LIBSHM_PAGE, first, end);
    for (uint32_t i = 0; i < g->n_items; i++)
        read_item(r, &total, &baseline, &items[i]);
}

void libshm_reader_cells(struct libshm_reader *r)
{
    const struct libshm_reader_group *groups = r->groups.data;
    r->snapshot.atomic_total = 0;
    for (uint32_t n = 0; n < r->n_groups; n++)
        if (groups[n].n_items > 0)
            read_group(r, &groups[n]);
}
