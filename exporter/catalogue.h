/* SPDX-License-Identifier: Apache-2.0
 *
 * Which segments there are, for the threads that answer requests: what the collector published last. */
#ifndef EXPORTER_CATALOGUE_H
#define EXPORTER_CATALOGUE_H

#include "segments.h"
#include "shared.h"

struct catalogue {
    struct shared shared;
    size_t n;
    struct catalogue_entry {
        char name[SEGMENT_NAME_MAX + 1];
        bool up;
        char reason[256]; /* why it is not */
    } entries[];
};

/* What was published last, with a reference for the caller; NULL: nothing yet. Any thread. */
struct catalogue *catalogue_get(void);
void catalogue_put(struct catalogue *catalogue);

/* Publishes a copy of what is said here of `segments`, if it differs from what was published last. One thread. */
void catalogue_publish(const struct segment *const *segments, size_t n);
/* At the end, when nobody gets it any more. */
void catalogue_withdraw(void);

#endif
