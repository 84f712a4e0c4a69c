/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tools share: messages, opening a segment without trusting it, a guard against truncation, text for people.
 */
#ifndef TOOLS_COMMON_H
#define TOOLS_COMMON_H

#include <libshm/format.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes of shm-dump and shm-check. */
enum {
    EXIT_SOUND = 0,
    EXIT_DAMAGED = 1, /* damaged, of another version, or not a segment */
    EXIT_TROUBLE = 2, /* usage, or cannot open */
};

/* ---- messages and arguments (common.c) ------------------------------------------------------------------------- */
/* Writes "TOOL: message" and a line end to standard error. Control characters in the message are escaped: it may quote
 * file names and what a segment contains. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern const char *tool_name;

/* Checks that all of standard output was taken, e.g. not a full disk; returns `code`, else EXIT_TROUBLE with a message.
 */
int finish_output(int code);

/* An argument NAME is looked for in `directory` (NULL: the directory rule of libshm_directory()); one with a '/' is a
 * path. 0, or -1 after a message. */
int segment_path(const char *argument, const char *directory, char *path, size_t size);

/* Opens a segment's file for reading: no symbolic link, no waiting for a FIFO, a regular file. A descriptor, or
 * -EXIT_DAMAGED or -EXIT_TROUBLE after a message. */
int segment_open(const char *path);

/* ---- truncation (common_guard.c) ------------------------------------------------------------------------------- */
/* Runs body(context). 0, or -1 if a mapped file was truncated meanwhile (SIGBUS): body was left where it stood, and
 * what it had allocated is lost. Does not nest. */
int guarded(void (*body)(void *), void *context);

/* ---- a private copy of a segment (common_image.c) -------------------------------------------------------------- */
struct image {
    const unsigned char *bytes; /* page-aligned */
    size_t length;
};

/* Copies the whole file behind `fd`. Holes are not copied, so a sparse file costs what it occupies. No 16-byte cell and
 * no 8-byte word is torn; different words may be of different times. 0 or a negative errno; -ENODATA: truncated while
 * it was copied. An empty file gives length 0. */
int image_copy(int fd, struct image *image);
void image_free(struct image *image);

/* `size` bytes at `offset`, or NULL if they are not all inside, or the offset is not a multiple of `align`. */
static inline const void *image_at(const struct image *image, uint64_t offset, uint64_t size, uint64_t align)
{
    if (offset > image->length || size > image->length - offset || offset % align)
        return NULL;
    return image->bytes + offset;
}

/* The header, or NULL for a file that is shorter than one. */
static inline const struct libshm_header *image_header(const struct image *image)
{
    return image_at(image, 0, sizeof(struct libshm_header), 8);
}

extern const uint32_t table_entry_size[LIBSHM_TABLES];
extern const uint32_t table_leaf_pages[LIBSHM_TABLES];
extern const uint32_t table_root_pages[LIBSHM_TABLES];
extern const char *const table_name[LIBSHM_TABLES];

/* The most entries that a table can have. */
static inline uint32_t table_capacity(uint32_t table)
{
    return table_root_pages[table] * (LIBSHM_PAGE / 4) *
           (table_leaf_pages[table] * LIBSHM_PAGE / table_entry_size[table]);
}

/* Entries 0..count-1 that can be looked at: the header's count, no more than the capacity, none after the last leaf: a
 * damaged count costs no time. */
uint32_t table_count(const struct image *image, uint32_t table);
/* Entry `number` of a table, or NULL if its place does not lie inside the file. */
const void *table_entry(const struct image *image, uint32_t table, uint32_t number);
/* The byte offset of that entry, 0 if it has none. */
uint64_t table_entry_offset(const struct image *image, uint32_t table, uint32_t number);

/* CRC-32C, as in the header's checksum. */
uint32_t crc32c(const void *bytes, size_t length);

/* 1 if somebody holds a lock on the byte `offset`, 0 if nobody does, -1 if that cannot be said. */
int lock_held(int fd, uint64_t offset);
/* Whether the attach or process slot with this serial lives. */
int serial_alive(int fd, uint64_t lock_base, uint64_t serial);

/* ---- text for people (common_text.c) --------------------------------------------------------------------------- */
/* Writes `length` bytes so that a terminal can show them: backslash and `quote` (0: none) get a backslash, line ends
 * are \n, other control characters \x1b or \u202e, bytes that are not UTF-8 \xff. */
void print_escaped(FILE *out, const char *bytes, size_t length, char quote);

#define NUMBER_SIZE 32
#define TIME_SIZE   48
/* The shortest decimal that reads back as `value`; NaN, +Inf, -Inf. Returns `text`. */
const char *format_double(double value, char text[static NUMBER_SIZE]);
/* 4096 -> "4.0 KiB". */
const char *format_bytes(uint64_t bytes, char text[static NUMBER_SIZE]);
/* 2024-11-22T15:24:01.123456789Z, of nanoseconds on CLOCK_REALTIME. */
const char *format_time(uint64_t nanoseconds, char text[static TIME_SIZE]);
/* "counter", "gauge" ...; "?" for a number that is none. */
const char *type_name(uint32_t type);
const char *gauge_mode_name(uint32_t gauge_mode);
const char *state_name(uint32_t state);

/* Length of the UTF-8 character at bytes[0..length), its code point to *code; 0 if there is none. */
size_t utf8_character(const char *bytes, size_t length, uint32_t *code);

#endif
