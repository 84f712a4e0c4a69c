/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of the bucket search in buckets.h, made once for each definition of a histogram in this process.
 *
 * A cell is all doubles with the same top 16 bits: sign, exponent, 4 bits of mantissa. For a cell `key` with `below`
 * bounds under it and one bound in it, the entry is
 *
 *      (below - key) << 48  +  2^48 - 1 - (low 48 bits of the bound)
 *
 * so that bits of v + entry = below << 48 + (low 48 bits of v) + 2^48 - 1 - (low 48 bits of the bound): the carry into
 * the top 16 bits happens just when v is greater than the bound. A cell without a bound leaves the second part out. A
 * cell that cannot be decided so yields LIBSHM_BUCKET_SEARCH instead. */
#include "libshm/buckets.h"

#include <stdlib.h>
#include <string.h>

#define MAX_ENTRIES 4096u /* 256 octaves, 32 KiB */

struct libshm_buckets {
    uint32_t n_bounds;
    uint32_t n_entries;
    uint64_t words[]; /* bounds, then entries */
};

static uint64_t bits_of(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, 8);
    return bits;
}

static uint64_t key_of(double v)
{
    return bits_of(v) >> LIBSHM_BUCKET_SHIFT;
}

static uint64_t entry_of(const double *bounds, uint32_t n_bounds, uint32_t below, uint64_t key)
{
    const uint64_t fraction = (UINT64_C(1) << LIBSHM_BUCKET_SHIFT) - 1;
    uint32_t inside = 0;
    while (below + inside < n_bounds && key_of(bounds[below + inside]) == key)
        inside++;
    if (inside > 1)
        return (LIBSHM_BUCKET_SEARCH - key) << LIBSHM_BUCKET_SHIFT;
    return ((below - key) << LIBSHM_BUCKET_SHIFT) + (inside ? fraction - (bits_of(bounds[below]) & fraction) : 0);
}

struct libshm_buckets *libshm_buckets_new(const double *bounds, uint32_t n_bounds, libshm_histogram *search)
{
    uint32_t negative = 0; /* bounds that are not above zero: only an ordinary search knows them */
    while (negative < n_bounds && !(bounds[negative] > 0))
        negative++;
    /* cells without a bound: it does not matter to which of their values one is clamped */
    uint64_t first = 0, last = 0;
    if (negative < n_bounds) {
        first = key_of(bounds[negative]);
        first -= first > 0;
        last = key_of(bounds[n_bounds - 1]) + 1;
    }
    bool search_only = (negative && negative == n_bounds) || last - first >= MAX_ENTRIES;
    if (search_only)
        first = last = 0;
    uint64_t n_entries = last - first + 1;
    struct libshm_buckets *buckets = malloc(sizeof *buckets + (n_bounds + n_entries) * sizeof(uint64_t));
    if (!buckets)
        return NULL;
    buckets->n_bounds = n_bounds;
    buckets->n_entries = (uint32_t)n_entries;
    if (n_bounds)
        memcpy(buckets->words, bounds, n_bounds * sizeof *bounds);
    uint64_t *entries = buckets->words + n_bounds;
    uint32_t below = negative;
    for (uint64_t i = 0; i < n_entries; i++) {
        while (below < n_bounds && key_of(bounds[below]) < first + i)
            below++;
        entries[i] = entry_of(bounds, n_bounds, below, first + i);
    }
    /* negative bounds are below the first cell; and below a bound in the cell of zero there is none */
    if (search_only || negative || (n_bounds && key_of(bounds[0]) == 0))
        entries[0] = (LIBSHM_BUCKET_SEARCH - first) << LIBSHM_BUCKET_SHIFT;
    search->range = last << LIBSHM_BUCKET_SHIFT | first << (LIBSHM_BUCKET_SHIFT - 16);
    search->table = (uintptr_t)entries - first * sizeof *entries;
    search->buckets = buckets;
    return buckets;
}

uint32_t libshm_buckets_search(const struct libshm_buckets *buckets, double v)
{
    uint32_t from = 0, n = buckets->n_bounds;
    while (n) {
        uint32_t half = n / 2;
        double bound;
        memcpy(&bound, &buckets->words[from + half], sizeof bound);
        if (bound < v) {
            from += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return from;
}
