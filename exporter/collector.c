/* SPDX-License-Identifier: Apache-2.0
 *
 * The collector, see collector.h. */
#define _GNU_SOURCE
#include "collector.h"
#include "log.h"
#include "pipeline.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct collector {
    struct pipeline *pipeline; /* the thread's own */
    pthread_t thread;
    /* the scrapes that wait */
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
    pthread_mutex_init(&collector->mutex, NULL);
    collector->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    collector->pipeline = pipeline_new(options, statistics);
    if (collector->wake < 0 || !collector->pipeline) {
        collector_free(collector);
        return NULL;
    }
    return collector;
}

void collector_free(struct collector *collector)
{
    if (!collector)
        return;
    pipeline_free(collector->pipeline);
    if (collector->wake >= 0)
        close(collector->wake);
    pthread_mutex_destroy(&collector->mutex);
    free(collector);
}

static void wake(const struct collector *collector)
{
    const uint64_t one = 1;
    if (write(collector->wake, &one, sizeof one) < 0) {
        /* it is awake already */
    }
}

/* Puts the scrapes that wait before `*scrapes`. False: there are none. */
static bool take_waiting(struct collector *collector, struct scrape **scrapes)
{
    pthread_mutex_lock(&collector->mutex);
    struct scrape *taken = collector->waiting, **end = &taken;
    collector->waiting = NULL;
    pthread_mutex_unlock(&collector->mutex);
    if (!taken)
        return false;
    while (*end)
        end = &(*end)->next;
    *end = *scrapes;
    *scrapes = taken;
    return true;
}

/* ---- a render for all that wait -------------------------------------------------------------------------------- */

#define LOOKS_MAX 3 /* for one render */

static bool same_text(const struct scrape *a, const struct scrape *b)
{
    return a->format == b->format && selection_equal(&a->selection, &b->selection);
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static bool too_late(const struct scrape *scrape)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return scrape->deadline.tv_sec &&
           (now.tv_sec > scrape->deadline.tv_sec ||
            (now.tv_sec == scrape->deadline.tv_sec && now.tv_nsec > scrape->deadline.tv_nsec));
}

/* Fills in `plain`, from the scrapes before this one if they asked for the same. */
static void encode(struct collector *collector, const struct scrape *scrapes, struct scrape *scrape)
{
    for (const struct scrape *other = scrapes; other != scrape && !scrape->plain; other = other->next)
        if (other->plain && same_text(other, scrape))
            scrape->plain = body_get(other->plain);
    if (!scrape->plain)
        scrape->plain = pipeline_encode(collector->pipeline, scrape->format, &scrape->selection);
}

/* Fills in `body`, likewise. */
static void compress(struct collector *collector, const struct scrape *scrapes, struct scrape *scrape)
{
    if (!scrape->plain)
        return;
    for (const struct scrape *other = scrapes; other != scrape && !scrape->body; other = other->next)
        if (other->body && other->plain == scrape->plain && other->coding == scrape->coding)
            scrape->body = body_get(other->body);
    if (!scrape->body)
        scrape->body = scrape->coding == CODING_IDENTITY
                           ? body_get(scrape->plain)
                           : pipeline_compress(collector->pipeline, scrape->coding, scrape->plain);
}

static void forget_texts(struct scrape *scrapes)
{
    for (; scrapes; scrapes = scrapes->next) {
        body_put(scrapes->plain);
        scrapes->plain = NULL;
    }
}

static bool any_coded(const struct scrape *scrapes)
{
    while (scrapes && scrapes->coding == CODING_IDENTITY)
        scrapes = scrapes->next;
    return scrapes != NULL;
}

/* Fills in `plain` of all. Scrapers that come together come some hundred microseconds apart. Who comes during a look
 * asked after values of it were read, so another look is taken, and it takes less than a render of one's own. What is
 * to be compressed takes far longer than a look and its text, so who came during those joins, too. */
static void look_and_encode(struct collector *collector, struct scrape **scrapes)
{
    for (int looks_left = LOOKS_MAX - 1;; looks_left--) {
        pipeline_look(collector->pipeline);
        if (looks_left && take_waiting(collector, scrapes))
            continue;
        for (struct scrape *scrape = *scrapes; scrape; scrape = scrape->next)
            if (!too_late(scrape))
                encode(collector, *scrapes, scrape);
        if (!looks_left || !any_coded(*scrapes) || !take_waiting(collector, scrapes))
            return;
        forget_texts(*scrapes);
    }
}

static void answer(struct collector *collector, struct scrape *scrapes)
{
    const double start = seconds_now();
    look_and_encode(collector, &scrapes);
    for (struct scrape *scrape = scrapes; scrape; scrape = scrape->next) {
        compress(collector, scrapes, scrape);
        if (!scrape->body)
            log_event(LOG_ERROR, too_late(scrape) ? "a scrape timed out before it was its turn" : "out of memory",
                      NULL);
    }
    pipeline_took(collector->pipeline, seconds_now() - start);
    while (scrapes) {
        struct scrape *scrape = scrapes;
        scrapes = scrape->next; /* not ours any more once it is done */
        body_put(scrape->plain);
        scrape->done(scrape);
    }
}

/* ---- the thread ------------------------------------------------------------------------------------------------ */

#define SETTLE_SECONDS 1 /* between two looks for the sake of the directories alone */
#define IDLE_SECONDS   3 /* without a scrape: memory of bodies is given back. A scrape every second keeps it */

/* Until a scrape may have come, or something has happened in a directory: then true; or, if `bodies` are kept, some
 * time has gone by. */
static bool wait_for_work(const struct collector *collector, time_t last_look, bool bodies)
{
    struct timespec now;
    uint64_t count;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const bool early = now.tv_sec - last_look < SETTLE_SECONDS;
    struct pollfd ready[] = {{.fd = collector->wake, .events = POLLIN},
                             {.fd = early ? -1 : pipeline_fd(collector->pipeline), .events = POLLIN}};
    poll(ready, 2, early || bodies ? SETTLE_SECONDS * 1000 : -1);
    if (read(collector->wake, &count, sizeof count) < 0) {
        /* nobody woke us, or a signal did */
    }
    return ready[1].revents != 0;
}

static bool is_stopping(struct collector *collector)
{
    pthread_mutex_lock(&collector->mutex);
    const bool stopping = collector->stopping;
    pthread_mutex_unlock(&collector->mutex);
    return stopping;
}

static void *run(void *argument)
{
    struct collector *collector = argument;
    struct timespec look = {0};
    double last_scrape = 0;
    bool bodies = false;
    for (;;) {
        const bool changed = wait_for_work(collector, look.tv_sec, bodies), stopping = is_stopping(collector);
        struct scrape *scrapes = NULL;
        const bool asked = take_waiting(collector, &scrapes);
        if (asked) {
            answer(collector, scrapes);
            last_scrape = seconds_now();
            bodies = true;
        }
        if (stopping)
            return NULL; /* nobody asks any more */
        if (!asked && changed && !pipeline_look(collector->pipeline))
            log_event(LOG_ERROR, "out of memory", NULL);
        if (bodies && seconds_now() - last_scrape > IDLE_SECONDS)
            bodies = !pipeline_trim(collector->pipeline);
        if (asked || changed)
            clock_gettime(CLOCK_MONOTONIC, &look);
    }
}

bool collector_start(struct collector *collector)
{
    if (!pipeline_look(collector->pipeline))
        return false;
    return pthread_create(&collector->thread, NULL, run, collector) == 0;
}

bool collector_submit(struct collector *collector, struct scrape *scrape)
{
    pthread_mutex_lock(&collector->mutex);
    const bool accepted = !collector->stopping;
    scrape->plain = scrape->body = NULL;
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
