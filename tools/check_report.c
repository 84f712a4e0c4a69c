/* SPDX-License-Identifier: Apache-2.0
 *
 * The order of verification, the list of findings, and the map of who owns which page and which text. */
#include "check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const owner_name[] = {"nothing",        "the header",   "a table's root",
                                         "a table's leaf", "the index",    "a hold page",
                                         "a live page",    "a page group", "text"};

void finding(struct check *check, uint64_t offset, const char *format, ...)
{
    struct check_report *report = check->report;
    if (report->total++ >= CHECK_FINDINGS)
        return;
    if ((report->n_findings & (report->n_findings - 1)) == 0) {
        size_t size = report->n_findings ? 2 * report->n_findings : 1;
        struct check_finding *grown = realloc(report->findings, size * sizeof *grown);
        if (!grown) {
            report->out_of_memory = 1;
            return;
        }
        report->findings = grown;
    }
    struct check_finding *entry = &report->findings[report->n_findings++];
    va_list arguments;
    entry->offset = offset;
    va_start(arguments, format);
    vsnprintf(entry->text, sizeof entry->text, format, arguments);
    va_end(arguments);
}

uint64_t check_offset(const struct check *check, const void *at)
{
    return (uint64_t)((const unsigned char *)at - check->image.bytes);
}

int claim_pages(struct check *check, uint64_t page, uint64_t n, enum check_owner owner, uint64_t from, const char *what)
{
    if (page == 0 || page >= check->pages || n > check->pages - page) {
        finding(check, from, "%s: pages %" PRIu64 " to %" PRIu64 " are not among the %" PRIu64 " given out", what, page,
                page + n - 1, check->pages);
        return -1;
    }
    for (uint64_t i = page; i < page + n; i++) {
        if (check->page_owner[i] != OWNER_NONE) {
            finding(check, from, "%s: page %" PRIu64 " is used for %s already", what, i,
                    owner_name[check->page_owner[i]]);
            return -1;
        }
    }
    memset(check->page_owner + page, (int)owner, n);
    return 0;
}

uint32_t text_block_size(uint32_t bytes)
{
    static const uint32_t sizes[LIBSHM_TEXT_CLASSES] = LIBSHM_TEXT_CLASS_SIZES;
    for (uint32_t i = 0; i < LIBSHM_TEXT_CLASSES; i++)
        if (sizes[i] >= bytes)
            return sizes[i];
    return 0;
}

int claim_text(struct check *check, uint32_t text, uint64_t size, uint64_t from, const char *what, uint32_t number)
{
    uint64_t offset = (uint64_t)text * 16;
    if (offset < LIBSHM_PAGE || offset / LIBSHM_PAGE >= check->pages || size > check->pages * LIBSHM_PAGE - offset) {
        finding(check, from, "%s %" PRIu32 ": its text, %" PRIu64 " bytes at %" PRIu64 ", is not in a page given out",
                what, number, size, offset);
        return -1;
    }
    if (check->n_texts == check->texts_size) {
        size_t grown_size = check->texts_size ? 2 * check->texts_size : 256;
        struct check_text *grown = realloc(check->texts, grown_size * sizeof *grown);
        if (!grown) {
            check->report->out_of_memory = 1;
            return -1;
        }
        check->texts = grown;
        check->texts_size = grown_size;
    }
    check->texts[check->n_texts++] = (struct check_text){offset, size, from, what, number};
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    const struct check_text *left = a, *right = b;
    return (left->offset > right->offset) - (left->offset < right->offset);
}

void check_texts_done(struct check *check)
{
    const struct check_text *last = NULL;
    if (check->n_texts)
        qsort(check->texts, check->n_texts, sizeof *check->texts, by_offset);
    for (size_t i = 0; i < check->n_texts; i++) {
        const struct check_text *text = &check->texts[i];
        if (last && text->offset < last->offset + last->size)
            finding(check, text->from, "the text of %s %" PRIu32 " at %" PRIu64 " overlaps that of %s %" PRIu32,
                    text->what, text->number, text->offset, last->what, last->number);
        if (!last || text->offset + text->size > last->offset + last->size)
            last = text;
        uint64_t end = text->size ? (text->offset + text->size - 1) / LIBSHM_PAGE : 0;
        for (uint64_t page = text->offset / LIBSHM_PAGE; page <= end; page++) {
            if (check->page_owner[page] == OWNER_NONE)
                check->page_owner[page] = OWNER_TEXT;
            if (check->page_owner[page] != OWNER_TEXT) {
                finding(check, text->from, "the text of %s %" PRIu32 " is in page %" PRIu64 ", which is used for %s",
                        text->what, text->number, page, owner_name[check->page_owner[page]]);
                break;
            }
        }
    }
}

void must_be_zero(struct check *check, const void *at, size_t size, const char *what)
{
    const unsigned char *bytes = at;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) {
            finding(check, check_offset(check, bytes + i), "%s is reserved and must be zero", what);
            return;
        }
    }
}

static int allocate(struct check *check)
{
    uint64_t end = check->header->page_next < check->image.length ? check->header->page_next : check->image.length;
    check->pages = end / LIBSHM_PAGE;
    for (uint32_t table = 0; table < LIBSHM_TABLES; table++)
        check->count[table] = table_count(&check->image, table);
    check->page_owner = calloc(check->pages + 1, 1);
    check->cell_owner = calloc(check->count[LIBSHM_TABLE_GROUPS] + 1u, sizeof *check->cell_owner);
    check->live_owner = calloc(check->count[LIBSHM_TABLE_SERIES] + 1u, sizeof *check->live_owner);
    check->indexed = calloc(check->count[LIBSHM_TABLE_SERIES] + 1u, 1);
    check->listed = calloc(check->count[LIBSHM_TABLE_SERIES] + 1u, 1);
    check->family_indexed = calloc(check->count[LIBSHM_TABLE_FAMILIES] + 1u, 1);
    check->family_series = calloc(check->count[LIBSHM_TABLE_FAMILIES] + 1u, sizeof *check->family_series);
    return check->page_owner && check->cell_owner && check->live_owner && check->indexed && check->listed &&
                   check->family_indexed && check->family_series
               ? 0
               : -1;
}

static void release(struct check *check)
{
    for (uint32_t i = 0; check->cell_owner && i < check->count[LIBSHM_TABLE_GROUPS]; i++)
        free(check->cell_owner[i]);
    free(check->page_owner);
    free(check->cell_owner);
    free(check->live_owner);
    free(check->indexed);
    free(check->listed);
    free(check->family_indexed);
    free(check->family_series);
    free(check->texts);
}

void check_segment(unsigned char *bytes, size_t length, struct check_report *report)
{
    static void (*const steps[])(struct check *) = {
        /* Pages are claimed by what is reached without the directory first, so that a family or series with a wild
         * reference is blamed, and not what it points at. */
        check_tables, check_groups,    check_allocator, check_families,   check_series,     check_cells,
        check_lists,  check_processes, check_index,     check_texts_done, check_duplicates,
    };
    struct check check = {.image = {bytes, length}, .report = report};
    memset(report, 0, sizeof *report);
    check.header = image_header(&check.image);
    if (check_header(&check) != 0) {
        report->unreadable = 1;
        return;
    }
    if (allocate(&check) != 0)
        report->out_of_memory = 1;
    else
        check.page_owner[0] = OWNER_HEADER;
    for (size_t i = 0; i < sizeof steps / sizeof *steps && !report->out_of_memory; i++)
        steps[i](&check);
    report->pages = check.pages;
    for (uint64_t page = 0; page < check.pages && !report->out_of_memory; page++)
        report->pages_unreferenced += check.page_owner[page] == OWNER_NONE;
    release(&check);
}

void check_report_free(struct check_report *report)
{
    free(report->findings);
    memset(report, 0, sizeof *report);
}
