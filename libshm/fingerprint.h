/* SPDX-License-Identifier: Apache-2.0
 *
 * Did a series move? A 64-bit number of its cells, the same for the writer that hides an idle series and for the reader
 * that shows it again. It is taken of raw totals, before a baseline is subtracted: a reset is no movement. Private. */
#ifndef LIBSHM_FINGERPRINT_H
#define LIBSHM_FINGERPRINT_H

#include <libshm/format.h>

#define LIBSHM_FINGERPRINT_START UINT64_C(0x2545f4914f6cdd1d)

/* Adds the totals of the next cell. Each step is one-to-one in each of its inputs, so that a change in one word alone
 * always shows. */
static inline uint64_t libshm_fingerprint_add(uint64_t fingerprint, struct libshm_cell total)
{
    uint64_t bits;
    __builtin_memcpy(&bits, &total.fractional, sizeof bits);
    fingerprint = (fingerprint ^ total.integer) * UINT64_C(0x9e3779b97f4a7c15);
    fingerprint = (fingerprint ^ fingerprint >> 32 ^ bits) * UINT64_C(0xd6e8feb86659fd93);
    return fingerprint ^ fingerprint >> 32;
}

#endif
