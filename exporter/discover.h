/* SPDX-License-Identifier: Apache-2.0
 *
 * Which files of the directories could be segments: regular files with the name of one. Everything else is passed over,
 * logged once and counted. Opens no file. A directory in which nothing happened is not listed again. */
#ifndef EXPORTER_DISCOVER_H
#define EXPORTER_DISCOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#define SEGMENT_NAME_MAX   64u
#define DISCOVER_MAX_FILES 4096u
#define DIRECTORIES_MAX    8u
#define PATTERNS_MAX       32u

enum ignored {
    IGNORED_NAME,        /* not a segment's name */
    IGNORED_TYPE,        /* not a regular file: symbolic link, FIFO, directory ... */
    IGNORED_PATTERN,     /* left out by --shm.include or --shm.exclude */
    IGNORED_DUPLICATE,   /* a directory before this one has a file of that name */
    IGNORED_SURPLUS,     /* beyond DISCOVER_MAX_FILES */
    IGNORED_NOT_SEGMENT, /* seen only when it was opened */
    IGNORED_REASONS,
};
extern const char *const ignored_names[IGNORED_REASONS];

/* [A-Za-z0-9_][A-Za-z0-9_.-]{0,63} */
bool segment_name_valid(const char *name);

struct patterns {
    const char *items[PATTERNS_MAX];
    size_t n;
};

struct scope { /* where to look for what */
    const char *directories[DIRECTORIES_MAX];
    size_t n_directories;
    const char *const *names; /* only for these; none: for all */
    size_t n_names;
    struct patterns include, exclude; /* shell patterns; not for `names`. No include: all */
};

struct discovered_file {
    char name[SEGMENT_NAME_MAX + 1];
    size_t directory; /* index */
    bool exists;      /* a segment named on the command line is listed in any case */
    struct stat status;
};

struct discovered {
    struct discovered_file *files; /* sorted by name */
    size_t n_files;
    size_t ignored[IGNORED_REASONS];
    bool readable[DIRECTORIES_MAX]; /* the directories */
};

struct discovery; /* one thread at a time */
/* `scope` must live as long. NULL: out of memory. */
struct discovery *discovery_new(const struct scope *scope);
void discovery_free(struct discovery *discovery);

/* What there is now; the discovery's, until the next call. NULL: out of memory. */
const struct discovered *discover(struct discovery *discovery);

/* Readable when something happened in a directory; -1: that cannot be told. */
int discovery_fd(const struct discovery *discovery);

#endif
