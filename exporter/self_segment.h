/* SPDX-License-Identifier: Apache-2.0
 *
 * The metrics about one segment: a table. */
#ifndef EXPORTER_SELF_SEGMENT_H
#define EXPORTER_SELF_SEGMENT_H

#include "segments.h"

struct segment_metric {
    const char *name, *help, *unit;
    uint32_t type;
    enum segment_reading {
        READ_U64, /* the member of the snapshot at `offset` */
        READ_U32,
        READ_SIZE,
        READ_UP, /* and these are known without a snapshot */
        READ_FAULTS,
        READ_FILL, /* and these are computed */
        READ_CREATED,
        READ_DURATION,
    } reading;
    size_t offset;
};

#define SEGMENT_METRICS 35u
extern const struct segment_metric segment_metrics[SEGMENT_METRICS];

/* Has a segment that is down this metric? */
bool segment_metric_always(const struct segment_metric *metric);
/* Into `integer` for a counter, into `fractional` else. */
void segment_metric_read(const struct segment_metric *metric, const struct segment *segment, uint64_t *integer,
                         double *fractional);

#endif
