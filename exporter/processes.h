/* SPDX-License-Identifier: Apache-2.0
 *
 * The living processes of the segments, as /proc shows them. */
#ifndef EXPORTER_PROCESSES_H
#define EXPORTER_PROCESSES_H

#include "segments.h"

struct process {
    size_t segment; /* index */
    uint64_t serial;
    uint32_t pid;
    char pid_text[12];
    double cpu_seconds, start_seconds;
    uint64_t resident_bytes;
    uint64_t open_files;
    bool files_known; /* the exporter may list them */
};

struct processes {
    struct process *list;
    size_t n, capacity;
    size_t unreadable; /* gone meanwhile, in another pid namespace, or not ours to look at, be it only the open files */
};

/* False: out of memory. */
bool processes_read(struct processes *processes, const struct segment *const *segments, size_t n);
void processes_free(struct processes *processes);

#endif
