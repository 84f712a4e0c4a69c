/* SPDX-License-Identifier: Apache-2.0
 *
 * Pages, table entries and text blocks, all inside a journaled change. The file grows by fallocate() before anything in
 * it can be reached: a full file system is an error here and never a SIGBUS in a worker. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#include "libshm/internal.h"

static const uint32_t entry_size[LIBSHM_TABLES] = LIBSHM_TABLE_ENTRY_SIZES;
static const uint32_t leaf_pages[LIBSHM_TABLES] = LIBSHM_TABLE_LEAF_PAGES;
static const uint32_t root_pages[LIBSHM_TABLES] = LIBSHM_TABLE_ROOT_PAGES;
static const uint32_t class_size[LIBSHM_TEXT_CLASSES] = LIBSHM_TEXT_CLASS_SIZES;

enum { GROW_LEAST = 64 << 10, GROW_MOST = 4 << 20, ARENA_PAGES = 4, MOST_INTERRUPTIONS = 100 };

static int allocate(struct libshm_segment *segment, uint64_t from, uint64_t to)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && to > limit.rlim_cur) {
        errno = EFBIG; /* asking the kernel would raise SIGXFSZ */
        return -1;
    }
    int result, tries = 0;
    do { /* a signal makes tmpfs give up and undo: signals that never stop must not keep the insert lock for ever */
        LIBSHM_POINT();
        result = fallocate(segment->lock_fd, 0, (off_t)from, (off_t)(to - from));
    } while (result != 0 && errno == EINTR && ++tries < MOST_INTERRUPTIONS);
    return result;
}

static int grow(struct libshm_segment *segment, uint64_t need)
{
    struct libshm_header *header = segment->header;
    uint64_t end = header->file_end,
             most = header->max_bytes < segment->map_bytes ? header->max_bytes : segment->map_bytes;
    if (need > most) {
        LIBSHM_COUNT(segment, full, 1);
        return libshm_error_set(LIBSHM_E_FULL,
                                "%s is full: it may have at most %llu bytes (option max_bytes at creation)",
                                segment->path, (unsigned long long)header->max_bytes);
    }
    uint64_t step = end / 8;
    step = step < GROW_LEAST ? GROW_LEAST : step > GROW_MOST ? GROW_MOST : step;
    uint64_t to = (end + step) & ~(uint64_t)(LIBSHM_PAGE - 1);
    to = to > most ? most : to;
    to = to < need ? need : to;
    if (allocate(segment, end, to) != 0 && (to == need || allocate(segment, end, to = need) != 0)) {
        if (errno == ENOSPC || errno == EFBIG || errno == EDQUOT || errno == ENOMEM) {
            LIBSHM_COUNT(segment, full, 1);
            return libshm_error_set(LIBSHM_E_FULL, "%s cannot grow to %llu bytes: %s", segment->path,
                                    (unsigned long long)need, strerror(errno));
        }
        return libshm_error_set(LIBSHM_E_SYSTEM, "%s cannot grow to %llu bytes: %s", segment->path,
                                (unsigned long long)need, strerror(errno));
    }
    libshm_journal_store(segment, &header->file_end, to);
    return 0;
}

uint64_t libshm_pages_take(struct libshm_segment *segment, uint64_t pages)
{
    struct libshm_header *header = segment->header;
    uint64_t at = header->page_next, end = at + pages * LIBSHM_PAGE;
    if (at < LIBSHM_PAGE || at % LIBSHM_PAGE != 0 || at > header->file_end || end < at)
        return libshm_error_set(LIBSHM_E_DAMAGED, "%s: page_next %llu is not a page of the file", segment->path,
                                (unsigned long long)at),
               0;
    if (end > header->file_end && grow(segment, end) != 0)
        return 0;
    libshm_journal_store(segment, &header->page_next, end);
    LIBSHM_POINT();
    memset(segment->base + at, 0, end - at); /* may hold what an undone change left; and makes the pages present */
    return at;
}

void *libshm_table_at(const struct libshm_segment *segment, uint32_t table, uint32_t number)
{
    uint32_t per_leaf = leaf_pages[table] * LIBSHM_PAGE / entry_size[table];
    uint32_t leaf = number / per_leaf;
    if (number >= libshm_table_count(segment, table) || leaf >= root_pages[table] * (LIBSHM_PAGE / 4))
        return NULL;
    const uint32_t *root = libshm_at(segment, (uint64_t)segment->header->tables[table].root * LIBSHM_PAGE,
                                     (uint64_t)root_pages[table] * LIBSHM_PAGE);
    if (!root)
        return NULL;
    char *entries = libshm_at(segment, (uint64_t)__atomic_load_n(&root[leaf], __ATOMIC_RELAXED) * LIBSHM_PAGE,
                              (uint64_t)leaf_pages[table] * LIBSHM_PAGE);
    return entries ? entries + (size_t)(number % per_leaf) * entry_size[table] : NULL;
}

void *libshm_table_add(struct libshm_segment *segment, uint32_t table, uint32_t *number)
{
    struct libshm_table *t = &segment->header->tables[table];
    uint32_t per_leaf = leaf_pages[table] * LIBSHM_PAGE / entry_size[table];
    uint32_t n = t->count, leaf = n / per_leaf;
    if (leaf >= root_pages[table] * (LIBSHM_PAGE / 4)) {
        LIBSHM_COUNT(segment, full, 1);
        libshm_error_set(LIBSHM_E_FULL, "%s: table %u has all its %u entries in use", segment->path, table, n);
        return NULL;
    }
    uint32_t *root = libshm_at(segment, (uint64_t)t->root * LIBSHM_PAGE, (uint64_t)root_pages[table] * LIBSHM_PAGE);
    if (!root) {
        libshm_error_set(LIBSHM_E_DAMAGED, "%s: the root of table %u is outside the file", segment->path, table);
        return NULL;
    }
    if (n % per_leaf == 0) {
        uint64_t at = libshm_pages_take(segment, leaf_pages[table]);
        if (!at)
            return NULL;
        libshm_journal_store32(segment, &root[leaf], (uint32_t)(at / LIBSHM_PAGE));
    }
    libshm_journal_store32(segment, &t->count, n + 1); /* after the leaf: readers load count, then the root */
    *number = n;
    void *entry = libshm_table_at(segment, table, n);
    LIBSHM_POINT();
    if (!entry)
        libshm_error_set(LIBSHM_E_DAMAGED, "%s: leaf %u of table %u is outside the file", segment->path, leaf, table);
    else
        memset(entry, 0, entry_size[table]); /* an undone change may have been here */
    return entry;
}

static uint32_t text_class(uint32_t bytes)
{
    uint32_t c = 0;
    while (c < LIBSHM_TEXT_CLASSES && class_size[c] < bytes)
        c++;
    return c;
}

uint32_t libshm_text_take(struct libshm_segment *segment, uint32_t bytes)
{
    struct libshm_header *header = segment->header;
    uint32_t c = text_class(bytes);
    if (c == LIBSHM_TEXT_CLASSES)
        return libshm_error_set(LIBSHM_E_INVALID, "%u bytes of names and texts; at most %u", bytes, LIBSHM_MAX_TEXT), 0;
    uint32_t free = header->text_free[c];
    if (free) {
        uint32_t *block = libshm_at(segment, (uint64_t)free * 16, class_size[c]);
        if (!block)
            return libshm_error_set(LIBSHM_E_DAMAGED, "%s: a free text block is outside the file", segment->path), 0;
        libshm_journal_store32(segment, &header->text_free[c], block[0]);
        libshm_journal_note(segment, block); /* the link: an undone change puts the block back */
        return free;
    }
    if (class_size[c] >= LIBSHM_PAGE) /* a large block has pages of its own */
        return (uint32_t)(libshm_pages_take(segment, (class_size[c] + LIBSHM_PAGE - 1) / LIBSHM_PAGE) / 16);
    if (header->text_end - header->text_next < class_size[c] || header->text_end < header->text_next) {
        uint64_t at = libshm_pages_take(segment, ARENA_PAGES);
        if (!at)
            return 0;
        libshm_journal_store(segment, &header->text_next, at);
        libshm_journal_store(segment, &header->text_end, at + ARENA_PAGES * LIBSHM_PAGE);
    }
    uint64_t at = header->text_next;
    if (!libshm_at(segment, at, class_size[c]) || at % 16 != 0)
        return libshm_error_set(LIBSHM_E_DAMAGED, "%s: text_next is outside the file", segment->path), 0;
    libshm_journal_store(segment, &header->text_next, at + class_size[c]);
    return (uint32_t)(at / 16);
}

void libshm_text_give(struct libshm_segment *segment, uint32_t text, uint32_t bytes)
{
    uint32_t c = text_class(bytes);
    uint32_t *block = c < LIBSHM_TEXT_CLASSES ? libshm_at(segment, (uint64_t)text * 16, class_size[c]) : NULL;
    if (!block)
        return; /* none, or damaged: not given back */
    libshm_journal_store32(segment, block, segment->header->text_free[c]);
    libshm_journal_store32(segment, &segment->header->text_free[c], text);
}
