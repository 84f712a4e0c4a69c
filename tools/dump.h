/* SPDX-License-Identifier: Apache-2.0
 *
 * What shm-dump's printers print: a reader's snapshot, and a private copy of the raw bytes for what a snapshot leaves
 * out. */
#ifndef TOOLS_DUMP_H
#define TOOLS_DUMP_H

#include "common.h"
#include <libshm/reader.h>

struct dump_attach {
    uint32_t number;
    int alive; /* -1: cannot be said */
    const struct libshm_attach_entry *entry;
};

struct dump {
    const char *path;
    const libshm_snapshot *snapshot;
    struct image image;
    const struct libshm_header *header; /* in the image */
    int show_cells;
    /* from the image (dump_facts.c) */
    int same_kernel; /* as this one; -1: cannot be said */
    int locked;      /* the insert lock; -1: cannot be said */
    uint32_t families_in_state[5], series_in_state[5];
    uint64_t group_bytes, cells;
    uint64_t index_slots, index_used, index_tombstones;
    uint64_t text_bytes;
    struct dump_attach *attaches;
    size_t n_attaches, n_attaches_alive;
};

/* Fills in what comes from the image; `fd` is asked for locks. 0 or -1: out of memory. */
int dump_facts(struct dump *dump, int fd);

/* One of the library's counters of what went wrong, or was done for upkeep. */
struct dump_statistic {
    const char *name;
    const char *meaning;
    size_t offset; /* in struct libshm_statistics */
};
extern const struct dump_statistic dump_statistics[];
extern const size_t n_dump_statistics;
uint64_t dump_statistic(const struct dump *dump, size_t i);

/* Calls `visit` for each cell of a series, in every lane, that is not all zero. `lane` is "baseline", "atomic", "cpu"
 * or "slot" (live gauges), `number` which of them, `index` which cell of the series. Nothing is visited if the series
 * changed after the snapshot. */
typedef void dump_cell_visitor(void *context, const char *lane, uint32_t number, uint32_t index,
                               struct libshm_cell cell);
void dump_cells(const struct dump *dump, const libshm_family_view *family, const libshm_series_view *series,
                dump_cell_visitor *visit, void *context);

/* Upper bound of bucket i: the last one is +Inf. */
static inline double dump_bound(const libshm_family_view *family, uint32_t i)
{
    return i < family->n_bounds ? family->bounds[i] : __builtin_inf();
}

/* A counter's or a gauge's value: integers as integers, exactly. */
const char *dump_value(const libshm_family_view *family, const libshm_series_view *series, char text[NUMBER_SIZE]);

/* The printers. */
void dump_text(const struct dump *dump, FILE *out);
void dump_prometheus(const struct dump *dump, FILE *out);
int dump_json(const struct dump *dump, FILE *out); /* 0 or -1: out of memory */

#endif
