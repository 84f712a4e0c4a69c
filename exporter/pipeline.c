/* SPDX-License-Identifier: Apache-2.0
 *
 * The pipeline, see pipeline.h. */
#define _GNU_SOURCE
#include "pipeline.h"
#include "catalogue.h"
#include "compress.h"
#include "dialect.h"
#include "encode_json.h"
#include "encoder.h"
#include "log.h"
#include "merge.h"
#include "segments.h"
#include "self.h"

#include <stdlib.h>
#include <time.h>

struct pipeline {
    const struct options *options;
    const struct statistics *statistics;
    struct segments *segments;
    struct self *self;
    struct processes processes; /* if --collector.processes */
    struct source *sources;     /* the exporter's own metrics, then a source for each segment that is up */
    size_t sources_capacity;
    struct merger *merger;
    const struct merged *merged; /* of the last look; NULL: there was none, or no memory for it */
    uint64_t conflicts_logged;   /* version of the merged families whose conflicts were logged */
    struct encoder *encoders[FORMATS];
    struct compressor *compressor;
    struct body_pool pool;
    uint64_t last_bytes;
    double last_seconds;
};

struct pipeline *pipeline_new(const struct options *options, const struct statistics *statistics)
{
    struct pipeline *pipeline = calloc(1, sizeof *pipeline);
    if (!pipeline)
        return NULL;
    pipeline->options = options;
    pipeline->statistics = statistics;
    pipeline->last_seconds = -1;
    body_pool_init(&pipeline->pool);
    pipeline->segments = segments_new(&options->scope);
    pipeline->self = self_new(&options->scope);
    pipeline->merger = merger_new();
    pipeline->compressor = compressor_new();
    if (!pipeline->segments || !pipeline->self || !pipeline->merger || !pipeline->compressor) {
        pipeline_free(pipeline);
        return NULL;
    }
    return pipeline;
}

void pipeline_free(struct pipeline *pipeline)
{
    if (!pipeline)
        return;
    catalogue_withdraw();
    for (size_t i = 0; i < FORMATS; i++)
        if (pipeline->encoders[i])
            pipeline->encoders[i]->free(pipeline->encoders[i]);
    compressor_free(pipeline->compressor);
    merger_free(pipeline->merger);
    processes_free(&pipeline->processes);
    self_free(pipeline->self);
    segments_free(pipeline->segments);
    body_pool_destroy(&pipeline->pool);
    free(pipeline->sources);
    free(pipeline);
}

int pipeline_fd(const struct pipeline *pipeline)
{
    return segments_fd(pipeline->segments);
}

/* ---- from segments to merged families -------------------------------------------------------------------------- */

static struct source source_of(const struct pipeline *pipeline, const struct segment *segment)
{
    const libshm_snapshot *snapshot = segment->snapshot;
    return (struct source){
        .segment = options_add_segment_label(pipeline->options) ? segment->name : NULL,
        .name = segment->name,
        .identity = segment->identity,
        .layout = snapshot->layout_version,
        .created_ns = snapshot->created_ns,
        .families = snapshot->families,
        .n_families = snapshot->n_families,
    };
}

/* How many there are; 0: out of memory. */
static size_t list_sources(struct pipeline *pipeline, const struct segment *const *segments, size_t n)
{
    const bool processes = pipeline->options->collect_processes;
    if (processes && !processes_read(&pipeline->processes, segments, n))
        return 0;
    const struct source *self = self_layout(pipeline->self, segments, n, processes ? &pipeline->processes : NULL);
    if (!self)
        return 0;
    if (pipeline->sources_capacity < n + 1) {
        struct source *sources = realloc(pipeline->sources, (n + 1) * sizeof *sources);
        if (!sources)
            return 0;
        pipeline->sources = sources;
        pipeline->sources_capacity = n + 1;
    }
    size_t n_sources = 0;
    pipeline->sources[n_sources++] = *self;
    for (size_t i = 0; i < n; i++)
        if (segments[i]->snapshot)
            pipeline->sources[n_sources++] = source_of(pipeline, segments[i]);
    return n_sources;
}

#define CONFLICTS_LOGGED 20u

static void log_conflicts(struct pipeline *pipeline, const struct merged *merged)
{
    if (pipeline->conflicts_logged == merged->version)
        return;
    pipeline->conflicts_logged = merged->version;
    for (size_t i = 0; i < merged->n_conflicts && i < CONFLICTS_LOGGED; i++) {
        const struct merged_conflict *conflict = &merged->conflicts[i];
        const struct source *source = &pipeline->sources[conflict->source];
        const struct source *with = &pipeline->sources[conflict->with_source];
        log_event(LOG_WARN, "family left out: another one is defined otherwise", "segment", source->name, "family",
                  source->families[conflict->family].name, "other_segment", with->name, "other_family",
                  with->families[conflict->with_family].name, NULL);
    }
    if (merged->n_conflicts > CONFLICTS_LOGGED)
        log_event(LOG_WARN, "more families left out", "families", LOG_NUMBER(merged->n_conflicts - CONFLICTS_LOGGED),
                  NULL);
}

static size_t count_series(const struct pipeline *pipeline, const struct merged *merged)
{
    size_t n = 0;
    for (size_t i = 0; i < merged->n_parts; i++)
        n += merged_view(&merged->parts[i], pipeline->sources)->n_series;
    return n - merged->duplicate_series;
}

bool pipeline_look(struct pipeline *pipeline)
{
    size_t n;
    pipeline->merged = NULL;
    if (!segments_refresh(pipeline->segments))
        return false;
    const struct segment *const *segments = segments_list(pipeline->segments, &n);
    catalogue_publish(segments, n);
    const size_t n_sources = list_sources(pipeline, segments, n);
    const struct merged *merged = n_sources ? merger_merge(pipeline->merger, pipeline->sources, n_sources) : NULL;
    if (!merged)
        return false;
    log_conflicts(pipeline, merged);
    const struct self_status status = {
        .processes = pipeline->options->collect_processes ? &pipeline->processes : NULL,
        .statistics = pipeline->statistics,
        .ignored = segments_ignored(pipeline->segments),
        .readable = segments_directories_readable(pipeline->segments),
        .families = merged->n_families,
        .series = count_series(pipeline, merged),
        .conflicting_families = merged->n_conflicts,
        .duplicate_series = merged->duplicate_series,
        .last_bytes = pipeline->last_bytes,
        .last_seconds = pipeline->last_seconds,
    };
    self_fill(pipeline->self, segments, n, &status);
    pipeline->merged = merged;
    return true;
}

/* ---- bodies ---------------------------------------------------------------------------------------------------- */

static struct encoder *new_encoder(const struct options *options, enum format format)
{
    const bool openmetrics = format == FORMAT_OPENMETRICS || format == FORMAT_OPENMETRICS_DOTS;
    const struct dialect dialect = {
        .header = openmetrics ? dialect_openmetrics_header : dialect_text_header,
        .end = openmetrics ? "# EOF\n" : "",
        .openmetrics = openmetrics,
        .dots = format == FORMAT_TEXT_DOTS || format == FORMAT_OPENMETRICS_DOTS,
        .created = openmetrics && options->openmetrics_created,
    };
    return encoder_new_text(&dialect);
}

static struct body *encode_as_json(struct pipeline *pipeline, enum format format, const struct selection *selection)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct json_input input = {
        .merged = pipeline->merged,
        .sources = pipeline->sources,
        .now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec,
    };
    input.segments = segments_list(pipeline->segments, &input.n_segments);
    struct body *body = body_new(&pipeline->pool);
    if (body && !encode_json(format, &input, selection, &body->bytes)) {
        body_put(body);
        return NULL;
    }
    return body;
}

struct body *pipeline_encode(struct pipeline *pipeline, enum format format, const struct selection *selection)
{
    if (!pipeline->merged)
        return NULL;
    if (format >= FORMAT_JSON_STATUS)
        return encode_as_json(pipeline, format, selection);
    struct encoder **encoder = &pipeline->encoders[format];
    if (!*encoder)
        *encoder = new_encoder(pipeline->options, format);
    struct body *body = *encoder ? body_new(&pipeline->pool) : NULL;
    if (body && !(*encoder)->encode(*encoder, pipeline->merged, pipeline->sources, selection, &body->bytes)) {
        body_put(body);
        return NULL;
    }
    if (body)
        pipeline->last_bytes = body->bytes.size;
    return body;
}

struct body *pipeline_compress(struct pipeline *pipeline, enum coding coding, const struct body *plain)
{
    struct body *body = body_new(&pipeline->pool);
    if (body && !compress(pipeline->compressor, coding, &plain->bytes, &body->bytes)) {
        body_put(body);
        return NULL;
    }
    return body;
}

void pipeline_took(struct pipeline *pipeline, double seconds)
{
    pipeline->last_seconds = seconds;
}

bool pipeline_trim(struct pipeline *pipeline)
{
    return body_pool_trim(&pipeline->pool);
}
