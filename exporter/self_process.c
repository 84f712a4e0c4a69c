/* SPDX-License-Identifier: Apache-2.0
 *
 * The metrics about the segments' processes, see self_process.h. */
#include "self_process.h"

#include <stdlib.h>
#include <string.h>

enum process_metric { PROCESS_CPU, PROCESS_RESIDENT, PROCESS_FILES, PROCESS_START };

static const struct {
    const char *name, *help, *unit;
    uint32_t type;
} metrics[PROCESS_METRICS] = {
    [PROCESS_CPU] = {"shm_segment_process_cpu_seconds_total", "CPU time that the process has used.", "seconds",
                     LIBSHM_TYPE_COUNTER},
    [PROCESS_RESIDENT] = {"shm_segment_process_resident_memory_bytes", "Memory of the process that is resident.",
                          "bytes", LIBSHM_TYPE_GAUGE},
    [PROCESS_FILES] = {"shm_segment_process_open_fds", "Open file descriptors of the process.", "", LIBSHM_TYPE_GAUGE},
    [PROCESS_START] = {"shm_segment_process_start_time_seconds", "When the process was started.", "seconds",
                       LIBSHM_TYPE_GAUGE},
};

static const char *const label_names[] = {"segment", "pid"};

bool process_layout_current(const struct process_layout *layout, const struct processes *processes,
                            const struct segment *const *segments)
{
    if (!layout->labels || layout->n != processes->n)
        return false;
    for (size_t i = 0; i < layout->n; i++) {
        const struct process *process = &processes->list[i];
        const struct process_labels *labels = &layout->labels[i];
        if (labels->serial != process->serial || labels->files_known != process->files_known ||
            strcmp(labels->pid, process->pid_text) != 0 ||
            strcmp(labels->segment, segments[process->segment]->name) != 0)
            return false;
    }
    return true;
}

bool process_layout_make(struct process_layout *layout, const struct processes *processes,
                         const struct segment *const *segments, uint32_t number)
{
    const size_t n = processes->n;
    struct process_labels *labels = calloc(n + 1, sizeof *labels);
    libshm_series_view *series = calloc(PROCESS_METRICS * n + 1, sizeof *series), *at = series;
    if (!labels || !series) {
        free(labels);
        free(series);
        return false;
    }
    process_layout_free(layout);
    *layout = (struct process_layout){.series = series, .labels = labels, .n = n};
    for (size_t i = 0; i < n; i++) {
        const struct process *process = &processes->list[i];
        labels[i].serial = process->serial;
        labels[i].files_known = process->files_known;
        memcpy(labels[i].segment, segments[process->segment]->name, sizeof labels[i].segment);
        memcpy(labels[i].pid, process->pid_text, sizeof labels[i].pid);
        labels[i].values[0] = labels[i].segment;
        labels[i].values[1] = labels[i].pid;
    }
    for (uint32_t m = 0; m < PROCESS_METRICS; m++) {
        libshm_series_view *first = at;
        for (uint32_t i = 0; i < n; i++)
            if (m != PROCESS_FILES || labels[i].files_known)
                *at++ = (libshm_series_view){.generation = 1, .number = i, .label_values = labels[i].values};
        layout->families[m] = (libshm_family_view){
            .generation = 1,
            .number = number + m,
            .type = metrics[m].type,
            .n_labels = 2,
            .name = metrics[m].name,
            .help = metrics[m].help,
            .unit = metrics[m].unit,
            .label_names = label_names,
            .series = first,
            .n_series = (size_t)(at - first),
        };
    }
    return true;
}

static double read_metric(enum process_metric metric, const struct process *process)
{
    switch (metric) {
    case PROCESS_CPU:
        return process->cpu_seconds;
    case PROCESS_RESIDENT:
        return (double)process->resident_bytes;
    case PROCESS_FILES:
        return (double)process->open_files;
    default:
        return process->start_seconds;
    }
}

void process_layout_fill(struct process_layout *layout, const struct processes *processes)
{
    libshm_series_view *at = layout->series;
    for (enum process_metric m = 0; m < PROCESS_METRICS; m++)
        for (size_t i = 0; i < layout->n; i++)
            if (m != PROCESS_FILES || layout->labels[i].files_known)
                at++->fractional = read_metric(m, &processes->list[i]);
}

void process_layout_free(struct process_layout *layout)
{
    free(layout->series);
    free(layout->labels);
    *layout = (struct process_layout){0};
}
