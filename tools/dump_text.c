/* SPDX-License-Identifier: Apache-2.0
 *
 * shm-dump --format=text: for people. */
#include "dump.h"

#include <inttypes.h>
#include <string.h>

static void quoted(FILE *out, const char *text)
{
    fputc('"', out);
    print_escaped(out, text, strlen(text), '"');
    fputc('"', out);
}

static void feature_words(const struct libshm_header *header, FILE *out)
{
    if (header->compat | header->ro_compat | header->incompat)
        fprintf(out, ", features compat %#" PRIx32 ", ro_compat %#" PRIx32 ", incompat %#" PRIx32, header->compat,
                header->ro_compat, header->incompat);
}

static void segment(const struct dump *dump, FILE *out)
{
    const libshm_snapshot *snapshot = dump->snapshot;
    const struct libshm_header *header = dump->header;
    char a[TIME_SIZE], b[NUMBER_SIZE], c[NUMBER_SIZE];
    fputs("segment    ", out);
    print_escaped(out, dump->path, strlen(dump->path), 0);
    fprintf(out, "\nformat     version %" PRIu32 ", hot ABI %" PRIu32, header->format_version, header->hot_abi);
    feature_words(header, out);
    fputs(", made by ", out);
    print_escaped(out, header->creator, strnlen(header->creator, sizeof header->creator), 0);
    fprintf(out, "\ncreated    %s, id %016" PRIx64 "\n", format_time(snapshot->created_ns, a), snapshot->segment_id);
    fprintf(out, "kernel     %s\n",
            dump->same_kernel == 1   ? "the running one"
            : dump->same_kernel == 0 ? "another than the running one: writers here use atomic cells only"
                                     : "unknown");
    fprintf(out, "resets     incarnation %" PRIu64 ", since %s\n", snapshot->incarnation,
            format_time(header->incarnation_ns, a));
    fprintf(out, "fill       %s of %s used (%.1f %%), %s allocated\n", format_bytes(snapshot->used_bytes, b),
            format_bytes(snapshot->max_bytes, c),
            snapshot->max_bytes ? 100.0 * (double)snapshot->used_bytes / (double)snapshot->max_bytes : 0,
            format_bytes(snapshot->file_bytes, a));
    fprintf(
        out, "cells      %" PRIu64 " of %" PRIu64 " shown, in %" PRIu32 " page groups of %s; %" PRIu32 " CPU lanes\n",
        snapshot->cells_used, dump->cells, snapshot->n_groups, format_bytes(dump->group_bytes, b), snapshot->cpu_lanes);
    fprintf(out, "index      %" PRIu64 " of %" PRIu64 " slots used, %" PRIu64 " of them tombstones; %s of text\n",
            dump->index_used, dump->index_slots, dump->index_tombstones, format_bytes(dump->text_bytes, b));
    fprintf(out, "families   %zu shown; %" PRIu32 " live, %" PRIu32 " removed\n", snapshot->n_families,
            dump->families_in_state[LIBSHM_STATE_LIVE], dump->families_in_state[LIBSHM_STATE_REMOVED]);
    fprintf(out, "series     %zu shown; %" PRIu32 " live, %" PRIu32 " hidden, %" PRIu32 " removed, %" PRIu32 " free\n",
            snapshot->n_series, dump->series_in_state[LIBSHM_STATE_LIVE], dump->series_in_state[LIBSHM_STATE_HIDDEN],
            dump->series_in_state[LIBSHM_STATE_REMOVED], dump->series_in_state[LIBSHM_STATE_FREE]);
    fprintf(out, "lock       %s, taken %" PRIu64 " times; directory version %" PRIu64 "\n",
            dump->locked == 1   ? "held"
            : dump->locked == 0 ? "free"
                                : "unknown",
            header->lock_progress, snapshot->directory_version);
}

static void statistics(const struct dump *dump, FILE *out)
{
    const char *title = "\nSTATISTICS (those that are not zero)\n";
    for (size_t i = 0; i < n_dump_statistics; i++) {
        if (dump_statistic(dump, i) == 0)
            continue;
        fprintf(out, "%s  %-18s %12" PRIu64 "  %s\n", title, dump_statistics[i].name, dump_statistic(dump, i),
                dump_statistics[i].meaning);
        title = "";
    }
    if (dump->snapshot->atomic_total)
        fprintf(out, "%s  %-18s %12" PRIu64 "  integer updates that took the atomic path\n", title, "atomic",
                dump->snapshot->atomic_total);
}

static void processes(const struct dump *dump, FILE *out)
{
    const libshm_snapshot *snapshot = dump->snapshot;
    char time[TIME_SIZE];
    fprintf(out, "\nPROCESSES  %zu alive, %zu slots in use\n", snapshot->n_alive, snapshot->n_processes);
    for (size_t i = 0; i < snapshot->n_processes; i++) {
        const libshm_process_view *process = &snapshot->processes[i];
        fprintf(out,
                "  slot %-5" PRIu32 " %-5s  pid %-8" PRIu32 " serial %-8" PRIu64 " since %s  pid namespace %" PRIu64
                "  ",
                process->slot, process->alive ? "alive" : "dead", process->pid, process->serial,
                format_time(process->taken_ns, time), process->pid_ns);
        quoted(out, process->name);
        fputc('\n', out);
    }
    fprintf(out, "\nATTACHES   %zu alive, %zu in use\n", dump->n_attaches_alive, dump->n_attaches);
    for (size_t i = 0; i < dump->n_attaches; i++) {
        const struct dump_attach *attach = &dump->attaches[i];
        fprintf(out, "  attach %-3" PRIu32 " %-5s  pid %-8" PRIu32 " serial %-8" PRIu64 " since %s\n", attach->number,
                attach->alive == 1   ? "alive"
                : attach->alive == 0 ? "dead"
                                     : "?",
                attach->entry->pid, attach->entry->serial, format_time(attach->entry->taken_ns, time));
    }
}

static void family_lines(const libshm_family_view *family, FILE *out)
{
    fprintf(out, "\n%s  %s", family->name, type_name(family->type));
    if (family->type == LIBSHM_TYPE_GAUGE)
        fprintf(out, ", %s", gauge_mode_name(family->gauge_mode));
    if (*family->unit) {
        fputs(", unit ", out);
        quoted(out, family->unit);
    }
    fprintf(out, ", %zu of at most %" PRIu32 " series", family->n_series, family->max_series);
    if (family->ttl_ns)
        fprintf(out, ", hidden after %.0f s", (double)family->ttl_ns / 1e9);
    if (family->overflowed)
        fprintf(out, ", %" PRIu64 " look-ups overflowed", family->overflowed);
    fputs("\n    ", out);
    print_escaped(out, family->help, strlen(family->help), 0);
    fputc('\n', out);
}

struct cell_line {
    FILE *out;
    const libshm_family_view *family;
};

static void cell_line(void *context, const char *lane, uint32_t number, uint32_t index, struct libshm_cell cell)
{
    const struct cell_line *line = context;
    char text[NUMBER_SIZE];
    int baseline = strcmp(lane, "baseline") == 0;
    fprintf(line->out, baseline ? "        %s" : "        %s %" PRIu32, lane, number);
    if (line->family->type == LIBSHM_TYPE_HISTOGRAM)
        fprintf(line->out, ", le %s", format_double(dump_bound(line->family, index), text));
    switch (line->family->type) {
    case LIBSHM_TYPE_COUNTER:
        fprintf(line->out, ": %" PRIu64 " + %s\n", cell.integer, format_double(cell.fractional, text));
        break;
    case LIBSHM_TYPE_HISTOGRAM:
    case LIBSHM_TYPE_SUMMARY:
        fprintf(line->out, ": count %" PRIu64 ", sum %s\n", cell.integer, format_double(cell.fractional, text));
        break;
    default:
        fprintf(line->out, ": %s\n", format_double(cell.fractional, text));
    }
}

static void histogram_lines(const libshm_family_view *family, const libshm_series_view *series, FILE *out)
{
    char text[NUMBER_SIZE];
    fprintf(out, "count %" PRIu64 ", sum %s", series->count, format_double(series->sum, text));
    if (series->count)
        fprintf(out, ", mean %.6g", series->sum / (double)series->count);
    fputc('\n', out);
    if (family->type != LIBSHM_TYPE_HISTOGRAM || series->count == 0)
        return;
    for (uint32_t i = 0; i <= family->n_bounds; i++)
        fprintf(out, "        le %-12s %12" PRIu64 "\n", format_double(dump_bound(family, i), text),
                series->buckets[i].integer);
}

static void series_lines(const struct dump *dump, const libshm_family_view *family, const libshm_series_view *series,
                         FILE *out)
{
    char text[NUMBER_SIZE];
    fputs("    {", out);
    for (uint32_t i = 0; i < family->n_labels; i++) {
        fprintf(out, "%s%s=", i ? ", " : "", family->label_names[i]);
        quoted(out, series->label_values[i]);
    }
    fputs("}  ", out);
    if (series->process)
        fprintf(out, "pid %" PRIu32 " (slot serial %" PRIu64 ")  ", series->pid, series->process);
    if (family->type == LIBSHM_TYPE_HISTOGRAM || family->type == LIBSHM_TYPE_SUMMARY)
        histogram_lines(family, series, out);
    else
        fprintf(out, "%s\n", dump_value(family, series, text));
    if (dump->show_cells)
        dump_cells(dump, family, series, cell_line, &(struct cell_line){out, family});
}

void dump_text(const struct dump *dump, FILE *out)
{
    const libshm_snapshot *snapshot = dump->snapshot;
    segment(dump, out);
    if (snapshot->skipped_families || snapshot->skipped_series) {
        fprintf(out, "DAMAGE     %" PRIu64 " families and %" PRIu64 " series skipped; the first: ",
                snapshot->skipped_families, snapshot->skipped_series);
        print_escaped(out, snapshot->first_problem, strlen(snapshot->first_problem), 0);
        fputc('\n', out);
    }
    statistics(dump, out);
    processes(dump, out);
    for (size_t f = 0; f < snapshot->n_families; f++) {
        family_lines(&snapshot->families[f], out);
        for (size_t s = 0; s < snapshot->families[f].n_series; s++)
            series_lines(dump, &snapshot->families[f], &snapshot->families[f].series[s], out);
    }
}
