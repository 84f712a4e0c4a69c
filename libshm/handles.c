/* SPDX-License-Identifier: Apache-2.0
 *
 * Handles: what an update needs to know of a series, given out and given back. */
#include <stdlib.h>
#include <string.h>

#include "libshm/internal.h"

void libshm_counter_handle(const struct libshm_family *family, const struct libshm_found *found,
                           libshm_counter *counter)
{
    const struct libshm_segment *segment = family->segment;
    const struct libshm_group *group = found->entry ? libshm_cells_group(segment, found->entry) : NULL;
    *counter = (libshm_counter){.segment = (uint8_t)segment->id, .series = found->number};
    if (!group)
        return;
    counter->cell = (struct libshm_cell *)(void *)(segment->base + found->entry->cells);
    counter->cpu_limit = segment->per_cpu ? group->cpu_lanes : 0;
    counter->atomic_mask = (uint8_t)(group->atomic_lanes - 1);
}

void libshm_histogram_handle(const struct libshm_family *family, const struct libshm_found *found,
                             libshm_histogram *histogram)
{
    libshm_counter cells;
    libshm_counter_handle(family, found, &cells);
    *histogram = family->search;
    histogram->cell = cells.cell;
    histogram->series = cells.series;
    histogram->cpu_limit = cells.cpu_limit;
    histogram->range |= cells.cpu_limit;
    histogram->atomic_mask = cells.atomic_mask;
    histogram->segment = cells.segment;
}

void libshm_gauge_handle(const struct libshm_family *family, const struct libshm_found *found, libshm_gauge *gauge)
{
    struct libshm_segment *segment = family->segment;
    *gauge = (libshm_gauge){.segment = (uint8_t)segment->id, .series = found->number};
    if (!found->entry)
        return;
    if (found->entry->group == LIBSHM_NO_GROUP) {
        gauge->live = &segment->process;
        gauge->number = (uint32_t)(found->entry->cells - 1);
        gauge->stamp = found->generation;
    } else if (libshm_cells_group(segment, found->entry)) {
        gauge->cell = (struct libshm_cell *)(void *)(segment->base + found->entry->cells - LIBSHM_PAGE);
    }
}

enum handle_kind { COUNTER, GAUGE, HISTOGRAM };

static bool kind_fits(enum handle_kind kind, uint32_t type)
{
    switch (type) {
    case LIBSHM_TYPE_COUNTER:
        return kind == COUNTER;
    case LIBSHM_TYPE_HISTOGRAM:
    case LIBSHM_TYPE_SUMMARY:
        return kind == HISTOGRAM;
    default:
        return kind == GAUGE;
    }
}

static int get(struct libshm_family *family, const char *const *values, enum handle_kind kind, void *handle)
{
    struct libshm_labels labels;
    struct libshm_found found = {NULL, 0, 0};
    if (!kind_fits(kind, family->type))
        return libshm_error_set(LIBSHM_E_MISMATCH, "%s is of another type than the handle", family->name);
    int error = libshm_labels_set(family, values, &labels);
    if (error) {
        LIBSHM_COUNT(family->segment, rejected, 1);
        return error;
    }
    libshm_mutex_lock(family->segment);
    error = libshm_series_obtain(family, &labels, &found);
    if (error && found.entry) /* this handle's own reference */
        (void)libshm_hold(family->segment, found.number, false);
    if (!error && found.entry->group == LIBSHM_NO_GROUP &&
        !libshm_live_cell(family->segment, (uint32_t)(found.entry->cells - 1), false)) {
        libshm_unhold(family->segment, found.number);
        found.entry = NULL;
        error = LIBSHM_E_FULL;
    }
    libshm_mutex_unlock(family->segment);
    if (kind == COUNTER)
        libshm_counter_handle(family, &found, handle);
    else if (kind == GAUGE)
        libshm_gauge_handle(family, &found, handle);
    else
        libshm_histogram_handle(family, &found, handle);
    return error;
}

static int no_family(void)
{
    return libshm_error_set(LIBSHM_E_INVALID, "the family is NULL: its definition failed");
}

int libshm_counter_get(libshm_family *family, const char *const *values, libshm_counter *counter)
{
    *counter = (libshm_counter){.segment = (uint8_t)(family ? family->segment->id : 0)};
    return family ? get(family, values, COUNTER, counter) : no_family();
}

int libshm_gauge_get(libshm_family *family, const char *const *values, libshm_gauge *gauge)
{
    *gauge = (libshm_gauge){.segment = (uint8_t)(family ? family->segment->id : 0)};
    return family ? get(family, values, GAUGE, gauge) : no_family();
}

int libshm_histogram_get(libshm_family *family, const char *const *values, libshm_histogram *histogram)
{
    *histogram = (libshm_histogram){.segment = (uint8_t)(family ? family->segment->id : 0)};
    return family ? get(family, values, HISTOGRAM, histogram) : no_family();
}

static void put(unsigned id, uint32_t number)
{
    struct libshm_segment *segment = id <= LIBSHM_MAX_SEGMENTS ? libshm_segments[id] : NULL;
    if (!segment)
        return;
    libshm_mutex_lock(segment);
    libshm_unhold(segment, number);
    libshm_mutex_unlock(segment);
}

void libshm_counter_put(libshm_counter *counter)
{
    if (counter->cell)
        put(counter->segment, counter->series);
    *counter = (libshm_counter){.segment = 0};
}

void libshm_gauge_put(libshm_gauge *gauge)
{
    if (gauge->cell || gauge->live)
        put(gauge->segment, gauge->series);
    *gauge = (libshm_gauge){.segment = 0};
}

void libshm_histogram_put(libshm_histogram *histogram)
{
    if (histogram->cell)
        put(histogram->segment, histogram->series);
    *histogram = (libshm_histogram){.segment = 0};
}
