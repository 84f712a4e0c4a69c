/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers as text, see number.h. A scrape formats one a sample, so there is a fast way for what metrics are made of:
 * integers, and decimals between 1e-6 and 2^53, in exact 128-bit arithmetic. The rest goes through printf. */
#include "number.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 u128;

static const uint64_t powers[] = {1u,
                                  10u,
                                  100u,
                                  1000u,
                                  10000u,
                                  100000u,
                                  1000000u,
                                  10000000u,
                                  100000000u,
                                  1000000000u,
                                  10000000000u,
                                  100000000000u,
                                  1000000000000u,
                                  10000000000000u,
                                  100000000000000u,
                                  1000000000000000u,
                                  10000000000000000u,
                                  100000000000000000u,
                                  1000000000000000000u,
                                  10000000000000000000u};

static size_t digits_of(uint64_t value)
{
    size_t bits = 64u - (size_t)__builtin_clzll(value | 1);
    size_t below = bits * 1233 >> 12; /* bits * log10(2) */
    return below + (value >= powers[below]) + (value == 0);
}

size_t number_format_large(char *out, uint64_t value)
{
    const size_t n = number_format_u64(out, value / 100000000);
    const uint64_t digits = number_digits((uint32_t)(value % 100000000)) | NUMBER_ZEROS;
    memcpy(out + n, &digits, sizeof digits);
    return n + sizeof digits;
}

/* digits / 10^places, without trailing zeros behind the point. */
static size_t format_fixed(char *out, uint64_t digits, unsigned places)
{
    while (places && digits % 10 == 0) {
        digits /= 10;
        places--;
    }
    char text[NUMBER_MAX];
    size_t n = number_format_u64(text, digits), at = 0;
    if (!places) {
        memcpy(out, text, n);
        return n;
    }
    size_t whole = n > places ? n - places : 0;
    if (whole)
        memcpy(out, text, whole);
    else
        out[0] = '0';
    at = whole ? whole : 1;
    out[at++] = '.';
    for (size_t zeros = whole ? 0 : places - n; zeros; zeros--)
        out[at++] = '0';
    memcpy(out + at, text + whole, n - whole);
    return at + n - whole;
}

/* The shortest decimal that reads back as `value`, 1e-6 <= value < 2^53. value = f * 2^-shift exactly, so with
 * N = f * 10^places the decimal is N / 2^shift, and it reads back if it is off by less than half a step of f, which is
 * 10^places / 2 in the units of N. Fifteen digits that read back are the only such fifteen, so what is left after
 * trailing zeros is the shortest. */
static size_t format_shortest(char *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint64_t f = (bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1) << 52;
    const unsigned shift = 1075u - (unsigned)(bits >> 52);
    int leading = -6; /* decimal exponent of the first digit */
    static const double small[] = {1e-5, 1e-4, 1e-3, 1e-2, 1e-1};
    if (value >= 1)
        leading = (int)digits_of((uint64_t)value) - 1;
    else
        for (size_t i = 0; i < sizeof small / sizeof *small && value >= small[i]; i++)
            leading++;
    for (int digits = leading < 15 ? 15 : 16;; digits++) {
        const unsigned places = (unsigned)(digits - 1 - leading); /* at most 16 + 6 */
        const u128 scale = places < 20 ? powers[places] : (u128)powers[19] * powers[places - 19];
        const u128 n = f * scale, one = (u128)1 << shift;
        const u128 rest = n & (one - 1);
        uint64_t decimal = (uint64_t)(n >> shift);
        const bool up = rest > one / 2 || (rest == one / 2 && decimal & 1);
        decimal += up;
        const u128 off = up ? one - rest : rest;
        /* below a power of two the steps are half as long; 17 digits are always enough */
        if (digits == 17 || off * (f == UINT64_C(1) << 52 ? 4 : 2) < scale)
            return format_fixed(out, decimal, places);
    }
}

static size_t format_any(char *out, double value)
{
    char text[NUMBER_MAX];
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(text, sizeof text, "%.*g", digits, value);
        double back = strtod(text, NULL);
        if (memcmp(&back, &value, sizeof back) == 0)
            break;
    }
    memcpy(out, text, (size_t)n);
    return (size_t)n;
}

static size_t format_word(char *out, const char *word, size_t n)
{
    memcpy(out, word, n);
    return n;
}

size_t number_format_double(char *out, double value)
{
    if (value != value)
        return format_word(out, "NaN", 3);
    size_t sign = 0;
    if (signbit(value)) {
        out[sign++] = '-';
        value = -value;
    }
    if (value < 9.2e18 && (double)(uint64_t)value == value)
        return sign + number_format_u64(out + sign, (uint64_t)value);
    if (value >= 1e-6 && value < 0x1p53)
        return sign + format_shortest(out + sign, value);
    if (isinf(value))
        return format_word(out, sign ? "-Inf" : "+Inf", 4);
    return sign + format_any(out + sign, value);
}

/* d.ddde+XX from a decimal without exponent. */
static size_t format_scientific(char *out, const char *text, size_t n)
{
    const char *point = memchr(text, '.', n);
    const size_t whole = point ? (size_t)(point - text) : n;
    size_t first = 0, n_digits = 0, at = 0;
    char digits[NUMBER_MAX] = "0";
    while (text[first] == '0' || text[first] == '.')
        first++;
    for (size_t i = first; i < n; i++)
        if (text[i] != '.')
            digits[n_digits++] = text[i];
    while (n_digits > 1 && digits[n_digits - 1] == '0')
        n_digits--;
    const int exponent = first < whole ? (int)(whole - first) - 1 : -(int)(first - whole);
    out[at++] = digits[0];
    if (n_digits > 1)
        out[at++] = '.';
    memcpy(out + at, digits + 1, n_digits - 1);
    at += n_digits - 1;
    return at + (size_t)snprintf(out + at, NUMBER_MAX - at, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
}

size_t number_format_bound(char *out, double bound)
{
    char text[NUMBER_MAX];
    const size_t sign = signbit(bound) != 0, n = number_format_double(text, bound);
    const double size = fabs(bound);
    memcpy(out, text, n);
    if (memchr(text, 'e', n) || isinf(bound) || bound != bound)
        return n;
    if (size >= 1e6 || (size < 1e-4 && size > 0))
        return sign + format_scientific(out + sign, text + sign, n - sign);
    if (memchr(text, '.', n))
        return n;
    memcpy(out + n, ".0", 2);
    return n + 2;
}
