/* SPDX-License-Identifier: Apache-2.0
 *
 * The body of a scrape, shared by all requests that it answers. A body that nobody needs any more goes back to its
 * pool: the kernel zeroes fresh memory at a cost that a scrape of megabytes would notice. Any thread. */
#ifndef EXPORTER_BODY_H
#define EXPORTER_BODY_H

#include "buffer.h"

#include <pthread.h>
#include <stdatomic.h>

#define BODY_POOL_MAX 3u

struct body_pool {
    pthread_mutex_t mutex;
    struct body *free[BODY_POOL_MAX];
    size_t n_free;
};

struct body {
    struct body_pool *pool; /* outlives its bodies */
    _Atomic size_t references;
    struct buffer bytes;
};

void body_pool_init(struct body_pool *pool);
void body_pool_destroy(struct body_pool *pool);

/* An empty one, with one reference. NULL: out of memory. */
struct body *body_new(struct body_pool *pool);
struct body *body_get(struct body *body);
void body_put(struct body *body);

#endif
