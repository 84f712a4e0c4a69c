/* SPDX-License-Identifier: Apache-2.0
 *
 * Which files could be segments, see discover.h. */
#define _GNU_SOURCE
#include "discover.h"
#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const ignored_names[IGNORED_REASONS] = {"name", "type", "surplus", "content"};

#define MAX_NOTED 1024u /* names remembered as logged */

struct discovery {
    const char *directory;
    const char *const *names;
    size_t n_names;
    struct discovered result;
    size_t capacity;
    uint64_t noted[MAX_NOTED]; /* hashes of names that were logged, for as long as they are there */
    bool noted_again[MAX_NOTED];
    size_t n_noted;
    int last_error; /* of opening the directory */
};

struct discovery *discovery_new(const char *directory, const char *const *names, size_t n_names)
{
    struct discovery *discovery = calloc(1, sizeof *discovery);
    if (discovery) {
        discovery->directory = directory;
        discovery->names = names;
        discovery->n_names = n_names;
    }
    return discovery;
}

void discovery_free(struct discovery *discovery)
{
    if (!discovery)
        return;
    free(discovery->result.files);
    free(discovery);
}

static bool add_file(struct discovery *discovery, const char *name, const struct stat *status)
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
    *file = (struct discovered_file){.exists = status != NULL};
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

static void ignore(struct discovery *discovery, const char *name, enum ignored reason)
{
    static const char *const texts[] = {
        [IGNORED_NAME] = "not a segment's name",
        [IGNORED_TYPE] = "not a regular file",
        [IGNORED_SURPLUS] = "too many files",
    };
    discovery->result.ignored[reason]++;
    const uint64_t hash = hash_name(name);
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
    log_event(LOG_INFO, "file passed over", "directory", discovery->directory, "file", name, "reason", texts[reason],
              NULL);
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

static void report_directory(struct discovery *discovery, int error)
{
    if (error == discovery->last_error)
        return;
    discovery->last_error = error;
    if (error)
        log_event(LOG_WARN, "cannot read the directory of the segments", "directory", discovery->directory, "reason",
                  strerror(error), NULL);
    else
        log_event(LOG_INFO, "the directory of the segments can be read now", "directory", discovery->directory, NULL);
}

static bool look_at(struct discovery *discovery, int directory, const char *name, bool named)
{
    struct stat status;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return named ? add_file(discovery, name, NULL) : true;
    if (!S_ISREG(status.st_mode)) {
        ignore(discovery, name, IGNORED_TYPE);
        return named ? add_file(discovery, name, NULL) : true;
    }
    if (discovery->result.n_files == DISCOVER_MAX_FILES) {
        ignore(discovery, name, IGNORED_SURPLUS);
        return true;
    }
    return add_file(discovery, name, &status);
}

static bool look_at_all(struct discovery *discovery, DIR *listing)
{
    for (struct dirent *entry; (entry = readdir(listing));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (!segment_name_valid(entry->d_name))
            ignore(discovery, entry->d_name, IGNORED_NAME);
        else if (!look_at(discovery, dirfd(listing), entry->d_name, false))
            return false;
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct discovered_file *)a)->name, ((const struct discovered_file *)b)->name);
}

/* To look for names, the right to search the directory is enough; to list it, it must be readable. */
static int open_directory(const struct discovery *discovery, DIR **listing)
{
    *listing = NULL;
    if (discovery->n_names)
        return open(discovery->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    *listing = opendir(discovery->directory);
    return *listing ? dirfd(*listing) : -1;
}

const struct discovered *discover(struct discovery *discovery)
{
    struct discovered *result = &discovery->result;
    result->n_files = 0;
    memset(result->ignored, 0, sizeof result->ignored);
    DIR *listing;
    int directory = open_directory(discovery, &listing);
    report_directory(discovery, directory < 0 ? errno : 0);
    result->directory_readable = directory >= 0;
    bool whole = listing ? look_at_all(discovery, listing) : true;
    for (size_t i = 0; whole && i < discovery->n_names; i++)
        whole = directory < 0 ? add_file(discovery, discovery->names[i], NULL)
                              : look_at(discovery, directory, discovery->names[i], true);
    if (listing)
        closedir(listing);
    else if (directory >= 0)
        close(directory);
    forget_gone(discovery);
    if (!whole)
        return NULL;
    if (result->n_files)
        qsort(result->files, result->n_files, sizeof *result->files, by_name);
    return result;
}
