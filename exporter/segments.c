/* SPDX-License-Identifier: Apache-2.0
 *
 * The segments that are being served, see segments.h. */
#include "segments.h"
#include "guard.h"
#include "log.h"

#include <libshm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct segments {
    const struct scope *scope;
    struct discovery *discovery;
    struct segment **all; /* sorted by name, foreign ones included */
    size_t n_all;
    const struct segment **list; /* without those */
    size_t n_list;
    size_t ignored[IGNORED_REASONS];
    bool readable[DIRECTORIES_MAX];
    uint64_t last_identity;
};

struct segments *segments_new(const struct scope *scope)
{
    struct segments *segments = calloc(1, sizeof *segments);
    if (!segments)
        return NULL;
    segments->scope = scope;
    segments->discovery = discovery_new(scope);
    if (!segments->discovery) {
        free(segments);
        return NULL;
    }
    return segments;
}

/* ---- one segment ----------------------------------------------------------------------------------------------- */

static double seconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) * 1e-9;
}

static void close_segment(struct segment *segment)
{
    libshm_reader_close(segment->reader);
    segment->reader = NULL;
    segment->snapshot = NULL;
}

static void free_segment(struct segment *segment)
{
    close_segment(segment);
    free(segment->path);
    free(segment);
}

static struct segment *new_segment(const struct scope *scope, const struct discovered_file *file)
{
    const char *directory = scope->directories[file->directory], *name = file->name;
    struct segment *segment = calloc(1, sizeof *segment);
    size_t size = strlen(directory) + 1 + strlen(name) + 1;
    char *path = malloc(size);
    if (!segment || !path) {
        free(segment);
        free(path);
        return NULL;
    }
    snprintf(path, size, "%s/%s", directory, name);
    snprintf(segment->name, sizeof segment->name, "%s", name);
    segment->path = path;
    segment->directory = file->directory;
    return segment;
}

/* Says why a segment is down, once for each reason. */
static void down(struct segment *segment, int error, const char *reason)
{
    close_segment(segment);
    if (segment->error == error && strcmp(segment->reason, reason) == 0)
        return;
    segment->error = error;
    snprintf(segment->reason, sizeof segment->reason, "%s", reason);
    if (error == LIBSHM_E_NOT_SEGMENT)
        log_event(LOG_INFO, "file passed over", "segment", segment->name, "file", segment->path, "reason", reason,
                  NULL);
    else if (error == LIBSHM_E_NOT_FOUND)
        log_event(LOG_INFO, "segment is not there", "segment", segment->name, "file", segment->path, NULL);
    else
        log_event(LOG_WARN, "segment cannot be served", "segment", segment->name, "file", segment->path, "reason",
                  reason, NULL);
}

static int open_call(void *context)
{
    struct segment *segment = context;
    return libshm_reader_open(segment->path, &segment->reader);
}

static int snapshot_call(void *context)
{
    struct segment *segment = context;
    return libshm_reader_snapshot(segment->reader, &segment->snapshot);
}

static void fault(struct segment *segment)
{
    segment->faults++;
    down(segment, LIBSHM_E_DAMAGED, "the file was truncated while it was read");
}

static const char *detail(int error)
{
    const char *text = libshm_error_detail();
    return *text ? text : libshm_strerror(error);
}

static bool open_segment(struct segment *segment, uint64_t identity)
{
    segment->reader = NULL;
    int error = guard_call(open_call, segment);
    if (error == GUARD_FAULT) {
        segment->reader = NULL; /* what was half made is lost */
        fault(segment);
    } else if (error) {
        segment->foreign = error == LIBSHM_E_NOT_SEGMENT;
        down(segment, error, detail(error));
    } else {
        segment->identity = identity;
    }
    return error == 0;
}

static void take_snapshot(struct segment *segment)
{
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    const bool was_down = segment->error != 0;
    int error = guard_call(snapshot_call, segment);
    if (error == GUARD_FAULT) {
        fault(segment);
    } else if (error) {
        down(segment, error, detail(error));
    } else {
        segment->snapshot_seconds = seconds_since(&start);
        segment->error = 0;
        segment->reason[0] = '\0';
        if (was_down)
            log_event(LOG_INFO, "segment is served", "segment", segment->name, "file", segment->path, "families",
                      LOG_NUMBER(segment->snapshot->n_families), "series", LOG_NUMBER(segment->snapshot->n_series),
                      NULL);
    }
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void refresh_segment(struct segment *segment, const struct discovered_file *file, uint64_t *last_identity)
{
    if (segment->foreign && file->exists && same_file(&segment->status, &file->status))
        return;
    segment->foreign = false;
    segment->status = file->status;
    if (!file->exists) {
        down(segment, LIBSHM_E_NOT_FOUND, "there is no such file");
        return;
    }
    if (segment->reader && !libshm_reader_current(segment->reader, segment->path)) {
        log_event(LOG_INFO, "segment was replaced", "segment", segment->name, "file", segment->path, NULL);
        close_segment(segment);
    }
    if (segment->reader || open_segment(segment, ++*last_identity))
        take_snapshot(segment);
}

/* ---- all of them ----------------------------------------------------------------------------------------------- */

static void gone(struct segment *segment)
{
    if (!segment->foreign)
        log_event(LOG_INFO, "segment has gone", "segment", segment->name, "file", segment->path, NULL);
    free_segment(segment);
}

/* Brings `all` in line with what was found; both are sorted by name. */
static bool match(struct segments *segments, const struct discovered *found)
{
    struct segment **all = calloc(found->n_files + 1, sizeof *all);
    const struct segment **list = calloc(found->n_files + 1, sizeof *list);
    bool whole = all && list;
    size_t old = 0;
    for (size_t i = 0; whole && i < found->n_files; i++) {
        size_t at = old;
        while (at < segments->n_all && strcmp(segments->all[at]->name, found->files[i].name) < 0)
            at++;
        old = at;
        const bool known = at < segments->n_all && strcmp(segments->all[at]->name, found->files[i].name) == 0 &&
                           segments->all[at]->directory == found->files[i].directory;
        if (known)
            continue;
        all[i] = new_segment(segments->scope, &found->files[i]);
        whole = all[i] != NULL;
        if (whole)
            all[i]->error = GUARD_FAULT; /* not served so far: the first snapshot is news */
    }
    if (!whole) {
        for (size_t i = 0; all && i < found->n_files; i++)
            if (all[i])
                free_segment(all[i]);
        free(all);
        free(list);
        return false;
    }
    old = 0;
    for (size_t i = 0; i < found->n_files; i++) {
        while (old < segments->n_all && strcmp(segments->all[old]->name, found->files[i].name) < 0)
            gone(segments->all[old++]);
        if (!all[i])
            all[i] = segments->all[old++];
        else if (old < segments->n_all && strcmp(segments->all[old]->name, found->files[i].name) == 0)
            gone(segments->all[old++]); /* it was in another directory */
    }
    while (old < segments->n_all)
        gone(segments->all[old++]);
    free(segments->all);
    free(segments->list);
    segments->all = all;
    segments->n_all = found->n_files;
    segments->list = list;
    segments->n_list = 0;
    return true;
}

bool segments_refresh(struct segments *segments)
{
    const struct discovered *found = discover(segments->discovery);
    if (!found || !match(segments, found))
        return false;
    memcpy(segments->ignored, found->ignored, sizeof segments->ignored);
    memcpy(segments->readable, found->readable, sizeof segments->readable);
    for (size_t i = 0; i < segments->n_all; i++) {
        struct segment *segment = segments->all[i];
        refresh_segment(segment, &found->files[i], &segments->last_identity);
        if (segment->foreign)
            segments->ignored[IGNORED_NOT_SEGMENT]++;
        if (!segment->foreign || segments->scope->n_names)
            segments->list[segments->n_list++] = segment;
    }
    return true;
}

void segments_free(struct segments *segments)
{
    if (!segments)
        return;
    for (size_t i = 0; i < segments->n_all; i++)
        free_segment(segments->all[i]);
    free(segments->all);
    free(segments->list);
    discovery_free(segments->discovery);
    free(segments);
}

const struct segment *const *segments_list(const struct segments *segments, size_t *n)
{
    *n = segments->n_list;
    return segments->list;
}

const size_t *segments_ignored(const struct segments *segments)
{
    return segments->ignored;
}

const bool *segments_directories_readable(const struct segments *segments)
{
    return segments->readable;
}

int segments_fd(const struct segments *segments)
{
    return discovery_fd(segments->discovery);
}
