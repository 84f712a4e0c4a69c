/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading a live cell as a whole, without writing to it. Private.
 *
 * __atomic_load_n on 16 bytes and ck_pr_load_64_2 are compare-and-swaps: they fault on a read-only mapping and dirty
 * the line for its writer. On x86-64 one aligned 16-byte load does it (both vendors guarantee that it is atomic where
 * there is AVX; without AVX nobody does, and none was ever seen torn). Compiled for AVX it is VEX-encoded, or it would
 * cost a transition after 256-bit code. */
#ifndef LIBSHM_CELL_H
#define LIBSHM_CELL_H

#include <libshm/rseq.h>

#if LIBSHM_RSEQ
#include <emmintrin.h>

static inline __m128i libshm_cell_load_vector(const struct libshm_cell *cell)
{
    __m128i value;
#ifdef __AVX__
    __asm__ __volatile__("{vmovdqa %1, %0|vmovdqa %0, %1}" : "=x"(value) : "m"(*cell));
#else
    __asm__ __volatile__("{movdqa %1, %0|movdqa %0, %1}" : "=x"(value) : "m"(*cell));
#endif
    return value;
}

static inline struct libshm_cell libshm_cell_read(const struct libshm_cell *cell)
{
    __m128i value = libshm_cell_load_vector(cell);
    struct libshm_cell result;
    result.integer = (uint64_t)_mm_cvtsi128_si64(value);
    result.fractional = _mm_cvtsd_f64(_mm_castsi128_pd(_mm_unpackhi_epi64(value, value)));
    return result;
}

#else

/* No 16-byte load here (another architecture), or one that ThreadSanitizer cannot see: two 8-byte loads. The halves of
 * a counter are independent. A bucket's count grows with every change of its sum, so a count that is the same before
 * and after the sum was read belongs to it. */
static inline struct libshm_cell libshm_cell_read(const struct libshm_cell *cell)
{
    struct libshm_cell result;
    uint64_t before = __atomic_load_n(&cell->integer, __ATOMIC_ACQUIRE);
    for (int tries = 0; tries < 64; tries++) {
        __atomic_load(&cell->fractional, &result.fractional, __ATOMIC_ACQUIRE);
        result.integer = __atomic_load_n(&cell->integer, __ATOMIC_ACQUIRE);
        if (result.integer == before)
            break;
        before = result.integer;
    }
    return result;
}

#endif
#endif
