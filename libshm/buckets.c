/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of the bucket search in hot.h, made once for each definition of a histogram in this process.
 *
 * A cell is all doubles with the same top 16 bits: sign, exponent, 4 bits of mantissa. For a cell `key` with `below`
 * bounds under it and one bound in it, the entry is
 *
 *      (below - key) << 48  +  2^48 - 1 - (low 48 bits of the bound)
 *
 * so that bits of v + entry = below << 48 + (low 48 bits of v) + 2^48 - 1 - (low 48 bits of the bound): the carry into
 * the top 16 bits happens just when v is greater than the bound. A cell without a bound leaves the second part out. A
 * cell that cannot be decided so yields LIBSHM_BUCKET_SEARCH instead. */
#include "libshm/internal.h"

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
    uint64_t low = 0, high = 0;
    if (negative < n_bounds) {
        low = bits_of(bounds[negative]);
        high = bits_of(bounds[n_bounds - 1]) + 1; /* the next double: above all bounds */
        if (negative)                             /* a cell of its own for everything below the positive bounds */
            low = low >> LIBSHM_BUCKET_SHIFT ? ((low >> LIBSHM_BUCKET_SHIFT) - 1) << LIBSHM_BUCKET_SHIFT : 0;
    }
    uint64_t first = low >> LIBSHM_BUCKET_SHIFT, n_entries = (high >> LIBSHM_BUCKET_SHIFT) - first + 1;
    bool search_only = (negative && negative == n_bounds) || n_entries > MAX_ENTRIES;
    if (search_only)
        low = high = first = 0, n_entries = 1;
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
    if (search_only || negative)
        entries[0] = (LIBSHM_BUCKET_SEARCH - first) << LIBSHM_BUCKET_SHIFT;
    search->low = (int64_t)low;
    search->high = (int64_t)high;
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
