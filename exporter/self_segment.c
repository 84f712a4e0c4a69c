/* SPDX-License-Identifier: Apache-2.0
 *
 * The metrics about one segment, see self_segment.h. */
#include "self_segment.h"

#include <stddef.h>
#include <string.h>

#define AT(member) offsetof(libshm_snapshot, member)
#define COUNTER    LIBSHM_TYPE_COUNTER
#define GAUGE      LIBSHM_TYPE_GAUGE

const struct segment_metric segment_metrics[SEGMENT_METRICS] = {
    {"shm_segment_up", "1 if the segment could be read for this scrape, 0 if not; the log says why.", "", GAUGE,
     READ_UP, 0},
    {"shm_segment_faults_total", "Times that the segment's file was truncated while it was read.", "", COUNTER,
     READ_FAULTS, 0},
    {"shm_segment_fill_ratio",
     "Space given out, of the most that the segment may grow to. At 1, new series are refused.", "ratio", GAUGE,
     READ_FILL, 0},
    {"shm_segment_used_bytes", "Space given out.", "bytes", GAUGE, READ_U64, AT(used_bytes)},
    {"shm_segment_allocated_bytes", "Size of the file, all of it allocated.", "bytes", GAUGE, READ_U64, AT(file_bytes)},
    {"shm_segment_max_bytes", "Size that the file never grows beyond.", "bytes", GAUGE, READ_U64, AT(max_bytes)},
    {"shm_segment_families", "Families in the segment.", "", GAUGE, READ_SIZE, AT(n_families)},
    {"shm_segment_series", "Series in the segment that are shown.", "", GAUGE, READ_SIZE, AT(n_series)},
    {"shm_segment_cells", "Cells of the series that are shown.", "", GAUGE, READ_U64, AT(cells_used)},
    {"shm_segment_cpu_lanes", "CPUs that have cells of their own in a new page group.", "", GAUGE, READ_U32,
     AT(cpu_lanes)},
    {"shm_segment_page_groups", "Page groups of 256 cells in each lane.", "", GAUGE, READ_U32, AT(n_groups)},
    {"shm_segment_process_slots", "Process slots in use, dead processes included.", "", GAUGE, READ_SIZE,
     AT(n_processes)},
    {"shm_segment_processes_alive", "Living processes with a slot.", "", GAUGE, READ_SIZE, AT(n_alive)},
    {"shm_segment_creation_timestamp_seconds", "When the segment was made.", "seconds", GAUGE, READ_CREATED, 0},
    {"shm_segment_snapshot_duration_seconds", "What reading the segment for this scrape took.", "seconds", GAUGE,
     READ_DURATION, 0},
    {"shm_segment_skipped_families", "Families passed over in this scrape because they do not hold together.", "",
     GAUGE, READ_U64, AT(skipped_families)},
    {"shm_segment_skipped_series", "Series passed over in this scrape because they do not hold together.", "", GAUGE,
     READ_U64, AT(skipped_series)},
    {"shm_segment_retried_series", "Series that changed while they were read for this scrape.", "", GAUGE, READ_U64,
     AT(retried_series)},
    {"shm_segment_atomic_updates_total",
     "Updates that took the atomic path and not that of a CPU: counters' integer parts and observations.", "", COUNTER,
     READ_U64, AT(atomic_total)},
    {"shm_segment_overflowed_total",
     "Look-ups that got no series of their own: beyond a series cap, or none could be made.", "", COUNTER, READ_U64,
     AT(statistics.overflowed)},
    {"shm_segment_dropped_updates_total", "Updates through handles that could not be set up.", "", COUNTER, READ_U64,
     AT(statistics.dropped_updates)},
    {"shm_segment_dropped_values_total", "Values refused: NaN, and negative increments of counters.", "", COUNTER,
     READ_U64, AT(statistics.dropped_values)},
    {"shm_segment_rejected_total", "Definitions and label values refused as invalid.", "", COUNTER, READ_U64,
     AT(statistics.rejected)},
    {"shm_segment_full_total", "Requests refused because the segment or its file system was full.", "", COUNTER,
     READ_U64, AT(statistics.full)},
    {"shm_segment_lock_timeouts_total", "Waits for the insert lock given up.", "", COUNTER, READ_U64,
     AT(statistics.lock_timeouts)},
    {"shm_segment_locks_passed_total", "Insert locks of dead processes passed by.", "", COUNTER, READ_U64,
     AT(statistics.lock_passed)},
    {"shm_segment_repaired_total", "Half-done changes of dead processes undone.", "", COUNTER, READ_U64,
     AT(statistics.repaired)},
    {"shm_segment_hidden_series_total", "Series hidden because they were idle.", "", COUNTER, READ_U64,
     AT(statistics.hidden)},
    {"shm_segment_removed_series_total", "Series removed.", "", COUNTER, READ_U64, AT(statistics.removed)},
    {"shm_segment_reused_series_total", "Series whose cells were given to another.", "", COUNTER, READ_U64,
     AT(statistics.reused)},
    {"shm_segment_unpinned_attaches_total",
     "Attaches that had to share the common lock; while one lives, no cell is reused.", "", COUNTER, READ_U64,
     AT(statistics.unpinned_attaches)},
    {"shm_segment_slotless_processes_total", "Processes that could not take a slot, so their live gauges are not seen.",
     "", COUNTER, READ_U64, AT(statistics.slotless)},
    {"shm_segment_resets_total", "Resets of all counters and histograms.", "", COUNTER, READ_U64,
     AT(statistics.resets)},
    {"shm_segment_replaced_families_total", "Definitions replaced by new ones.", "", COUNTER, READ_U64,
     AT(statistics.replaced_families)},
    {"shm_segment_incarnation", "Number of the incarnation; a reset begins a new one.", "", GAUGE, READ_U64,
     AT(incarnation)},
};

bool segment_metric_always(const struct segment_metric *metric)
{
    return metric->reading == READ_UP || metric->reading == READ_FAULTS;
}

static uint64_t read_member(const struct segment_metric *metric, const libshm_snapshot *snapshot)
{
    const char *at = (const char *)snapshot + metric->offset;
    uint64_t wide;
    uint32_t narrow;
    size_t size;
    switch (metric->reading) {
    case READ_U32:
        memcpy(&narrow, at, sizeof narrow);
        return narrow;
    case READ_SIZE:
        memcpy(&size, at, sizeof size);
        return size;
    default:
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
}

void segment_metric_read(const struct segment_metric *metric, const struct segment *segment, uint64_t *integer,
                         double *fractional)
{
    const libshm_snapshot *snapshot = segment->snapshot;
    *integer = 0;
    *fractional = 0;
    switch (metric->reading) {
    case READ_UP:
        *fractional = snapshot != NULL;
        return;
    case READ_FAULTS:
        *integer = segment->faults;
        return;
    case READ_FILL:
        *fractional = snapshot->max_bytes ? (double)snapshot->used_bytes / (double)snapshot->max_bytes : 1;
        return;
    case READ_CREATED:
        *fractional = (double)(snapshot->created_ns / 1000000) / 1e3;
        return;
    case READ_DURATION:
        *fractional = segment->snapshot_seconds;
        return;
    default:
        if (metric->type == LIBSHM_TYPE_COUNTER)
            *integer = read_member(metric, snapshot);
        else
            *fractional = (double)read_member(metric, snapshot);
    }
}
