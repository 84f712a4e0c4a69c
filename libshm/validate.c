/* SPDX-License-Identifier: Apache-2.0
 *
 * Is this a segment that can be read? Looks at a header only: entries that do not hold together are the reader's to
 * skip, one by one. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "libshm/reader_internal.h"
#include "libshm/text.h"

#define ULL(x) ((unsigned long long)(x))

__attribute__((format(printf, 4, 5))) static int verdict(int code, char *why, size_t why_size, const char *format, ...)
{
    if (why && why_size > 0) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(why, why_size, format, arguments);
        va_end(arguments);
    }
    return code;
}

static int not_magic(const char *magic, char *why, size_t why_size)
{
    if (memcmp(magic, LIBSHM_MAGIC, 6) == 0)
        return verdict(LIBSHM_E_NOT_SEGMENT, why, why_size,
                       "the line end after LIBSHM at offset 6 was changed: the file was copied as text");
    return verdict(LIBSHM_E_NOT_SEGMENT, why, why_size, "no segment: the first 8 bytes are not \"LIBSHM\\r\\n\"");
}

int libshm_header_identity(const struct libshm_header *header, char *why, size_t why_size)
{
    if (memcmp(header->magic, LIBSHM_MAGIC, sizeof header->magic) != 0)
        return not_magic(header->magic, why, why_size);
    /* the version first: where the checksum is, and of what, is the version's business */
    if (header->format_version != LIBSHM_FORMAT_VERSION)
        return verdict(LIBSHM_E_VERSION, why, why_size,
                       "format version %u at offset 8, and this libshm (" LIBSHM_VERSION
                       ") reads version %u: use %s libshm, "
                       "or make the segment anew",
                       header->format_version, LIBSHM_FORMAT_VERSION,
                       header->format_version > LIBSHM_FORMAT_VERSION ? "a newer" : "an older");
    uint32_t checksum = libshm_crc32c(header, __builtin_offsetof(struct libshm_header, checksum));
    if (header->checksum != checksum)
        return verdict(LIBSHM_E_DAMAGED, why, why_size,
                       "the checksum of bytes 0-123 is %08x, and offset 124 says %08x: the header was damaged",
                       checksum, header->checksum);
    uint32_t unknown = header->incompat & ~LIBSHM_INCOMPAT_KNOWN;
    if (unknown)
        return verdict(LIBSHM_E_VERSION, why, why_size,
                       "incompat features %#x at offset 24 are unknown to this libshm (" LIBSHM_VERSION
                       "): use the version that made it (%.32s) or a newer one",
                       unknown,
                       libshm_utf8_valid(header->creator, strnlen(header->creator, sizeof header->creator))
                           ? header->creator
                           : "?");
    if (header->header_size != sizeof *header)
        return verdict(LIBSHM_E_DAMAGED, why, why_size, "header_size at offset 12 is %u, should be %zu",
                       header->header_size, sizeof *header);
    if (header->max_bytes % LIBSHM_PAGE != 0 || header->max_bytes < LIBSHM_PAGE || header->max_bytes > LIBSHM_MAX_BYTES)
        return verdict(LIBSHM_E_DAMAGED, why, why_size,
                       "max_bytes at offset 56 is %llu, should be a multiple of %u up to %llu", ULL(header->max_bytes),
                       LIBSHM_PAGE, ULL(LIBSHM_MAX_BYTES));
    if (header->cpu_lanes > LIBSHM_MAX_CPU_LANES || header->atomic_lanes_only > LIBSHM_MAX_ATOMIC_LANES)
        return verdict(LIBSHM_E_DAMAGED, why, why_size,
                       "%u CPU lanes and %u atomic lanes at offset 72, should be at most %u and %u", header->cpu_lanes,
                       header->atomic_lanes_only, LIBSHM_MAX_CPU_LANES, LIBSHM_MAX_ATOMIC_LANES);
    return 0;
}

int libshm_header_words(const struct libshm_header *header, char *why, size_t why_size)
{
    static const char *const names[LIBSHM_TABLES] = {"page groups", "families", "series", "process slots", "attaches"};
    static const uint32_t entry_sizes[LIBSHM_TABLES] = LIBSHM_TABLE_ENTRY_SIZES;
    static const uint32_t leaf_pages[LIBSHM_TABLES] = LIBSHM_TABLE_LEAF_PAGES;
    static const uint32_t root_pages[LIBSHM_TABLES] = LIBSHM_TABLE_ROOT_PAGES;
    uint64_t end = header->file_end;
    if (end % LIBSHM_PAGE != 0 || end < LIBSHM_PAGE || end > header->max_bytes)
        return verdict(LIBSHM_E_DAMAGED, why, why_size,
                       "file_end at offset %zu is %llu, should be a multiple of %u up to max_bytes, %llu",
                       offsetof(struct libshm_header, file_end), ULL(end), LIBSHM_PAGE, ULL(header->max_bytes));
    if (header->page_next % LIBSHM_PAGE != 0 || header->page_next < LIBSHM_PAGE || header->page_next > end)
        return verdict(LIBSHM_E_DAMAGED, why, why_size,
                       "page_next at offset %zu is %llu, should be a multiple of %u up to file_end, %llu",
                       offsetof(struct libshm_header, page_next), ULL(header->page_next), LIBSHM_PAGE, ULL(end));
    for (uint32_t t = 0; t < LIBSHM_TABLES; t++) {
        const struct libshm_table *table = &header->tables[t];
        size_t at = offsetof(struct libshm_header, tables) + t * sizeof *table;
        uint64_t most = (uint64_t)root_pages[t] * (LIBSHM_PAGE / 4) * (leaf_pages[t] * LIBSHM_PAGE / entry_sizes[t]);
        most = most < end / entry_sizes[t] ? most : end / entry_sizes[t]; /* every entry has bytes of its own */
        if (table->count > most)
            return verdict(LIBSHM_E_DAMAGED, why, why_size, "%u %s at offset %zu, should be at most %llu", table->count,
                           names[t], at + 4, ULL(most));
        uint64_t root = (uint64_t)table->root * LIBSHM_PAGE;
        if (table->count > 0 && (root == 0 || root + (uint64_t)root_pages[t] * LIBSHM_PAGE > end))
            return verdict(LIBSHM_E_DAMAGED, why, why_size,
                           "the root of the table of %s at offset %zu is page %u, should be one of %llu", names[t], at,
                           table->root, ULL(end / LIBSHM_PAGE));
    }
    return 0;
}

int libshm_validate(const void *bytes, size_t length, char *why, size_t why_size)
{
    struct libshm_header header;
    if (why && why_size > 0)
        why[0] = '\0';
    if (length < sizeof header.magic)
        return verdict(LIBSHM_E_NOT_SEGMENT, why, why_size, "no segment: %zu bytes, a segment has at least %zu", length,
                       sizeof header);
    if (length < sizeof header) {
        memset(&header, 0, sizeof header);
        memcpy(&header, bytes, length);
        if (memcmp(header.magic, LIBSHM_MAGIC, sizeof header.magic) != 0)
            return not_magic(header.magic, why, why_size);
        return verdict(LIBSHM_E_DAMAGED, why, why_size, "cut off after %zu bytes, inside the header of %zu", length,
                       sizeof header);
    }
    memcpy(&header, bytes, sizeof header);
    /* the bytes may be a living segment's: its end was read with the rest, and is never before anything in the file */
    memcpy(&header.file_end, (const char *)bytes + offsetof(struct libshm_header, file_end), sizeof header.file_end);
    int error = libshm_header_identity(&header, why, why_size);
    if (!error)
        error = libshm_header_words(&header, why, why_size);
    if (!error && length < header.file_end)
        return verdict(LIBSHM_E_DAMAGED, why, why_size, "cut off after %zu bytes, file_end at offset %zu says %llu",
                       length, offsetof(struct libshm_header, file_end), ULL(header.file_end));
    return error;
}
