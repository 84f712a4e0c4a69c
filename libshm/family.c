/* SPDX-License-Identifier: Apache-2.0
 *
 * Families: found or made, and compared with the definition that is there. definition.c checks what a definition says.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libshm/internal.h"

static const char *const mode_names[] = {"shared", "sum", "min", "max", "all"};

/* ---- what is there ---- */

struct texts { /* the text block of a family, taken apart */
    const char *name, *help, *unit, *label[LIBSHM_MAX_LABELS];
    uint16_t name_length, help_length, unit_length, label_length[LIBSHM_MAX_LABELS];
    const double *bounds;
};

static bool take_apart(const struct libshm_segment *segment, const struct libshm_family_entry *entry,
                       struct texts *texts)
{
    const uint16_t *length = libshm_at(segment, (uint64_t)entry->text * 16, entry->text_size);
    uint32_t n = entry->n_labels, at = (3 + n) * 2;
    if (!length || n > LIBSHM_MAX_LABELS || entry->text_size < at)
        return false;
    const char *base = (const char *)length;
    const char **strings[3] = {&texts->name, &texts->help, &texts->unit};
    uint16_t *lengths[3] = {&texts->name_length, &texts->help_length, &texts->unit_length};
    for (uint32_t i = 0; i < 3 + n; i++) {
        if (length[i] > entry->text_size - at)
            return false;
        *(i < 3 ? strings[i] : &texts->label[i - 3]) = base + at;
        *(i < 3 ? lengths[i] : &texts->label_length[i - 3]) = length[i];
        at += length[i];
    }
    at = (at + 7) & ~7u;
    texts->bounds = (const double *)(const void *)(base + at);
    return at <= entry->text_size && entry->text_size - at >= entry->n_bounds * 8u;
}

/* "histogram{a,b} with 3 bounds" */
static void describe(char *to, size_t size, uint32_t type, uint32_t mode, uint32_t n_bounds, uint32_t n_labels,
                     const char *const *labels, const uint16_t *lengths)
{
    size_t at = (size_t)snprintf(to, size, "%s%s%s{", type == LIBSHM_TYPE_GAUGE ? mode_names[mode] : "",
                                 type == LIBSHM_TYPE_GAUGE ? " " : "", libshm_type_name(type));
    for (uint32_t i = 0; i < n_labels && at < size; i++)
        at += (size_t)snprintf(to + at, size - at, "%s%.*s", i ? "," : "",
                               lengths ? (int)lengths[i] : (int)strlen(labels[i]), labels[i]);
    if (at < size)
        at += (size_t)snprintf(to + at, size - at, "}");
    if (type == LIBSHM_TYPE_HISTOGRAM && at < size)
        snprintf(to + at, size - at, " with %u bounds", n_bounds);
}

static int compare(const struct libshm_segment *segment, const struct libshm_family_entry *entry,
                   const libshm_metric *metric, uint32_t type, uint32_t n_labels)
{
    struct texts texts;
    if (!take_apart(segment, entry, &texts) || entry->type > LIBSHM_TYPE_UNKNOWN ||
        entry->gauge_mode > LIBSHM_GAUGE_ALL)
        return libshm_error_set(LIBSHM_E_DAMAGED, "%s: the definition of %s does not hold together", segment->path,
                                metric->name);
    bool same = entry->type == type && entry->gauge_mode == metric->gauge_mode && entry->n_labels == n_labels &&
                entry->n_bounds == metric->n_bounds;
    for (uint32_t i = 0; same && i < n_labels; i++)
        same = strlen(metric->labels[i]) == texts.label_length[i] &&
               memcmp(metric->labels[i], texts.label[i], texts.label_length[i]) == 0;
    bool bounds = !same || metric->n_bounds == 0 || memcmp(metric->bounds, texts.bounds, metric->n_bounds * 8) == 0;
    if (same && bounds)
        return 0;
    char old[160], new[160];
    describe(old, sizeof old, entry->type, entry->gauge_mode, entry->n_bounds, entry->n_labels, texts.label,
             texts.label_length);
    describe(new, sizeof new, type, metric->gauge_mode, (uint32_t)metric->n_bounds, n_labels, metric->labels, NULL);
    return libshm_error_set(LIBSHM_E_MISMATCH, "%s is defined as %s in %s; this definition is %s%s", metric->name, old,
                            segment->path, new, bounds ? "" : " at other places");
}

/* ---- making ---- */

static struct libshm_family_entry *entry_take(struct libshm_segment *segment, uint32_t *number, uint64_t *generation)
{
    uint32_t count = libshm_table_count(segment, LIBSHM_TABLE_FAMILIES);
    for (uint32_t n = 0; n < count; n++) {
        struct libshm_family_entry *entry = libshm_table_at(segment, LIBSHM_TABLE_FAMILIES, n);
        uint32_t state = entry ? LIBSHM_STATUS_STATE(entry->status) : LIBSHM_STATE_LIVE;
        if (state == LIBSHM_STATE_FREE || state == LIBSHM_STATE_BUILDING) { /* replaced, or its making was undone */
            *number = n;
            *generation = LIBSHM_STATUS_GENERATION(entry->status) ? LIBSHM_STATUS_GENERATION(entry->status) : 1;
            libshm_journal_store(segment, &entry->status, LIBSHM_STATUS(*generation, LIBSHM_STATE_BUILDING));
            /* BUILDING before what becomes of the entry: a reader looks again */
            __atomic_thread_fence(__ATOMIC_RELEASE);
            return entry;
        }
    }
    *generation = 1;
    struct libshm_family_entry *entry = libshm_table_add(segment, LIBSHM_TABLE_FAMILIES, number);
    LIBSHM_POINT();
    if (entry)
        __atomic_store_n(&entry->status, LIBSHM_STATUS(1, LIBSHM_STATE_BUILDING), __ATOMIC_RELEASE);
    return entry;
}

static void write_texts(char *block, const libshm_metric *metric, uint32_t n_labels)
{
    const char *strings[3 + LIBSHM_MAX_LABELS] = {metric->name, metric->help, metric->unit ? metric->unit : ""};
    uint16_t *length = (uint16_t *)(void *)block;
    char *to = block + (3 + n_labels) * 2;
    for (uint32_t i = 0; i < n_labels; i++)
        strings[3 + i] = metric->labels[i];
    for (uint32_t i = 0; i < 3 + n_labels; i++) {
        length[i] = (uint16_t)strlen(strings[i]);
        memcpy(to, strings[i], length[i]);
        to += length[i];
    }
    while ((to - block) % 8 != 0)
        *to++ = 0;
    if (metric->n_bounds)
        memcpy(to, metric->bounds, metric->n_bounds * 8);
}

static int make(struct libshm_segment *segment, const libshm_metric *metric, uint32_t type, uint32_t n_labels,
                uint32_t *number)
{
    uint64_t generation;
    size_t size = strlen(metric->name) + strlen(metric->help) + (metric->unit ? strlen(metric->unit) : 0);
    for (uint32_t i = 0; i < n_labels; i++)
        size += strlen(metric->labels[i]);
    size = ((size + (3 + n_labels) * 2 + 7) & ~(size_t)7) + metric->n_bounds * 8;
    int error = libshm_index_make_room(segment);
    if (error)
        return error;
    struct libshm_family_entry *entry = entry_take(segment, number, &generation);
    uint32_t text = entry ? libshm_text_take(segment, (uint32_t)size) : 0;
    if (!text) {
        libshm_journal_abort(segment);
        return LIBSHM_E_FULL;
    }
    LIBSHM_POINT();
    write_texts(segment->base + (uint64_t)text * 16, metric, n_labels);
    uint32_t hash = libshm_family_hash(metric->name, strlen(metric->name));
    LIBSHM_POINT();
    *entry = (struct libshm_family_entry){
        .status = entry->status,
        .type = type,
        .gauge_mode = metric->gauge_mode,
        .hash = hash,
        .text = text,
        .text_size = (uint32_t)size,
        .n_labels = (uint16_t)n_labels,
        .n_bounds = (uint16_t)metric->n_bounds,
        .max_series = metric->max_series ? metric->max_series : LIBSHM_DEFAULT_MAX_SERIES,
        .ttl_ns = metric->ttl_seconds * UINT64_C(1000000000),
        .created_ns = libshm_now_ns(CLOCK_REALTIME),
    };
    libshm_index_add(segment, hash, LIBSHM_INDEX_FAMILY, *number);
    libshm_journal_commit(segment, &entry->status, LIBSHM_STATUS(generation, LIBSHM_STATE_LIVE));
    return 0;
}

/* Locked. A redeploy: nobody alive knows the old definition, so it and its series go. Somebody may come back with it at
 * any moment, without the lock: who does holds the family and then looks whether it is LIVE; we store REMOVED and then
 * look at the holds. One of the two sees the other. Likewise for each series. */
static bool replace(struct libshm_segment *segment, struct libshm_family_entry *entry, uint32_t number)
{
    uint32_t count = libshm_table_count(segment, LIBSHM_TABLE_SERIES);
    if (libshm_held(segment, LIBSHM_HOLD_FAMILY + number))
        return false;
    for (uint32_t n = 0; n < count; n++) {
        const struct libshm_series_entry *series = libshm_table_at(segment, LIBSHM_TABLE_SERIES, n);
        if (!series || series->family != number || !libshm_status_shown(libshm_status(&series->status)) ||
            libshm_series_take(segment, n))
            continue;
        if (libshm_held(segment, LIBSHM_HOLD_FAMILY + number))
            return false; /* whoever came back holds the series, too, and may count there */
        (void)libshm_series_retire(segment, n);
    }
    libshm_journal_store(segment, &entry->status,
                         LIBSHM_STATUS(LIBSHM_STATUS_GENERATION(entry->status), LIBSHM_STATE_REMOVED));
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* REMOVED before the look at the holds, see set_bit() */
    if (libshm_held(segment, LIBSHM_HOLD_FAMILY + number)) {
        libshm_journal_abort(segment);
        libshm_directory_changed(segment); /* a reader may have copied REMOVED */
        return false;
    }
    libshm_index_remove(segment, entry->hash, LIBSHM_INDEX_FAMILY, number);
    libshm_text_give(segment, entry->text, entry->text_size);
    libshm_journal_commit(segment, &entry->status,
                          LIBSHM_STATUS(LIBSHM_STATUS_GENERATION(entry->status) + 1, LIBSHM_STATE_FREE));
    LIBSHM_COUNT(segment, replaced_families, 1);
    return true;
}

/* This process's object for a family; made and holding the family if there is none yet. Mutex held. */
static int object(struct libshm_segment *segment, struct libshm_family_entry *entry, uint32_t number,
                  const libshm_metric *metric, uint32_t type, uint32_t n_labels, bool insert_locked,
                  libshm_family **family)
{
    uint64_t generation = LIBSHM_STATUS_GENERATION(libshm_status(&entry->status));
    for (libshm_family *f = segment->families; f; f = f->next)
        if (f->number == number && f->generation == generation) {
            *family = f;
            return 0;
        }
    libshm_family *f = calloc(1, sizeof *f);
    libshm_histogram search = {.cell = NULL};
    struct libshm_buckets *buckets = libshm_buckets_new(metric->bounds, (uint32_t)metric->n_bounds, &search);
    if (!f || !buckets) {
        free(f);
        free(buckets);
        return libshm_error_set(LIBSHM_E_MEMORY, "out of memory");
    }
    int error = libshm_hold(segment, LIBSHM_HOLD_FAMILY + number, insert_locked);
    if (!error && libshm_status(&entry->status) != LIBSHM_STATUS(generation, LIBSHM_STATE_LIVE)) {
        libshm_unhold(segment, LIBSHM_HOLD_FAMILY + number);
        error = LIBSHM_E_BUSY; /* replaced between the look and the hold */
    }
    uint32_t again;
    if (!error && !insert_locked && /* or before: the entry may be another definition's since it was compared */
        (libshm_index_find_family(segment, metric->name, &again) != entry ||
         compare(segment, entry, metric, type, n_labels) != 0)) {
        libshm_unhold(segment, LIBSHM_HOLD_FAMILY + number);
        error = LIBSHM_E_BUSY;
    }
    if (error) {
        free(f);
        free(buckets);
        return error;
    }
    *f = (libshm_family){.next = segment->families,
                         .segment = segment,
                         .entry = entry,
                         .generation = generation,
                         .number = number,
                         .n_labels = n_labels,
                         .type = entry->type,
                         .gauge_mode = entry->gauge_mode,
                         .n_bounds = (uint32_t)metric->n_bounds,
                         .search = search,
                         .buckets = buckets};
    memcpy(f->name, metric->name, strlen(metric->name) + 1);
    segment->families = f;
    *family = f;
    return 0;
}

static int define_locked(struct libshm_segment *segment, const libshm_metric *metric, uint32_t type, uint32_t n_labels,
                         libshm_family **family)
{
    uint32_t number = 0;
    struct libshm_family_entry *entry = libshm_index_find_family(segment, metric->name, &number);
    int error = entry ? compare(segment, entry, metric, type, n_labels) : 0;
    if (entry && error && (error != LIBSHM_E_MISMATCH || !replace(segment, entry, number)))
        return error;
    if (!entry || error) {
        error = libshm_sample_names_check(segment, metric->name, type);
        if (!error)
            error = make(segment, metric, type, n_labels, &number);
        if (error)
            return error;
        entry = libshm_table_at(segment, LIBSHM_TABLE_FAMILIES, number);
    }
    error = object(segment, entry, number, metric, type, n_labels, true, family);
    if (!error)
        (void)libshm_overflow_hold(*family, true); /* without room for it, the definition stands */
    return error;
}

static int define(libshm_segment *segment, const libshm_metric *metric, uint32_t type, libshm_family **family)
{
    uint32_t n_labels = 0, number;
    *family = NULL;
    if (!segment)
        return libshm_error_set(LIBSHM_E_INVALID, "the segment is NULL: it could not be opened");
    int error = libshm_metric_check(metric, type, &n_labels);
    if (error) {
        LIBSHM_COUNT(segment, rejected, 1);
        return error;
    }
    libshm_mutex_lock(segment);
    struct libshm_family_entry *entry = libshm_index_find_family(segment, metric->name, &number);
    error = LIBSHM_E_NOT_FOUND;
    if (entry && compare(segment, entry, metric, type, n_labels) == 0)
        error = object(segment, entry, number, metric, type, n_labels, false, family);
    if (!error)
        (void)libshm_overflow_hold(*family, false);
    if (error == LIBSHM_E_NOT_FOUND || error == LIBSHM_E_BUSY) {
        error = libshm_insert_lock(segment, LIBSHM_LOCK_PATIENCE_MS);
        if (!error) {
            libshm_attach_renew(segment, segment->released > 0);
            error = define_locked(segment, metric, type, n_labels, family);
            libshm_insert_unlock(segment);
        }
    }
    libshm_mutex_unlock(segment);
    if (error == LIBSHM_E_MISMATCH || error == LIBSHM_E_COLLISION)
        LIBSHM_COUNT(segment, rejected, 1);
    return error;
}

int libshm_family_define(libshm_segment *segment, const libshm_metric *metric, libshm_family **family)
{
    return define(segment, metric, metric ? metric->type : 0, family);
}

static int one_series(const libshm_metric *metric)
{
    return metric && metric->labels && metric->labels[0]
               ? libshm_error_set(LIBSHM_E_INVALID, "%s has labels: define it with libshm_family_define", metric->name)
               : 0;
}

int libshm_counter_define(libshm_segment *segment, const libshm_metric *metric, libshm_counter *counter)
{
    libshm_family *family = NULL;
    *counter = (libshm_counter){.segment = (uint8_t)(segment ? segment->id : 0)};
    int error = one_series(metric);
    if (!error)
        error = define(segment, metric, LIBSHM_TYPE_COUNTER, &family);
    return error ? error : libshm_counter_get(family, NULL, counter);
}

int libshm_gauge_define(libshm_segment *segment, const libshm_metric *metric, libshm_gauge *gauge)
{
    libshm_family *family = NULL;
    *gauge = (libshm_gauge){.segment = (uint8_t)(segment ? segment->id : 0)};
    int error = one_series(metric);
    if (!error)
        error = define(segment, metric, LIBSHM_TYPE_GAUGE, &family);
    return error ? error : libshm_gauge_get(family, NULL, gauge);
}

int libshm_histogram_define(libshm_segment *segment, const libshm_metric *metric, libshm_histogram *histogram)
{
    libshm_family *family = NULL;
    *histogram = (libshm_histogram){.segment = (uint8_t)(segment ? segment->id : 0)};
    int error = one_series(metric);
    if (!error)
        error = define(segment, metric, LIBSHM_TYPE_HISTOGRAM, &family);
    return error ? error : libshm_histogram_get(family, NULL, histogram);
}
