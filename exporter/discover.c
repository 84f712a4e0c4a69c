/* SPDX-License-Identifier: Apache-2.0
 *
 * Which files could be segments, see discover.h. */
#define _GNU_SOURCE
#include "discover.h"
#include "log.h"
#include "watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const ignored_names[IGNORED_REASONS] = {"name", "type", "pattern", "duplicate", "surplus", "content"};

bool segment_name_valid(const char *name)
{
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    size_t length = strlen(name);
    return length >= 1 && length <= 64 && strchr(first, name[0]) &&
           1 + strspn(name + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == length;
}

#define MAX_NOTED 1024u /* names remembered as logged */

struct discovery {
    const struct scope *scope;
    struct watch *watch;
    bool listed; /* `result` is what there was when `watch` was last asked */
    struct discovered result;
    size_t capacity;
    uint64_t noted[MAX_NOTED]; /* hashes of names that were logged, for as long as they are there */
    bool noted_again[MAX_NOTED];
    size_t n_noted;
    int last_error[DIRECTORIES_MAX]; /* of opening the directory */
};

struct discovery *discovery_new(const struct scope *scope)
{
    struct discovery *discovery = calloc(1, sizeof *discovery);
    struct watch *watch = watch_new(scope->directories, scope->n_directories);
    if (!discovery || !watch) {
        free(discovery);
        watch_free(watch);
        return NULL;
    }
    discovery->scope = scope;
    discovery->watch = watch;
    return discovery;
}

void discovery_free(struct discovery *discovery)
{
    if (!discovery)
        return;
    watch_free(discovery->watch);
    free(discovery->result.files);
    free(discovery);
}

int discovery_fd(const struct discovery *discovery)
{
    return watch_fd(discovery->watch);
}

static bool add_file(struct discovery *discovery, size_t directory, const char *name, const struct stat *status)
{
    struct discovered *result = &discovery->result;
    if (result->n_files == discovery->capacity) {
        size_t capacity = discovery->capacity * 2 + 16;
        struct discovered_file *files = realloc(result->files, capacity * sizeof *files);
        if (!files)
            return false;
        result->files = files;
        discovery->capacity = capacity;
    }
    struct discovered_file *file = &result->files[result->n_files++];
    *file = (struct discovered_file){.directory = directory, .exists = status != NULL};
    if (status)
        file->status = *status;
    snprintf(file->name, sizeof file->name, "%s", name);
    return true;
}

static uint64_t hash_name(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    while (*name)
        hash = (hash ^ (unsigned char)*name++) * UINT64_C(0x100000001b3); /* FNV-1a */
    return hash;
}

static void ignore(struct discovery *discovery, size_t directory, const char *name, enum ignored reason)
{
    static const char *const texts[] = {
        [IGNORED_NAME] = "not a segment's name",
        [IGNORED_TYPE] = "not a regular file",
        [IGNORED_DUPLICATE] = "a directory before this one has a file of that name",
        [IGNORED_SURPLUS] = "too many files",
    };
    discovery->result.ignored[reason]++;
    if (reason == IGNORED_PATTERN) /* as was asked for */
        return;
    const uint64_t hash = hash_name(name) + directory;
    for (size_t i = 0; i < discovery->n_noted; i++) {
        if (discovery->noted[i] == hash) {
            discovery->noted_again[i] = true;
            return;
        }
    }
    if (discovery->n_noted == MAX_NOTED)
        return;
    discovery->noted_again[discovery->n_noted] = true;
    discovery->noted[discovery->n_noted++] = hash;
    log_event(LOG_INFO, "file passed over", "directory", discovery->scope->directories[directory], "file", name,
              "reason", texts[reason], NULL);
}

/* A name that has gone is logged anew when it comes back. */
static void forget_gone(struct discovery *discovery)
{
    size_t kept = 0;
    for (size_t i = 0; i < discovery->n_noted; i++)
        if (discovery->noted_again[i])
            discovery->noted[kept++] = discovery->noted[i];
    discovery->n_noted = kept;
    memset(discovery->noted_again, 0, sizeof discovery->noted_again);
}

static void report_directory(struct discovery *discovery, size_t directory, int error)
{
    if (error == discovery->last_error[directory])
        return;
    discovery->last_error[directory] = error;
    const char *path = discovery->scope->directories[directory];
    if (error)
        log_event(LOG_WARN, "cannot read the directory of the segments", "directory", path, "reason", strerror(error),
                  NULL);
    else
        log_event(LOG_INFO, "the directory of the segments can be read now", "directory", path, NULL);
}

static bool matches(const struct patterns *patterns, const char *name)
{
    for (size_t i = 0; i < patterns->n; i++)
        if (fnmatch(patterns->items[i], name, 0) == 0)
            return true;
    return false;
}

static bool look_at(struct discovery *discovery, size_t directory, int fd, const char *name)
{
    struct stat status;
    if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return true;
    if (!S_ISREG(status.st_mode))
        ignore(discovery, directory, name, IGNORED_TYPE);
    else if (discovery->result.n_files == DISCOVER_MAX_FILES)
        ignore(discovery, directory, name, IGNORED_SURPLUS);
    else
        return add_file(discovery, directory, name, &status);
    return true;
}

static bool look_at_all(struct discovery *discovery, size_t directory, DIR *listing)
{
    const struct scope *scope = discovery->scope;
    bool whole = true;
    for (struct dirent *entry; whole && (entry = readdir(listing));) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        if (!segment_name_valid(name))
            ignore(discovery, directory, name, IGNORED_NAME);
        else if ((scope->include.n && !matches(&scope->include, name)) || matches(&scope->exclude, name))
            ignore(discovery, directory, name, IGNORED_PATTERN);
        else
            whole = look_at(discovery, directory, dirfd(listing), name);
    }
    return whole;
}

/* To look for names, the right to search the directory is enough; to list it, it must be readable. */
static bool look_into(struct discovery *discovery, size_t directory)
{
    const struct scope *scope = discovery->scope;
    const char *path = scope->directories[directory];
    DIR *listing = scope->n_names ? NULL : opendir(path);
    int fd = listing ? dirfd(listing) : scope->n_names ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    report_directory(discovery, directory, fd < 0 ? errno : 0);
    discovery->result.readable[directory] = fd >= 0;
    bool whole = listing ? look_at_all(discovery, directory, listing) : true;
    for (size_t i = 0; fd >= 0 && whole && i < scope->n_names; i++)
        whole = look_at(discovery, directory, fd, scope->names[i]);
    if (listing)
        closedir(listing);
    else if (fd >= 0)
        close(fd);
    return whole;
}

static int by_name(const void *a, const void *b)
{
    const struct discovered_file *x = a, *y = b;
    const int order = strcmp(x->name, y->name);
    if (order)
        return order;
    if (x->exists != y->exists)
        return x->exists ? -1 : 1;
    return x->directory < y->directory ? -1 : x->directory > y->directory;
}

/* Of each name the first. */
static void drop_duplicates(struct discovery *discovery)
{
    struct discovered *result = &discovery->result;
    size_t kept = 0;
    for (size_t i = 0; i < result->n_files; i++) {
        if (!kept || strcmp(result->files[kept - 1].name, result->files[i].name) != 0)
            result->files[kept++] = result->files[i];
        else if (result->files[i].exists)
            ignore(discovery, result->files[i].directory, result->files[i].name, IGNORED_DUPLICATE);
    }
    result->n_files = kept;
}

const struct discovered *discover(struct discovery *discovery)
{
    const struct scope *scope = discovery->scope;
    struct discovered *result = &discovery->result;
    const bool changed = watch_changed(discovery->watch);
    if (!changed && discovery->listed)
        return result;
    discovery->listed = false;
    result->n_files = 0;
    memset(result->ignored, 0, sizeof result->ignored);
    for (size_t i = 0; i < scope->n_directories; i++)
        if (!look_into(discovery, i))
            return NULL;
    for (size_t i = 0; i < scope->n_names; i++) /* listed in any case */
        if (!add_file(discovery, 0, scope->names[i], NULL))
            return NULL;
    if (result->n_files)
        qsort(result->files, result->n_files, sizeof *result->files, by_name);
    drop_duplicates(discovery);
    forget_gone(discovery);
    discovery->listed = true;
    return result;
}
