/* SPDX-License-Identifier: Apache-2.0
 *
 * Which files of the directory could be segments: regular files with the name of one. Everything else is passed over,
 * logged once and counted. Opens no file. */
#ifndef EXPORTER_DISCOVER_H
#define EXPORTER_DISCOVER_H

#include "options.h"

#include <sys/stat.h>

#define SEGMENT_NAME_MAX   64u
#define DISCOVER_MAX_FILES 4096u

enum ignored {
    IGNORED_NAME,        /* not a segment's name */
    IGNORED_TYPE,        /* not a regular file: symbolic link, FIFO, directory ... */
    IGNORED_SURPLUS,     /* beyond DISCOVER_MAX_FILES */
    IGNORED_NOT_SEGMENT, /* seen only when it was opened */
    IGNORED_REASONS,
};
extern const char *const ignored_names[IGNORED_REASONS];

struct discovered_file {
    char name[SEGMENT_NAME_MAX + 1];
    bool exists; /* a segment named on the command line is listed in any case */
    struct stat status;
};

struct discovered {
    struct discovered_file *files; /* sorted by name */
    size_t n_files;
    size_t ignored[IGNORED_REASONS];
    bool directory_readable;
};

struct discovery; /* of one directory; one thread at a time */
/* With names, only those are looked for. Both must live as long as the discovery. NULL: out of memory. */
struct discovery *discovery_new(const char *directory, const char *const *names, size_t n_names);
void discovery_free(struct discovery *discovery);

/* What there is now; the discovery's, until the next call. NULL: out of memory. */
const struct discovered *discover(struct discovery *discovery);

#endif
