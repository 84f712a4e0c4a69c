/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes that grow, see buffer.h. */
#define _GNU_SOURCE
#include "buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE      4096u
#define HUGE_FROM (4u << 20)

/* Fresh memory of this size costs its page faults more than what is written to it: fewer, larger pages. */
static void ask_for_huge_pages(char *data, size_t size)
{
    const size_t before = (PAGE - (uintptr_t)data % PAGE) % PAGE;
    madvise(data + before, (size - before) & ~(size_t)(PAGE - 1), MADV_HUGEPAGE); /* or not */
}

bool buffer_reserve(struct buffer *buffer, size_t more)
{
    if (buffer->failed)
        return false;
    if (buffer->capacity - buffer->size >= more)
        return true;
    if (more > SIZE_MAX / 4 || buffer->size > SIZE_MAX / 4) {
        buffer->failed = true;
        return false;
    }
    size_t capacity = buffer->size + more + buffer->size / 2 + 64;
    char *data = realloc(buffer->data, capacity);
    if (!data) {
        buffer->failed = true;
        return false;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    if (capacity >= HUGE_FROM)
        ask_for_huge_pages(data, capacity);
    return true;
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t n)
{
    if (n && buffer_reserve(buffer, n)) {
        memcpy(buffer->data + buffer->size, bytes, n);
        buffer->size += n;
    }
}

void buffer_append_string(struct buffer *buffer, const char *string)
{
    buffer_append(buffer, string, strlen(string));
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (n < 0 || !buffer_reserve(buffer, (size_t)n + 1)) {
        buffer->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf(buffer->data + buffer->size, (size_t)n + 1, format, arguments);
    va_end(arguments);
    buffer->size += (size_t)n;
}

const char *buffer_string(struct buffer *buffer)
{
    if (!buffer_reserve(buffer, 1))
        return NULL;
    buffer->data[buffer->size] = '\0';
    return buffer->data;
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}
