/* SPDX-License-Identifier: Apache-2.0
 *
 * Page groups, the cells of a series, and the updates that are not inline: atomic buckets and the _call functions. */
#include <ck_pr.h>
#include <math.h>
#include <string.h>

#include "libshm/buckets.h"
#include "libshm/cell.h"
#include "libshm/fingerprint.h"
#include "libshm/internal.h"

#define NO_GROUP UINT64_MAX

enum libshm_cell_kind libshm_cell_kind(uint32_t type, uint32_t gauge_mode)
{
    if (type == LIBSHM_TYPE_COUNTER || type == LIBSHM_TYPE_HISTOGRAM || type == LIBSHM_TYPE_SUMMARY)
        return LIBSHM_CELLS_PER_CPU;
    return type == LIBSHM_TYPE_GAUGE && gauge_mode != LIBSHM_GAUGE_SHARED ? LIBSHM_CELLS_LIVE : LIBSHM_CELLS_GAUGE;
}

static int group_add(struct libshm_segment *segment, enum libshm_cell_kind kind, uint32_t *number)
{
    struct libshm_header *header = segment->header;
    uint32_t cpu_lanes = kind == LIBSHM_CELLS_GAUGE ? 0 : header->cpu_lanes, atomic_lanes = 1;
    uint64_t pages = 2 + (uint64_t)cpu_lanes;
    if (cpu_lanes && header->per_cpu_bytes + pages * LIBSHM_PAGE > header->per_cpu_budget)
        cpu_lanes = 0;
    if (!cpu_lanes && kind == LIBSHM_CELLS_PER_CPU)
        atomic_lanes = header->atomic_lanes_only;
    pages = 1 + atomic_lanes + cpu_lanes;
    uint64_t base = libshm_pages_take(segment, pages);
    struct libshm_group *group = base ? libshm_table_add(segment, LIBSHM_TABLE_GROUPS, number) : NULL;
    if (!group)
        return LIBSHM_E_FULL;
    LIBSHM_POINT();
    group->base = base;
    group->cpu_lanes = (uint16_t)cpu_lanes;
    group->atomic_lanes = (uint16_t)atomic_lanes;
    if (cpu_lanes)
        libshm_journal_store(segment, &header->per_cpu_bytes, header->per_cpu_bytes + pages * LIBSHM_PAGE);
    return 0;
}

const struct libshm_group *libshm_cells_group(const struct libshm_segment *segment,
                                              const struct libshm_series_entry *entry)
{
    const struct libshm_group *group = libshm_table_at(segment, LIBSHM_TABLE_GROUPS, entry->group);
    if (!group || group->base % LIBSHM_PAGE != 0 || group->cpu_lanes > LIBSHM_MAX_CPU_LANES ||
        group->atomic_lanes == 0 || group->atomic_lanes > LIBSHM_MAX_ATOMIC_LANES ||
        (group->atomic_lanes & (group->atomic_lanes - 1)) != 0)
        return NULL;
    uint64_t lane0 = group->base + (1 + (uint64_t)group->atomic_lanes) * LIBSHM_PAGE;
    uint64_t pages = 1 + (uint64_t)group->atomic_lanes + group->cpu_lanes;
    if (!libshm_at(segment, group->base, pages * LIBSHM_PAGE) || entry->cells % LIBSHM_CELL != 0 ||
        entry->cells < lane0 || entry->n_cells == 0 ||
        entry->cells + (uint64_t)entry->n_cells * LIBSHM_CELL > lane0 + LIBSHM_PAGE)
        return NULL;
    return group;
}

/* Bump allocation: `next` is group << 16 | cell. */
static int cells_bump(struct libshm_segment *segment, uint64_t *next, enum libshm_cell_kind kind, uint32_t n_cells,
                      struct libshm_series_entry *entry)
{
    struct libshm_header *header = segment->header;
    uint32_t group = (uint32_t)(*next >> 16), cell = (uint32_t)(*next & 0xffff);
    if (*next == NO_GROUP || cell + n_cells > LIBSHM_CELLS_PER_PAGE) {
        uint64_t rest = *next;
        int error = group_add(segment, kind, &group);
        if (error)
            return error;
        /* what a run leaves over in its group serves single cells, if those have none */
        if (next == &header->cells_next[1] && rest != NO_GROUP && cell < LIBSHM_CELLS_PER_PAGE &&
            header->cells_next[0] == NO_GROUP)
            libshm_journal_store(segment, &header->cells_next[0], rest);
        cell = 0;
    }
    const struct libshm_group *g = libshm_table_at(segment, LIBSHM_TABLE_GROUPS, group);
    if (!g)
        return libshm_error_set(LIBSHM_E_DAMAGED, "%s: page group %u is outside the file", segment->path, group);
    entry->group = group;
    entry->cells = g->base + (1 + (uint64_t)g->atomic_lanes) * LIBSHM_PAGE + (uint64_t)cell * LIBSHM_CELL;
    cell += n_cells;
    libshm_journal_store(segment, next, cell == LIBSHM_CELLS_PER_PAGE ? NO_GROUP : (uint64_t)group << 16 | cell);
    return 0;
}

int libshm_cells_take(struct libshm_segment *segment, enum libshm_cell_kind kind, uint32_t n_cells,
                      struct libshm_series_entry *entry)
{
    struct libshm_header *header = segment->header;
    if (kind == LIBSHM_CELLS_LIVE) {
        entry->group = LIBSHM_NO_GROUP;
        entry->cells = header->live_cells + 1;
        if (header->live_cells >= LIBSHM_LIVE_PAGES * LIBSHM_LIVE_CELLS) {
            LIBSHM_COUNT(segment, full, 1);
            return libshm_error_set(LIBSHM_E_FULL, "%s has %u live gauges, and no process can have more", segment->path,
                                    LIBSHM_LIVE_PAGES * LIBSHM_LIVE_CELLS);
        }
        libshm_journal_store(segment, &header->live_cells, header->live_cells + 1);
        return 0;
    }
    uint64_t *next = kind == LIBSHM_CELLS_GAUGE ? &header->gauge_next
                     : n_cells == 1             ? &header->cells_next[0]
                                                : &header->cells_next[1];
    return cells_bump(segment, next, kind, n_cells, entry);
}

void libshm_cells_zero(struct libshm_segment *segment, const struct libshm_series_entry *entry)
{
    const struct libshm_group *group = entry->group == LIBSHM_NO_GROUP ? NULL : libshm_cells_group(segment, entry);
    if (!group)
        return; /* a live cell counts by its stamp */
    char *first = segment->base + entry->cells - (1 + (uint64_t)group->atomic_lanes) * LIBSHM_PAGE;
    for (uint32_t page = 0; page < 1u + group->atomic_lanes + group->cpu_lanes; page++) {
        LIBSHM_POINT();
        for (uint32_t i = 0; i < entry->n_cells; i++)
            libshm_cell_store((struct libshm_cell *)(void *)(first + (size_t)page * LIBSHM_PAGE) + i,
                              (struct libshm_cell){0, 0});
    }
}

void libshm_cell_store(struct libshm_cell *cell, struct libshm_cell value)
{
    uint64_t old[2], new[2];
    memcpy(new, &value, sizeof new);
    do {
        struct libshm_cell now = libshm_cell_read(cell);
        memcpy(old, &now, sizeof old);
    } while (!ck_pr_cas_64_2((uint64_t *)(void *)cell, old, new));
}

struct libshm_cell libshm_cells_total(const struct libshm_segment *segment, const struct libshm_series_entry *entry,
                                      uint32_t i, bool baseline)
{
    struct libshm_cell total = {0, 0}, base = {0, 0};
    const struct libshm_group *group = libshm_cells_group(segment, entry);
    if (!group)
        return total;
    const char *page =
        segment->base + entry->cells + (uint64_t)i * LIBSHM_CELL - (1 + (uint64_t)group->atomic_lanes) * LIBSHM_PAGE;
    base = libshm_cell_read((const struct libshm_cell *)(const void *)page);
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* baseline before the lanes: their total is then never below it */
    for (uint32_t lane = 0; lane < (uint32_t)group->atomic_lanes + group->cpu_lanes; lane++) {
        page += LIBSHM_PAGE;
        struct libshm_cell cell = libshm_cell_read((const struct libshm_cell *)(const void *)page);
        total.integer += cell.integer;
        total.fractional += cell.fractional;
    }
    if (baseline) {
        total.integer -= base.integer;
        if (isfinite(base.fractional))
            total.fractional -= base.fractional;
    }
    return total;
}

uint64_t libshm_cells_fingerprint(const struct libshm_segment *segment, const struct libshm_series_entry *entry)
{
    uint64_t fingerprint = LIBSHM_FINGERPRINT_START;
    for (uint32_t i = 0; i < entry->n_cells; i++)
        fingerprint = libshm_fingerprint_add(fingerprint, libshm_cells_total(segment, entry, i, false));
    return fingerprint;
}

static void add_atomic(struct libshm_cell *bucket, unsigned atomic_mask, double value)
{
    struct libshm_cell *cell = libshm_atomic_cell(bucket, atomic_mask);
    uint64_t *words = (uint64_t *)(void *)cell, old[2], new[2];
    old[0] = ck_pr_load_64(&words[0]); /* may be torn: then the exchange fails and hands back the whole cell */
    old[1] = ck_pr_load_64(&words[1]);
    do {
        double sum;
        memcpy(&sum, &old[1], 8);
        sum += value;
        new[0] = old[0] + 1;
        memcpy(&new[1], &sum, 8);
    } while (!ck_pr_cas_64_2_value(words, old, new, old));
}

/* A handle that does nothing; a value that the table leaves to an ordinary search; a thread that was interrupted or has
 * no per-CPU cell. */
void libshm_histogram_observe_otherwise(libshm_histogram histogram, double value)
{
    if (!histogram.cell) {
        libshm_update_dropped(histogram.segment);
        return;
    }
    struct libshm_cell *cell = histogram.cell + libshm_histogram_bucket(&histogram, value);
    if (!libshm_rseq_add_bucket(cell, value, histogram.cpu_limit))
        add_atomic(cell, histogram.atomic_mask, value);
}

void libshm_counter_add_call(const libshm_counter *counter, uint64_t n)
{
    libshm_counter_add(counter, n);
}

void libshm_counter_add_double_call(const libshm_counter *counter, double v)
{
    libshm_counter_add_double(counter, v);
}

void libshm_histogram_observe_call(const libshm_histogram *histogram, double v)
{
    libshm_histogram_observe(histogram, v);
}

void libshm_gauge_set_call(const libshm_gauge *gauge, double v)
{
    libshm_gauge_set(gauge, v);
}

void libshm_gauge_add_call(const libshm_gauge *gauge, double v)
{
    libshm_gauge_add(gauge, v);
}
