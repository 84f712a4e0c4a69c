/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes that grow. Running out of memory is remembered, not reported at every step: whoever finishes the text looks at
 * `failed` once. */
#ifndef EXPORTER_BUFFER_H
#define EXPORTER_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct buffer {
    char *data;
    size_t size;
    size_t capacity;
    bool failed;
};

/* Room for `more` bytes behind `size`, so that the caller can write them itself. False: out of memory. */
bool buffer_reserve(struct buffer *buffer, size_t more);
void buffer_append(struct buffer *buffer, const void *bytes, size_t n);
void buffer_append_string(struct buffer *buffer, const char *string);
void buffer_printf(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The text ended by a NUL that `size` does not count; NULL if memory ran out. */
const char *buffer_string(struct buffer *buffer);
void buffer_free(struct buffer *buffer);

#endif
