/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON (RFC 8259) into a buffer. What JSON's numbers cannot say is a string: NaN, +Inf, -Inf, and integers beyond 2^53,
 * which most readers would round. */
#ifndef EXPORTER_JSON_H
#define EXPORTER_JSON_H

#include "buffer.h"

#include <stdint.h>

/* Whatever the bytes are, what comes out is UTF-8: what is not becomes U+FFFD. */
void json_string(struct buffer *out, const char *text);
void json_u64(struct buffer *out, uint64_t value);
void json_double(struct buffer *out, double value);
void json_counter(struct buffer *out, uint64_t integer, double fractional);
/* `,"key":`, without the comma behind a brace. */
void json_key(struct buffer *out, const char *key);
/* A comma, unless the text ends with an opening bracket. */
void json_comma(struct buffer *out);

#endif
