/* SPDX-License-Identifier: Apache-2.0
 *
 * The exporter's own metrics, shm_exporter_* and shm_segment_*{segment}, as a source like any other: whatever a format
 * can do with a segment's families it can do with these. */
#ifndef EXPORTER_SELF_H
#define EXPORTER_SELF_H

#include "processes.h"
#include "segments.h"
#include "source.h"
#include "statistics.h"

#define SELF_DURATION_BOUNDS 10u

/* What the collector tells of this scrape and those before it. */
struct self_status {
    const struct statistics *statistics;
    const size_t *ignored; /* files, by reason */
    const struct processes *processes;
    const bool *readable;    /* directories of the scope */
    size_t families, series; /* in this scrape */
    size_t conflicting_families, duplicate_series;
    uint64_t last_bytes; /* of the last body, before compression */
    double last_seconds; /* that making it took; < 0: there was none */
};

struct self;
/* NULL: out of memory. */
struct self *self_new(const struct scope *scope);
void self_free(struct self *self);

/* The families and series there are now, with the values of before. `processes` NULL: nothing is told of them. NULL:
 * out of memory. */
const struct source *self_layout(struct self *self, const struct segment *const *segments, size_t n,
                                 const struct processes *processes);
/* The values. `segments` and `status->processes` as for self_layout. */
void self_fill(struct self *self, const struct segment *const *segments, size_t n, const struct self_status *status);

#endif
