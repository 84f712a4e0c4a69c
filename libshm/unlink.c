/* SPDX-License-Identifier: Apache-2.0
 *
 * Removing a segment's name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libshm/internal.h"
#include <libshm/reader.h>

/* Does a living process hold an attach of the file? 1, 0, or an error. */
static int attached(int fd, const char *path)
{
    char why[256];
    struct stat file;
    if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || file.st_size < LIBSHM_PAGE)
        return libshm_error_set(LIBSHM_E_NOT_SEGMENT, "%s is no segment", path);
    void *bytes = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return libshm_error_set(LIBSHM_E_SYSTEM, "cannot map %s: %s", path, strerror(errno));
    int result = libshm_validate(bytes, (size_t)file.st_size, why, sizeof why);
    if (result) {
        libshm_error_set(result, "%s: %s", path, why);
    } else {
        struct libshm_segment segment = {.base = bytes, .map_bytes = (uint64_t)file.st_size};
        result = libshm_attach_alone(&segment, fd) ? 0 : 1;
    }
    munmap(bytes, (size_t)file.st_size);
    return result;
}

int libshm_unlink(const char *directory, const char *name, int force)
{
    char resolved[3900], path[4000];
    if (!libshm_segment_name_valid(name))
        return libshm_error_set(
            LIBSHM_E_INVALID, "\"%.80s\" cannot be a segment name: [A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", name ? name : "");
    int error = libshm_directory_prepare(directory, resolved, sizeof resolved, false);
    if (error)
        return error;
    snprintf(path, sizeof path, "%s/%s", resolved, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return libshm_error_set(LIBSHM_E_NOT_FOUND, "there is no %s", path);
    if (fd < 0 && !force)
        return libshm_error_set(errno == EACCES || errno == ELOOP ? LIBSHM_E_PERMISSION : LIBSHM_E_SYSTEM,
                                "cannot open %s: %s", path, strerror(errno));
    int busy = force ? 0 : attached(fd, path);
    if (fd >= 0)
        close(fd);
    if (busy < 0)
        return busy;
    if (busy > 0)
        return libshm_error_set(LIBSHM_E_BUSY, "processes are attached to %s; force removes its name all the same",
                                path);
    LIBSHM_POINT();
    if (unlink(path) != 0)
        return libshm_error_set(errno == EACCES || errno == EPERM ? LIBSHM_E_PERMISSION
                                : errno == ENOENT                 ? LIBSHM_E_NOT_FOUND
                                                                  : LIBSHM_E_SYSTEM,
                                "cannot remove %s: %s", path, strerror(errno));
    return 0;
}
