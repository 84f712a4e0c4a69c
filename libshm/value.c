/* SPDX-License-Identifier: Apache-2.0
 *
 * What a writer can read: the value behind a handle, and the series of a family. For tests and bindings; serving
 * metrics is the readers' side's work. */
#include <math.h>
#include <string.h>

#include "libshm/internal.h"

static const struct libshm_series_entry *entry_of(unsigned id, uint32_t number, struct libshm_segment **segment)
{
    *segment = id >= 1 && id <= LIBSHM_MAX_SEGMENTS ? libshm_segments[id] : NULL;
    return *segment ? libshm_table_at(*segment, LIBSHM_TABLE_SERIES, number) : NULL;
}

double libshm_counter_value(const libshm_counter *counter)
{
    struct libshm_segment *segment;
    const struct libshm_series_entry *entry = entry_of(counter->segment, counter->series, &segment);
    if (!counter->cell || !entry)
        return NAN;
    struct libshm_cell total = libshm_cells_total(segment, entry, 0, true);
    return (double)total.integer + total.fractional;
}

double libshm_gauge_value(const libshm_gauge *gauge)
{
    double value;
    if (gauge->cell) {
        __atomic_load(&gauge->cell->fractional, &value, __ATOMIC_RELAXED);
        return value;
    }
    struct libshm_segment *segment;
    const struct libshm_series_entry *entry = entry_of(gauge->segment, gauge->series, &segment);
    const struct libshm_family_entry *family =
        entry ? libshm_table_at(segment, LIBSHM_TABLE_FAMILIES, entry->family) : NULL;
    return gauge->live && family ? libshm_live_value(segment, gauge->number, gauge->stamp, family->gauge_mode) : NAN;
}

void libshm_histogram_value(const libshm_histogram *histogram, uint64_t *count, double *sum)
{
    struct libshm_segment *segment;
    const struct libshm_series_entry *entry = entry_of(histogram->segment, histogram->series, &segment);
    *count = 0;
    *sum = histogram->cell && entry ? 0 : NAN;
    for (uint32_t i = 0; histogram->cell && entry && i < entry->n_cells; i++) {
        struct libshm_cell total = libshm_cells_total(segment, entry, i, true);
        *count += total.integer;
        *sum += total.fractional;
    }
}

/* Copies the label values of series `number` to `text`, each ended by a zero. False: not a series of the family now. */
static bool copy_values(const struct libshm_family *family, uint32_t number, char *text, const char **values)
{
    const struct libshm_segment *segment = family->segment;
    const struct libshm_series_entry *entry = libshm_table_at(segment, LIBSHM_TABLE_SERIES, number);
    uint64_t status = entry ? libshm_status(&entry->status) : 0;
    if (!libshm_status_shown(status) || entry->family != family->number ||
        libshm_overflow_asleep(segment, entry, number))
        return false;
    const char *block = libshm_at(segment, (uint64_t)entry->text * 16, entry->text_size);
    uint32_t left = entry->text_size;
    if (family->n_labels > 0 && (!block || left < family->n_labels * 2 || left > LIBSHM_MAX_TEXT))
        return false;
    const char *from = block ? block + family->n_labels * 2 : NULL;
    left -= family->n_labels * 2;
    for (uint32_t i = 0; i < family->n_labels; i++) {
        uint16_t length;
        memcpy(&length, block + i * 2, 2);
        if (length > left)
            return false;
        memcpy(text, from, length);
        values[i] = text;
        text[length] = 0;
        text += length + 1;
        from += length;
        left -= length;
    }
    values[family->n_labels] = NULL;
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the copy before the second look at the generation */
    uint64_t again = __atomic_load_n(&entry->status, __ATOMIC_RELAXED);
    return libshm_status_shown(again) && LIBSHM_STATUS_GENERATION(again) == LIBSHM_STATUS_GENERATION(status);
}

int libshm_family_each(libshm_family *family, int (*visit)(const char *const *values, void *context), void *context)
{
    if (!family)
        return libshm_error_set(LIBSHM_E_INVALID, "the family is NULL: its definition failed");
    char text[LIBSHM_MAX_TEXT + LIBSHM_MAX_LABELS + 1];
    const char *values[LIBSHM_MAX_LABELS + 1];
    int result = 0;
    uint32_t count = libshm_table_count(family->segment, LIBSHM_TABLE_SERIES);
    for (uint32_t n = 0; n < count && result == 0; n++)
        if (copy_values(family, n, text, values))
            result = visit(values, context);
    return result;
}
