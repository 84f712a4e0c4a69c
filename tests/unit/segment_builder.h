/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes segments by hand, byte by byte, for the tests of the readers' side: sound ones, and then every word of them can
 * be set to what no writer would write. Independent of the library's writers. Needs _GNU_SOURCE. */
#ifndef SEGMENT_BUILDER_H
#define SEGMENT_BUILDER_H

#include <fcntl.h>
#include <libshm.h>
#include <libshm/reader.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libshm/fingerprint.h"
#include "libshm/text.h"

#define SB_MAX_BYTES (UINT64_C(64) << 20)

struct sb {
    char directory[64];
    char path[80];
    int fd;
    union {
        unsigned char *base;
        struct libshm_header *header;
    };
    uint64_t text_next, text_end; /* the current arena */
    uint32_t group, group_next;   /* the group that sb_series fills: number + 1, next cell */
    uint16_t atomic_lanes, cpu_lanes;
};

struct sb_family {
    const char *name, *help, *unit;
    uint32_t type, mode;
    const char *const *labels; /* ended by NULL */
    const double *bounds;
    uint16_t n_bounds;
    uint64_t ttl_ns;
};

#define SB_DIE(what) (perror(what), abort())

static inline void sb_checksum(struct sb *b)
{
    b->header->checksum = libshm_crc32c(b->base, offsetof(struct libshm_header, checksum));
}

/* More pages at the end of the file, zeroed. Byte offset. */
static inline uint64_t sb_pages(struct sb *b, uint64_t pages)
{
    uint64_t at = b->header->page_next, end = at + pages * LIBSHM_PAGE;
    if (end > b->header->max_bytes || ftruncate(b->fd, (off_t)end) != 0)
        SB_DIE("sb_pages");
    __atomic_store_n(&b->header->file_end, end, __ATOMIC_RELEASE);
    __atomic_store_n(&b->header->page_next, end, __ATOMIC_RELEASE);
    return at;
}

static inline void sb_open(struct sb *b)
{
    static const uint32_t root_pages[LIBSHM_TABLES] = LIBSHM_TABLE_ROOT_PAGES;
    memset(b, 0, sizeof *b);
    const char *tmp = getenv("TMPDIR");
    snprintf(b->directory, sizeof b->directory, "%s/libshm-test-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    if (!mkdtemp(b->directory))
        SB_DIE("mkdtemp");
    snprintf(b->path, sizeof b->path, "%s/segment", b->directory);
    b->fd = open(b->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (b->fd < 0 || ftruncate(b->fd, LIBSHM_PAGE) != 0)
        SB_DIE(b->path);
    b->base = mmap(NULL, SB_MAX_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, 0);
    if (b->base == MAP_FAILED)
        SB_DIE("mmap");
    struct libshm_header *h = b->header;
    memcpy(h->magic, LIBSHM_MAGIC, sizeof h->magic);
    h->format_version = LIBSHM_FORMAT_VERSION;
    h->header_size = sizeof *h;
    h->hot_abi = LIBSHM_HOT_ABI;
    h->created_ns = 1000;
    h->max_bytes = SB_MAX_BYTES;
    h->segment_id = 0x1234;
    h->cpu_lanes = 2;
    h->atomic_lanes_only = 4;
    strcpy(h->creator, "test");
    h->file_end = h->page_next = LIBSHM_PAGE;
    h->incarnation = 1;
    h->incarnation_ns = 1000;
    h->directory_version = 1;
    sb_checksum(b);
    for (uint32_t t = 0; t < LIBSHM_TABLES; t++)
        h->tables[t].root = (uint32_t)(sb_pages(b, root_pages[t]) / LIBSHM_PAGE);
    b->atomic_lanes = 1;
    b->cpu_lanes = 2;
}

static inline void sb_close(struct sb *b)
{
    munmap(b->base, SB_MAX_BYTES);
    close(b->fd);
    unlink(b->path);
    rmdir(b->directory);
}

/* A reader has to look at the directory again. */
static inline void sb_changed(struct sb *b)
{
    __atomic_fetch_add(&b->header->directory_version, 1, __ATOMIC_RELEASE);
}

/* Entry `number` of a table that has it. */
static inline void *sb_entry(struct sb *b, uint32_t table, uint32_t number)
{
    static const uint32_t sizes[LIBSHM_TABLES] = LIBSHM_TABLE_ENTRY_SIZES,
                          pages[LIBSHM_TABLES] = LIBSHM_TABLE_LEAF_PAGES;
    uint32_t per_leaf = pages[table] * LIBSHM_PAGE / sizes[table];
    const uint32_t *root = (const uint32_t *)(void *)(b->base + (uint64_t)b->header->tables[table].root * LIBSHM_PAGE);
    return b->base + (uint64_t)root[number / per_leaf] * LIBSHM_PAGE + (size_t)(number % per_leaf) * sizes[table];
}

static inline uint32_t sb_add_entry(struct sb *b, uint32_t table)
{
    static const uint32_t sizes[LIBSHM_TABLES] = LIBSHM_TABLE_ENTRY_SIZES,
                          pages[LIBSHM_TABLES] = LIBSHM_TABLE_LEAF_PAGES;
    uint32_t per_leaf = pages[table] * LIBSHM_PAGE / sizes[table], number = b->header->tables[table].count;
    uint32_t *root = (uint32_t *)(void *)(b->base + (uint64_t)b->header->tables[table].root * LIBSHM_PAGE);
    if (number % per_leaf == 0)
        root[number / per_leaf] = (uint32_t)(sb_pages(b, pages[table]) / LIBSHM_PAGE);
    __atomic_store_n(&b->header->tables[table].count, number + 1, __ATOMIC_RELEASE);
    return number;
}

static inline struct libshm_family_entry *sb_family_entry(struct sb *b, uint32_t number)
{
    return sb_entry(b, LIBSHM_TABLE_FAMILIES, number);
}

static inline struct libshm_series_entry *sb_series_entry(struct sb *b, uint32_t number)
{
    return sb_entry(b, LIBSHM_TABLE_SERIES, number);
}

/* A text block. Byte offset. */
static inline uint64_t sb_text(struct sb *b, uint64_t bytes)
{
    bytes = (bytes + 15) & ~UINT64_C(15);
    if (b->text_end - b->text_next < bytes) {
        b->text_next = sb_pages(b, 4);
        b->text_end = b->text_next + 4 * LIBSHM_PAGE;
    }
    b->text_next += bytes;
    return b->text_next - bytes;
}

static inline uint32_t sb_put_strings(unsigned char *to, const char *const *strings, uint32_t n)
{
    uint32_t at = n * 2;
    for (uint32_t i = 0; i < n; i++) {
        uint16_t length = (uint16_t)strlen(strings[i]);
        memcpy(to + i * 2, &length, 2);
        memcpy(to + at, strings[i], length);
        at += length;
    }
    return at;
}

static inline uint32_t sb_family(struct sb *b, const struct sb_family *f)
{
    uint32_t number = sb_add_entry(b, LIBSHM_TABLE_FAMILIES);
    struct libshm_family_entry *e = sb_family_entry(b, number);
    const char *strings[3 + LIBSHM_MAX_LABELS] = {f->name, f->help ? f->help : "Help.", f->unit ? f->unit : ""};
    uint64_t text = sb_text(b, LIBSHM_MAX_TEXT / 2);
    e->type = f->type ? f->type : LIBSHM_TYPE_COUNTER;
    e->gauge_mode = f->mode;
    while (f->labels && f->labels[e->n_labels]) {
        strings[3 + e->n_labels] = f->labels[e->n_labels];
        e->n_labels++;
    }
    uint32_t size = (sb_put_strings(b->base + text, strings, 3u + e->n_labels) + 7) & ~7u;
    if (f->n_bounds)
        memcpy(b->base + text + size, f->bounds, f->n_bounds * sizeof(double));
    e->text = (uint32_t)(text / 16);
    e->text_size = size + f->n_bounds * (uint32_t)sizeof(double);
    e->n_bounds = f->n_bounds;
    e->max_series = 1000;
    e->ttl_ns = f->ttl_ns;
    e->created_ns = 2000;
    __atomic_store_n(&e->status, LIBSHM_STATUS(1, LIBSHM_STATE_LIVE), __ATOMIC_RELEASE);
    sb_changed(b);
    return number;
}

static inline uint32_t sb_group(struct sb *b, uint16_t atomic_lanes, uint16_t cpu_lanes)
{
    uint32_t number = sb_add_entry(b, LIBSHM_TABLE_GROUPS);
    struct libshm_group *g = sb_entry(b, LIBSHM_TABLE_GROUPS, number);
    g->base = sb_pages(b, 1u + atomic_lanes + cpu_lanes);
    g->atomic_lanes = atomic_lanes;
    g->cpu_lanes = cpu_lanes;
    return number;
}

static inline uint64_t sb_group_lane0(struct sb *b, uint32_t group)
{
    const struct libshm_group *g = sb_entry(b, LIBSHM_TABLE_GROUPS, group);
    return g->base + (1u + (uint64_t)g->atomic_lanes) * LIBSHM_PAGE;
}

/* Fills a series entry that is new or free and makes it live. `values` are the label values, ended by NULL. */
static inline void sb_series_fill(struct sb *b, uint32_t number, uint32_t family, const char *const *values,
                                  uint64_t generation)
{
    struct libshm_series_entry *e = sb_series_entry(b, number);
    uint32_t n = 0;
    while (values && values[n])
        n++;
    e->family = family;
    if (n > 0) {
        size_t bytes = n * 2;
        for (uint32_t i = 0; i < n; i++)
            bytes += strlen(values[i]);
        uint64_t text = sb_text(b, bytes);
        e->text_size = (uint16_t)sb_put_strings(b->base + text, values, n);
        e->text = (uint32_t)(text / 16);
    }
    e->created_ns = 3000;
    e->fingerprint = LIBSHM_FINGERPRINT_START;
    for (uint32_t i = 0; i < e->n_cells; i++)
        e->fingerprint = libshm_fingerprint_add(e->fingerprint, (struct libshm_cell){0, 0});
    __atomic_store_n(&e->status, LIBSHM_STATUS(generation, LIBSHM_STATE_LIVE), __ATOMIC_RELEASE);
    sb_changed(b);
}

static inline uint32_t sb_series(struct sb *b, uint32_t family, const char *const *values)
{
    const struct libshm_family_entry *f = sb_family_entry(b, family);
    uint32_t number = sb_add_entry(b, LIBSHM_TABLE_SERIES);
    struct libshm_series_entry *e = sb_series_entry(b, number);
    e->n_cells = (uint16_t)(f->type == LIBSHM_TYPE_HISTOGRAM ? f->n_bounds + 1 : 1);
    if (f->gauge_mode != LIBSHM_GAUGE_SHARED) {
        e->group = LIBSHM_NO_GROUP;
        e->cells = ++b->header->live_cells;
    } else {
        if (b->group == 0 || b->group_next + e->n_cells > LIBSHM_CELLS_PER_PAGE) {
            b->group = sb_group(b, b->atomic_lanes, b->cpu_lanes) + 1;
            b->group_next = 0;
        }
        e->group = b->group - 1;
        e->cells = sb_group_lane0(b, e->group) + (uint64_t)b->group_next * LIBSHM_CELL;
        b->group_next += e->n_cells;
    }
    sb_series_fill(b, number, family, values, 1);
    return number;
}

/* Cell i of a series in page `page` of its group: 0 the baseline, then atomic lanes, then CPU lanes. */
static inline struct libshm_cell *sb_cell(struct sb *b, uint32_t series, uint32_t i, uint32_t page)
{
    const struct libshm_series_entry *e = sb_series_entry(b, series);
    const struct libshm_group *g = sb_entry(b, LIBSHM_TABLE_GROUPS, e->group);
    uint64_t in_page = e->cells % LIBSHM_PAGE + (uint64_t)i * LIBSHM_CELL;
    return (struct libshm_cell *)(void *)(b->base + g->base + (uint64_t)page * LIBSHM_PAGE + in_page);
}

static inline uint32_t sb_slot(struct sb *b, uint64_t serial, uint32_t pid)
{
    uint32_t number = sb_add_entry(b, LIBSHM_TABLE_SLOTS);
    struct libshm_slot_entry *e = sb_entry(b, LIBSHM_TABLE_SLOTS, number);
    e->pid = pid;
    e->pid_ns = 4026531836;
    e->taken_ns = 5000;
    strcpy(e->name, "worker");
    __atomic_store_n(&e->serial, serial, __ATOMIC_RELEASE);
    return number;
}

/* Sets live cell `number` (from 0) of a slot, making its pages. */
static inline void sb_live_set(struct sb *b, uint32_t slot, uint32_t number, uint64_t stamp, double value)
{
    struct libshm_slot_entry *e = sb_entry(b, LIBSHM_TABLE_SLOTS, slot);
    uint32_t *link = &e->live_page;
    struct libshm_live_page *page = NULL;
    for (uint32_t order = 0; order <= number / LIBSHM_LIVE_CELLS; order++) {
        if (*link == 0) {
            uint32_t next = (uint32_t)(sb_pages(b, 1) / LIBSHM_PAGE);
            ((struct libshm_live_page *)(void *)(b->base + (uint64_t)next * LIBSHM_PAGE))->order = order;
            __atomic_store_n(link, next, __ATOMIC_RELEASE);
        }
        page = (struct libshm_live_page *)(void *)(b->base + (uint64_t)*link * LIBSHM_PAGE);
        link = &page->next;
    }
    page->cell[number % LIBSHM_LIVE_CELLS] = (struct libshm_cell){stamp, value};
}

/* Locks the byte of a process slot's serial; the descriptor holds it. */
static inline int sb_live_lock(struct sb *b, uint64_t serial)
{
    int fd = open(b->path, O_RDWR | O_CLOEXEC);
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)(LIBSHM_SLOT_LOCK + serial), .l_len = 1};
    if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) != 0)
        SB_DIE("F_OFD_SETLK");
    return fd;
}

#endif
