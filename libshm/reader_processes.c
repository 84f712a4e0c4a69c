/* SPDX-License-Identifier: Apache-2.0
 *
 * Process slots, and the values of live gauges: one a process, of those that live. Whether a process lives is asked of
 * the kernel: its lock on the byte of its slot's serial number ends with its address space. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "libshm/cell.h"
#include "libshm/reader_internal.h"
#include "libshm/text.h"

/* Serials beyond it would be other locks, or no place in a file. */
#define MOST_SERIAL ((UINT64_C(1) << 60) - 1)

static struct libshm_reader_slot *slots(const struct libshm_reader *r)
{
    return r->slots.data;
}

static const struct libshm_slot_entry *slot_entry(const struct libshm_reader *r, uint32_t number)
{
    return libshm_view_entry(&r->view, LIBSHM_TABLE_SLOTS, &r->header.tables[LIBSHM_TABLE_SLOTS], number);
}

static uint64_t serial_of(const struct libshm_slot_entry *entry)
{
    return __atomic_load_n(&entry->serial, __ATOMIC_ACQUIRE);
}

static bool alive(const struct libshm_reader *r, uint64_t serial)
{
    struct flock lock = {
        .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = (off_t)(LIBSHM_SLOT_LOCK + serial), .l_len = 1};
    return fcntl(r->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* A name that anybody may have written, as something to print. */
static void copy_name(char *to, const char *from)
{
    memcpy(to, from, 16);
    to[16] = '\0';
    size_t length = strlen(to);
    bool utf8 = libshm_utf8_valid(to, length);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)to[i] < 0x20 || to[i] == 0x7f || (!utf8 && (unsigned char)to[i] >= 0x80))
            to[i] = '?';
}

/* ---- live pages ----------------------------------------------------------------------------------------------- */

static const struct libshm_live_page *live_page(const struct libshm_reader *r, uint32_t page, uint32_t order)
{
    const struct libshm_live_page *p = libshm_view_pages(&r->view, page, 1);
    return p && __atomic_load_n(&p->order, __ATOMIC_RELAXED) == order ? p : NULL;
}

/* Follows the chain of a slot until it is long enough or ends. Pages stay where they are, so known ones are kept; every
 * page says its place in the chain, so it cannot run in a circle. */
static int follow_chain(struct libshm_reader *r, uint32_t number, uint32_t first, uint32_t need)
{
    struct libshm_reader_slot *slot = &slots(r)[number];
    if (slot->n_pages > 0 && slot->pages[0] != first) {
        r->live_pages -= slot->n_pages;
        slot->n_pages = 0;
    }
    while (slot->n_pages < need) {
        uint32_t page = first;
        if (slot->n_pages > 0) {
            const struct libshm_live_page *last = live_page(r, slot->pages[slot->n_pages - 1], slot->n_pages - 1);
            page = last ? __atomic_load_n(&last->next, __ATOMIC_ACQUIRE) : 0;
        }
        if (page == 0)
            return 0;
        if (!live_page(r, page, slot->n_pages) && !(libshm_reader_grown(r) && live_page(r, page, slot->n_pages))) {
            libshm_reader_reason(r, "its live page %u in page %u is not in the file or not one", slot->n_pages, page);
            libshm_reader_problem(r, r->live_problem, "process slot", number, slot_entry(r, number));
            return 0;
        }
        if (r->live_pages >= r->view.length / LIBSHM_PAGE) {
            libshm_reader_reason(r, "live pages are shared with other slots");
            libshm_reader_problem(r, r->live_problem, "process slot", number, slot_entry(r, number));
            return 0;
        }
        if (slot->n_pages == slot->capacity) {
            uint32_t capacity = slot->capacity ? slot->capacity * 2 : 4;
            uint32_t *pages = reallocarray(slot->pages, capacity, sizeof *pages);
            if (!pages)
                return libshm_reader_no_memory(r);
            slot->pages = pages;
            slot->capacity = capacity;
            libshm_reader_linked();
        }
        slot->pages[slot->n_pages++] = page;
        r->live_pages++;
    }
    return 0;
}

/* ---- values --------------------------------------------------------------------------------------------------- */

static struct libshm_reader_dynamic *dynamic_of(const struct libshm_reader *r, uint32_t live)
{
    return (struct libshm_reader_dynamic *)r->dynamic.data + ((struct libshm_reader_live *)r->live.data)[live].dynamic;
}

static uint32_t mode_of(const struct libshm_reader *r, uint32_t live)
{
    uint32_t family = ((struct libshm_reader_series *)r->series.data)[dynamic_of(r, live)->number].family;
    return ((struct libshm_reader_family *)r->families.data)[family].view.gauge_mode;
}

static int merge(struct libshm_reader *r, const struct libshm_reader_share *share)
{
    struct libshm_reader_dynamic *d = dynamic_of(r, share->live);
    double *value = &d->value.fractional;
    switch (mode_of(r, share->live)) {
    case LIBSHM_GAUGE_MIN:
        if (d->processes == 0 || share->value < *value)
            *value = share->value;
        break;
    case LIBSHM_GAUGE_MAX:
        if (d->processes == 0 || share->value > *value)
            *value = share->value;
        break;
    case LIBSHM_GAUGE_SUM:
        *value += share->value;
        break;
    default:
        if (!libshm_array_grow(&r->all, r->n_all + 1u, sizeof *share))
            return libshm_reader_no_memory(r);
        ((struct libshm_reader_share *)r->all.data)[r->n_all++] = *share;
    }
    d->processes++;
    return 0;
}

/* The values of one living process. They count only if the slot is still that process's after they were read: a slot is
 * emptied before it becomes another's. */
static int read_process(struct libshm_reader *r, const struct libshm_slot_entry *entry, uint32_t slot, uint32_t process)
{
    const libshm_process_view *view = (const libshm_process_view *)r->processes.data + process;
    const struct libshm_reader_live *live = r->live.data;
    struct libshm_reader_share *shares = r->shares.data;
    uint32_t n_shares = 0;
    int error = follow_chain(r, slot, __atomic_load_n(&entry->live_page, __ATOMIC_ACQUIRE),
                             live[r->n_live - 1].number / LIBSHM_LIVE_CELLS + 1);
    if (error)
        return error;
    const struct libshm_live_page *page = NULL;
    for (uint32_t i = 0, order = UINT32_MAX; i < r->n_live; i++) {
        if (live[i].number / LIBSHM_LIVE_CELLS != order) {
            order = live[i].number / LIBSHM_LIVE_CELLS;
            if (order >= slots(r)[slot].n_pages)
                break;
            page = live_page(r, slots(r)[slot].pages[order], order);
        }
        if (!page)
            continue;
        struct libshm_cell cell = libshm_cell_read(&page->cell[live[i].number % LIBSHM_LIVE_CELLS]);
        if (cell.integer == live[i].generation)
            shares[n_shares++] = (struct libshm_reader_share){i, process, cell.fractional};
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the cells before the second look at the serial */
    if (__atomic_load_n(&entry->serial, __ATOMIC_RELAXED) != view->serial)
        return 0;
    for (uint32_t i = 0; i < n_shares && !error; i++)
        error = merge(r, &shares[i]);
    return error;
}

/* ---- all processes -------------------------------------------------------------------------------------------- */

/* Copies slot `number` to the next process view. false: not in use, or it changes hands. */
static bool copy_slot(struct libshm_reader *r, uint32_t number, const struct libshm_slot_entry *entry)
{
    uint64_t serial = serial_of(entry);
    if (serial == 0)
        return false;
    struct libshm_slot_entry e;
    libshm_reader_copy(&e, entry, sizeof e);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&entry->serial, __ATOMIC_RELAXED) != serial)
        return false;
    libshm_process_view *view = (libshm_process_view *)r->processes.data + r->n_processes;
    *view = (libshm_process_view){
        .serial = serial, .pid_ns = e.pid_ns, .taken_ns = e.taken_ns, .pid = e.pid, .slot = number};
    copy_name(view->name, e.name);
    if (serial > MOST_SERIAL) {
        libshm_reader_reason(r, "serial %llu, should be below 2^60", (unsigned long long)serial);
        libshm_reader_problem(r, r->live_problem, "process slot", number, entry);
    } else {
        view->alive = alive(r, serial);
    }
    r->n_processes++;
    return true;
}

static int by_series_and_process(const void *a, const void *b, void *context)
{
    const struct libshm_reader_share *x = a, *y = b;
    const libshm_process_view *processes = context;
    if (x->live != y->live)
        return x->live < y->live ? -1 : 1;
    uint64_t p = processes[x->process].serial, q = processes[y->process].serial;
    return p < q ? -1 : p > q;
}

int libshm_reader_processes(struct libshm_reader *r)
{
    libshm_snapshot *s = &r->snapshot;
    uint32_t count = r->header.tables[LIBSHM_TABLE_SLOTS].count;
    if (!libshm_array_grow(&r->slots, count + 1u, sizeof(struct libshm_reader_slot)) ||
        !libshm_array_grow(&r->processes, count + 1u, sizeof(libshm_process_view)))
        return libshm_reader_no_memory(r);
    r->n_slots = count > r->n_slots ? count : r->n_slots;
    r->n_processes = r->n_all = 0;
    r->live_problem[0] = '\0';
    s->n_alive = 0;
    for (uint32_t i = 0; i < r->n_live; i++) {
        struct libshm_reader_dynamic *d = dynamic_of(r, i);
        d->value.fractional = 0;
        d->processes = 0;
    }
    for (uint32_t n = 0; n < count; n++) {
        const struct libshm_slot_entry *entry = slot_entry(r, n);
        if (!entry && libshm_reader_grown(r))
            entry = slot_entry(r, n);
        if (!entry) {
            libshm_reader_reason(r, "its part of the table is not in the file");
            libshm_reader_problem(r, r->live_problem, "process slot", n, NULL);
            continue;
        }
        if (!copy_slot(r, n, entry) || !((libshm_process_view *)r->processes.data)[r->n_processes - 1].alive)
            continue;
        s->n_alive++;
        int error = r->n_live > 0 ? read_process(r, entry, n, r->n_processes - 1) : 0;
        if (error)
            return error;
    }
    if (r->n_all > 1)
        qsort_r(r->all.data, r->n_all, sizeof(struct libshm_reader_share), by_series_and_process, r->processes.data);
    for (uint32_t i = r->n_all; i-- > 0;) {
        struct libshm_reader_share *share = (struct libshm_reader_share *)r->all.data + i;
        dynamic_of(r, share->live)->first_all = i;
    }
    s->processes = r->processes.data;
    s->n_processes = r->n_processes;
    return 0;
}

void libshm_reader_processes_free(struct libshm_reader *r)
{
    for (uint32_t n = 0; n < r->n_slots; n++)
        free(slots(r)[n].pages);
}
