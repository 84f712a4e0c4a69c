/* SPDX-License-Identifier: Apache-2.0
 *
 * What shm-dump takes from the raw bytes: states of entries, fill of the index, attaches, the lanes behind a value. */
#include "dump.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define STATISTIC(name, meaning)                                                                                       \
    {                                                                                                                  \
#name, meaning, offsetof(struct libshm_statistics, name)                                                       \
    }
const struct dump_statistic dump_statistics[] = {
    STATISTIC(overflowed, "look-ups that got no series of their own"),
    STATISTIC(dropped_updates, "updates through a handle that could not be set up"),
    STATISTIC(dropped_values, "NaN values, and negative counter increments"),
    STATISTIC(rejected, "definitions and label sets refused as invalid"),
    STATISTIC(full, "requests refused because the segment or the file system was full"),
    STATISTIC(lock_timeouts, "waits for the insert lock given up"),
    STATISTIC(lock_passed, "insert lock of a dead process passed by"),
    STATISTIC(repaired, "half-done changes of a dead process undone"),
    STATISTIC(hidden, "series hidden because they were idle"),
    STATISTIC(removed, "series removed"),
    STATISTIC(reused, "cells given to another series"),
    STATISTIC(unpinned_attaches, "attaches that had to share the common byte"),
    STATISTIC(slotless, "processes that could not take a slot"),
    STATISTIC(resets, "incarnations begun by a reset"),
    STATISTIC(replaced_families, "definitions replaced after a redeploy"),
};
const size_t n_dump_statistics = sizeof dump_statistics / sizeof *dump_statistics;
LIBSHM_STATIC_ASSERT(sizeof dump_statistics / sizeof *dump_statistics * 8 ==
                         offsetof(struct libshm_statistics, reserved),
                     "every statistic of the format is listed");

uint64_t dump_statistic(const struct dump *dump, size_t i)
{
    uint64_t value;
    memcpy(&value, (const char *)&dump->snapshot->statistics + dump_statistics[i].offset, sizeof value);
    return value;
}

/* The running kernel's boot id against the segment's. */
static int same_kernel(const uint8_t boot_id[16])
{
    char text[64] = "";
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!file)
        return -1;
    const char *digit = fgets(text, sizeof text, file);
    fclose(file);
    if (!digit)
        return -1;
    for (int i = 0; i < 16; i++) {
        unsigned byte;
        digit += *digit == '-';
        if (sscanf(digit, "%2x", &byte) != 1)
            return -1;
        if (byte != boot_id[i])
            return 0;
        digit += 2;
    }
    return 1;
}

static void count_entries(struct dump *dump)
{
    const struct image *image = &dump->image;
    uint32_t count = table_count(image, LIBSHM_TABLE_FAMILIES);
    for (uint32_t n = 0; n < count; n++) {
        const struct libshm_family_entry *family = table_entry(image, LIBSHM_TABLE_FAMILIES, n);
        if (!family || LIBSHM_STATUS_STATE(family->status) > LIBSHM_STATE_REMOVED)
            continue;
        dump->families_in_state[LIBSHM_STATUS_STATE(family->status)]++;
        if (LIBSHM_STATUS_STATE(family->status) != LIBSHM_STATE_FREE)
            dump->text_bytes += family->text_size;
    }
    count = table_count(image, LIBSHM_TABLE_SERIES);
    for (uint32_t n = 0; n < count; n++) {
        const struct libshm_series_entry *series = table_entry(image, LIBSHM_TABLE_SERIES, n);
        if (!series || LIBSHM_STATUS_STATE(series->status) > LIBSHM_STATE_REMOVED)
            continue;
        dump->series_in_state[LIBSHM_STATUS_STATE(series->status)]++;
        if (LIBSHM_STATUS_STATE(series->status) != LIBSHM_STATE_FREE)
            dump->text_bytes += series->text_size;
    }
    count = table_count(image, LIBSHM_TABLE_GROUPS);
    for (uint32_t n = 0; n < count; n++) {
        const struct libshm_group *group = table_entry(image, LIBSHM_TABLE_GROUPS, n);
        if (!group || group->base == 0)
            continue;
        dump->group_bytes += (1u + group->atomic_lanes + group->cpu_lanes) * (uint64_t)LIBSHM_PAGE;
        dump->cells += LIBSHM_CELLS_PER_PAGE;
    }
}

static void count_index(struct dump *dump)
{
    uint32_t log2 = LIBSHM_INDEX_LOG2(dump->header->index_word);
    uint64_t page = dump->header->index_page[LIBSHM_INDEX_WHICH(dump->header->index_word)];
    if (page == 0 || log2 > 32)
        return;
    const uint64_t *slots = image_at(&dump->image, page * LIBSHM_PAGE, UINT64_C(8) << log2, 8);
    if (!slots)
        return;
    dump->index_slots = UINT64_C(1) << log2;
    for (uint64_t i = 0; i < dump->index_slots; i++) {
        dump->index_used += slots[i] != 0;
        dump->index_tombstones += slots[i] == LIBSHM_INDEX_TOMBSTONE;
    }
}

int dump_facts(struct dump *dump, int fd)
{
    const struct libshm_header *header = dump->header;
    dump->same_kernel = same_kernel(header->boot_id);
    dump->locked =
        header->lock_epoch < UINT64_C(1) << 60 ? lock_held(fd, LIBSHM_INSERT_LOCK + (header->lock_epoch & 0xffff)) : -1;
    count_entries(dump);
    count_index(dump);
    uint32_t count = table_count(&dump->image, LIBSHM_TABLE_ATTACHES);
    dump->attaches = calloc(count + 1u, sizeof *dump->attaches);
    if (!dump->attaches)
        return -1;
    for (uint32_t n = 0; n < count; n++) {
        const struct libshm_attach_entry *entry = table_entry(&dump->image, LIBSHM_TABLE_ATTACHES, n);
        if (!entry || entry->serial == 0)
            continue;
        int alive = serial_alive(fd, LIBSHM_ATTACH_LOCK, entry->serial);
        dump->attaches[dump->n_attaches++] = (struct dump_attach){n, alive, entry};
        dump->n_attaches_alive += alive == 1;
    }
    return 0;
}

static int cell_is_zero(const struct libshm_cell *cell)
{
    static const struct libshm_cell zero;
    return memcmp(cell, &zero, sizeof zero) == 0;
}

/* A live gauge: one cell in each process's chain of live pages. */
static void live_cells(const struct dump *dump, const libshm_series_view *series, uint64_t number,
                       dump_cell_visitor *visit, void *context)
{
    uint32_t slots = table_count(&dump->image, LIBSHM_TABLE_SLOTS);
    for (uint32_t n = 0; n < slots; n++) {
        const struct libshm_slot_entry *slot = table_entry(&dump->image, LIBSHM_TABLE_SLOTS, n);
        if (!slot || slot->serial == 0 || (series->process && series->process != slot->serial))
            continue;
        uint64_t page = slot->live_page, steps = number / LIBSHM_LIVE_CELLS;
        const struct libshm_live_page *live = image_at(&dump->image, page * LIBSHM_PAGE, LIBSHM_PAGE, LIBSHM_PAGE);
        if (steps > dump->image.length / LIBSHM_PAGE) /* longer than all pages of the file: a circle */
            return;
        while (page && live && steps--) {
            page = live->next;
            live = image_at(&dump->image, page * LIBSHM_PAGE, LIBSHM_PAGE, LIBSHM_PAGE);
        }
        if (!page || !live)
            continue;
        const struct libshm_cell *cell = &live->cell[number % LIBSHM_LIVE_CELLS];
        if (cell->integer == series->generation)
            visit(context, "slot", n, 0, *cell);
    }
}

void dump_cells(const struct dump *dump, const libshm_family_view *family, const libshm_series_view *series,
                dump_cell_visitor *visit, void *context)
{
    const struct libshm_series_entry *entry = table_entry(&dump->image, LIBSHM_TABLE_SERIES, series->number);
    if (!entry || LIBSHM_STATUS_GENERATION(entry->status) != series->generation || entry->family != family->number)
        return;
    if (entry->group == LIBSHM_NO_GROUP) {
        if (entry->cells)
            live_cells(dump, series, entry->cells - 1, visit, context);
        return;
    }
    const struct libshm_group *group = table_entry(&dump->image, LIBSHM_TABLE_GROUPS, entry->group);
    if (!group || group->cpu_lanes > LIBSHM_MAX_CPU_LANES || group->atomic_lanes > LIBSHM_MAX_ATOMIC_LANES)
        return;
    uint64_t lane0 = group->base + (1u + group->atomic_lanes) * (uint64_t)LIBSHM_PAGE;
    uint64_t in_page = entry->cells - lane0;
    if (in_page >= LIBSHM_PAGE || in_page + (uint64_t)entry->n_cells * LIBSHM_CELL > LIBSHM_PAGE)
        return;
    for (uint32_t lane = 0; lane < 1u + group->atomic_lanes + group->cpu_lanes; lane++) {
        const struct libshm_cell *cell = image_at(&dump->image, group->base + lane * (uint64_t)LIBSHM_PAGE + in_page,
                                                  (uint64_t)entry->n_cells * LIBSHM_CELL, LIBSHM_CELL);
        for (uint32_t i = 0; cell && i < entry->n_cells; i++) {
            if (cell_is_zero(&cell[i]))
                continue;
            if (lane == 0)
                visit(context, "baseline", 0, i, cell[i]);
            else if (lane <= group->atomic_lanes)
                visit(context, "atomic", group->atomic_lanes - lane, i, cell[i]);
            else
                visit(context, "cpu", lane - 1 - group->atomic_lanes, i, cell[i]);
        }
    }
}

const char *dump_value(const libshm_family_view *family, const libshm_series_view *series, char text[NUMBER_SIZE])
{
    if (family->type != LIBSHM_TYPE_COUNTER)
        return format_double(series->fractional, text);
    if (series->fractional != 0)
        return format_double((double)series->integer + series->fractional, text);
    snprintf(text, NUMBER_SIZE, "%" PRIu64, series->integer);
    return text;
}
