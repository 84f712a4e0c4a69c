/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects that one thread publishes and any thread takes: with RCU. A reader takes a reference inside a read section of
 * a few instructions and may keep it as long as it likes; publishing waits for those few instructions and nothing else.
 */
#ifndef EXPORTER_SHARED_H
#define EXPORTER_SHARED_H

#include <stdatomic.h>
#include <stddef.h>

struct shared { /* the first member of what is published */
    _Atomic size_t references;
    void (*destroy)(struct shared *shared);
};

/* With one reference, the caller's. */
void shared_init(struct shared *shared, void (*destroy)(struct shared *shared));
void shared_put(struct shared *shared); /* NULL is allowed */

/* What was published at `place`, with a reference for the caller; NULL: nothing. */
struct shared *shared_get(struct shared *const *place);
/* Publishes `shared` (NULL: nothing any more), and takes over the caller's reference. One thread for each place. */
void shared_publish(struct shared **place, struct shared *shared);

#endif
