/* SPDX-License-Identifier: Apache-2.0
 *
 * See common_changes.h. */
#include "common_changes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "libshm/internal.h"

#define METRIC(metric_type, ...) (&(libshm_metric){.type = (metric_type), .help = "A test.", .name = __VA_ARGS__})

static int define(libshm_segment *segment, const libshm_metric *metric, libshm_family **family)
{
    return libshm_family_define(segment, metric, family);
}

int changes_witness(libshm_segment *segment)
{
    libshm_family *family;
    int error = define(segment, METRIC(LIBSHM_TYPE_COUNTER, "witness_total", .labels = LIBSHM_LABELS("a")), &family);
    if (!error)
        libshm_counter_add_with(family, LIBSHM_VALUES("a"), 5);
    return error;
}

double changes_witness_value(libshm_segment *segment)
{
    libshm_family *family;
    libshm_counter counter;
    double value = NAN;
    if (define(segment, METRIC(LIBSHM_TYPE_COUNTER, "witness_total", .labels = LIBSHM_LABELS("a")), &family) == 0 &&
        family->entry->series == 1 && libshm_counter_get(family, LIBSHM_VALUES("a"), &counter) == 0) {
        value = libshm_counter_value(&counter);
        libshm_counter_put(&counter);
    }
    return value;
}

/* ---- definitions ---- */

static int open_only(libshm_segment *segment)
{
    return segment ? 0 : LIBSHM_E_INVALID;
}

static int define_counter(libshm_segment *segment)
{
    libshm_counter counter;
    int error = libshm_counter_define(segment, METRIC(0, "requests_total", .unit = NULL), &counter);
    libshm_counter_inc(&counter);
    return error;
}

static int define_large(libshm_segment *segment)
{
    char help[LIBSHM_MAX_HELP + 1], name[LIBSHM_MAX_NAME + 1];
    double bounds[LIBSHM_MAX_BOUNDS];
    libshm_histogram histogram;
    memset(help, 'h', sizeof help);
    memset(name, 'n', sizeof name);
    help[sizeof help - 1] = name[sizeof name - 1] = 0;
    for (int i = 0; i < (int)LIBSHM_MAX_BOUNDS; i++)
        bounds[i] = i;
    libshm_metric metric = {.name = name, .help = help, .bounds = bounds, .n_bounds = LIBSHM_MAX_BOUNDS};
    int error = libshm_histogram_define(segment, &metric, &histogram);
    libshm_histogram_observe(&histogram, 1);
    return error;
}

static int prepare_old_definition(libshm_segment *segment)
{
    libshm_family *family;
    int error = define(segment, METRIC(LIBSHM_TYPE_GAUGE, "jobs_total", .labels = LIBSHM_LABELS("kind")), &family);
    for (int i = 0; !error && i < 3; i++)
        libshm_gauge_set_with(family, LIBSHM_VALUES((const char *[]){"x", "y", "z"}[i]), i);
    return error ? error : changes_witness(segment);
}

static int redefine(libshm_segment *segment)
{
    libshm_counter counter;
    return libshm_counter_define(segment, METRIC(0, "jobs_total", .unit = NULL), &counter);
}

/* The index is rebuilt when three quarters of it are in use. */
static int prepare_full_index(libshm_segment *segment)
{
    libshm_family *family;
    int error = define(segment, METRIC(LIBSHM_TYPE_GAUGE, "many", .labels = LIBSHM_LABELS("n")), &family);
    for (int i = 0; !error && segment->header->index_used < 383; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        libshm_gauge_set_with(family, LIBSHM_VALUES(value), i);
    }
    return error ? error : changes_witness(segment);
}

/* ---- series ---- */

#define GET(kind, family, ...) libshm_##kind##_get(family, __VA_ARGS__, &(libshm_##kind){.segment = 0})

static int series_of_each_kind(libshm_segment *segment)
{
    libshm_family *family;
    int error = define(segment, METRIC(LIBSHM_TYPE_COUNTER, "c_total", .labels = LIBSHM_LABELS("a", "b")), &family);
    error = error ? error : GET(counter, family, LIBSHM_VALUES("one", "two"));
    error = error ? error : define(segment, METRIC(LIBSHM_TYPE_GAUGE, "g", .labels = LIBSHM_LABELS("a")), &family);
    error = error ? error : GET(gauge, family, LIBSHM_VALUES("a value that is a little longer than others"));
    error = error ? error
                  : define(segment,
                           METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .LIBSHM_BOUNDS(1, 2, 3), .labels = LIBSHM_LABELS("a")),
                           &family);
    error = error ? error : GET(histogram, family, LIBSHM_VALUES("1"));
    error = error ? error : define(segment, METRIC(LIBSHM_TYPE_SUMMARY, "s", .labels = LIBSHM_LABELS("a")), &family);
    return error ? error : GET(histogram, family, LIBSHM_VALUES("1"));
}

static int live_gauges(libshm_segment *segment)
{
    libshm_family *family;
    int error =
        define(segment, METRIC(LIBSHM_TYPE_GAUGE, "live", .gauge_mode = LIBSHM_GAUGE_SUM, .labels = LIBSHM_LABELS("n")),
               &family);
    for (uint32_t i = 0; !error && i < LIBSHM_LIVE_CELLS + 2; i += 64) {
        char value[16];
        snprintf(value, sizeof value, "%u", i);
        error = GET(gauge, family, LIBSHM_VALUES(value));
        libshm_gauge_set_with(family, LIBSHM_VALUES(value), 1);
    }
    return error;
}

/* The next live gauge needs a second page of cells. */
static int prepare_live_gauges(libshm_segment *segment)
{
    libshm_family *family;
    int error =
        define(segment, METRIC(LIBSHM_TYPE_GAUGE, "live", .gauge_mode = LIBSHM_GAUGE_SUM, .labels = LIBSHM_LABELS("n")),
               &family);
    for (uint32_t i = 0; !error && i < LIBSHM_LIVE_CELLS; i++) {
        char value[16];
        snprintf(value, sizeof value, "old%u", i);
        libshm_gauge_set_with(family, LIBSHM_VALUES(value), 1);
    }
    return error ? error : changes_witness(segment);
}

static int prepare_cap(libshm_segment *segment)
{
    libshm_family *family;
    int error =
        define(segment, METRIC(LIBSHM_TYPE_COUNTER, "c_total", .max_series = 1, .labels = LIBSHM_LABELS("a")), &family);
    error = error ? error : GET(counter, family, LIBSHM_VALUES("first"));
    if (error)
        return error;
    libshm_mutex_lock(segment); /* as if there had been no room for it when the family was defined */
    error = libshm_insert_lock(segment, LIBSHM_LOCK_PATIENCE_MS);
    if (!error) {
        error = libshm_series_retire(segment, family->entry->overflow_series - 1);
        libshm_insert_unlock(segment);
    }
    libshm_mutex_unlock(segment);
    return error ? error : changes_witness(segment);
}

static int overflow(libshm_segment *segment)
{
    libshm_family *family;
    int error =
        define(segment, METRIC(LIBSHM_TYPE_COUNTER, "c_total", .max_series = 1, .labels = LIBSHM_LABELS("a")), &family);
    if (error)
        return error;
    error = GET(counter, family, LIBSHM_VALUES("second"));
    return error == LIBSHM_E_OVERFLOW && family->entry->overflow_series ? 0 : LIBSHM_E_NOT_FOUND;
}

/* ---- removal and reuse ---- */

static int prepare_removal(libshm_segment *segment)
{
    libshm_family *family;
    int error = define(segment, METRIC(LIBSHM_TYPE_COUNTER, "c_total", .labels = LIBSHM_LABELS("a", "b")), &family);
    if (error)
        return error;
    libshm_counter_add_with(family, LIBSHM_VALUES("one", "two"), 7);
    libshm_counter_add_with(family, LIBSHM_VALUES("three", "four"), 8);
    error = define(segment, METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .LIBSHM_BOUNDS(1, 2, 3), .labels = LIBSHM_LABELS("a")),
                   &family);
    if (error)
        return error;
    libshm_histogram_observe_with(family, LIBSHM_VALUES("1"), 1);
    return changes_witness(segment);
}

static int removal(libshm_segment *segment)
{
    libshm_family *family;
    int error = define(segment, METRIC(LIBSHM_TYPE_COUNTER, "c_total", .labels = LIBSHM_LABELS("a", "b")), &family);
    error = error ? error : libshm_series_remove(family, LIBSHM_VALUES("one", "two"));
    if (error && error != LIBSHM_E_NOT_FOUND) /* removed by one who died afterwards */
        return error;
    error = define(segment, METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .LIBSHM_BOUNDS(1, 2, 3), .labels = LIBSHM_LABELS("a")),
                   &family);
    error = error ? error : libshm_family_clear(family);
    return error ? error : libshm_sweep(segment);
}

/* Removed while it was held; the holder is gone. */
static int prepare_removed(libshm_segment *segment)
{
    libshm_family *family;
    libshm_counter counter;
    int error = prepare_removal(segment);
    error = error ? error
                  : define(segment, METRIC(LIBSHM_TYPE_COUNTER, "c_total", .labels = LIBSHM_LABELS("a", "b")), &family);
    error = error ? error : libshm_counter_get(family, LIBSHM_VALUES("one", "two"), &counter);
    error = error ? error : libshm_series_remove(family, LIBSHM_VALUES("one", "two"));
    return error;
}

static int reuse(libshm_segment *segment)
{
    libshm_family *family;
    int error = libshm_sweep(segment);
    error = error ? error
                  : define(segment, METRIC(LIBSHM_TYPE_COUNTER, "c_total", .labels = LIBSHM_LABELS("a", "b")), &family);
    libshm_counter counter;
    error = error ? error : libshm_counter_get(family, LIBSHM_VALUES("five", "six"), &counter);
    if (!error && libshm_counter_value(&counter) != 0)
        error = LIBSHM_E_DAMAGED;
    return error;
}

/* At its cap, with one series that has been idle for an hour. */
#define IDLE METRIC(LIBSHM_TYPE_COUNTER, "idle_total", .max_series = 2, .ttl_seconds = 1, .labels = LIBSHM_LABELS("a"))

static int prepare_idle(libshm_segment *segment)
{
    libshm_family *family;
    int error = define(segment, IDLE, &family);
    libshm_counter counter;
    error = error ? error : libshm_counter_get(family, LIBSHM_VALUES("old"), &counter);
    if (error)
        return error;
    libshm_counter_add(&counter, 3);
    struct libshm_series_entry *entry = libshm_table_at(segment, LIBSHM_TABLE_SERIES, counter.series);
    error = libshm_sweep(segment); /* sees that it moved */
    entry->moved_ns = 1;
    error = error ? error : libshm_sweep(segment);
    if (LIBSHM_STATUS_STATE(entry->status) != LIBSHM_STATE_HIDDEN)
        return LIBSHM_E_NOT_FOUND;
    error = error ? error : GET(counter, family, LIBSHM_VALUES("young"));
    family->entry->last_sweep_ns = 0;
    return error ? error : changes_witness(segment);
}

static int take_idle(libshm_segment *segment)
{
    libshm_family *family;
    libshm_counter counter;
    int error = define(segment, IDLE, &family);
    error = error ? error : libshm_counter_get(family, LIBSHM_VALUES("new"), &counter);
    if (!error && libshm_counter_value(&counter) != 0)
        error = LIBSHM_E_DAMAGED;
    return error;
}

/* A handle is put back: the next setup takes another attach, without the hold. */
static int renew(libshm_segment *segment)
{
    libshm_family *family;
    libshm_counter counter;
    int error = define(segment, METRIC(LIBSHM_TYPE_COUNTER, "c_total", .labels = LIBSHM_LABELS("a", "b")), &family);
    error = error ? error : libshm_counter_get(family, LIBSHM_VALUES("one", "two"), &counter);
    libshm_counter_put(&counter);
    error = error ? error : libshm_sweep(segment);
    return error ? error : GET(counter, family, LIBSHM_VALUES("one", "two"));
}

const struct change changes[] = {
    {"open", NULL, open_only},
    {"define a counter", changes_witness, define_counter},
    {"define the largest histogram", changes_witness, define_large},
    {"replace a definition", prepare_old_definition, redefine},
    {"rebuild the index", prepare_full_index, series_of_each_kind},
    {"make series", changes_witness, series_of_each_kind},
    {"make live gauges", changes_witness, live_gauges},
    {"make live pages", prepare_live_gauges, live_gauges},
    {"make the overflow series", prepare_cap, overflow},
    {"remove", prepare_removal, removal},
    {"reuse", prepare_removed, reuse},
    {"take an idle series", prepare_idle, take_idle},
    {"renew the attach", prepare_removal, renew},
    {"reset", prepare_removal, libshm_reset},
    {NULL, NULL, NULL},
};
