/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers as the exposition formats spell them: integers as integers, everything else as the shortest decimal that
 * reads back as the same number, +Inf, -Inf, NaN. */
#ifndef EXPORTER_NUMBER_H
#define EXPORTER_NUMBER_H

#include <stddef.h>
#include <stdint.h>

#define NUMBER_MAX 32u /* no number is longer */

/* Each writes at most NUMBER_MAX bytes to `out`, without a NUL, and returns how many. */
size_t number_format_u64(char *out, uint64_t value);
size_t number_format_double(char *out, double value);
/* The value of a label `le`: 0.1, 1.0, 1e+06, +Inf. The client libraries' way to write it, so that a bound is the same
 * series wherever it comes from: .0 behind an integer, an exponent from 1e6 up and below 1e-4. */
size_t number_format_bound(char *out, double bound);
/* A counter: integer + fractional. Exact as long as nobody added a fraction. */
size_t number_format_counter(char *out, uint64_t integer, double fractional);

#endif
