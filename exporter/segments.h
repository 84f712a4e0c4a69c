/* SPDX-License-Identifier: Apache-2.0
 *
 * The segments that are being served: opened, looked at anew for each scrape, opened again when their file was
 * replaced. A segment that cannot be read is down: it stays in the list, with the reason, and is tried again at the
 * next scrape. */
#ifndef EXPORTER_SEGMENTS_H
#define EXPORTER_SEGMENTS_H

#include "discover.h"

#include <libshm/reader.h>

struct segment {
    char name[SEGMENT_NAME_MAX + 1];
    char *path;
    size_t directory;                /* index in the scope */
    libshm_reader *reader;           /* NULL: not open */
    const libshm_snapshot *snapshot; /* NULL: down */
    uint64_t identity;               /* of this opening, never used again */
    double snapshot_seconds;         /* what the last snapshot took */
    uint64_t faults;                 /* times that the file was truncated while it was read */
    int error;                       /* why it is down; 0: it is not */
    char reason[256];                /* the same in words */
    bool foreign;                    /* not a segment at all; not opened again while the file is the same */
    struct stat status;              /* of the file */
};

struct segments; /* one thread at a time */
/* `scope` must live as long. NULL: out of memory. */
struct segments *segments_new(const struct scope *scope);
void segments_free(struct segments *segments);

/* Finds, opens, closes and takes a snapshot of each. False: out of memory, the list is what it was. */
bool segments_refresh(struct segments *segments);

/* Sorted by name; those that are foreign are not in it. Valid until the next refresh. */
const struct segment *const *segments_list(const struct segments *segments, size_t *n);
/* Of the last refresh: by reason, those that proved to be foreign when opened included. */
const size_t *segments_ignored(const struct segments *segments);
/* For each directory of the scope. */
const bool *segments_directories_readable(const struct segments *segments);
/* Readable when something happened in a directory; -1: that cannot be told. */
int segments_fd(const struct segments *segments);

#endif
