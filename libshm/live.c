/* SPDX-License-Identifier: Apache-2.0
 *
 * Live gauges: one cell a process, {stamp, value}. Threads of the process share it by 16-byte compare-and-swap. After a
 * fork by whatever means the table of live pages is empty (the kernel wiped it), and the child takes a slot of its own
 * before it writes anything. */
#include <ck_pr.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "libshm/cell.h"
#include "libshm/internal.h"

static struct libshm_cell *cell_of(struct libshm_wiped *wiped, uint32_t number)
{
    struct libshm_live_page *page = __atomic_load_n(&wiped->live_page[number / LIBSHM_LIVE_CELLS], __ATOMIC_ACQUIRE);
    return page ? &page->cell[number % LIBSHM_LIVE_CELLS] : NULL;
}

/* Locked: adds live pages to this process's slot up to the one with `number`. */
static int add_pages(struct libshm_segment *segment, uint32_t number)
{
    struct libshm_wiped *wiped = segment->process.wiped;
    struct libshm_slot_entry *slot = libshm_table_at(segment, LIBSHM_TABLE_SLOTS, wiped->slot);
    if (!slot)
        return libshm_error_set(LIBSHM_E_DAMAGED, "%s: process slot %u is outside the file", segment->path,
                                wiped->slot);
    for (uint32_t order = 0; order <= number / LIBSHM_LIVE_CELLS; order++) {
        if (wiped->live_page[order])
            continue;
        uint64_t at = libshm_pages_take(segment, 1);
        if (!at) {
            libshm_journal_abort(segment);
            return LIBSHM_E_FULL;
        }
        struct libshm_live_page *page = libshm_at(segment, at, LIBSHM_PAGE);
        LIBSHM_POINT();
        page->order = order;
        /* {pid, live_page} of the slot, {next, order} of a page: linked with one 8-byte store */
        uint64_t *link = (uint64_t *)(void *)(order == 0 ? (void *)&slot->pid : (void *)wiped->live_page[order - 1]);
        uint64_t next = at / LIBSHM_PAGE;
        libshm_journal_commit_process(
            segment, link, order == 0 ? (*link & UINT32_MAX) | next << 32 : (*link & ~(uint64_t)UINT32_MAX) | next);
        __atomic_store_n(&wiped->live_page[order], page, __ATOMIC_RELEASE);
    }
    return 0;
}

struct libshm_cell *libshm_live_cell(struct libshm_segment *segment, uint32_t number, bool insert_locked)
{
    struct libshm_wiped *wiped = segment->process.wiped;
    if (number >= LIBSHM_LIVE_PAGES * LIBSHM_LIVE_CELLS)
        return NULL;
    struct libshm_cell *cell = wiped->slot_serial ? cell_of(wiped, number) : NULL;
    if (cell)
        return cell;
    if (!insert_locked && libshm_insert_lock(segment, LIBSHM_LOCK_PATIENCE_MS) != 0)
        return NULL;
    int error = libshm_slot_take(segment);
    if (!error)
        error = add_pages(segment, number);
    if (!insert_locked)
        libshm_insert_unlock(segment);
    return error ? NULL : cell_of(wiped, number);
}

/* The slow way is that of a forked child's first update; other threads of the child wait here for the one that takes
 * the slot, but not without a bound: this may be a signal handler on top of it. */
__attribute__((noinline, cold)) static struct libshm_cell *first_cell(const libshm_gauge *gauge)
{
    struct libshm_wiped *wiped = gauge->live->wiped;
    struct libshm_cell *cell;
    uint64_t start = libshm_now_ns(CLOCK_MONOTONIC), patience = LIBSHM_LOCK_PATIENCE_MS * UINT64_C(2000000);
    while (!wiped->slot_failed && libshm_now_ns(CLOCK_MONOTONIC) - start < patience) {
        if (pthread_mutex_trylock(&wiped->mutex) == 0) {
            cell = libshm_live_cell(gauge->live->segment, gauge->number, false);
            pthread_mutex_unlock(&wiped->mutex);
            return cell;
        }
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
        cell = cell_of(wiped, gauge->number);
        if (cell)
            return cell;
    }
    return NULL;
}

/* The cell for an update. */
static inline struct libshm_cell *update_cell(const libshm_gauge *gauge)
{
    if (!gauge->live)
        return NULL;
    struct libshm_cell *cell = cell_of(gauge->live->wiped, gauge->number);
    return __builtin_expect(cell != NULL, 1) ? cell : first_cell(gauge);
}

static bool update(const libshm_gauge *gauge, double value, bool add)
{
    struct libshm_cell *cell = update_cell(gauge);
    if (!cell) {
        libshm_update_dropped(gauge->segment);
        return false;
    }
    uint64_t *words = (uint64_t *)(void *)cell, old[2], new[2] = {gauge->stamp, 0};
    old[0] = ck_pr_load_64(&words[0]);
    old[1] = ck_pr_load_64(&words[1]);
    do {
        double now = 0; /* another stamp: what is there belonged to an earlier series */
        if (add && old[0] == gauge->stamp)
            memcpy(&now, &old[1], 8);
        now = add ? now + value : value;
        memcpy(&new[1], &now, 8);
    } while (!ck_pr_cas_64_2_value(words, old, new, old));
    return true;
}

bool libshm_live_add(const libshm_gauge *gauge, double value)
{
    return update(gauge, value, true);
}

void libshm_gauge_set_live(const libshm_gauge *gauge, double value)
{
    (void)update(gauge, value, false);
}

void libshm_gauge_add_live(const libshm_gauge *gauge, double value)
{
    (void)update(gauge, value, true);
}

double libshm_live_value(struct libshm_segment *segment, uint32_t number, uint64_t stamp, uint32_t mode)
{
    double merged = 0;
    bool any = false;
    int fd = libshm_reopen(segment);
    uint32_t count = fd < 0 ? 0 : libshm_table_count(segment, LIBSHM_TABLE_SLOTS);
    for (uint32_t n = 0; n < count; n++) {
        struct libshm_slot_entry *slot = libshm_table_at(segment, LIBSHM_TABLE_SLOTS, n);
        uint64_t serial = slot ? __atomic_load_n(&slot->serial, __ATOMIC_ACQUIRE) : 0;
        if (serial == 0 || libshm_byte_locked(fd, LIBSHM_SLOT_LOCK + serial, F_RDLCK) != 1)
            continue;
        uint32_t next = __atomic_load_n(&slot->live_page, __ATOMIC_ACQUIRE);
        const struct libshm_live_page *page = NULL;
        for (uint32_t order = 0; order <= number / LIBSHM_LIVE_CELLS; order++) {
            page = libshm_at(segment, (uint64_t)next * LIBSHM_PAGE, LIBSHM_PAGE);
            if (!page)
                break;
            next = __atomic_load_n(&page->next, __ATOMIC_ACQUIRE);
        }
        if (!page)
            continue;
        struct libshm_cell cell = libshm_cell_read(&page->cell[number % LIBSHM_LIVE_CELLS]);
        __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the cell before the second look at its owner */
        if (cell.integer != stamp || __atomic_load_n(&slot->serial, __ATOMIC_RELAXED) != serial)
            continue;
        double v = cell.fractional;
        merged = !any                       ? v
                 : mode == LIBSHM_GAUGE_MIN ? (v < merged ? v : merged)
                 : mode == LIBSHM_GAUGE_MAX ? (v > merged ? v : merged)
                                            : merged + v;
        any = true;
    }
    if (fd >= 0)
        close(fd);
    return any || mode == LIBSHM_GAUGE_SUM || mode == LIBSHM_GAUGE_ALL ? merged : NAN;
}
