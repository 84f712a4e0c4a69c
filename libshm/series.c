/* SPDX-License-Identifier: Apache-2.0
 *
 * Series: found or made for label values, held, removed. */
#include <stdlib.h>
#include <string.h>

#include "libshm/internal.h"
#include "libshm/labels.h"

int libshm_labels_set(const struct libshm_family *family, const char *const *values, struct libshm_labels *labels)
{
    uint32_t n = 0;
    if (libshm_labels_scan(family, values, labels))
        return 0;
    labels->bytes = 0;
    for (; values && values[n]; n++) {
        if (n == family->n_labels)
            return libshm_error_set(LIBSHM_E_INVALID, "%s has %u labels; more values than that were given",
                                    family->name, family->n_labels);
        size_t length = strlen(values[n]);
        if (length > LIBSHM_MAX_LABEL_VALUE)
            return libshm_error_set(LIBSHM_E_INVALID, "value %u of %s has %zu bytes; at most %u", n + 1, family->name,
                                    length, LIBSHM_MAX_LABEL_VALUE);
        labels->bytes += (uint32_t)length + 2;
    }
    if (n != family->n_labels)
        return libshm_error_set(LIBSHM_E_INVALID, "%s has %u labels; %u values were given", family->name,
                                family->n_labels, n);
    return libshm_error_set(LIBSHM_E_INVALID, "the label values of a series of %s have %u bytes together; at most %u",
                            family->name, labels->bytes, LIBSHM_MAX_TEXT);
}

static int labels_check(const struct libshm_family *family, const struct libshm_labels *labels)
{
    for (uint32_t i = 0; i < labels->n; i++)
        if (!libshm_utf8_valid(labels->values[i], labels->length[i]))
            return libshm_error_set(LIBSHM_E_INVALID, "value %u of %s is not valid UTF-8", i + 1, family->name);
    return 0;
}

static uint32_t *free_list(struct libshm_segment *segment, enum libshm_cell_kind kind, uint32_t n_cells)
{
    struct libshm_header *header = segment->header;
    return kind == LIBSHM_CELLS_LIVE    ? &header->live_free
           : kind == LIBSHM_CELLS_GAUGE ? &header->gauge_free
                                        : &header->series_free[n_cells - 1];
}

/* Locked, journaled: an entry with cells that read zero: one given back, or a new one. */
static struct libshm_series_entry *entry_take(struct libshm_segment *segment, enum libshm_cell_kind kind,
                                              uint32_t n_cells, uint32_t *number, uint64_t *generation)
{
    uint32_t *list = free_list(segment, kind, n_cells);
    struct libshm_series_entry *entry = *list ? libshm_table_at(segment, LIBSHM_TABLE_SERIES, *list - 1) : NULL;
    if (entry && LIBSHM_STATUS_STATE(entry->status) == LIBSHM_STATE_FREE && entry->n_cells == n_cells) {
        *number = *list - 1;
        *generation = LIBSHM_STATUS_GENERATION(entry->status);
        libshm_journal_store32(segment, list, entry->next_free);
        libshm_journal_store(segment, &entry->status, LIBSHM_STATUS(*generation, LIBSHM_STATE_BUILDING));
        libshm_cells_zero(segment, entry); /* nobody holds it: these are nobody's live cells */
        LIBSHM_COUNT(segment, reused, 1);
        return entry;
    }
    entry = libshm_table_add(segment, LIBSHM_TABLE_SERIES, number);
    if (!entry)
        return NULL;
    *generation = 1;
    entry->n_cells = (uint16_t)n_cells;
    LIBSHM_POINT();
    __atomic_store_n(&entry->status, LIBSHM_STATUS(1, LIBSHM_STATE_BUILDING), __ATOMIC_RELEASE);
    LIBSHM_POINT();
    return libshm_cells_take(segment, kind, n_cells, entry) == 0 ? entry : NULL;
}

/* A block given away may still be read by a look-up, which then notices by the generation: no memcpy, which
 * ThreadSanitizer would report. */
__attribute__((no_sanitize_thread)) static void copy_text(char *shared, const struct libshm_labels *labels)
{
    volatile char *to = shared;
    const char *lengths = (const char *)labels->length;
    for (uint32_t i = 0; i < labels->n * 2; i++)
        *to++ = lengths[i];
    for (uint32_t i = 0; i < labels->n; i++)
        for (uint32_t c = 0; c < labels->length[i]; c++)
            *to++ = labels->values[i][c];
}

int libshm_series_make(struct libshm_segment *segment, const struct libshm_family *family,
                       const struct libshm_labels *labels, bool overflow, struct libshm_found *found)
{
    uint64_t generation;
    uint32_t number, hash = (uint32_t)(labels->hash >> 32), n_cells = 1, text = 0;
    enum libshm_cell_kind kind = libshm_cell_kind(family->type, family->gauge_mode);
    if (family->type == LIBSHM_TYPE_HISTOGRAM)
        n_cells = family->n_bounds + 1;
    int error = libshm_index_make_room(segment);
    if (error)
        return error;
    struct libshm_series_entry *entry = entry_take(segment, kind, n_cells, &number, &generation);
    if (entry && labels->n > 0)
        text = libshm_text_take(segment, labels->bytes);
    if (!entry || (labels->n > 0 && !text)) {
        libshm_journal_abort(segment);
        return LIBSHM_E_FULL;
    }
    LIBSHM_POINT();
    if (text)
        copy_text(segment->base + (uint64_t)text * 16, labels);
    LIBSHM_POINT();
    entry->family = family->number;
    entry->hash = hash;
    entry->text = text;
    entry->text_size = (uint16_t)labels->bytes;
    entry->created_ns = libshm_now_ns(CLOCK_REALTIME);
    __atomic_store_n(&entry->fingerprint, libshm_cells_fingerprint(segment, entry), __ATOMIC_RELAXED);
    __atomic_store_n(&entry->moved_ns, libshm_now_ns(CLOCK_MONOTONIC), __ATOMIC_RELAXED);
    libshm_index_add(segment, hash, 0, number);
    if (overflow)
        libshm_journal_store32(segment, &family->entry->overflow_series, number + 1);
    else
        libshm_journal_store32(segment, &family->entry->series, family->entry->series + 1);
    /* an overflow series is shown when it first moves */
    libshm_journal_commit(segment, &entry->status,
                          LIBSHM_STATUS(generation, overflow ? LIBSHM_STATE_HIDDEN : LIBSHM_STATE_LIVE));
    found->entry = entry;
    found->number = number;
    found->generation = generation;
    return 0;
}

int libshm_series_hold(struct libshm_segment *segment, const struct libshm_found *found, bool insert_locked)
{
    int error = libshm_hold(segment, found->number, insert_locked);
    if (error)
        return error;
    uint64_t status = __atomic_load_n(&found->entry->status, __ATOMIC_SEQ_CST); /* after the hold, see set_bit() */
    if (libshm_status_shown(status) && LIBSHM_STATUS_GENERATION(status) == found->generation)
        return 0;
    libshm_unhold(segment, found->number);
    return LIBSHM_E_NOT_FOUND;
}

static bool family_current(const struct libshm_family *family)
{
    return libshm_status(&family->entry->status) == LIBSHM_STATUS(family->generation, LIBSHM_STATE_LIVE);
}

static int replaced(const struct libshm_family *family)
{
    return libshm_error_set(LIBSHM_E_REPLACED, "%s was defined anew by another program", family->name);
}

int libshm_series_obtain(struct libshm_family *family, const struct libshm_labels *labels, struct libshm_found *found)
{
    struct libshm_segment *segment = family->segment;
    /* REMOVED may be taken back, see replace(): that is decided under the lock */
    if (LIBSHM_STATUS_GENERATION(libshm_status(&family->entry->status)) != family->generation)
        return replaced(family);
    for (int tries = 0; tries < 3 && libshm_index_find_series(segment, family->number, labels, found); tries++)
        if (libshm_series_hold(segment, found, false) == 0)
            return 0;
    int error = labels_check(family, labels);
    if (error) {
        LIBSHM_COUNT(segment, rejected, 1);
        found->entry = NULL;
        return error;
    }
    uint32_t cap = family->entry->max_series;
    bool full = __atomic_load_n(&family->entry->series, __ATOMIC_RELAXED) >= cap;
    if (full && libshm_now_ns(CLOCK_MONOTONIC) - __atomic_load_n(&family->entry->last_sweep_ns, __ATOMIC_RELAXED) <
                    LIBSHM_SWEEP_RETRY_NS)
        return libshm_overflow_give(family, LIBSHM_E_OVERFLOW, found); /* swept just now, in vain: without the lock */
    error = libshm_insert_lock(segment, LIBSHM_LOCK_PATIENCE_MS);
    if (error)
        return libshm_overflow_give(family, error, found);
    libshm_lookup_trim(segment);
    libshm_attach_renew(segment, false);
    libshm_sweep_step(segment, 32);
    if (!family_current(family)) { /* meanwhile; its number may be another family's now */
        error = replaced(family);
    } else if (libshm_index_find_series(segment, family->number, labels, found)) {
        error = libshm_series_hold(segment, found, true);
    } else if (family->entry->series >= cap && !libshm_sweep_family(segment, family)) {
        error = LIBSHM_E_OVERFLOW;
    } else {
        error = libshm_series_make(segment, family, labels, false, found);
        if (!error)
            error = libshm_series_hold(segment, found, true);
    }
    libshm_insert_unlock(segment);
    return error && error != LIBSHM_E_REPLACED ? libshm_overflow_give(family, error, found) : error;
}

/* ---- removal ---- */

static int no_family(void)
{
    return libshm_error_set(LIBSHM_E_INVALID, "the family is NULL: its definition failed");
}

static int remove_number(struct libshm_segment *segment, uint32_t number)
{
    const struct libshm_series_entry *entry = libshm_table_at(segment, LIBSHM_TABLE_SERIES, number);
    if (libshm_overflow_asleep(segment, entry, number))
        return 0; /* nobody sees it, and it counts from zero */
    int error = libshm_series_retire(segment, number);
    if (!error)
        libshm_series_reclaim(segment, number);
    return error;
}

int libshm_series_remove(libshm_family *family, const char *const *values)
{
    struct libshm_labels labels;
    struct libshm_found found;
    if (!family)
        return no_family();
    int error = libshm_labels_set(family, values, &labels);
    if (error)
        return error;
    struct libshm_segment *segment = family->segment;
    error = libshm_setup_begin(segment);
    if (!error) {
        libshm_attach_renew(segment, false);
        if (libshm_index_find_series(segment, family->number, &labels, &found))
            error = remove_number(segment, found.number);
        else
            error = libshm_error_set(LIBSHM_E_NOT_FOUND, "%s has no series with these label values", family->name);
        if (!error && family_current(family))
            (void)libshm_overflow_hold(family, true); /* if it was that one: another */
        libshm_setup_end(segment);
    }
    return error;
}

int libshm_family_clear(libshm_family *family)
{
    if (!family)
        return no_family();
    struct libshm_segment *segment = family->segment;
    int error = libshm_setup_begin(segment);
    if (!error) {
        uint32_t count = libshm_table_count(segment, LIBSHM_TABLE_SERIES);
        for (uint32_t n = 0; n < count; n++) {
            const struct libshm_series_entry *entry = libshm_table_at(segment, LIBSHM_TABLE_SERIES, n);
            if (entry && entry->family == family->number && libshm_status_shown(libshm_status(&entry->status)))
                (void)remove_number(segment, n);
        }
        if (family_current(family))
            (void)libshm_overflow_hold(family, true); /* a new one, which shows nothing */
        libshm_setup_end(segment);
    }
    return error;
}
