/* SPDX-License-Identifier: Apache-2.0
 *
 * The collector, see collector.h. */
#define _GNU_SOURCE
#include "collector.h"
#include "catalogue.h"
#include "compress.h"
#include "dialect.h"
#include "encode_json.h"
#include "encoder.h"
#include "log.h"
#include "merge.h"
#include "segments.h"
#include "self.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct collector {
    const struct options *options;
    const struct statistics *statistics;
    /* the pipeline, the thread's own */
    struct segments *segments;
    struct self *self;
    struct processes processes; /* if --collector.processes */
    struct source *sources;     /* the exporter's own metrics, then a source for each segment that is up */
    size_t sources_capacity;
    struct merger *merger;
    uint64_t conflicts_logged; /* version of the merged families whose conflicts were logged */
    struct encoder *encoders[FORMATS];
    struct compressor *compressor;
    struct body_pool pool;
    uint64_t last_bytes;
    double last_seconds;
    bool together; /* the last render was for more than one scrape */
    /* the scrapes that wait */
    pthread_t thread;
    pthread_mutex_t mutex;
    int wake; /* eventfd */
    struct scrape *waiting;
    bool stopping;
};

struct collector *collector_new(const struct options *options, const struct statistics *statistics)
{
    struct collector *collector = calloc(1, sizeof *collector);
    if (!collector)
        return NULL;
    collector->options = options;
    collector->statistics = statistics;
    collector->last_seconds = -1;
    pthread_mutex_init(&collector->mutex, NULL);
    collector->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    body_pool_init(&collector->pool);
    collector->segments = segments_new(&options->scope);
    collector->self = self_new(&options->scope);
    collector->merger = merger_new();
    collector->compressor = compressor_new();
    if (collector->wake < 0 || !collector->segments || !collector->self || !collector->merger ||
        !collector->compressor) {
        collector_free(collector);
        return NULL;
    }
    return collector;
}

void collector_free(struct collector *collector)
{
    if (!collector)
        return;
    catalogue_withdraw();
    for (size_t i = 0; i < FORMATS; i++)
        if (collector->encoders[i])
            collector->encoders[i]->free(collector->encoders[i]);
    compressor_free(collector->compressor);
    merger_free(collector->merger);
    processes_free(&collector->processes);
    self_free(collector->self);
    segments_free(collector->segments);
    body_pool_destroy(&collector->pool);
    if (collector->wake >= 0)
        close(collector->wake);
    pthread_mutex_destroy(&collector->mutex);
    free(collector->sources);
    free(collector);
}

/* ---- from segments to merged families -------------------------------------------------------------------------- */

static struct source source_of(const struct collector *collector, const struct segment *segment)
{
    const libshm_snapshot *snapshot = segment->snapshot;
    return (struct source){
        .segment = options_add_segment_label(collector->options) ? segment->name : NULL,
        .name = segment->name,
        .identity = segment->identity,
        .layout = snapshot->layout_version,
        .created_ns = snapshot->created_ns,
        .families = snapshot->families,
        .n_families = snapshot->n_families,
    };
}

/* How many there are; 0: out of memory. */
static size_t list_sources(struct collector *collector, const struct segment *const *segments, size_t n)
{
    const bool processes = collector->options->collect_processes;
    if (processes && !processes_read(&collector->processes, segments, n))
        return 0;
    const struct source *self = self_layout(collector->self, segments, n, processes ? &collector->processes : NULL);
    if (!self)
        return 0;
    if (collector->sources_capacity < n + 1) {
        struct source *sources = realloc(collector->sources, (n + 1) * sizeof *sources);
        if (!sources)
            return 0;
        collector->sources = sources;
        collector->sources_capacity = n + 1;
    }
    size_t n_sources = 0;
    collector->sources[n_sources++] = *self;
    for (size_t i = 0; i < n; i++)
        if (segments[i]->snapshot)
            collector->sources[n_sources++] = source_of(collector, segments[i]);
    return n_sources;
}

#define CONFLICTS_LOGGED 20u

static void log_conflicts(struct collector *collector, const struct merged *merged)
{
    if (collector->conflicts_logged == merged->version)
        return;
    collector->conflicts_logged = merged->version;
    for (size_t i = 0; i < merged->n_conflicts && i < CONFLICTS_LOGGED; i++) {
        const struct merged_conflict *conflict = &merged->conflicts[i];
        const struct source *source = &collector->sources[conflict->source];
        const struct source *with = &collector->sources[conflict->with_source];
        log_event(LOG_WARN, "family left out: another one is defined otherwise", "segment", source->name, "family",
                  source->families[conflict->family].name, "other_segment", with->name, "other_family",
                  with->families[conflict->with_family].name, NULL);
    }
    if (merged->n_conflicts > CONFLICTS_LOGGED)
        log_event(LOG_WARN, "more families left out", "families", LOG_NUMBER(merged->n_conflicts - CONFLICTS_LOGGED),
                  NULL);
}

static size_t count_series(const struct collector *collector, const struct merged *merged)
{
    size_t n = 0;
    for (size_t i = 0; i < merged->n_parts; i++)
        n += merged_view(&merged->parts[i], collector->sources)->n_series;
    return n - merged->duplicate_series;
}

/* Looks at all segments. NULL: out of memory. */
static const struct merged *collect(struct collector *collector)
{
    size_t n;
    if (!segments_refresh(collector->segments))
        return NULL;
    const struct segment *const *segments = segments_list(collector->segments, &n);
    catalogue_publish(segments, n);
    const size_t n_sources = list_sources(collector, segments, n);
    const struct merged *merged = n_sources ? merger_merge(collector->merger, collector->sources, n_sources) : NULL;
    if (!merged)
        return NULL;
    log_conflicts(collector, merged);
    const struct self_status status = {
        .processes = collector->options->collect_processes ? &collector->processes : NULL,
        .statistics = collector->statistics,
        .ignored = segments_ignored(collector->segments),
        .readable = segments_directories_readable(collector->segments),
        .families = merged->n_families,
        .series = count_series(collector, merged),
        .conflicting_families = merged->n_conflicts,
        .duplicate_series = merged->duplicate_series,
        .last_bytes = collector->last_bytes,
        .last_seconds = collector->last_seconds,
    };
    self_fill(collector->self, segments, n, &status);
    return merged;
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

static struct body *encode_as_json(struct collector *collector, const struct merged *merged,
                                   const struct scrape *scrape)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct json_input input = {
        .merged = merged,
        .sources = collector->sources,
        .now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec,
    };
    input.segments = segments_list(collector->segments, &input.n_segments);
    struct body *body = body_new(&collector->pool);
    if (body && !encode_json(scrape->format, &input, &scrape->selection, &body->bytes)) {
        body_put(body);
        return NULL;
    }
    return body;
}

static struct body *encode(struct collector *collector, const struct merged *merged, const struct scrape *scrape)
{
    if (scrape->format >= FORMAT_JSON_STATUS)
        return encode_as_json(collector, merged, scrape);
    struct encoder **encoder = &collector->encoders[scrape->format];
    if (!*encoder)
        *encoder = new_encoder(collector->options, scrape->format);
    struct body *body = *encoder ? body_new(&collector->pool) : NULL;
    if (body && !(*encoder)->encode(*encoder, merged, collector->sources, &scrape->selection, &body->bytes)) {
        body_put(body);
        return NULL;
    }
    if (body)
        collector->last_bytes = body->bytes.size;
    return body;
}

static bool same_text(const struct scrape *a, const struct scrape *b)
{
    return a->format == b->format && selection_equal(&a->selection, &b->selection);
}

/* Fills in `plain` and `body`, from the scrapes before this one if they asked for the same. */
static void make_body(struct collector *collector, const struct merged *merged, const struct scrape *scrapes,
                      struct scrape *scrape)
{
    for (const struct scrape *other = scrapes; other != scrape; other = other->next) {
        if (!other->plain || !same_text(other, scrape))
            continue;
        if (!scrape->plain)
            scrape->plain = body_get(other->plain);
        if (!scrape->body && other->body && other->coding == scrape->coding)
            scrape->body = body_get(other->body);
    }
    if (!scrape->plain)
        scrape->plain = encode(collector, merged, scrape);
    if (scrape->body || !scrape->plain)
        return;
    if (scrape->coding == CODING_IDENTITY) {
        scrape->body = body_get(scrape->plain);
        return;
    }
    scrape->body = body_new(&collector->pool);
    if (scrape->body && !compress(collector->compressor, scrape->coding, &scrape->plain->bytes, &scrape->body->bytes)) {
        body_put(scrape->body);
        scrape->body = NULL;
    }
}

static bool too_late(const struct scrape *scrape)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return scrape->deadline.tv_sec &&
           (now.tv_sec > scrape->deadline.tv_sec ||
            (now.tv_sec == scrape->deadline.tv_sec && now.tv_nsec > scrape->deadline.tv_nsec));
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void answer(struct collector *collector, struct scrape *scrapes)
{
    const double start = seconds_now();
    const struct merged *merged = collect(collector);
    for (struct scrape *scrape = scrapes; scrape; scrape = scrape->next) {
        const bool late = too_late(scrape);
        scrape->plain = scrape->body = NULL;
        if (merged && !late)
            make_body(collector, merged, scrapes, scrape);
        if (!scrape->body)
            log_event(LOG_ERROR, late ? "a scrape timed out before it was its turn" : "out of memory", NULL);
    }
    collector->last_seconds = seconds_now() - start;
    while (scrapes) {
        struct scrape *scrape = scrapes;
        scrapes = scrape->next; /* not ours any more once it is done */
        body_put(scrape->plain);
        scrape->done(scrape);
    }
}

/* ---- the thread ------------------------------------------------------------------------------------------------ */

#define SETTLE_SECONDS 1    /* between two looks for the sake of the directories alone */
#define GATHER_FROM    1e-3 /* seconds that a render takes */
#define IDLE_SECONDS   3    /* without a scrape: memory of bodies is given back. A scrape every second keeps it */

static void wake(const struct collector *collector)
{
    const uint64_t one = 1;
    if (write(collector->wake, &one, sizeof one) < 0) {
        /* it is awake already */
    }
}

/* Until a scrape may have come, or something has happened in a directory: then true; or, if `bodies` are kept, some
 * time has gone by. */
static bool wait_for_work(const struct collector *collector, time_t last_look, bool bodies)
{
    struct timespec now;
    uint64_t count;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const bool early = now.tv_sec - last_look < SETTLE_SECONDS;
    struct pollfd ready[] = {{.fd = collector->wake, .events = POLLIN},
                             {.fd = early ? -1 : segments_fd(collector->segments), .events = POLLIN}};
    poll(ready, 2, early || bodies ? SETTLE_SECONDS * 1000 : -1);
    if (read(collector->wake, &count, sizeof count) < 0) {
        /* nobody woke us, or a signal did */
    }
    return ready[1].revents != 0;
}

/* The scrapes that wait, put before `others`. */
static struct scrape *take_waiting(struct collector *collector, struct scrape *others, bool *stopping)
{
    pthread_mutex_lock(&collector->mutex);
    struct scrape *scrapes = collector->waiting, **end = &scrapes;
    collector->waiting = NULL;
    *stopping = collector->stopping;
    pthread_mutex_unlock(&collector->mutex);
    while (*end)
        end = &(*end)->next;
    *end = others;
    return scrapes;
}

/* Scrapers that come together come some hundred microseconds apart, and who is late waits for two renders. So wait for
 * them for 1/16 of the time that a render takes, after each one again, and 1/4 of it altogether; but not if the last
 * one came alone. */
static struct scrape *gather(struct collector *collector, struct scrape *scrapes, bool *stopping)
{
    const double gap = collector->last_seconds / 16, until = seconds_now() + collector->last_seconds / 4;
    if (collector->last_seconds < GATHER_FROM || (!collector->together && !scrapes->next))
        return scrapes;
    while (!*stopping && seconds_now() < until) {
        struct pollfd ready = {.fd = collector->wake, .events = POLLIN};
        const struct timespec wait = {(time_t)gap, (long)((gap - (double)(time_t)gap) * 1e9)};
        uint64_t count;
        if (ppoll(&ready, 1, &wait, NULL) <= 0 || read(collector->wake, &count, sizeof count) < 0)
            break;
        scrapes = take_waiting(collector, scrapes, stopping);
    }
    return scrapes;
}

static void *run(void *argument)
{
    struct collector *collector = argument;
    struct timespec look = {0};
    double last_scrape = 0;
    bool bodies = false;
    for (bool stopping = false; !stopping;) {
        const bool changed = wait_for_work(collector, look.tv_sec, bodies);
        struct scrape *scrapes = take_waiting(collector, NULL, &stopping);
        const bool answered = scrapes != NULL;
        if (answered) {
            scrapes = gather(collector, scrapes, &stopping);
            collector->together = scrapes->next != NULL;
            answer(collector, scrapes);
            last_scrape = seconds_now();
            bodies = true;
        } else if (changed && !stopping && !collect(collector)) {
            log_event(LOG_ERROR, "out of memory", NULL);
        }
        if (bodies && seconds_now() - last_scrape > IDLE_SECONDS)
            bodies = !body_pool_trim(&collector->pool);
        if (answered || changed)
            clock_gettime(CLOCK_MONOTONIC, &look);
    }
    return NULL;
}

bool collector_start(struct collector *collector)
{
    if (!collect(collector))
        return false;
    return pthread_create(&collector->thread, NULL, run, collector) == 0;
}

bool collector_submit(struct collector *collector, struct scrape *scrape)
{
    pthread_mutex_lock(&collector->mutex);
    const bool accepted = !collector->stopping;
    if (accepted) {
        scrape->next = collector->waiting;
        collector->waiting = scrape;
        wake(collector);
    }
    pthread_mutex_unlock(&collector->mutex);
    return accepted;
}

void collector_stop(struct collector *collector)
{
    pthread_mutex_lock(&collector->mutex);
    collector->stopping = true;
    wake(collector);
    pthread_mutex_unlock(&collector->mutex);
    pthread_join(collector->thread, NULL);
}
