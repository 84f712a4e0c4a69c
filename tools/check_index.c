/* SPDX-License-Identifier: Apache-2.0
 *
 * Verifying the index and the free lists: everything that lives is found, everything free is in one list, nothing is
 * in two. */
#include "check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(struct libshm_header, member)

/* One slot in use: what it points to, and whether probing from its hash gets there. */
static void check_index_slot(struct check *check, const uint64_t *slots, uint64_t i)
{
    uint64_t slot = slots[i], from = check_offset(check, &slots[i]);
    uint32_t hash = (uint32_t)(slot >> 32), number = (uint32_t)(slot & LIBSHM_INDEX_NUMBER_MASK) - 1, stored;
    int family = (slot & LIBSHM_INDEX_FAMILY) != 0, live;
    const char *what = family ? "family" : "series";
    uint32_t table = family ? LIBSHM_TABLE_FAMILIES : LIBSHM_TABLE_SERIES;
    const void *entry = number < check->count[table] ? table_entry(&check->image, table, number) : NULL;
    if (!entry) {
        finding(check, from, "index slot %" PRIu64 ": %s %" PRIu32 ", which there is not", i, what, number);
        return;
    }
    uint32_t state = LIBSHM_STATUS_STATE(*(const uint64_t *)entry);
    if (family) {
        stored = ((const struct libshm_family_entry *)entry)->hash;
        live = state == LIBSHM_STATE_LIVE;
    } else {
        stored = ((const struct libshm_series_entry *)entry)->hash;
        live = state == LIBSHM_STATE_LIVE || state == LIBSHM_STATE_HIDDEN;
    }
    uint8_t *seen = family ? &check->family_indexed[number] : &check->indexed[number];
    if (!live)
        finding(check, from, "index slot %" PRIu64 ": %s %" PRIu32 " is %s", i, what, number, state_name(state));
    else if (stored != hash)
        finding(check, from, "index slot %" PRIu64 ": hash %08" PRIx32 ", %s %" PRIu32 " has %08" PRIx32, i, hash, what,
                number, stored);
    else if (*seen)
        finding(check, from, "index slot %" PRIu64 ": %s %" PRIu32 " is in the index twice", i, what, number);
    else
        *seen = 1;
}

/* An entry is found by probing from its hash up to the first empty slot: none may lie before it. One walk from an empty
 * slot on shows that: an entry belongs to the run it is in. */
static void check_probing(struct check *check, const uint64_t *slots, uint64_t mask, uint64_t empty)
{
    uint64_t run = empty; /* the last empty slot, not wrapped round */
    for (uint64_t i = empty + 1; i < empty + 1 + mask; i++) {
        uint64_t slot = slots[i & mask];
        if (slot == 0)
            run = i;
        if (slot == 0 || slot == LIBSHM_INDEX_TOMBSTONE)
            continue;
        uint64_t distance = (i - (slot >> 32)) & mask; /* from the slot where probing begins */
        if (distance >= i - run)
            finding(check, check_offset(check, &slots[i & mask]),
                    "index slot %" PRIu64 ": cannot be found from its hash, there is an empty slot before it",
                    i & mask);
    }
}

static void check_missing(struct check *check)
{
    for (uint32_t number = 0; number < check->count[LIBSHM_TABLE_FAMILIES]; number++) {
        const struct libshm_family_entry *family = table_entry(&check->image, LIBSHM_TABLE_FAMILIES, number);
        if (family && LIBSHM_STATUS_STATE(family->status) == LIBSHM_STATE_LIVE && !check->family_indexed[number])
            finding(check, check_offset(check, family), "family %" PRIu32 " is live, but not in the index", number);
    }
    for (uint32_t number = 0; number < check->count[LIBSHM_TABLE_SERIES]; number++) {
        const struct libshm_series_entry *series = table_entry(&check->image, LIBSHM_TABLE_SERIES, number);
        uint32_t state = series ? LIBSHM_STATUS_STATE(series->status) : LIBSHM_STATE_FREE;
        if ((state == LIBSHM_STATE_LIVE || state == LIBSHM_STATE_HIDDEN) && !check->indexed[number])
            finding(check, check_offset(check, series), "series %" PRIu32 " is %s, but not in the index", number,
                    state_name(state));
    }
}

void check_index(struct check *check)
{
    const struct libshm_header *header = check->header;
    uint32_t log2 = LIBSHM_INDEX_LOG2(header->index_word), which = LIBSHM_INDEX_WHICH(header->index_word);
    const uint64_t *slots = NULL;
    for (uint32_t i = 0; i < 2; i++) {
        char what[32];
        snprintf(what, sizeof what, "index table %" PRIu32, i);
        if (header->index_page[i] == 0 && header->index_log2[i] == 0)
            continue;
        if (header->index_log2[i] < 9 || header->index_log2[i] > 24) {
            finding(check, AT(index_log2) + 4 * i, "%s: 2^%" PRIu32 " slots; 2^9 to 2^24 were expected", what,
                    header->index_log2[i]);
            continue;
        }
        uint64_t bytes = UINT64_C(8) << header->index_log2[i];
        if (claim_pages(check, header->index_page[i], bytes / LIBSHM_PAGE, OWNER_INDEX, AT(index_page) + 4 * i, what))
            continue;
        if (i == which && log2 <= header->index_log2[i])
            slots = image_at(&check->image, (uint64_t)header->index_page[i] * LIBSHM_PAGE, bytes, 8);
    }
    if (header->index_page[which] && header->index_log2[which] != log2)
        finding(check, AT(index_word), "index_word: 2^%" PRIu32 " slots, but table %" PRIu32 " has 2^%" PRIu32, log2,
                which, header->index_log2[which]);
    uint64_t used = 0, empty = UINT64_MAX;
    for (uint64_t i = 0; slots && i < UINT64_C(1) << log2; i++) {
        used += slots[i] != 0;
        if (slots[i] == 0)
            empty = i;
        else if (slots[i] != LIBSHM_INDEX_TOMBSTONE)
            check_index_slot(check, slots, i);
    }
    if (slots && empty == UINT64_MAX)
        finding(check, check_offset(check, slots), "the index has no empty slot: a look-up would go through all of it");
    else if (slots)
        check_probing(check, slots, (UINT64_C(1) << log2) - 1, empty);
    if (header->index_used != used)
        finding(check, AT(index_used), "index_used is %" PRIu64 "; %" PRIu64 " slots are used", header->index_used,
                used);
    check_missing(check);
}

/* ---- free lists ---- */

static void check_series_list(struct check *check, uint32_t first, uint64_t from, const char *what, uint32_t n_cells)
{
    uint32_t next = first;
    while (next) {
        const struct libshm_series_entry *series = next <= check->count[LIBSHM_TABLE_SERIES]
                                                       ? table_entry(&check->image, LIBSHM_TABLE_SERIES, next - 1)
                                                       : NULL;
        if (!series) {
            finding(check, from, "%s: series %" PRIu32 ", which there is not", what, next - 1);
            return;
        }
        if (check->listed[next - 1]) {
            finding(check, from, "%s: series %" PRIu32 " is in a free list already", what, next - 1);
            return;
        }
        check->listed[next - 1] = 1;
        if (LIBSHM_STATUS_STATE(series->status) != LIBSHM_STATE_FREE || series->n_cells != n_cells) {
            finding(check, from, "%s: series %" PRIu32 " is %s, with %u cells", what, next - 1,
                    state_name(LIBSHM_STATUS_STATE(series->status)), series->n_cells);
            return;
        }
        from = check_offset(check, &series->next_free);
        next = series->next_free;
    }
}

static void check_text_lists(struct check *check)
{
    static const uint32_t sizes[LIBSHM_TEXT_CLASSES] = LIBSHM_TEXT_CLASS_SIZES;
    for (uint32_t i = 0; i < LIBSHM_TEXT_CLASSES; i++) {
        uint64_t from = AT(text_free) + 4 * i, steps = 0, most = check->image.length / sizes[i];
        uint32_t next = check->header->text_free[i];
        while (next) {
            if (steps++ > most) {
                finding(check, AT(text_free) + 4 * i, "text_free[%" PRIu32 "]: the list is a circle", i);
                break;
            }
            if (claim_text(check, next, sizes[i], from, "free block of class", i) != 0)
                break;
            from = (uint64_t)next * 16;
            const uint32_t *link = image_at(&check->image, from, 4, 4);
            next = link ? *link : 0;
        }
    }
}

void check_lists(struct check *check)
{
    const struct libshm_header *header = check->header;
    char what[32];
    for (uint32_t i = 0; i < 256; i++) {
        snprintf(what, sizeof what, "series_free[%" PRIu32 "]", i);
        check_series_list(check, header->series_free[i], AT(series_free) + 4 * i, what, i + 1);
    }
    check_series_list(check, header->gauge_free, AT(gauge_free), "gauge_free", 1);
    check_series_list(check, header->live_free, AT(live_free), "live_free", 1);
    for (uint32_t number = 0; number < check->count[LIBSHM_TABLE_SERIES]; number++) {
        const struct libshm_series_entry *series = table_entry(&check->image, LIBSHM_TABLE_SERIES, number);
        if (series && LIBSHM_STATUS_STATE(series->status) == LIBSHM_STATE_FREE && !check->listed[number])
            finding(check, check_offset(check, series), "series %" PRIu32 " is free, but in no free list", number);
    }
    check_text_lists(check);
}

/* ---- duplicates ---- */

struct named {
    const unsigned char *bytes;
    uint32_t size, scope, number;
};

static int by_name(const void *a, const void *b)
{
    const struct named *left = a, *right = b;
    if (left->scope != right->scope)
        return left->scope < right->scope ? -1 : 1;
    uint32_t shorter = left->size < right->size ? left->size : right->size;
    int order = shorter ? memcmp(left->bytes, right->bytes, shorter) : 0;
    return order ? order : (left->size > right->size) - (left->size < right->size);
}

static void report_equal(struct check *check, struct named *list, size_t n, uint32_t table)
{
    if (n)
        qsort(list, n, sizeof *list, by_name);
    for (size_t i = 1; i < n; i++)
        if (by_name(&list[i - 1], &list[i]) == 0)
            finding(check, table_entry_offset(&check->image, table, list[i].number),
                    "%s %" PRIu32 " and %" PRIu32 " are both live and have the same %s", table_name[table],
                    list[i - 1].number, list[i].number, table == LIBSHM_TABLE_FAMILIES ? "name" : "label values");
}

void check_duplicates(struct check *check)
{
    uint32_t most = check->count[LIBSHM_TABLE_SERIES] > check->count[LIBSHM_TABLE_FAMILIES]
                        ? check->count[LIBSHM_TABLE_SERIES]
                        : check->count[LIBSHM_TABLE_FAMILIES];
    struct named *list = calloc(most + 1u, sizeof *list);
    size_t n = 0;
    if (!list) {
        check->report->out_of_memory = 1;
        return;
    }
    for (uint32_t number = 0; number < check->count[LIBSHM_TABLE_FAMILIES]; number++) {
        const struct libshm_family_entry *family = table_entry(&check->image, LIBSHM_TABLE_FAMILIES, number);
        if (!family || LIBSHM_STATUS_STATE(family->status) != LIBSHM_STATE_LIVE)
            continue;
        const uint16_t *length = image_at(&check->image, (uint64_t)family->text * 16, 2, 2);
        uint64_t name = (uint64_t)family->text * 16 + (3u + family->n_labels) * 2u;
        const unsigned char *bytes = length ? image_at(&check->image, name, *length, 1) : NULL;
        if (bytes)
            list[n++] = (struct named){bytes, *length, 0, number};
    }
    report_equal(check, list, n, LIBSHM_TABLE_FAMILIES);
    n = 0;
    for (uint32_t number = 0; number < check->count[LIBSHM_TABLE_SERIES]; number++) {
        const struct libshm_series_entry *series = table_entry(&check->image, LIBSHM_TABLE_SERIES, number);
        uint32_t state = series ? LIBSHM_STATUS_STATE(series->status) : LIBSHM_STATE_FREE;
        if (state != LIBSHM_STATE_LIVE && state != LIBSHM_STATE_HIDDEN)
            continue;
        const unsigned char *bytes = image_at(&check->image, (uint64_t)series->text * 16, series->text_size, 1);
        if (bytes)
            list[n++] = (struct named){bytes, series->text_size, series->family, number};
    }
    report_equal(check, list, n, LIBSHM_TABLE_SERIES);
    free(list);
}
