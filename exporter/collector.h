/* SPDX-License-Identifier: Apache-2.0
 *
 * The collector: one thread that owns the segments and makes the bodies of scrapes.
 *
 * It looks at the segments for each scrape, and when something happens in a directory: what has gone is let go even if
 * nobody scrapes.
 *
 * Scrapes that wait when it becomes free, and those that come while it looks, are answered together: segments are read
 * once (again for those that came later), and each body (of a format, a coding, a selection) is made once. What a
 * scrape is told was never read before it asked. */
#ifndef EXPORTER_COLLECTOR_H
#define EXPORTER_COLLECTOR_H

#include "body.h"
#include "format.h"
#include "options.h"
#include "selection.h"
#include "statistics.h"

#include <time.h>

struct scrape {
    enum format format;
    enum coding coding;
    struct selection selection; /* stays the submitter's */
    struct timespec deadline;   /* CLOCK_MONOTONIC: later than this, nobody waits for it any more; 0: no such time */
    /* Called by the collector's thread. The scrape's `body` is the callee's, with its reference; NULL: out of memory,
     * or the deadline had passed. */
    void (*done)(struct scrape *scrape);
    struct body *body;
    struct body *plain;  /* the collector's: the body before compression */
    struct scrape *next; /* the collector's */
};

struct collector;
/* `options` and `statistics` must live as long. NULL: out of memory. */
struct collector *collector_new(const struct options *options, const struct statistics *statistics);
/* Looks for segments once, then starts the thread. False: it could not be started. */
bool collector_start(struct collector *collector);
/* False: the collector has been stopped, `done` will not be called. Any thread. */
bool collector_submit(struct collector *collector, struct scrape *scrape);
/* Answers what was submitted, then ends the thread. */
void collector_stop(struct collector *collector);
void collector_free(struct collector *collector);

#endif
