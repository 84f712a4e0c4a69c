/* SPDX-License-Identifier: Apache-2.0
 *
 * Process slots, one an address space: who owns live gauges' cells. A slot lives as long as its byte is pinned (pin.c).
 */
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libshm/internal.h"

static void zero_live_cells(const struct libshm_segment *segment, const struct libshm_slot_entry *entry)
{
    uint32_t next = entry->live_page;
    for (uint32_t i = 0; next != 0 && i < LIBSHM_LIVE_PAGES; i++) {
        struct libshm_live_page *page = libshm_at(segment, (uint64_t)next * LIBSHM_PAGE, LIBSHM_PAGE);
        if (!page)
            return;
        for (uint32_t c = 0; c < LIBSHM_LIVE_CELLS; c++)
            libshm_cell_store(&page->cell[c], (struct libshm_cell){0, 0});
        next = page->next;
    }
}

int libshm_slot_take(struct libshm_segment *segment)
{
    struct libshm_header *header = segment->header;
    struct libshm_wiped *wiped = segment->process.wiped;
    struct libshm_slot_entry *entry = NULL;
    uint32_t number = 0, count = libshm_table_count(segment, LIBSHM_TABLE_SLOTS);
    struct stat ns;
    if (wiped->slot_serial != 0)
        return 0;
    uint64_t serial = header->serial + 1;
    __atomic_store_n(&header->serial, serial, __ATOMIC_RELEASE); /* not journaled, as in libshm_attach() */
    LIBSHM_POINT();
    for (; number < count; number++) {
        entry = libshm_table_at(segment, LIBSHM_TABLE_SLOTS, number);
        if (entry && (entry->serial == 0 ||
                      libshm_byte_locked(segment->lock_fd, LIBSHM_SLOT_LOCK + entry->serial, F_RDLCK) == 0))
            break;
        entry = NULL;
    }
    if (!entry)
        entry = libshm_table_add(segment, LIBSHM_TABLE_SLOTS, &number);
    void *mapping = NULL;
    int kept = -1;
    int error = entry ? libshm_pin(segment, LIBSHM_SLOT_LOCK + serial, F_WRLCK, false, &mapping, &kept) : LIBSHM_E_FULL;
    if (error) {
        libshm_journal_abort(segment);
        LIBSHM_COUNT(segment, slotless, 1);
        wiped->slot_failed = 1;
        return error;
    }
    /* The dead owner's serial goes first: whoever reads the cells while they are zeroed sees that they are nobody's. */
    LIBSHM_POINT();
    __atomic_store_n(&entry->serial, 0, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* a store, even this one, does not hold back later ones everywhere */
    LIBSHM_POINT();
    zero_live_cells(segment, entry);
    LIBSHM_POINT();
    entry->pid = (uint32_t)getpid();
    entry->pid_ns = stat("/proc/self/ns/pid", &ns) == 0 ? ns.st_ino : 0;
    entry->taken_ns = libshm_now_ns(CLOCK_REALTIME);
    entry->attach = segment->attach;
    memset(entry->name, 0, sizeof entry->name);
    prctl(PR_GET_NAME, entry->name);
    libshm_journal_commit_process(segment, &entry->serial, serial);
    wiped->slot = number;
    wiped->slot_serial = serial;
    wiped->slot_pin = mapping;
    wiped->slot_fd = kept + 1;
    LIBSHM_POINT();
    libshm_lock_sign(segment); /* we hold the lock and now have a name */
    uint32_t next = entry->live_page;
    for (uint32_t i = 0; next != 0 && i < LIBSHM_LIVE_PAGES; i++) {
        struct libshm_live_page *page = libshm_at(segment, (uint64_t)next * LIBSHM_PAGE, LIBSHM_PAGE);
        if (!page)
            break;
        __atomic_store_n(&wiped->live_page[i], page, __ATOMIC_RELEASE);
        next = page->next;
    }
    return 0;
}
