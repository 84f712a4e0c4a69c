/* SPDX-License-Identifier: Apache-2.0
 *
 * shm-dump --format=json: everything the text shows, for programs.
 *
 * Integers beyond 2^53, which many parsers would round, are strings of decimal digits; NaN and the infinities, which
 * JSON does not have, are "NaN", "+Inf" and "-Inf". jansson's set functions take the value over and fail on NULL, so it
 * is enough to look at the one result that comes last: an object that is missing something is never printed. */
#include "dump.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int out_of_memory;

static void put(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        out_of_memory = 1;
}

static void append(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        out_of_memory = 1;
}

static json_t *integer(uint64_t value)
{
    char text[NUMBER_SIZE];
    if (value <= UINT64_C(1) << 53)
        return json_integer((json_int_t)value);
    snprintf(text, sizeof text, "%" PRIu64, value);
    return json_string(text);
}

static json_t *real(double value)
{
    char text[NUMBER_SIZE];
    return isfinite(value) ? json_real(value) : json_string(format_double(value, text));
}

static json_t *time_string(uint64_t nanoseconds)
{
    char text[TIME_SIZE];
    return json_string(format_time(nanoseconds, text));
}

/* Strings of the snapshot are UTF-8; a process's name or a path need not be. */
static json_t *any_string(const char *bytes, size_t length)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    if (!memory)
        return NULL;
    while (length) {
        uint32_t code;
        size_t n = utf8_character(bytes, length, &code);
        if (n)
            fwrite(bytes, 1, n, memory);
        else
            fputs("\xef\xbf\xbd", memory); /* U+FFFD */
        n += n == 0;
        bytes += n;
        length -= n;
    }
    json_t *string = fclose(memory) == 0 ? json_stringn(text, size) : NULL;
    free(text);
    return string;
}

static json_t *hexadecimal(const uint8_t *bytes, size_t n)
{
    char text[2 * 16 + 1];
    for (size_t i = 0; i < n && i < 16; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return json_string(text);
}

static json_t *segment(const struct dump *dump)
{
    const libshm_snapshot *snapshot = dump->snapshot;
    const struct libshm_header *header = dump->header;
    json_t *object = json_object();
    char id[NUMBER_SIZE];
    snprintf(id, sizeof id, "%016" PRIx64, snapshot->segment_id);
    put(object, "path", any_string(dump->path, strlen(dump->path)));
    put(object, "id", json_string(id));
    put(object, "format_version", integer(header->format_version));
    put(object, "hot_abi", integer(header->hot_abi));
    put(object, "compat", integer(header->compat));
    put(object, "ro_compat", integer(header->ro_compat));
    put(object, "incompat", integer(header->incompat));
    put(object, "creator", any_string(header->creator, strnlen(header->creator, sizeof header->creator)));
    put(object, "boot_id", hexadecimal(header->boot_id, sizeof header->boot_id));
    put(object, "same_kernel", dump->same_kernel < 0 ? json_null() : json_boolean(dump->same_kernel));
    put(object, "created", time_string(snapshot->created_ns));
    put(object, "incarnation", integer(snapshot->incarnation));
    put(object, "incarnation_began", time_string(header->incarnation_ns));
    put(object, "directory_version", integer(snapshot->directory_version));
    put(object, "file_bytes", integer(snapshot->file_bytes));
    put(object, "used_bytes", integer(snapshot->used_bytes));
    put(object, "max_bytes", integer(snapshot->max_bytes));
    put(object, "text_bytes", integer(dump->text_bytes));
    put(object, "cpu_lanes", integer(snapshot->cpu_lanes));
    put(object, "atomic_lanes_only", integer(header->atomic_lanes_only));
    put(object, "per_cpu_budget", integer(header->per_cpu_budget));
    put(object, "per_cpu_bytes", integer(header->per_cpu_bytes));
    put(object, "groups", integer(snapshot->n_groups));
    put(object, "group_bytes", integer(dump->group_bytes));
    put(object, "cells", integer(dump->cells));
    put(object, "cells_used", integer(snapshot->cells_used));
    put(object, "atomic_total", integer(snapshot->atomic_total));
    put(object, "index_slots", integer(dump->index_slots));
    put(object, "index_used", integer(dump->index_used));
    put(object, "index_tombstones", integer(dump->index_tombstones));
    put(object, "lock_held", dump->locked < 0 ? json_null() : json_boolean(dump->locked));
    put(object, "lock_progress", integer(header->lock_progress));
    return object;
}

static json_t *states(const uint32_t in_state[5])
{
    json_t *object = json_object();
    for (uint32_t state = 0; state < 5; state++)
        put(object, state_name(state), integer(in_state[state]));
    return object;
}

static json_t *problems(const libshm_snapshot *snapshot)
{
    json_t *object = json_object();
    put(object, "skipped_families", integer(snapshot->skipped_families));
    put(object, "skipped_series", integer(snapshot->skipped_series));
    put(object, "retried_series", integer(snapshot->retried_series));
    put(object, "first", any_string(snapshot->first_problem, strlen(snapshot->first_problem)));
    return object;
}

static json_t *processes(const libshm_snapshot *snapshot)
{
    json_t *array = json_array();
    for (size_t i = 0; i < snapshot->n_processes; i++) {
        const libshm_process_view *process = &snapshot->processes[i];
        json_t *object = json_object();
        put(object, "slot", integer(process->slot));
        put(object, "alive", json_boolean(process->alive));
        put(object, "pid", integer(process->pid));
        put(object, "pid_namespace", integer(process->pid_ns));
        put(object, "serial", integer(process->serial));
        put(object, "since", time_string(process->taken_ns));
        put(object, "name", any_string(process->name, strlen(process->name)));
        append(array, object);
    }
    return array;
}

static json_t *attaches(const struct dump *dump)
{
    json_t *array = json_array();
    for (size_t i = 0; i < dump->n_attaches; i++) {
        const struct dump_attach *attach = &dump->attaches[i];
        json_t *object = json_object();
        put(object, "attach", integer(attach->number));
        put(object, "alive", attach->alive < 0 ? json_null() : json_boolean(attach->alive));
        put(object, "pid", integer(attach->entry->pid));
        put(object, "serial", integer(attach->entry->serial));
        put(object, "since", time_string(attach->entry->taken_ns));
        append(array, object);
    }
    return array;
}

struct cell_list {
    const libshm_family_view *family;
    json_t *array;
};

static void add_cell(void *context, const char *lane, uint32_t number, uint32_t index, struct libshm_cell cell)
{
    const struct cell_list *list = context;
    json_t *object = json_object();
    put(object, "lane", json_string(lane));
    put(object, "number", integer(number));
    if (list->family->type == LIBSHM_TYPE_HISTOGRAM)
        put(object, "le", real(dump_bound(list->family, index)));
    put(object, "integer", integer(cell.integer));
    put(object, "fractional", real(cell.fractional));
    append(list->array, object);
}

static json_t *buckets(const libshm_family_view *family, const libshm_series_view *series)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i <= family->n_bounds; i++) {
        json_t *object = json_object();
        put(object, "le", real(dump_bound(family, i)));
        put(object, "count", integer(series->buckets[i].integer));
        put(object, "sum", real(series->buckets[i].fractional));
        append(array, object);
    }
    return array;
}

static json_t *one_series(const struct dump *dump, const libshm_family_view *family, const libshm_series_view *series)
{
    json_t *object = json_object(), *labels = json_object();
    for (uint32_t i = 0; i < family->n_labels; i++)
        put(labels, family->label_names[i], json_string(series->label_values[i]));
    put(object, "labels", labels);
    put(object, "number", integer(series->number));
    put(object, "generation", integer(series->generation));
    put(object, "created", time_string(series->created_ns));
    if (series->process) {
        put(object, "pid", integer(series->pid));
        put(object, "pid_namespace", integer(series->pid_ns));
        put(object, "process", integer(series->process));
    }
    if (family->type == LIBSHM_TYPE_HISTOGRAM || family->type == LIBSHM_TYPE_SUMMARY) {
        put(object, "count", integer(series->count));
        put(object, "sum", real(series->sum));
        if (family->type == LIBSHM_TYPE_HISTOGRAM)
            put(object, "buckets", buckets(family, series));
    } else if (family->type == LIBSHM_TYPE_COUNTER && series->fractional == 0) {
        put(object, "value", integer(series->integer));
    } else if (family->type == LIBSHM_TYPE_COUNTER) {
        put(object, "value", real((double)series->integer + series->fractional));
    } else {
        put(object, "value", real(series->fractional));
    }
    if (dump->show_cells) {
        struct cell_list list = {family, json_array()};
        dump_cells(dump, family, series, add_cell, &list);
        put(object, "cells", list.array);
    }
    return object;
}

static json_t *one_family(const struct dump *dump, const libshm_family_view *family)
{
    json_t *object = json_object(), *labels = json_array(), *list = json_array();
    put(object, "name", json_string(family->name));
    put(object, "type", json_string(type_name(family->type)));
    put(object, "help", json_string(family->help));
    put(object, "unit", json_string(family->unit));
    if (family->type == LIBSHM_TYPE_GAUGE)
        put(object, "mode", json_string(gauge_mode_name(family->gauge_mode)));
    for (uint32_t i = 0; i < family->n_labels; i++)
        append(labels, json_string(family->label_names[i]));
    put(object, "labels", labels);
    if (family->type == LIBSHM_TYPE_HISTOGRAM) {
        json_t *bounds = json_array();
        for (uint32_t i = 0; i < family->n_bounds; i++)
            append(bounds, real(family->bounds[i]));
        put(object, "bounds", bounds);
    }
    put(object, "number", integer(family->number));
    put(object, "generation", integer(family->generation));
    put(object, "created", time_string(family->created_ns));
    put(object, "max_series", integer(family->max_series));
    put(object, "ttl_seconds", real((double)family->ttl_ns / 1e9));
    put(object, "overflowed", integer(family->overflowed));
    for (size_t s = 0; s < family->n_series; s++)
        append(list, one_series(dump, family, &family->series[s]));
    put(object, "series", list);
    return object;
}

int dump_json(const struct dump *dump, FILE *out)
{
    json_t *root = json_object(), *counts = json_object(), *families = json_array();
    out_of_memory = 0;
    put(root, "segment", segment(dump));
    put(root, "families_in_state", states(dump->families_in_state));
    put(root, "series_in_state", states(dump->series_in_state));
    for (size_t i = 0; i < n_dump_statistics; i++)
        put(counts, dump_statistics[i].name, integer(dump_statistic(dump, i)));
    put(root, "statistics", counts);
    put(root, "problems", problems(dump->snapshot));
    put(root, "processes", processes(dump->snapshot));
    put(root, "attaches", attaches(dump));
    for (size_t f = 0; f < dump->snapshot->n_families; f++)
        append(families, one_family(dump, &dump->snapshot->families[f]));
    put(root, "families", families);
    if (!out_of_memory && json_dumpf(root, out, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) != 0)
        out_of_memory = 1;
    json_decref(root);
    fputc('\n', out);
    return out_of_memory ? -1 : 0;
}
