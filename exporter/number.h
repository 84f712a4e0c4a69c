/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers as the exposition formats spell them: integers as integers, everything else as the shortest decimal that
 * reads back as the same number, +Inf, -Inf, NaN. */
#ifndef EXPORTER_NUMBER_H
#define EXPORTER_NUMBER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NUMBER_MAX 32u /* no number is longer */

/* The eight decimal digits of a value below 10^8, the first one in the lowest byte. Halves of it, then quarters, then
 * digits are divided by a multiplication all at once: 10486 / 2^20 is 1/100 to numbers below 10^4, 103 / 2^10 is 1/10
 * to numbers below 100. */
static inline uint64_t number_digits(uint32_t value)
{
    const uint64_t fours = value / 10000 | (uint64_t)(value % 10000) << 32;
    const uint64_t hundreds = (fours * 10486 >> 20) & UINT64_C(0x7f0000007f);
    const uint64_t twos = hundreds | (fours - 100 * hundreds) << 16;
    const uint64_t tens = (twos * 103 >> 10) & UINT64_C(0x000f000f000f000f);
    return tens | (twos - 10 * tens) << 8;
}

#define NUMBER_ZEROS UINT64_C(0x3030303030303030)

/* Each writes at most NUMBER_MAX bytes to `out`, without a NUL, and returns how many. */
size_t number_format_large(char *out, uint64_t value); /* from 10^8 */
static inline size_t number_format_u64(char *out, uint64_t value)
{
    if (value >= 100000000)
        return number_format_large(out, value);
    const uint64_t digits = number_digits((uint32_t)value);
    const unsigned leading = (unsigned)__builtin_ctzll(digits | UINT64_C(1) << 56) & ~7u; /* zeros, in bits */
    const uint64_t text = (digits | NUMBER_ZEROS) >> leading;
    memcpy(out, &text, sizeof text); /* and zeros or what comes next behind it */
    return 8 - leading / 8;
}
size_t number_format_double(char *out, double value);
/* The value of a label `le`: 0.1, 1.0, 1e+06, +Inf. The client libraries' way to write it, so that a bound is the same
 * series wherever it comes from: .0 behind an integer, an exponent from 1e6 up and below 1e-4. */
size_t number_format_bound(char *out, double bound);
/* A counter: integer + fractional. Exact as long as nobody added a fraction. */
static inline size_t number_format_counter(char *out, uint64_t integer, double fractional)
{
    return fractional == 0 ? number_format_u64(out, integer) : number_format_double(out, (double)integer + fractional);
}

#endif
