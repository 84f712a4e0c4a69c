/* SPDX-License-Identifier: Apache-2.0
 *
 * The exporter's JSON: segments and processes, see encode_json.h. */
#include "encode_json.h"
#include "json.h"

static void field_u64(struct buffer *out, const char *key, uint64_t value)
{
    json_key(out, key);
    json_u64(out, value);
}

static void field_string(struct buffer *out, const char *key, const char *value)
{
    json_key(out, key);
    json_string(out, value);
}

static void field_bool(struct buffer *out, const char *key, bool value)
{
    json_key(out, key);
    buffer_append_string(out, value ? "true" : "false");
}

static void field_time(struct buffer *out, const char *key, uint64_t ns)
{
    json_key(out, key);
    json_double(out, (double)(ns / 1000000) / 1e3);
}

/* What went wrong among the writers, or was passed over. */
static uint64_t troubles(const libshm_snapshot *snapshot)
{
    const struct libshm_statistics *statistics = &snapshot->statistics;
    return snapshot->skipped_families + snapshot->skipped_series + statistics->overflowed +
           statistics->dropped_updates + statistics->dropped_values + statistics->rejected + statistics->full +
           statistics->lock_timeouts;
}

static void append_segment(struct buffer *out, const struct segment *segment)
{
    const libshm_snapshot *snapshot = segment->snapshot;
    json_comma(out);
    buffer_append(out, "{", 1);
    field_string(out, "name", segment->name);
    field_bool(out, "up", snapshot != NULL);
    if (!snapshot) {
        field_string(out, "reason", segment->reason);
    } else {
        field_time(out, "created", snapshot->created_ns);
        field_u64(out, "used_bytes", snapshot->used_bytes);
        field_u64(out, "allocated_bytes", snapshot->file_bytes);
        field_u64(out, "max_bytes", snapshot->max_bytes);
        field_u64(out, "families", snapshot->n_families);
        field_u64(out, "series", snapshot->n_series);
        field_u64(out, "cells", snapshot->cells_used);
        field_u64(out, "cpu_lanes", snapshot->cpu_lanes);
        field_u64(out, "incarnation", snapshot->incarnation);
        field_u64(out, "process_slots", snapshot->n_processes);
        field_u64(out, "processes_alive", snapshot->n_alive);
        field_u64(out, "troubles", troubles(snapshot));
        field_string(out, "first_problem", snapshot->first_problem);
    }
    buffer_append(out, "}", 1);
}

static void append_process(struct buffer *out, const struct segment *segment, const libshm_process_view *process)
{
    json_comma(out);
    buffer_append(out, "{", 1);
    field_string(out, "segment", segment->name);
    field_u64(out, "pid", process->pid);
    field_u64(out, "pid_ns", process->pid_ns);
    field_u64(out, "serial", process->serial);
    field_string(out, "name", process->name);
    field_bool(out, "alive", process->alive);
    field_time(out, "since", process->taken_ns);
    buffer_append(out, "}", 1);
}

void encode_json_status(const struct json_input *input, const struct selection *selection, struct buffer *out)
{
    json_key(out, "segments");
    buffer_append(out, "[", 1);
    for (size_t i = 0; i < input->n_segments; i++)
        if (selection_has_segment(selection, input->segments[i]->name))
            append_segment(out, input->segments[i]);
    buffer_append(out, "]", 1);
    json_key(out, "processes");
    buffer_append(out, "[", 1);
    for (size_t i = 0; i < input->n_segments; i++) {
        const libshm_snapshot *snapshot = input->segments[i]->snapshot;
        if (!snapshot || !selection_has_segment(selection, input->segments[i]->name))
            continue;
        for (size_t p = 0; p < snapshot->n_processes; p++)
            append_process(out, input->segments[i], &snapshot->processes[p]);
    }
    buffer_append(out, "]", 1);
}
