/* SPDX-License-Identifier: Apache-2.0
 *
 * Where segments live, and which directories are safe to use. */
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "libshm/internal.h"

bool libshm_segment_name_valid(const char *name)
{
    size_t n = name ? strlen(name) : 0;
    if (n == 0 || n > 64)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        if (!word && (i == 0 || (c != '.' && c != '-')))
            return false;
    }
    return true;
}

static bool is_directory(const char *path)
{
    struct stat file;
    return stat(path, &file) == 0 && S_ISDIR(file.st_mode);
}

/* Applies the rule; says whether the choice is ours (then its directory may be made, and must be our own). */
static int choose(char *path, size_t size, bool *ours, const char **reason)
{
    const char *given = getenv("LIBSHM_DIR"), *runtime = getenv("XDG_RUNTIME_DIR");
    int n;
    *ours = false;
    *reason = NULL;
    if (given && *given) {
        n = snprintf(path, size, "%s", given);
    } else if (is_directory("/run/libshm")) {
        n = snprintf(path, size, "/run/libshm");
    } else if (runtime && *runtime == '/' && is_directory(runtime)) {
        *ours = true;
        n = snprintf(path, size, "%s/libshm", runtime);
    } else {
        *ours = true;
        *reason =
            "systemd's RemoveIPC= and logind remove what a user owns in /dev/shm at log-out; make /run/libshm or set "
            "LIBSHM_DIR";
        n = snprintf(path, size, "/dev/shm/libshm-%u", (unsigned)geteuid());
    }
    if (n < 0 || (size_t)n >= size)
        return libshm_error_set(LIBSHM_E_INVALID, "the path of the segment directory is longer than %zu bytes",
                                size - 1);
    return 0;
}

int libshm_directory(char *path, size_t path_size, char *warning, size_t warning_size)
{
    char own[4096];
    bool ours;
    const char *reason;
    struct statfs fs;
    int error = choose(own, sizeof own, &ours, &reason);
    if (error)
        return error;
    if (path && (size_t)snprintf(path, path_size, "%s", own) >= path_size)
        return libshm_error_set(LIBSHM_E_INVALID, "the path of the segment directory is longer than %zu bytes",
                                path_size - 1);
    if (warning && warning_size) {
        warning[0] = 0;
        if (statfs(own, &fs) == 0 && fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)
            snprintf(warning, warning_size, "%s is not on tmpfs: writing back to disk stalls workers", own);
        else if (reason)
            snprintf(warning, warning_size, "%s: %s", own, reason);
    }
    return 0;
}

int libshm_directory_prepare(const char *wanted, char *path, size_t size, bool make)
{
    bool ours = false;
    const char *reason;
    struct stat file;
    if (wanted && *wanted) {
        if ((size_t)snprintf(path, size, "%s", wanted) >= size)
            return libshm_error_set(LIBSHM_E_INVALID, "the path of the segment directory is longer than %zu bytes",
                                    size - 1);
    } else {
        int error = choose(path, size, &ours, &reason);
        if (error)
            return error;
        /* 0755 in /dev/shm: the segments in it have modes of their own, and the exporter is another user */
        if (ours && make && mkdir(path, 0755) != 0 && errno != EEXIST)
            return libshm_error_set(LIBSHM_E_SYSTEM, "cannot make the segment directory %s: %s", path, strerror(errno));
    }
    errno = 0;
    if (lstat(path, &file) != 0 || (!S_ISDIR(file.st_mode) && !S_ISLNK(file.st_mode)))
        return libshm_error_set(errno == EACCES ? LIBSHM_E_PERMISSION : LIBSHM_E_NOT_FOUND,
                                "the segment directory %s cannot be used: %s", path,
                                errno ? strerror(errno) : "it is not a directory");
    if (S_ISLNK(file.st_mode) && (ours || stat(path, &file) != 0 || !S_ISDIR(file.st_mode)))
        return libshm_error_set(LIBSHM_E_PERMISSION, "the segment directory %s is a symbolic link", path);
    if (ours && file.st_uid != geteuid())
        return libshm_error_set(LIBSHM_E_PERMISSION, "the segment directory %s belongs to user %u, not to %u", path,
                                (unsigned)file.st_uid, (unsigned)geteuid());
    if ((file.st_mode & S_IWOTH) && !(file.st_mode & S_ISVTX))
        return libshm_error_set(
            LIBSHM_E_PERMISSION,
            "the segment directory %s can be written by everybody (mode %04o): anybody could replace "
            "a segment",
            path, (unsigned)(file.st_mode & 07777));
    return 0;
}
