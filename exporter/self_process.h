/* SPDX-License-Identifier: Apache-2.0
 *
 * The metrics about the segments' processes: a family each, a series for each process. */
#ifndef EXPORTER_SELF_PROCESS_H
#define EXPORTER_SELF_PROCESS_H

#include "processes.h"

#define PROCESS_METRICS 4u

struct process_layout {
    libshm_family_view families[PROCESS_METRICS];
    libshm_series_view *series;
    struct process_labels {
        const char *values[2];
        char segment[SEGMENT_NAME_MAX + 1];
        char pid[12];
        uint64_t serial;
        bool files_known;
    } * labels;
    size_t n;
};

/* Is the layout one of these processes? */
bool process_layout_current(const struct process_layout *layout, const struct processes *processes,
                            const struct segment *const *segments);
/* `number` is that of the first family. False: out of memory. */
bool process_layout_make(struct process_layout *layout, const struct processes *processes,
                         const struct segment *const *segments, uint32_t number);
void process_layout_fill(struct process_layout *layout, const struct processes *processes);
void process_layout_free(struct process_layout *layout);

#endif
