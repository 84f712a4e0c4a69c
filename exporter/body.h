/* SPDX-License-Identifier: Apache-2.0
 *
 * The body of a scrape, shared by all requests that it answers. A body that nobody needs any more goes back to its
 * pool: the kernel zeroes fresh memory at a cost that a scrape of megabytes would notice. What nobody has asked for in
 * a while goes back to the kernel: between two scrapes there is no body. Any thread. */
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
    size_t n_out; /* bodies that somebody has */
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
/* Gives the memory of all bodies that nobody has back to the kernel. False: somebody still has one. */
bool body_pool_trim(struct body_pool *pool);
struct body *body_get(struct body *body);
void body_put(struct body *body);

#endif
