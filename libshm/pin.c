/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is alive: attaches and process slots (one address space each) own a byte beyond the file and keep an open file
 * description lock on it pinned by a mapping:
 *
 *      open -> F_OFD_SETLK -> mmap(PROT_NONE, MAP_SHARED) -> close
 *
 * The description lives as long as the mapping does, so closefrom() cannot end it, SIGKILL and exec do, and it is seen
 * across pid, user and mount namespaces. For an attach, fork copies the mapping; for a slot, MADV_DONTFORK prevents
 * that. On a file system whose mappings keep another file than was opened (overlayfs), the descriptor is kept open
 * instead. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libshm/internal.h"

int libshm_pin(struct libshm_segment *segment, uint64_t byte, short type, bool inherit, void **mapping, int *kept)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
    *mapping = NULL;
    *kept = -1;
    int fd = libshm_reopen(segment);
    if (fd < 0)
        return fd;
    LIBSHM_POINT();
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        libshm_error_set(LIBSHM_E_SYSTEM, "cannot lock a byte of %s: %s", segment->path, strerror(errno));
        close(fd);
        return LIBSHM_E_SYSTEM;
    }
    LIBSHM_POINT();
    void *p = mmap(NULL, LIBSHM_PAGE, PROT_NONE, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED && !inherit && madvise(p, LIBSHM_PAGE, MADV_DONTFORK) != 0) {
        munmap(p, LIBSHM_PAGE);
        p = MAP_FAILED;
    }
    if (p == MAP_FAILED) {
        *kept = fd;
        return 0;
    }
    LIBSHM_POINT();
    close(fd);
    LIBSHM_POINT();
    if (libshm_byte_locked(segment->lock_fd, byte, F_RDLCK == type ? F_WRLCK : F_RDLCK) == 1) {
        *mapping = p;
        return 0;
    }
    munmap(p, LIBSHM_PAGE); /* the mapping does not keep the description */
    fd = libshm_reopen(segment);
    if (fd < 0)
        return fd;
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        libshm_error_set(LIBSHM_E_SYSTEM, "cannot lock a byte of %s: %s", segment->path, strerror(errno));
        close(fd);
        return LIBSHM_E_SYSTEM;
    }
    *kept = fd;
    return 0;
}

void libshm_unpin(void *mapping, int kept)
{
    if (mapping)
        munmap(mapping, LIBSHM_PAGE);
    if (kept >= 0)
        close(kept);
}
