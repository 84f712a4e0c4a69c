/* SPDX-License-Identifier: Apache-2.0
 *
 * Reset: everything that counts starts from zero. Nobody may zero a cell that is being updated, so the totals are
 * stored as baselines, cell by cell. That is too much for the journal, and no old baseline is worth going back to: a
 * reset that has begun is carried on instead, by whoever takes the insert lock next (`reset_to`). */
#include "libshm/internal.h"

static void reset_series(struct libshm_segment *segment, uint32_t number)
{
    const struct libshm_series_entry *entry = libshm_table_at(segment, LIBSHM_TABLE_SERIES, number);
    if (!entry || !libshm_status_shown(libshm_status(&entry->status)) || entry->group == LIBSHM_NO_GROUP)
        return;
    const struct libshm_family_entry *family = libshm_table_at(segment, LIBSHM_TABLE_FAMILIES, entry->family);
    const struct libshm_group *group = libshm_cells_group(segment, entry);
    if (!family || !group || libshm_cell_kind(family->type, family->gauge_mode) != LIBSHM_CELLS_PER_CPU)
        return;
    char *baseline = segment->base + entry->cells - (1 + (uint64_t)group->atomic_lanes) * LIBSHM_PAGE;
    LIBSHM_POINT();
    for (uint32_t i = 0; i < entry->n_cells; i++)
        libshm_cell_store((struct libshm_cell *)(void *)baseline + i, libshm_cells_total(segment, entry, i, false));
}

void libshm_reset_go_on(struct libshm_segment *segment)
{
    struct libshm_header *header = segment->header;
    uint64_t to = __atomic_load_n(&header->reset_to, __ATOMIC_ACQUIRE);
    if (to == 0)
        return;
    if (to == header->incarnation + 1) { /* else it was complete, or the word is nothing that a reset left */
        uint32_t count = libshm_table_count(segment, LIBSHM_TABLE_SERIES);
        for (uint32_t n = 0; n < count; n++)
            reset_series(segment, n);
        LIBSHM_POINT();
        __atomic_store_n(&header->incarnation_ns, libshm_now_ns(CLOCK_REALTIME), __ATOMIC_RELAXED);
        LIBSHM_COUNT(segment, resets, 1);
        LIBSHM_POINT();
        __atomic_store_n(&header->incarnation, to, __ATOMIC_RELEASE);
    }
    LIBSHM_POINT();
    libshm_directory_changed(segment);
    LIBSHM_POINT();
    __atomic_store_n(&header->reset_to, 0, __ATOMIC_RELEASE);
}

int libshm_reset(libshm_segment *segment)
{
    if (!segment)
        return libshm_error_set(LIBSHM_E_INVALID, "the segment is NULL");
    int error = libshm_setup_begin(segment);
    if (error)
        return error;
    LIBSHM_POINT();
    __atomic_store_n(&segment->header->reset_to, segment->header->incarnation + 1, __ATOMIC_RELEASE);
    libshm_reset_go_on(segment);
    libshm_setup_end(segment);
    return 0;
}
