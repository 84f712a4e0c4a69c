/* SPDX-License-Identifier: Apache-2.0
 *
 * The exporter's own metrics, see self.h. Families about the exporter have the same series all its life; those about
 * segments have one for each, and are laid out anew when the set of segments or which of them are up changes. */
#include "self.h"
#include "self_process.h"
#include "self_segment.h"
#include "utf8.h"

#include <libshm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum own {
    OWN_BUILD_INFO,
    OWN_DIRECTORY_READABLE,
    OWN_SEGMENTS,
    OWN_IGNORED_FILES,
    OWN_FAMILIES,
    OWN_SERIES,
    OWN_CONFLICTING_FAMILIES,
    OWN_DUPLICATE_SERIES,
    OWN_SCRAPE_DURATION,
    OWN_LAST_BYTES,
    OWN_REQUESTS,
    OWN_IN_FLIGHT,
    OWN_UNREADABLE_PROCESSES,
    OWN_METRICS,
};

static const struct own_metric {
    const char *name, *help, *unit, *label;
    uint32_t type, n_series;
} own_metrics[OWN_METRICS] = {
    [OWN_BUILD_INFO] = {"shm_exporter_build_info", "Always 1; the label is the version.", "", "version",
                        LIBSHM_TYPE_INFO, 1},
    [OWN_DIRECTORY_READABLE] = {"shm_exporter_directory_readable",
                                "1 if the directory of the segments could be read for this scrape.", "", "directory",
                                LIBSHM_TYPE_GAUGE, DIRECTORIES_MAX},
    [OWN_SEGMENTS] = {"shm_exporter_segments", "Segments that are served or should be.", "", NULL, LIBSHM_TYPE_GAUGE,
                      1},
    [OWN_IGNORED_FILES] = {"shm_exporter_ignored_files",
                           "Files of the directory that were passed over: by their name, type, number or content.", "",
                           "reason", LIBSHM_TYPE_GAUGE, IGNORED_REASONS},
    [OWN_FAMILIES] = {"shm_exporter_families", "Families in this scrape.", "", NULL, LIBSHM_TYPE_GAUGE, 1},
    [OWN_SERIES] = {"shm_exporter_series", "Series in this scrape.", "", NULL, LIBSHM_TYPE_GAUGE, 1},
    [OWN_CONFLICTING_FAMILIES] =
        {"shm_exporter_conflicting_families",
         "Families left out of this scrape: another one has their name, or a sample's name, and is defined otherwise.",
         "", NULL, LIBSHM_TYPE_GAUGE, 1},
    [OWN_DUPLICATE_SERIES] =
        {"shm_exporter_duplicate_series",
         "Series left out of this scrape: an older segment has the same ones, and no label tells them apart.", "", NULL,
         LIBSHM_TYPE_GAUGE, 1},
    [OWN_SCRAPE_DURATION] = {"shm_exporter_scrape_duration_seconds",
                             "What making the body of a scrape took, from looking for segments to the last byte.",
                             "seconds", NULL, LIBSHM_TYPE_HISTOGRAM, 1},
    [OWN_LAST_BYTES] = {"shm_exporter_last_scrape_bytes", "Size of the last body, before compression.", "bytes", NULL,
                        LIBSHM_TYPE_GAUGE, 1},
    [OWN_REQUESTS] = {"shm_exporter_http_requests_total", "Requests answered, by HTTP status.", "", "code",
                      LIBSHM_TYPE_COUNTER, ANSWERS},
    [OWN_IN_FLIGHT] = {"shm_exporter_http_requests_in_flight", "Requests for metrics that are being answered.", "",
                       NULL, LIBSHM_TYPE_GAUGE, 1},
    [OWN_UNREADABLE_PROCESSES] =
        {"shm_exporter_unreadable_processes",
         "Living processes left out by --collector.processes, in whole or in part: the exporter may not look at them.",
         "", NULL, LIBSHM_TYPE_GAUGE, 1},
};

static const double duration_bounds[SELF_DURATION_BOUNDS] = {.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1};
static const char *const segment_label[] = {"segment"};

#define FAMILIES       (OWN_METRICS + SEGMENT_METRICS + PROCESS_METRICS)
#define MAX_OWN_SERIES 8u
#define SELF_IDENTITY  (UINT64_C(1) << 63) /* openings of segments are numbered from 1 on */

struct self {
    struct source source;
    libshm_family_view families[OWN_METRICS + SEGMENT_METRICS]; /* in the order of the tables */
    libshm_family_view sorted[FAMILIES];                        /* copies, by name */
    libshm_series_view own[OWN_METRICS][MAX_OWN_SERIES];
    const char *own_values[OWN_METRICS][MAX_OWN_SERIES];
    char codes[ANSWERS][12];
    char *directories[DIRECTORIES_MAX];
    size_t n_directories;
    struct libshm_cell durations[SELF_DURATION_BOUNDS + 1];
    struct seen { /* segments of the last layout */
        char name[SEGMENT_NAME_MAX + 1];
        bool up;
        const char *label_value;
    } * seen;
    size_t n_seen;
    libshm_series_view *series; /* about segments: for each metric, n_seen */
    struct process_layout processes;
};

/* Label values must be UTF-8, and a path need not be. */
static char *copy_utf8(const char *text)
{
    char *copy = strdup(text);
    for (char *c = copy; c && *c; c += utf8_length(c) ? utf8_length(c) : 1)
        if (!utf8_length(c))
            *c = '?';
    return copy;
}

static void lay_out_own(struct self *self, enum own which)
{
    const struct own_metric *metric = &own_metrics[which];
    for (uint32_t i = 0; i < metric->n_series; i++)
        self->own[which][i] = (libshm_series_view){
            .generation = 1, .number = i, .label_values = metric->label ? &self->own_values[which][i] : NULL};
    self->families[which] = (libshm_family_view){
        .generation = 1,
        .number = which,
        .type = metric->type,
        .n_labels = metric->label != NULL,
        .name = metric->name,
        .help = metric->help,
        .unit = metric->unit,
        .label_names = &metric->label,
        .series = self->own[which],
        .n_series = metric->n_series,
    };
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const libshm_family_view *)a)->name, ((const libshm_family_view *)b)->name);
}

static void sort_families(struct self *self, bool processes)
{
    size_t n = 0;
    for (size_t i = 0; i < OWN_METRICS + SEGMENT_METRICS; i++)
        if (i != OWN_UNREADABLE_PROCESSES || processes)
            self->sorted[n++] = self->families[i];
    for (size_t i = 0; processes && i < PROCESS_METRICS; i++)
        self->sorted[n++] = self->processes.families[i];
    qsort(self->sorted, n, sizeof *self->sorted, by_name);
    self->source.families = self->sorted;
    self->source.n_families = n;
}

struct self *self_new(const struct scope *scope)
{
    struct self *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    for (; self->n_directories < scope->n_directories; self->n_directories++) {
        char *copy = copy_utf8(scope->directories[self->n_directories]);
        if (!copy) {
            self_free(self);
            return NULL;
        }
        self->directories[self->n_directories] = copy;
        self->own_values[OWN_DIRECTORY_READABLE][self->n_directories] = copy;
    }
    self->own_values[OWN_BUILD_INFO][0] = LIBSHM_VERSION;
    for (size_t i = 0; i < IGNORED_REASONS; i++)
        self->own_values[OWN_IGNORED_FILES][i] = ignored_names[i];
    for (size_t i = 0; i < ANSWERS; i++) {
        snprintf(self->codes[i], sizeof self->codes[i], "%u", answer_status((enum answer)i));
        self->own_values[OWN_REQUESTS][i] = self->codes[i];
    }
    for (enum own which = 0; which < OWN_METRICS; which++)
        lay_out_own(self, which);
    self->families[OWN_DIRECTORY_READABLE].n_series = self->n_directories;
    libshm_family_view *durations = &self->families[OWN_SCRAPE_DURATION];
    durations->bounds = duration_bounds;
    durations->n_bounds = SELF_DURATION_BOUNDS;
    self->own[OWN_SCRAPE_DURATION][0].buckets = self->durations;
    self->source = (struct source){.name = "shm-exporter", .identity = SELF_IDENTITY};
    return self;
}

void self_free(struct self *self)
{
    if (!self)
        return;
    for (size_t i = 0; i < self->n_directories; i++)
        free(self->directories[i]);
    process_layout_free(&self->processes);
    free(self->seen);
    free(self->series);
    free(self);
}

/* ---- layout ---------------------------------------------------------------------------------------------------- */

static bool same_segments(const struct self *self, const struct segment *const *segments, size_t n)
{
    if (!self->source.families || self->n_seen != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (self->seen[i].up != (segments[i]->snapshot != NULL) || strcmp(self->seen[i].name, segments[i]->name) != 0)
            return false;
    return true;
}

/* The series of one metric: one for each segment that has it. Returns behind the last. */
static libshm_series_view *lay_out_segments(struct self *self, size_t which, libshm_series_view *at)
{
    const struct segment_metric *metric = &segment_metrics[which];
    libshm_family_view *family = &self->families[OWN_METRICS + which];
    *family = (libshm_family_view){
        .generation = 1,
        .number = (uint32_t)(OWN_METRICS + which),
        .type = metric->type,
        .n_labels = 1,
        .name = metric->name,
        .help = metric->help,
        .unit = metric->unit,
        .label_names = segment_label,
        .series = at,
    };
    for (uint32_t i = 0; i < self->n_seen; i++)
        if (self->seen[i].up || segment_metric_always(metric))
            *at++ = (libshm_series_view){.generation = 1, .number = i, .label_values = &self->seen[i].label_value};
    family->n_series = (size_t)(at - family->series);
    return at;
}

static bool lay_out_all_segments(struct self *self, const struct segment *const *segments, size_t n)
{
    struct seen *seen = calloc(n + 1, sizeof *seen);
    libshm_series_view *series = calloc(n * SEGMENT_METRICS + 1, sizeof *series), *at = series;
    if (!seen || !series) {
        free(seen);
        free(series);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(seen[i].name, segments[i]->name, sizeof seen[i].name);
        seen[i].up = segments[i]->snapshot != NULL;
        seen[i].label_value = seen[i].name;
    }
    free(self->seen);
    free(self->series);
    self->seen = seen;
    self->n_seen = n;
    self->series = series;
    for (size_t i = 0; i < SEGMENT_METRICS; i++)
        at = lay_out_segments(self, i, at);
    return true;
}

const struct source *self_layout(struct self *self, const struct segment *const *segments, size_t n,
                                 const struct processes *processes)
{
    const bool same = same_segments(self, segments, n);
    if (same && (!processes || process_layout_current(&self->processes, processes, segments)))
        return &self->source;
    if (!same && !lay_out_all_segments(self, segments, n))
        return NULL;
    if (processes &&
        !process_layout_make(&self->processes, processes, segments, (uint32_t)(OWN_METRICS + SEGMENT_METRICS)))
        return NULL;
    sort_families(self, processes != NULL);
    self->source.identity++; /* the numbers of series mean others now */
    return &self->source;
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

static void set(struct self *self, enum own which, size_t i, uint64_t value)
{
    if (own_metrics[which].type == LIBSHM_TYPE_COUNTER)
        self->own[which][i].integer = value;
    else
        self->own[which][i].fractional = (double)value;
}

static void observe_duration(struct self *self, double seconds)
{
    libshm_series_view *series = self->own[OWN_SCRAPE_DURATION];
    size_t bucket = 0;
    while (bucket < SELF_DURATION_BOUNDS && seconds > duration_bounds[bucket])
        bucket++;
    self->durations[bucket].integer++;
    series->count++;
    series->sum += seconds;
}

static void fill_segments(struct self *self, const struct segment *const *segments)
{
    libshm_series_view *at = self->series;
    for (size_t which = 0; which < SEGMENT_METRICS; which++)
        for (size_t i = 0; i < self->n_seen; i++)
            if (self->seen[i].up || segment_metric_always(&segment_metrics[which])) {
                segment_metric_read(&segment_metrics[which], segments[i], &at->integer, &at->fractional);
                at++;
            }
}

void self_fill(struct self *self, const struct segment *const *segments, size_t n, const struct self_status *status)
{
    set(self, OWN_BUILD_INFO, 0, 1);
    for (size_t i = 0; i < self->n_directories; i++)
        set(self, OWN_DIRECTORY_READABLE, i, status->readable[i]);
    set(self, OWN_SEGMENTS, 0, n);
    for (size_t i = 0; i < IGNORED_REASONS; i++)
        set(self, OWN_IGNORED_FILES, i, status->ignored[i]);
    set(self, OWN_FAMILIES, 0, status->families);
    set(self, OWN_SERIES, 0, status->series);
    set(self, OWN_CONFLICTING_FAMILIES, 0, status->conflicting_families);
    set(self, OWN_DUPLICATE_SERIES, 0, status->duplicate_series);
    if (status->last_seconds >= 0)
        observe_duration(self, status->last_seconds);
    set(self, OWN_LAST_BYTES, 0, status->last_bytes);
    for (size_t i = 0; i < ANSWERS; i++)
        set(self, OWN_REQUESTS, i, atomic_load(&status->statistics->requests[i]));
    set(self, OWN_IN_FLIGHT, 0, atomic_load(&status->statistics->in_flight));
    fill_segments(self, segments);
    if (status->processes) {
        set(self, OWN_UNREADABLE_PROCESSES, 0, status->processes->unreadable);
        process_layout_fill(&self->processes, status->processes);
    }
}
