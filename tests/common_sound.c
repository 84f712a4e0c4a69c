/* SPDX-License-Identifier: Apache-2.0
 *
 * See common_sound.h. */
#include "common_sound.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libshm/internal.h"
#include "libshm/labels.h"

static const uint32_t entry_sizes[LIBSHM_TABLES] = LIBSHM_TABLE_ENTRY_SIZES;
static const uint32_t leaf_pages[LIBSHM_TABLES] = LIBSHM_TABLE_LEAF_PAGES;
static const uint32_t root_pages[LIBSHM_TABLES] = LIBSHM_TABLE_ROOT_PAGES;
static const uint32_t class_sizes[LIBSHM_TEXT_CLASSES] = LIBSHM_TEXT_CLASS_SIZES;

struct check {
    libshm_segment *segment;
    struct libshm_header *header;
    unsigned char *page; /* of each page: who owns it */
    unsigned char *unit; /* of each 16 bytes: text or cells that somebody owns */
    struct segment_account account;
    bool bad;
};

static char problem[256];

__attribute__((format(printf, 2, 3))) static void unsound(struct check *check, const char *format, ...)
{
    if (check->bad)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem, sizeof problem, format, arguments);
    va_end(arguments);
    check->bad = true;
}

enum { NOBODY, HEADER, ROOT, LEAF, INDEX, GROUP, LIVE, HOLDS, TEXT };

static void own_pages(struct check *check, uint64_t first, uint64_t pages, int owner, const char *what)
{
    if (first == 0 || (first + pages) * LIBSHM_PAGE > check->header->page_next) {
        unsound(check, "%s: pages %llu+%llu are not given out", what, (unsigned long long)first,
                (unsigned long long)pages);
        return;
    }
    for (uint64_t p = first; p < first + pages; p++) {
        if (check->page[p] != NOBODY && !(owner == TEXT && check->page[p] == TEXT))
            unsound(check, "%s: page %llu has owner %d already", what, (unsigned long long)p, check->page[p]);
        check->page[p] = (unsigned char)owner;
    }
}

static void own_units(struct check *check, uint64_t at, uint64_t size, const char *what, uint32_t number)
{
    if (at % 16 != 0 || at + size > check->header->page_next) {
        unsound(check, "%s %u: bytes %llu+%llu are not given out", what, number, (unsigned long long)at,
                (unsigned long long)size);
        return;
    }
    for (uint64_t u = at / 16; u < (at + size) / 16; u++) {
        if (check->unit[u])
            unsound(check, "%s %u: byte %llu has an owner already", what, number, (unsigned long long)u * 16);
        check->unit[u] = 1;
    }
}

static void own_text(struct check *check, uint32_t text, uint32_t bytes, const char *what, uint32_t number)
{
    uint32_t c = 0;
    while (c < LIBSHM_TEXT_CLASSES && class_sizes[c] < bytes)
        c++;
    if (c == LIBSHM_TEXT_CLASSES) {
        unsound(check, "%s %u has %u bytes of text", what, number, bytes);
        return;
    }
    uint64_t first = (uint64_t)text * 16 / LIBSHM_PAGE, last = ((uint64_t)text * 16 + class_sizes[c] - 1) / LIBSHM_PAGE;
    own_units(check, (uint64_t)text * 16, class_sizes[c], what, number);
    own_pages(check, first, last - first + 1, TEXT, what);
    check->account.text_units += class_sizes[c] / 16;
}

static void tables(struct check *check)
{
    check->page[0] = HEADER;
    for (uint32_t t = 0; t < LIBSHM_TABLES; t++) {
        const struct libshm_table *table = &check->header->tables[t];
        own_pages(check, table->root, root_pages[t], ROOT, "root");
        if (check->bad)
            return;
        const uint32_t *root = (const void *)(check->segment->base + (uint64_t)table->root * LIBSHM_PAGE);
        uint32_t per_leaf = leaf_pages[t] * LIBSHM_PAGE / entry_sizes[t];
        for (uint32_t leaf = 0; leaf < (table->count + per_leaf - 1) / per_leaf; leaf++)
            own_pages(check, root[leaf], leaf_pages[t], LEAF, "leaf");
        check->account.tables[t] = table->count;
    }
    for (uint32_t i = 0; i < 2; i++)
        if (check->header->index_page[i])
            own_pages(check, check->header->index_page[i], (UINT64_C(8) << check->header->index_log2[i]) / LIBSHM_PAGE,
                      INDEX, "index");
}

static void groups(struct check *check)
{
    for (uint32_t n = 0; n < check->header->tables[LIBSHM_TABLE_GROUPS].count; n++) {
        const struct libshm_group *group = libshm_table_at(check->segment, LIBSHM_TABLE_GROUPS, n);
        own_pages(check, group->base / LIBSHM_PAGE, 1 + (uint64_t)group->atomic_lanes + group->cpu_lanes, GROUP,
                  "page group");
    }
}

static void chains(struct check *check)
{
    for (uint32_t n = 0; n < check->header->tables[LIBSHM_TABLE_SLOTS].count; n++) {
        const struct libshm_slot_entry *slot = libshm_table_at(check->segment, LIBSHM_TABLE_SLOTS, n);
        uint32_t order = 0;
        for (uint32_t p = slot->live_page; p != 0 && !check->bad; order++) {
            own_pages(check, p, 1, LIVE, "live page");
            const struct libshm_live_page *page = (const void *)(check->segment->base + (uint64_t)p * LIBSHM_PAGE);
            if (page->order != order)
                unsound(check, "live page %u says it is number %u, and is %u", p, page->order, order);
            p = page->next;
        }
    }
    for (uint32_t n = 0; n < check->header->tables[LIBSHM_TABLE_ATTACHES].count; n++) {
        const struct libshm_attach_entry *attach = libshm_table_at(check->segment, LIBSHM_TABLE_ATTACHES, n);
        for (uint32_t p = attach->holds; p != 0 && !check->bad;) {
            own_pages(check, p, 1, HOLDS, "hold page");
            p = ((const struct libshm_hold_page *)(void *)(check->segment->base + (uint64_t)p * LIBSHM_PAGE))->next;
        }
    }
}

/* How often does the index have this entry? */
static unsigned listed(struct check *check, uint32_t hash, uint64_t kind, uint32_t number)
{
    uint64_t word = check->header->index_word;
    const uint64_t *slots = (const void *)(check->segment->base +
                                           (uint64_t)check->header->index_page[LIBSHM_INDEX_WHICH(word)] * LIBSHM_PAGE);
    uint32_t mask = (1u << LIBSHM_INDEX_LOG2(word)) - 1;
    unsigned times = 0;
    for (uint32_t i = hash, probes = 0; probes <= mask && slots[i & mask] != 0; i++, probes++)
        times += slots[i & mask] == ((uint64_t)hash << 32 | kind | (number + 1));
    return times;
}

static void families(struct check *check)
{
    for (uint32_t n = 0; n < check->header->tables[LIBSHM_TABLE_FAMILIES].count; n++) {
        struct libshm_family_entry *entry = libshm_table_at(check->segment, LIBSHM_TABLE_FAMILIES, n);
        uint32_t state = LIBSHM_STATUS_STATE(entry->status);
        if (state == LIBSHM_STATE_FREE)
            continue;
        if (state != LIBSHM_STATE_LIVE || LIBSHM_STATUS_GENERATION(entry->status) == 0) {
            unsound(check, "family %u has status %#llx", n, (unsigned long long)entry->status);
            return;
        }
        check->account.families++;
        own_text(check, entry->text, entry->text_size, "family", n);
        if (listed(check, entry->hash, LIBSHM_INDEX_FAMILY, n) != 1)
            unsound(check, "family %u is %u times in the index", n, listed(check, entry->hash, LIBSHM_INDEX_FAMILY, n));
        uint32_t shown = 0;
        for (uint32_t s = 0; s < check->header->tables[LIBSHM_TABLE_SERIES].count; s++) {
            const struct libshm_series_entry *series = libshm_table_at(check->segment, LIBSHM_TABLE_SERIES, s);
            shown += series->family == n && libshm_status_shown(series->status) && entry->overflow_series != s + 1;
        }
        if (shown != entry->series)
            unsound(check, "family %u says it has %u series, and has %u", n, entry->series, shown);
    }
}

static void one_series(struct check *check, uint32_t n, const struct libshm_series_entry *entry)
{
    const struct libshm_family_entry *family = libshm_table_at(check->segment, LIBSHM_TABLE_FAMILIES, entry->family);
    uint32_t state = LIBSHM_STATUS_STATE(entry->status);
    bool shown = libshm_status_shown(entry->status);
    if (state == LIBSHM_STATE_BUILDING || state > LIBSHM_STATE_REMOVED) {
        unsound(check, "series %u has status %#llx", n, (unsigned long long)entry->status);
        return;
    }
    check->account.shown += shown;
    check->account.removed += state == LIBSHM_STATE_REMOVED;
    check->account.free += state == LIBSHM_STATE_FREE;
    if (entry->group != LIBSHM_NO_GROUP) {
        if (!libshm_cells_group(check->segment, entry))
            unsound(check, "series %u: its cells are in no group", n);
        else
            /* in atomic lane 0, which every group has */
            own_units(check, entry->cells - LIBSHM_PAGE, (uint64_t)entry->n_cells * 16, "cells of series", n);
    } else if (entry->cells == 0 || entry->cells > check->header->live_cells) {
        unsound(check, "series %u has live cell %llu", n, (unsigned long long)entry->cells);
    }
    if (state != LIBSHM_STATE_FREE && entry->text)
        own_text(check, entry->text, entry->text_size, "series", n);
    unsigned times = state == LIBSHM_STATE_FREE ? 0 : listed(check, entry->hash, 0, n);
    if (times != shown)
        unsound(check, "series %u with status %#llx is %u times in the index", n, (unsigned long long)entry->status,
                times);
    if (shown && (!family || LIBSHM_STATUS_STATE(family->status) != LIBSHM_STATE_LIVE))
        unsound(check, "series %u is of family %u, which is none", n, entry->family);
}

static void series(struct check *check)
{
    uint32_t count = check->header->tables[LIBSHM_TABLE_SERIES].count;
    for (uint32_t n = 0; n < count && !check->bad; n++)
        one_series(check, n, libshm_table_at(check->segment, LIBSHM_TABLE_SERIES, n));
    /* two series with one live cell */
    unsigned char *cells = calloc(1, check->header->live_cells + 1);
    for (uint32_t n = 0; n < count && !check->bad && cells; n++) {
        const struct libshm_series_entry *entry = libshm_table_at(check->segment, LIBSHM_TABLE_SERIES, n);
        if (entry->group == LIBSHM_NO_GROUP && cells[entry->cells]++)
            unsound(check, "live cell %llu has two owners", (unsigned long long)entry->cells);
    }
    free(cells);
    check->account.live_cells = check->header->live_cells;
}

static void follow_series(struct check *check, uint32_t head, uint32_t *seen)
{
    for (uint32_t next = head, steps = 0; next != 0; steps++) {
        const struct libshm_series_entry *entry = libshm_table_at(check->segment, LIBSHM_TABLE_SERIES, next - 1);
        if (!entry || LIBSHM_STATUS_STATE(entry->status) != LIBSHM_STATE_FREE ||
            steps > check->header->tables[LIBSHM_TABLE_SERIES].count) {
            unsound(check, "series %u is on a free list", next - 1);
            return;
        }
        ++*seen;
        check->account.cells_free += entry->n_cells;
        next = entry->next_free;
    }
}

static void free_lists(struct check *check)
{
    uint32_t seen = 0;
    for (uint32_t i = 0; i < 256; i++)
        follow_series(check, check->header->series_free[i], &seen);
    follow_series(check, check->header->gauge_free, &seen);
    follow_series(check, check->header->live_free, &seen);
    if (seen != check->account.free)
        unsound(check, "%u series are free, %u are on free lists", check->account.free, seen);
    for (uint32_t c = 0; c < LIBSHM_TEXT_CLASSES && !check->bad; c++)
        for (uint32_t text = check->header->text_free[c]; text != 0 && !check->bad;) {
            own_units(check, (uint64_t)text * 16, class_sizes[c], "free text of class", c);
            check->account.text_free_units += class_sizes[c] / 16;
            memcpy(&text, check->segment->base + (uint64_t)text * 16, sizeof text);
        }
    own_units(check, check->header->text_next, check->header->text_end - check->header->text_next, "rest of texts", 0);
    const uint64_t next[3] = {check->header->cells_next[0], check->header->cells_next[1], check->header->gauge_next};
    for (uint32_t i = 0; i < 3 && !check->bad; i++) {
        const struct libshm_group *group =
            next[i] == UINT64_MAX ? NULL
                                  : libshm_table_at(check->segment, LIBSHM_TABLE_GROUPS, (uint32_t)(next[i] >> 16));
        if (group)
            own_units(check, group->base + group->atomic_lanes * LIBSHM_PAGE + (next[i] & 0xffff) * 16,
                      (LIBSHM_CELLS_PER_PAGE - (next[i] & 0xffff)) * 16, "rest of cells", i);
        else if (next[i] != UINT64_MAX)
            unsound(check, "the next cells are in group %llu", (unsigned long long)next[i] >> 16);
    }
}

static void index_slots(struct check *check)
{
    uint64_t word = check->header->index_word, used = 0;
    const uint64_t *slots = (const void *)(check->segment->base +
                                           (uint64_t)check->header->index_page[LIBSHM_INDEX_WHICH(word)] * LIBSHM_PAGE);
    for (uint32_t i = 0; i < 1u << LIBSHM_INDEX_LOG2(word); i++) {
        uint64_t slot = slots[i];
        used += slot != 0;
        if (slot == 0 || slot == LIBSHM_INDEX_TOMBSTONE)
            continue;
        check->account.index_entries++;
        uint32_t number = (uint32_t)(slot & LIBSHM_INDEX_NUMBER_MASK) - 1;
        const struct libshm_family_entry *family = libshm_table_at(check->segment, LIBSHM_TABLE_FAMILIES, number);
        const struct libshm_series_entry *entry = libshm_table_at(check->segment, LIBSHM_TABLE_SERIES, number);
        bool fits =
            slot & LIBSHM_INDEX_FAMILY
                ? family && LIBSHM_STATUS_STATE(family->status) == LIBSHM_STATE_LIVE && family->hash == slot >> 32
                : entry && libshm_status_shown(entry->status) && entry->hash == slot >> 32;
        if (!fits)
            unsound(check, "index slot %u, %#llx, names nothing", i, (unsigned long long)slot);
    }
    if (used != check->header->index_used)
        unsound(check, "%llu index slots are used, index_used is %llu", (unsigned long long)used,
                (unsigned long long)check->header->index_used);
}

static void check_locked(struct check *check)
{
    struct libshm_header *header = check->header;
    if (header->journal.count != 0 || header->journal.commit_at != 0)
        unsound(check, "the journal has %llu entries", (unsigned long long)header->journal.count);
    if (header->page_next > header->file_end || header->file_end > header->max_bytes)
        unsound(check, "page_next %llu, file_end %llu", (unsigned long long)header->page_next,
                (unsigned long long)header->file_end);
    void (*const parts[])(struct check *) = {tables, groups, chains, families, series, free_lists, index_slots};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && !check->bad; i++)
        parts[i](check);
    check->account.page_next = header->page_next;
}

static const char *look(libshm_segment *segment, struct segment_account *account)
{
    struct check check = {.segment = segment, .header = segment->header};
    libshm_mutex_lock(segment);
    if (libshm_insert_lock(segment, 10000) != 0) {
        unsound(&check, "no lock: %s", libshm_error_detail());
    } else {
        check.page = calloc(1, check.header->file_end / LIBSHM_PAGE);
        check.unit = calloc(1, check.header->file_end / 16);
        check_locked(&check);
        free(check.page);
        free(check.unit);
        libshm_insert_unlock(segment);
    }
    libshm_mutex_unlock(segment);
    if (account)
        *account = check.account;
    return check.bad ? problem : NULL;
}

const char *segment_unsound(libshm_segment *segment)
{
    return look(segment, NULL);
}

void segment_account(libshm_segment *segment, struct segment_account *account)
{
    (void)look(segment, account);
}
