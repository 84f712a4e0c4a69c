/* SPDX-License-Identifier: Apache-2.0
 *
 * Attaches, everything that inherited one libshm_open through fork, and what each of them holds. An attach lives as
 * long as its byte is pinned (pin.c). */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libshm/internal.h"

static struct libshm_hold_page *hold_pages(const struct libshm_segment *segment, uint32_t page)
{
    return libshm_at(segment, (uint64_t)page * LIBSHM_PAGE, LIBSHM_PAGE);
}

static bool attach_alive(const struct libshm_segment *segment, uint64_t serial)
{
    return libshm_byte_locked(segment->lock_fd, LIBSHM_ATTACH_LOCK + serial, F_RDLCK) !=
           0; /* an error: in doubt, yes */
}

static struct libshm_attach_entry *attach_entry(struct libshm_segment *segment, uint32_t *number)
{
    uint32_t count = libshm_table_count(segment, LIBSHM_TABLE_ATTACHES);
    for (uint32_t n = 0; n < count; n++) {
        struct libshm_attach_entry *entry = libshm_table_at(segment, LIBSHM_TABLE_ATTACHES, n);
        if (!entry || (entry->serial != 0 && attach_alive(segment, entry->serial)))
            continue;
        *number = n;
        return entry;
    }
    return libshm_table_add(segment, LIBSHM_TABLE_ATTACHES, number);
}

int libshm_attach(struct libshm_segment *segment)
{
    struct libshm_header *header = segment->header;
    uint32_t number;
    uint64_t serial = header->serial + 1;
    int error;
    /* not journaled: a child made by _Fork may hold the byte of a serial whose taker died */
    __atomic_store_n(&header->serial, serial, __ATOMIC_RELEASE);
    LIBSHM_POINT();
    struct libshm_attach_entry *entry = attach_entry(segment, &number);
    if (entry) {
        LIBSHM_POINT();
        __atomic_store_n(&entry->serial, 0, __ATOMIC_RELEASE); /* its last owner is dead */
        LIBSHM_POINT();
        struct libshm_hold_page *holds = hold_pages(segment, entry->holds);
        for (uint32_t i = 0; holds && i < LIBSHM_HOLD_FAMILY; i++, holds = hold_pages(segment, holds->next))
            memset(holds->bits, 0, sizeof holds->bits);
        LIBSHM_POINT();
        entry->pid = (uint32_t)getpid();
        entry->taken_ns = libshm_now_ns(CLOCK_REALTIME);
        error =
            libshm_pin(segment, LIBSHM_ATTACH_LOCK + serial, F_WRLCK, true, &segment->attach_pin, &segment->attach_fd);
        if (error == 0) {
            libshm_journal_commit_process(segment, &entry->serial, serial);
            segment->attach = number;
            segment->attach_serial = serial;
            segment->common = false;
            segment->released = 0;
            segment->process.wiped->own_attach = 1;
            return 0;
        }
    }
    libshm_journal_abort(segment);
    /* no entry or no lock: share the common byte, while which nothing is given to another */
    error = libshm_pin(segment, LIBSHM_COMMON_ATTACH_LOCK, F_RDLCK, true, &segment->attach_pin, &segment->attach_fd);
    if (error)
        return error;
    segment->common = true;
    segment->attach_serial = 0;
    LIBSHM_COUNT(segment, unpinned_attaches, 1);
    return 0;
}

void libshm_detach(struct libshm_segment *segment)
{
    libshm_unpin(segment->attach_pin, segment->attach_fd);
    libshm_unpin(segment->process.wiped->slot_pin, segment->process.wiped->slot_fd - 1);
    segment->attach_pin = NULL;
    segment->attach_fd = -1;
    segment->process.wiped->slot_pin = NULL;
    segment->process.wiped->slot_fd = 0;
}

/* ---- holds ---- */

/* The bits of the attach around a thing; made if wanted (locked). */
static struct libshm_hold_page *hold_page(struct libshm_segment *segment, uint32_t thing, bool make)
{
    struct libshm_attach_entry *entry = libshm_table_at(segment, LIBSHM_TABLE_ATTACHES, segment->attach);
    if (!entry)
        return NULL;
    uint32_t block = thing / LIBSHM_HOLD_BITS;
    uint64_t *link = (uint64_t *)(void *)&entry->pid; /* {pid, holds}, {next, block}: changed with one 8-byte store */
    uint32_t next = __atomic_load_n(&entry->holds, __ATOMIC_ACQUIRE);
    bool first = true;
    for (uint32_t i = 0; next != 0 && i < LIBSHM_HOLD_FAMILY; i++) {
        struct libshm_hold_page *page = hold_pages(segment, next);
        if (!page)
            return NULL;
        if (page->block == block)
            return page;
        link = (uint64_t *)(void *)page;
        next = __atomic_load_n(&page->next, __ATOMIC_ACQUIRE);
        first = false;
    }
    if (!make || next != 0)
        return NULL;
    uint64_t at = libshm_pages_take(segment, 1);
    if (!at) {
        libshm_journal_abort(segment);
        return NULL;
    }
    struct libshm_hold_page *page = hold_pages(segment, (uint32_t)(at / LIBSHM_PAGE));
    LIBSHM_POINT();
    page->block = block;
    uint64_t number = at / LIBSHM_PAGE;
    libshm_journal_commit_process(
        segment, link, first ? (*link & UINT32_MAX) | number << 32 : (*link & ~(uint64_t)UINT32_MAX) | number);
    return page;
}

static bool set_bit(struct libshm_segment *segment, uint32_t thing, bool make)
{
    struct libshm_hold_page *page = hold_page(segment, thing, make);
    if (!page)
        return false;
    uint32_t bit = thing % LIBSHM_HOLD_BITS;
    /* The hold before the second look at the status, as removal stores REMOVED before it looks at the holds: one of the
     * two sees the other. */
    LIBSHM_POINT();
    __atomic_fetch_or(&page->bits[bit / 64], UINT64_C(1) << bit % 64, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return true;
}

static uint32_t *references(struct libshm_segment *segment, uint32_t thing)
{
    bool family = thing >= LIBSHM_HOLD_FAMILY;
    uint32_t **array = family ? &segment->family_holds : &segment->series_holds;
    uint32_t *size = family ? &segment->family_holds_size : &segment->series_holds_size;
    uint32_t i = family ? thing - LIBSHM_HOLD_FAMILY : thing;
    if (i >= *size) {
        uint32_t more = *size ? *size : 64;
        while (more <= i)
            more *= 2;
        uint32_t *grown = realloc(*array, more * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + *size, 0, (more - *size) * sizeof *grown);
        *array = grown;
        *size = more;
    }
    return *array + i;
}

/* A forked child does not write into the attach that it inherited, or what it holds would stay held after its death, as
 * long as its parent lives: before its first hold it makes an attach of its own. */
static bool set_own_bit(struct libshm_segment *segment, uint32_t thing, bool locked)
{
    if (segment->process.wiped->own_attach)
        return set_bit(segment, thing, locked);
    if (!locked)
        return false;
    libshm_attach_renew(segment, true);
    return set_bit(segment, thing, true); /* if there was no room for an attach: in the inherited one */
}

int libshm_hold(struct libshm_segment *segment, uint32_t thing, bool insert_locked)
{
    uint32_t *count = references(segment, thing);
    if (!count)
        return libshm_error_set(LIBSHM_E_MEMORY, "out of memory");
    if (*count == 0 && !segment->common && !set_own_bit(segment, thing, insert_locked)) {
        int error = insert_locked ? LIBSHM_E_FULL : libshm_insert_lock(segment, LIBSHM_LOCK_PATIENCE_MS);
        bool set = false;
        if (!error) {
            set = set_own_bit(segment, thing, true);
            libshm_insert_unlock(segment);
            error = LIBSHM_E_FULL;
        } else if (!segment->process.wiped->own_attach) {
            /* a forked child cannot get an attach now: the one that it inherited lives as long as it does, too */
            set = set_bit(segment, thing, false);
        }
        if (!set)
            return error;
    }
    segment->held += *count == 0;
    ++*count;
    return 0;
}

void libshm_unhold(struct libshm_segment *segment, uint32_t thing)
{
    uint32_t *count = references(segment, thing);
    if (count && *count > 0 && --*count == 0) {
        segment->held--;
        segment->released++;
    }
}

static bool bit_set(const struct libshm_segment *segment, const struct libshm_attach_entry *entry, uint32_t thing)
{
    uint32_t block = thing / LIBSHM_HOLD_BITS, bit = thing % LIBSHM_HOLD_BITS;
    uint32_t next = __atomic_load_n(&entry->holds, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; next != 0 && i < LIBSHM_HOLD_FAMILY; i++) {
        const struct libshm_hold_page *page = hold_pages(segment, next);
        if (!page)
            return true; /* in doubt */
        if (page->block == block)
            return __atomic_load_n(&page->bits[bit / 64], __ATOMIC_SEQ_CST) >> bit % 64 & 1;
        next = __atomic_load_n(&page->next, __ATOMIC_ACQUIRE);
    }
    return false;
}

bool libshm_held(struct libshm_segment *segment, uint32_t thing)
{
    if (libshm_byte_locked(segment->lock_fd, LIBSHM_COMMON_ATTACH_LOCK, F_WRLCK) != 0)
        return true;
    uint32_t count = libshm_table_count(segment, LIBSHM_TABLE_ATTACHES);
    for (uint32_t n = 0; n < count; n++) {
        struct libshm_attach_entry *entry = libshm_table_at(segment, LIBSHM_TABLE_ATTACHES, n);
        uint64_t serial = entry ? __atomic_load_n(&entry->serial, __ATOMIC_ACQUIRE) : 0;
        if (serial == 0 || !bit_set(segment, entry, thing))
            continue;
        if (attach_alive(segment, serial))
            return true;
        LIBSHM_POINT();
        __atomic_store_n(&entry->serial, 0, __ATOMIC_RELEASE); /* dead: its holds are void */
    }
    return false;
}

void libshm_attach_renew(struct libshm_segment *segment, bool now)
{
    enum { FEW = 64 };
    if (segment->common || (!now && (segment->released < FEW || segment->released < segment->held / 4)))
        return;
    struct libshm_segment old = *segment;
    bool complete = libshm_attach(segment) == 0 && !segment->common;
    for (uint32_t i = 0; complete && i < segment->series_holds_size; i++)
        complete = segment->series_holds[i] == 0 || set_bit(segment, i, true);
    for (uint32_t i = 0; complete && i < segment->family_holds_size; i++)
        complete = segment->family_holds[i] == 0 || set_bit(segment, LIBSHM_HOLD_FAMILY + i, true);
    LIBSHM_POINT();
    if (complete) {
        libshm_unpin(old.attach_pin, old.attach_fd);
    } else { /* no room: stay with the old one; the new one dies */
        libshm_unpin(segment->attach_pin, segment->attach_fd);
        segment->attach = old.attach;
        segment->attach_serial = old.attach_serial;
        segment->attach_pin = old.attach_pin;
        segment->attach_fd = old.attach_fd;
        segment->common = old.common;
        segment->released = old.released;
    }
}

bool libshm_attach_alone(struct libshm_segment *segment, int fd)
{
    if (libshm_byte_locked(fd, LIBSHM_COMMON_ATTACH_LOCK, F_WRLCK) != 0)
        return false;
    uint32_t count = libshm_table_count(segment, LIBSHM_TABLE_ATTACHES);
    for (uint32_t n = 0; n < count; n++) {
        struct libshm_attach_entry *entry = libshm_table_at(segment, LIBSHM_TABLE_ATTACHES, n);
        uint64_t serial = entry ? __atomic_load_n(&entry->serial, __ATOMIC_ACQUIRE) : 0;
        if (serial != 0 && serial != segment->attach_serial &&
            libshm_byte_locked(fd, LIBSHM_ATTACH_LOCK + serial, F_RDLCK) != 0)
            return false;
    }
    return true;
}
