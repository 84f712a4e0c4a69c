/* SPDX-License-Identifier: Apache-2.0
 *
 * Verifying series entries: whose they are, which cells and which text they own. */
#include "check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void own_cells(struct check *check, const struct libshm_series_entry *series, uint32_t number)
{
    const struct libshm_group *group = series->group < check->count[LIBSHM_TABLE_GROUPS]
                                           ? table_entry(&check->image, LIBSHM_TABLE_GROUPS, series->group)
                                           : NULL;
    if (!group) {
        finding(check, check_offset(check, &series->group),
                "series %" PRIu32 ": page group %" PRIu32 ", which there is not", number, series->group);
        return;
    }
    uint32_t *owner = check->cell_owner[series->group];
    uint64_t lane0 = group->base + (1 + (uint64_t)group->atomic_lanes) * LIBSHM_PAGE;
    uint64_t first = series->cells - lane0;
    if (series->cells % LIBSHM_CELL || first >= LIBSHM_PAGE ||
        first + (uint64_t)series->n_cells * LIBSHM_CELL > LIBSHM_PAGE) {
        finding(check, check_offset(check, &series->cells),
                "series %" PRIu32 ": %u cells at %" PRIu64 " are not in lane 0 of page group %" PRIu32, number,
                series->n_cells, series->cells, series->group);
        return;
    }
    for (uint64_t i = first / LIBSHM_CELL; owner && i < first / LIBSHM_CELL + series->n_cells; i++) {
        if (owner[i]) {
            finding(check, check_offset(check, &series->cells),
                    "series %" PRIu32 ": cell %" PRIu64 " of page group %" PRIu32 " is also that of series %" PRIu32,
                    number, i, series->group, owner[i] - 1);
            return;
        }
        owner[i] = number + 1;
    }
}

static void own_live_cell(struct check *check, const struct libshm_series_entry *series, uint32_t number)
{
    uint64_t cell = series->cells - 1;
    if (series->cells == 0 || cell >= check->header->live_cells || cell >= check->count[LIBSHM_TABLE_SERIES])
        finding(check, check_offset(check, &series->cells),
                "series %" PRIu32 ": live cell %" PRIu64 "; %" PRIu64 " were given out", number, cell,
                check->header->live_cells);
    else if (check->live_owner[cell])
        finding(check, check_offset(check, &series->cells),
                "series %" PRIu32 ": live cell %" PRIu64 " is also that of series %" PRIu32, number, cell,
                check->live_owner[cell] - 1);
    else
        check->live_owner[cell] = number + 1;
}

/* An entry keeps its cells from the first use on, free or not. */
static void check_ownership(struct check *check, const struct libshm_series_entry *series, uint32_t number)
{
    if (series->n_cells == 0 || series->n_cells > LIBSHM_CELLS_PER_PAGE)
        finding(check, check_offset(check, &series->n_cells), "series %" PRIu32 ": %u cells; 1 to %u were expected",
                number, series->n_cells, LIBSHM_CELLS_PER_PAGE);
    else if (series->group == LIBSHM_NO_GROUP)
        own_live_cell(check, series, number);
    else
        own_cells(check, series, number);
}

static void check_labels(struct check *check, const struct libshm_series_entry *series, uint32_t number,
                         uint32_t n_labels)
{
    uint16_t length[LIBSHM_MAX_LABELS];
    uint32_t used = 2u * n_labels;
    if (n_labels > LIBSHM_MAX_LABELS)
        return; /* said of the family */
    if (n_labels == 0) {
        if (series->text || series->text_size)
            finding(check, check_offset(check, &series->text), "series %" PRIu32 ": a text, but no labels", number);
        return;
    }
    uint32_t block = text_block_size(series->text_size);
    if (block == 0 || series->text_size < used) {
        finding(check, check_offset(check, &series->text_size),
                "series %" PRIu32 ": a text of %u bytes with %" PRIu32 " labels", number, series->text_size, n_labels);
        return;
    }
    if (claim_text(check, series->text, block, check_offset(check, &series->text), "series", number) != 0)
        return;
    const unsigned char *bytes = check->image.bytes + (uint64_t)series->text * 16;
    memcpy(length, bytes, used);
    for (uint32_t i = 0; i < n_labels; i++)
        used += length[i];
    if (used != series->text_size) {
        finding(check, check_offset(check, bytes),
                "series %" PRIu32 ": its label values have %" PRIu32 " bytes, its text %u", number, used,
                series->text_size);
        return;
    }
    const char *text = (const char *)bytes + 2u * n_labels;
    for (uint32_t i = 0; i < n_labels; text += length[i], i++) {
        int sound = length[i] <= LIBSHM_MAX_LABEL_VALUE;
        for (uint32_t at = 0, n = 0; sound && at < length[i]; at += n) {
            uint32_t code = 0;
            n = (uint32_t)utf8_character(text + at, length[i] - at, &code);
            sound = n != 0 && code != 0;
        }
        if (!sound)
            finding(check, check_offset(check, text),
                    "series %" PRIu32 ": the value of label %" PRIu32 " is not UTF-8 of at most %u bytes", number, i,
                    LIBSHM_MAX_LABEL_VALUE);
    }
}

static int is_live_gauge(const struct libshm_family_entry *family)
{
    return family->type == LIBSHM_TYPE_GAUGE && family->gauge_mode != LIBSHM_GAUGE_SHARED;
}

static void check_member(struct check *check, const struct libshm_series_entry *series, uint32_t number, int shown)
{
    const struct libshm_family_entry *family = series->family < check->count[LIBSHM_TABLE_FAMILIES]
                                                   ? table_entry(&check->image, LIBSHM_TABLE_FAMILIES, series->family)
                                                   : NULL;
    if (!family || (shown && LIBSHM_STATUS_STATE(family->status) != LIBSHM_STATE_LIVE)) {
        finding(check, check_offset(check, &series->family),
                family ? "series %" PRIu32 ": family %" PRIu32 " is not live"
                       : "series %" PRIu32 ": family %" PRIu32 ", which there is not",
                number, series->family);
        return;
    }
    if (!shown) { /* its family may have gone, and the entry be another's by now: the text is its own */
        uint32_t block = text_block_size(series->text_size);
        if (series->text && block)
            claim_text(check, series->text, block, check_offset(check, &series->text), "series", number);
        return;
    }
    uint32_t cells = family->type == LIBSHM_TYPE_HISTOGRAM ? family->n_bounds + 1u : 1u;
    if (series->n_cells != cells)
        finding(check, check_offset(check, &series->n_cells), "series %" PRIu32 ": %u cells; its family needs %" PRIu32,
                number, series->n_cells, cells);
    if ((series->group == LIBSHM_NO_GROUP) != is_live_gauge(family))
        finding(check, check_offset(check, &series->group),
                "series %" PRIu32 ": %s a page group, but its family is %s live gauge", number,
                series->group == LIBSHM_NO_GROUP ? "no" : "in", is_live_gauge(family) ? "a" : "no");
    check_labels(check, series, number, family->n_labels);
    if (family->overflow_series != number + 1)
        check->family_series[series->family]++;
}

/* Does every label say "overflow"? The text was checked: what is not in order is a finding already. */
static int says_overflow(const struct check *check, const struct libshm_series_entry *series, uint32_t n_labels)
{
    static const char word[8] = "overflow";
    uint16_t length;
    const unsigned char *text = image_at(&check->image, (uint64_t)series->text * 16, series->text_size, 16);
    if (!text || series->text_size != n_labels * (sizeof length + sizeof word))
        return 0;
    for (uint32_t i = 0; i < n_labels; i++) {
        memcpy(&length, text + i * sizeof length, sizeof length);
        if (length != sizeof word || memcmp(text + n_labels * sizeof length + i * sizeof word, word, sizeof word) != 0)
            return 0;
    }
    return 1;
}

static void check_family_counts(struct check *check)
{
    for (uint32_t number = 0; number < check->count[LIBSHM_TABLE_FAMILIES]; number++) {
        const struct libshm_family_entry *family = table_entry(&check->image, LIBSHM_TABLE_FAMILIES, number);
        if (!family || LIBSHM_STATUS_STATE(family->status) != LIBSHM_STATE_LIVE)
            continue;
        if (family->series != check->family_series[number])
            finding(check, check_offset(check, &family->series),
                    "family %" PRIu32 ": %" PRIu32 " series; %" PRIu32 " are there", number, family->series,
                    check->family_series[number]);
        if (family->overflow_series == 0)
            continue;
        const struct libshm_series_entry *series =
            family->overflow_series <= check->count[LIBSHM_TABLE_SERIES]
                ? table_entry(&check->image, LIBSHM_TABLE_SERIES, family->overflow_series - 1)
                : NULL;
        uint32_t state = series ? LIBSHM_STATUS_STATE(series->status) : LIBSHM_STATE_FREE;
        if (!series || series->family != number || (state != LIBSHM_STATE_LIVE && state != LIBSHM_STATE_HIDDEN))
            finding(check, check_offset(check, &family->overflow_series),
                    "family %" PRIu32 ": overflow series %" PRIu32 " is not a series of it", number,
                    family->overflow_series - 1);
        else if (!says_overflow(check, series, family->n_labels))
            finding(check, check_offset(check, &family->overflow_series),
                    "family %" PRIu32 ": the labels of overflow series %" PRIu32 " do not say \"overflow\"", number,
                    family->overflow_series - 1);
    }
}

void check_series(struct check *check)
{
    struct check_report *report = check->report;
    for (uint32_t number = 0; number < check->count[LIBSHM_TABLE_SERIES]; number++) {
        const struct libshm_series_entry *series = table_entry(&check->image, LIBSHM_TABLE_SERIES, number);
        if (!series)
            continue;
        uint32_t state = LIBSHM_STATUS_STATE(series->status);
        if (state > LIBSHM_STATE_REMOVED || state == LIBSHM_STATE_BUILDING)
            finding(check, check_offset(check, &series->status),
                    "series %" PRIu32 ": state %" PRIu32 " (%s); free, live, hidden or removed was expected", number,
                    state, state_name(state));
        if (LIBSHM_STATUS_GENERATION(series->status) == 0)
            finding(check, check_offset(check, &series->status), "series %" PRIu32 ": generation 0", number);
        check_ownership(check, series, number);
        if (state == LIBSHM_STATE_LIVE || state == LIBSHM_STATE_HIDDEN || state == LIBSHM_STATE_REMOVED)
            check_member(check, series, number, state != LIBSHM_STATE_REMOVED);
        report->series += state == LIBSHM_STATE_LIVE || state == LIBSHM_STATE_HIDDEN;
        report->removed += state == LIBSHM_STATE_REMOVED;
        report->free_series += state == LIBSHM_STATE_FREE;
    }
    check_family_counts(check);
    for (uint64_t cell = 0; cell < check->header->live_cells && cell < check->count[LIBSHM_TABLE_SERIES]; cell++)
        if (!check->live_owner[cell])
            finding(check, offsetof(struct libshm_header, live_cells),
                    "live cell %" PRIu64 " belongs to no series and is not free", cell);
}
