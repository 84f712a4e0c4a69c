/* SPDX-License-Identifier: Apache-2.0
 *
 * The bucket search, in C: what libshm_rseq_observe does in one sequence with the update. */
#ifndef LIBSHM_BUCKETS_H
#define LIBSHM_BUCKETS_H

#include "libshm/internal.h"

/* Number of bounds below v = index of the bucket whose upper bound is the first one >= v; n_bounds for the +Inf bucket.
 *
 * The sign, exponent and first 4 mantissa bits of v choose a cell of 1/16 octave. If its one bound is passed, adding
 * the cell's table entry to the bits of v carries into the bucket number in the top 16 bits (libshm/buckets.c). No
 * data-dependent branch, one load, the same for 5 bounds as for 50. Integers throughout: positive doubles order as
 * their bits do, negative ones are below all of them, and floating loads would wait for the stores before them. Cells
 * with several bounds, as fine linear buckets have, and those below zero are marked: an ordinary search. The lowest
 * and the highest cell have no bound: a value beyond may become any of theirs. */
#define LIBSHM_BUCKET_SHIFT  48
#define LIBSHM_BUCKET_SEARCH 0x8000u
LIBSHM_HIDDEN uint32_t libshm_buckets_search(const struct libshm_buckets *buckets, double value);

static inline uint32_t libshm_histogram_bucket(const libshm_histogram *histogram, double v)
{
    int64_t bits;
    __builtin_memcpy(&bits, &v, 8);
    const int64_t high = (int64_t)histogram->range, low = (int64_t)(histogram->range << 16);
    bits = bits > low ? bits : low;
    bits = bits < high ? bits : high;
    uint64_t key = (uint64_t)bits >> LIBSHM_BUCKET_SHIFT;
    uint32_t bucket =
        (uint32_t)(((uint64_t)bits + *(const uint64_t *)(histogram->table + key * 8)) >> LIBSHM_BUCKET_SHIFT);
    if (__builtin_expect(bucket & LIBSHM_BUCKET_SEARCH, 0))
        return libshm_buckets_search(histogram->buckets, v);
    return bucket;
}

#endif
