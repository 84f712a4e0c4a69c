/* SPDX-License-Identifier: Apache-2.0
 *
 * Watches directories, see watch.h. */
#include "watch.h"

#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

struct watched_directory {
    int descriptor; /* of the watch; -1: none */
    dev_t device;   /* of the directory that is watched: the path may lead to another one by now */
    ino_t inode;
};

struct watch {
    int fd;
    const char *const *paths;
    size_t n;
    struct watched_directory directories[];
};

struct watch *watch_new(const char *const *directories, size_t n)
{
    struct watch *watch = calloc(1, sizeof *watch + n * sizeof *watch->directories);
    if (!watch)
        return NULL;
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    watch->paths = directories;
    watch->n = n;
    for (size_t i = 0; i < n; i++)
        watch->directories[i].descriptor = -1;
    return watch;
}

void watch_free(struct watch *watch)
{
    if (watch && watch->fd >= 0)
        close(watch->fd);
    free(watch);
}

int watch_fd(const struct watch *watch)
{
    return watch->fd;
}

static bool drain(const struct watch *watch)
{
    char events[4096];
    bool any = false;
    while (read(watch->fd, events, sizeof events) > 0)
        any = true;
    return any;
}

/* True: it has not been watched since the last call. */
static bool renew(const struct watch *watch, struct watched_directory *directory, const char *path)
{
    struct stat status;
    const bool there = stat(path, &status) == 0;
    if (there && directory->descriptor >= 0 && directory->device == status.st_dev && directory->inode == status.st_ino)
        return false;
    if (directory->descriptor >= 0)
        inotify_rm_watch(watch->fd, directory->descriptor);
    directory->descriptor = -1;
    if (there) {
        directory->device = status.st_dev;
        directory->inode = status.st_ino;
        directory->descriptor = inotify_add_watch(watch->fd, path,
                                                  IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB |
                                                      IN_CLOSE_WRITE | IN_ONLYDIR);
    }
    return true;
}

bool watch_changed(struct watch *watch)
{
    if (watch->fd < 0)
        return true;
    bool changed = drain(watch);
    for (size_t i = 0; i < watch->n; i++)
        changed |= renew(watch, &watch->directories[i], watch->paths[i]);
    return changed;
}
