/* SPDX-License-Identifier: Apache-2.0
 *
 * The overflow series of a family with labels: where an update counts when a series of its own cannot be had, because
 * the family is at its cap or because none can be made: the insert lock cannot be had, a system call fails, the segment
 * is full. So it must be there before it is needed: it is made with the family, and whoever defines the family holds
 * it. Until something counts there it looks like a series that has been idle ever since (HIDDEN, with the fingerprint
 * of its zero cells), so readers show it from its first update on. Gauges have none: a value that is not a sum cannot
 * be another's. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libshm/internal.h"

static bool wanted(const struct libshm_family *family)
{
    return family->n_labels > 0 && libshm_cell_kind(family->type, family->gauge_mode) == LIBSHM_CELLS_PER_CPU;
}

/* The one that this process holds, if it is there still. */
static bool held(const struct libshm_family *family, struct libshm_found *found)
{
    if (family->overflow_held == 0)
        return false;
    found->number = family->overflow_held - 1;
    found->generation = family->overflow_generation;
    found->entry = libshm_table_at(family->segment, LIBSHM_TABLE_SERIES, found->number);
    uint64_t status = found->entry ? libshm_status(&found->entry->status) : 0;
    return libshm_status_shown(status) && LIBSHM_STATUS_GENERATION(status) == found->generation;
}

bool libshm_overflow_asleep(const struct libshm_segment *segment, const struct libshm_series_entry *entry,
                            uint32_t number)
{
    const struct libshm_family_entry *family =
        entry ? libshm_table_at(segment, LIBSHM_TABLE_FAMILIES, entry->family) : NULL;
    return family && family->overflow_series == number + 1 &&
           LIBSHM_STATUS_STATE(libshm_status(&entry->status)) == LIBSHM_STATE_HIDDEN &&
           libshm_cells_fingerprint(segment, entry) == __atomic_load_n(&entry->fingerprint, __ATOMIC_RELAXED);
}

static void labels_of(const struct libshm_family *family, const char *values[LIBSHM_MAX_LABELS + 1],
                      struct libshm_labels *labels)
{
    for (uint32_t i = 0; i < family->n_labels; i++)
        values[i] = "overflow";
    values[family->n_labels] = NULL;
    (void)libshm_labels_set(family, values, labels);
}

int libshm_overflow_hold(struct libshm_family *family, bool insert_locked)
{
    const char *values[LIBSHM_MAX_LABELS + 1];
    struct libshm_labels labels;
    struct libshm_found found;
    struct libshm_segment *segment = family->segment;
    if (!wanted(family) || held(family, &found))
        return 0;
    labels_of(family, values, &labels);
    int error = libshm_index_find_series(segment, family->number, &labels, &found)
                    ? libshm_series_hold(segment, &found, insert_locked)
                    : LIBSHM_E_NOT_FOUND;
    if (error) {
        if (!insert_locked && (error = libshm_insert_lock(segment, LIBSHM_LOCK_PATIENCE_MS)) != 0)
            return error;
        error = libshm_index_find_series(segment, family->number, &labels, &found)
                    ? 0
                    : libshm_series_make(segment, family, &labels, true, &found);
        if (!error)
            error = libshm_series_hold(segment, &found, true);
        if (!insert_locked)
            libshm_insert_unlock(segment);
        if (error)
            return error;
    }
    if (family->overflow_held != 0)
        libshm_unhold(segment, family->overflow_held - 1);
    family->overflow_held = found.number + 1;
    family->overflow_generation = found.generation;
    return 0;
}

int libshm_overflow_give(struct libshm_family *family, int why, struct libshm_found *found)
{
    char reason[256];
    int saved = errno; /* LIBSHM_E_SYSTEM: it is the caller's */
    memset(found, 0, sizeof *found);
    if (why == LIBSHM_E_BUSY && family->n_labels > 0)
        why = LIBSHM_E_OVERFLOW; /* also so for who does not look at the detail: nothing to be tried again */
    else if (why != LIBSHM_E_OVERFLOW && !wanted(family))
        return why;
    else if (why == LIBSHM_E_OVERFLOW)
        (void)libshm_error_set(why, "%s is at its cap of %u series", family->name, family->entry->max_series);
    snprintf(reason, sizeof reason, "%s", libshm_error_detail());
    __atomic_fetch_add(&family->entry->overflowed, 1, __ATOMIC_RELAXED);
    LIBSHM_COUNT(family->segment, overflowed, 1);
    if (!wanted(family) || libshm_overflow_hold(family, false) != 0 || !held(family, found))
        memset(found, 0, sizeof *found);
    errno = saved;
    return libshm_error_set(why, "%s: this %s", reason, found->entry ? "counts in its overflow series" : "is dropped");
}
