/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of a series: hidden when idle, removed, and its cells reused when nobody can hold it. All of it is done by
 * writers, a little at a time, under the insert lock. */
#include "libshm/internal.h"

enum { FAMILY_WINDOW = 4096 };

void libshm_directory_changed(struct libshm_segment *segment)
{
    __atomic_fetch_add(&segment->header->directory_version, 1, __ATOMIC_RELEASE); /* after what changed */
}

/* Journaled: out of the index and of the family's count. */
static void unlist(struct libshm_segment *segment, uint32_t number, const struct libshm_series_entry *entry)
{
    __atomic_fetch_add(&segment->header->removals, 1, __ATOMIC_RELEASE); /* cached look-ups check their series again */
    struct libshm_family_entry *family = libshm_table_at(segment, LIBSHM_TABLE_FAMILIES, entry->family);
    if (family && family->overflow_series == number + 1)
        libshm_journal_store32(segment, &family->overflow_series, 0);
    else if (family && family->series > 0)
        libshm_journal_store32(segment, &family->series, family->series - 1);
    libshm_index_remove(segment, entry->hash, 0, number);
}

int libshm_series_retire(struct libshm_segment *segment, uint32_t number)
{
    struct libshm_series_entry *entry = libshm_table_at(segment, LIBSHM_TABLE_SERIES, number);
    uint64_t status = entry ? libshm_status(&entry->status) : 0;
    if (!entry || !libshm_status_shown(status))
        return LIBSHM_E_NOT_FOUND;
    unlist(segment, number, entry);
    libshm_journal_commit(segment, &entry->status,
                          LIBSHM_STATUS(LIBSHM_STATUS_GENERATION(status), LIBSHM_STATE_REMOVED));
    LIBSHM_COUNT(segment, removed, 1);
    return 0;
}

static uint32_t *free_list(struct libshm_segment *segment, const struct libshm_series_entry *entry)
{
    struct libshm_header *header = segment->header;
    if (entry->group == LIBSHM_NO_GROUP)
        return &header->live_free;
    const struct libshm_group *group = libshm_cells_group(segment, entry);
    if (!group)
        return NULL;
    return entry->n_cells == 1 && group->cpu_lanes == 0 && group->atomic_lanes == 1
               ? &header->gauge_free
               : &header->series_free[entry->n_cells - 1];
}

/* Completes a change: text block and cells are free. */
static void give_back(struct libshm_segment *segment, uint32_t number, struct libshm_series_entry *entry,
                      uint32_t *list)
{
    uint64_t generation = LIBSHM_STATUS_GENERATION(entry->status);
    if (entry->text)
        libshm_text_give(segment, entry->text, entry->text_size);
    libshm_journal_store32(segment, &entry->next_free, *list);
    libshm_journal_store32(segment, list, number + 1);
    libshm_journal_commit(segment, &entry->status, LIBSHM_STATUS(generation + 1, LIBSHM_STATE_FREE));
}

bool libshm_series_reclaim(struct libshm_segment *segment, uint32_t number)
{
    struct libshm_series_entry *entry = libshm_table_at(segment, LIBSHM_TABLE_SERIES, number);
    if (!entry || LIBSHM_STATUS_STATE(libshm_status(&entry->status)) != LIBSHM_STATE_REMOVED)
        return false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* REMOVED before the look at the holds, see set_bit() */
    uint32_t *list = free_list(segment, entry);
    if (!list || libshm_held(segment, number))
        return false;
    give_back(segment, number, entry, list);
    return true;
}

/* Looks at one series: hides it, shows it again, takes it back. */
static void look_at(struct libshm_segment *segment, uint32_t number, uint64_t now)
{
    struct libshm_series_entry *entry = libshm_table_at(segment, LIBSHM_TABLE_SERIES, number);
    uint64_t status = entry ? libshm_status(&entry->status) : 0;
    if (entry && LIBSHM_STATUS_STATE(status) == LIBSHM_STATE_REMOVED)
        libshm_series_reclaim(segment, number);
    if (!libshm_status_shown(status) || entry->group == LIBSHM_NO_GROUP)
        return; /* a live gauge goes with its processes */
    const struct libshm_family_entry *family = libshm_table_at(segment, LIBSHM_TABLE_FAMILIES, entry->family);
    if (!family || family->ttl_ns == 0 || family->overflow_series == number + 1)
        return;
    uint64_t fingerprint = libshm_cells_fingerprint(segment, entry);
    bool hidden = LIBSHM_STATUS_STATE(status) == LIBSHM_STATE_HIDDEN;
    LIBSHM_POINT();
    if (fingerprint != entry->fingerprint) {
        __atomic_store_n(&entry->moved_ns, now, __ATOMIC_RELAXED);
        __atomic_store_n(&entry->fingerprint, fingerprint, __ATOMIC_RELEASE);
        LIBSHM_POINT();
        if (hidden)
            __atomic_store_n(&entry->status, LIBSHM_STATUS(LIBSHM_STATUS_GENERATION(status), LIBSHM_STATE_LIVE),
                             __ATOMIC_RELEASE);
    } else if (!hidden && now > entry->moved_ns && now - entry->moved_ns > family->ttl_ns) {
        __atomic_store_n(&entry->status, LIBSHM_STATUS(LIBSHM_STATUS_GENERATION(status), LIBSHM_STATE_HIDDEN),
                         __ATOMIC_RELEASE);
        LIBSHM_COUNT(segment, hidden, 1);
    } else {
        return;
    }
    LIBSHM_POINT();
    libshm_directory_changed(segment);
}

void libshm_sweep_step(struct libshm_segment *segment, uint32_t entries)
{
    uint32_t count = libshm_table_count(segment, LIBSHM_TABLE_SERIES);
    uint64_t now = libshm_now_ns(CLOCK_MONOTONIC), cursor = segment->header->sweep_cursor;
    for (uint32_t i = 0; i < entries && i < count; i++) {
        cursor = cursor < count ? cursor : 0;
        look_at(segment, (uint32_t)cursor++, now);
    }
    __atomic_store_n(&segment->header->sweep_cursor, cursor, __ATOMIC_RELAXED);
}

/* REMOVED and given back in one journaled change, if nobody holds it and, if it is to be `still`, it has not moved: a
 * get that has found the series but not yet set its hold sees REMOVED when it looks again, and waits for the lock; one
 * that set its hold before is seen here, and the series is as before. */
static bool take(struct libshm_segment *segment, uint32_t number, struct libshm_series_entry *entry, bool still)
{
    uint32_t *list = free_list(segment, entry);
    if (!list || libshm_held(segment, number))
        return false;
    libshm_journal_store(segment, &entry->status,
                         LIBSHM_STATUS(LIBSHM_STATUS_GENERATION(entry->status), LIBSHM_STATE_REMOVED));
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* REMOVED before the look at the holds, see set_bit() */
    if (libshm_held(segment, number) || (still && libshm_cells_fingerprint(segment, entry) != entry->fingerprint)) {
        libshm_journal_abort(segment);
        libshm_directory_changed(segment); /* a reader may have copied REMOVED */
        return false;
    }
    unlist(segment, number, entry);
    give_back(segment, number, entry, list);
    LIBSHM_COUNT(segment, removed, 1);
    return true;
}

bool libshm_series_take(struct libshm_segment *segment, uint32_t number)
{
    struct libshm_series_entry *entry = libshm_table_at(segment, LIBSHM_TABLE_SERIES, number);
    return entry && libshm_status_shown(libshm_status(&entry->status)) && take(segment, number, entry, false);
}

/* A hidden series gives its cells away. */
static bool take_hidden(struct libshm_segment *segment, uint32_t number)
{
    struct libshm_series_entry *entry = libshm_table_at(segment, LIBSHM_TABLE_SERIES, number);
    const struct libshm_family_entry *family =
        entry ? libshm_table_at(segment, LIBSHM_TABLE_FAMILIES, entry->family) : NULL;
    return family && LIBSHM_STATUS_STATE(libshm_status(&entry->status)) == LIBSHM_STATE_HIDDEN &&
           family->overflow_series != number + 1 && take(segment, number, entry, true);
}

bool libshm_sweep_family(struct libshm_segment *segment, struct libshm_family *family)
{
    struct libshm_family_entry *entry = family->entry;
    uint64_t now = libshm_now_ns(CLOCK_MONOTONIC);
    uint32_t count = libshm_table_count(segment, LIBSHM_TABLE_SERIES), cursor = entry->sweep_cursor;
    bool freed = false;
    if (now - __atomic_load_n(&entry->last_sweep_ns, __ATOMIC_RELAXED) < LIBSHM_SWEEP_RETRY_NS)
        return false;
    libshm_lookup_trim(segment);
    libshm_attach_renew(segment, segment->released > 0);
    for (uint32_t i = 0; i < FAMILY_WINDOW && i < count && !freed; i++, cursor++) {
        cursor = cursor < count ? cursor : 0;
        struct libshm_series_entry *series = libshm_table_at(segment, LIBSHM_TABLE_SERIES, cursor);
        if (!series || series->family != family->number)
            continue;
        look_at(segment, cursor, now);
        freed = take_hidden(segment, cursor);
    }
    __atomic_store_n(&entry->sweep_cursor, cursor, __ATOMIC_RELAXED);
    if (!freed)
        __atomic_store_n(&entry->last_sweep_ns, now, __ATOMIC_RELAXED); /* nothing to be had: not again at once */
    return freed;
}

int libshm_sweep(libshm_segment *segment)
{
    if (!segment)
        return libshm_error_set(LIBSHM_E_INVALID, "the segment is NULL");
    int error = libshm_setup_begin(segment);
    if (!error) {
        libshm_lookup_trim(segment);
        libshm_attach_renew(segment, segment->released > 0);
        libshm_sweep_step(segment, libshm_table_count(segment, LIBSHM_TABLE_SERIES));
        libshm_setup_end(segment);
    }
    return error;
}
