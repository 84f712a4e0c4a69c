/* SPDX-License-Identifier: Apache-2.0
 *
 * The insert lock: an open file description lock on a byte beyond the file. The kernel releases it when its holder
 * ends, however it ends. The file is opened for each operation: a descriptor kept for long may be another file after
 * closefrom(), and one inherited through fork would share its locks with the parent.
 *
 * A child made by _Fork() or clone() while a thread of its parent holds the lock shares the description, and keeps it
 * locked when the parent dies. The header names the holder's process slot; when that is dead, the lock is passed by: it
 * moves on to another byte. Byte and holder are one word, `lock_epoch` = holder's serial << 16 | byte, so that a lock
 * cannot be passed by that was just taken: who takes the byte then exchanges the word, and has the lock if it was not
 * changed meanwhile; who passes by exchanges the word with the dead holder in it. `lock_owner` is for people. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "libshm/internal.h"

uint64_t libshm_now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void libshm_mutex_lock(struct libshm_segment *segment)
{
    pthread_mutex_lock(&segment->process.wiped->mutex);
}

void libshm_mutex_unlock(struct libshm_segment *segment)
{
    pthread_mutex_unlock(&segment->process.wiped->mutex);
}

static int byte_lock(int fd, uint64_t byte, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
    LIBSHM_POINT();
    return fcntl(fd, F_OFD_SETLK, &lock);
}

int libshm_byte_locked(int fd, uint64_t byte, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
    if (fcntl(fd, F_OFD_GETLK, &lock) != 0)
        return -1;
    return lock.l_type != F_UNLCK;
}

int libshm_reopen(const struct libshm_segment *segment)
{
    struct stat file;
    LIBSHM_POINT();
    int fd = open(segment->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return libshm_error_set(LIBSHM_E_REPLACED, "%s was removed while this process has it open", segment->path);
    if (fd < 0)
        return libshm_error_set(LIBSHM_E_SYSTEM, "cannot open %s to change it: %s", segment->path, strerror(errno));
    if (fstat(fd, &file) != 0 || file.st_dev != segment->device || file.st_ino != segment->inode) {
        close(fd);
        return libshm_error_set(LIBSHM_E_REPLACED, "%s is not the file any more that this process has open",
                                segment->path);
    }
    return fd;
}

#define BYTE_MASK UINT64_C(0xffff)

/* Waits for the byte. 0, or LIBSHM_E_BUSY after `patience_ns` during which nobody made progress, and in any case after
 * MOST_PATIENCES times that: the progress counter is a word that any writer could spoil. */
static int wait_for_lock(struct libshm_segment *segment, int fd, uint64_t patience_ns)
{
    enum { MOST_PATIENCES = 40 };
    struct libshm_header *header = segment->header;
    uint64_t progress = __atomic_load_n(&header->lock_progress, __ATOMIC_RELAXED);
    uint64_t since = libshm_now_ns(CLOCK_MONOTONIC), start = since;
    for (unsigned tries = 0;; tries++) {
        uint64_t word = __atomic_load_n(&header->lock_epoch, __ATOMIC_ACQUIRE), byte = word & BYTE_MASK;
        if (byte_lock(fd, LIBSHM_INSERT_LOCK + byte, F_WRLCK) == 0) {
            uint64_t now_there = __atomic_load_n(&header->lock_epoch, __ATOMIC_ACQUIRE);
            uint64_t mine = segment->process.wiped->slot_serial << 16 | byte;
            LIBSHM_POINT();
            if ((now_there & BYTE_MASK) == byte &&
                __atomic_compare_exchange_n(&header->lock_epoch, &now_there, mine, false, __ATOMIC_ACQ_REL,
                                            __ATOMIC_RELAXED)) {
                segment->lock_byte = LIBSHM_INSERT_LOCK + byte;
                return 0;
            }
            byte_lock(fd, LIBSHM_INSERT_LOCK + byte, F_UNLCK); /* passed by meanwhile */
            continue;
        }
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return libshm_error_set(LIBSHM_E_SYSTEM, "cannot lock %s: %s", segment->path, strerror(errno));
        uint64_t now = libshm_now_ns(CLOCK_MONOTONIC);
        uint64_t seen = __atomic_load_n(&header->lock_progress, __ATOMIC_RELAXED);
        if (seen != progress) {
            progress = seen;
            since = now;
        }
        if (tries % 64 == 63 || now - since >= patience_ns) { /* is the holder dead and the lock only inherited? */
            uint64_t owner = word >> 16, next = (byte + 1) & BYTE_MASK;
            if (owner != 0 && libshm_byte_locked(fd, LIBSHM_SLOT_LOCK + owner, F_RDLCK) == 0 &&
                __atomic_compare_exchange_n(&header->lock_epoch, &word, next, false, __ATOMIC_ACQ_REL,
                                            __ATOMIC_RELAXED)) {
                LIBSHM_COUNT(segment, lock_passed, 1);
                continue;
            }
        }
        if (now - since >= patience_ns || now - start >= MOST_PATIENCES * patience_ns)
            return LIBSHM_E_BUSY;
        if (tries < 16)
            sched_yield();
        else
            nanosleep(&(struct timespec){.tv_nsec = tries < 100 ? 50000 : 500000}, NULL);
    }
}

int libshm_insert_lock(struct libshm_segment *segment, unsigned patience_ms)
{
    struct libshm_header *header = segment->header;
    struct libshm_wiped *wiped = segment->process.wiped;
    if (libshm_now_ns(CLOCK_MONOTONIC) < wiped->stuck_until_ns)
        patience_ms = 0; /* a thread of this process has just waited in vain */
    int fd = libshm_reopen(segment);
    if (fd < 0)
        return fd;
    int error = wait_for_lock(segment, fd, (uint64_t)patience_ms * 1000000u);
    if (error) {
        close(fd);
        if (error == LIBSHM_E_BUSY) {
            LIBSHM_COUNT(segment, lock_timeouts, 1);
            wiped->stuck_until_ns = libshm_now_ns(CLOCK_MONOTONIC) + LIBSHM_LOCK_PATIENCE_MS * UINT64_C(1000000);
            libshm_error_set(error, "another process has held the insert lock of %s for %u ms without progress",
                             segment->path, patience_ms);
        }
        return error;
    }
    wiped->stuck_until_ns = 0;
    segment->lock_fd = fd;
    LIBSHM_POINT();
    __atomic_store_n(&header->lock_owner, wiped->slot_serial, __ATOMIC_RELAXED);
    __atomic_fetch_add(&header->lock_progress, 1, __ATOMIC_RELAXED);
    libshm_journal_recover(segment);
    libshm_reset_go_on(segment);
    return 0;
}

void libshm_lock_sign(struct libshm_segment *segment)
{
    uint64_t serial = segment->process.wiped->slot_serial;
    __atomic_store_n(&segment->header->lock_owner, serial, __ATOMIC_RELAXED);
    __atomic_store_n(&segment->header->lock_epoch, serial << 16 | (segment->lock_byte - LIBSHM_INSERT_LOCK),
                     __ATOMIC_RELEASE);
}

void libshm_insert_unlock(struct libshm_segment *segment)
{
    struct libshm_header *header = segment->header;
    LIBSHM_POINT();
    __atomic_store_n(&header->lock_owner, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&header->lock_epoch, segment->lock_byte - LIBSHM_INSERT_LOCK, __ATOMIC_RELEASE);
    /* unlocked explicitly: a child made by _Fork may have inherited the description */
    byte_lock(segment->lock_fd, segment->lock_byte, F_UNLCK);
    close(segment->lock_fd);
    segment->lock_fd = -1;
}

int libshm_setup_begin(struct libshm_segment *segment)
{
    libshm_mutex_lock(segment);
    int error = libshm_insert_lock(segment, LIBSHM_LOCK_PATIENCE_MS);
    if (error)
        libshm_mutex_unlock(segment);
    return error;
}

void libshm_setup_end(struct libshm_segment *segment)
{
    libshm_insert_unlock(segment);
    libshm_mutex_unlock(segment);
}
