/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared bodies, see body.h. */
#include "body.h"

#include <stdlib.h>

void body_pool_init(struct body_pool *pool)
{
    *pool = (struct body_pool){0};
    pthread_mutex_init(&pool->mutex, NULL);
}

static void destroy(struct body *body)
{
    buffer_free(&body->bytes);
    free(body);
}

void body_pool_destroy(struct body_pool *pool)
{
    while (pool->n_free)
        destroy(pool->free[--pool->n_free]);
    pthread_mutex_destroy(&pool->mutex);
}

struct body *body_new(struct body_pool *pool)
{
    struct body *body = NULL;
    pthread_mutex_lock(&pool->mutex);
    if (pool->n_free)
        body = pool->free[--pool->n_free];
    else
        body = calloc(1, sizeof *body);
    pool->n_out += body != NULL;
    pthread_mutex_unlock(&pool->mutex);
    if (!body)
        return NULL;
    body->pool = pool;
    body->bytes.size = 0;
    body->bytes.failed = false;
    atomic_store(&body->references, 1);
    return body;
}

bool body_pool_trim(struct body_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    while (pool->n_free)
        destroy(pool->free[--pool->n_free]);
    const bool all = pool->n_out == 0;
    pthread_mutex_unlock(&pool->mutex);
    return all;
}

struct body *body_get(struct body *body)
{
    atomic_fetch_add(&body->references, 1);
    return body;
}

void body_put(struct body *body)
{
    if (!body || atomic_fetch_sub(&body->references, 1) != 1)
        return;
    struct body_pool *pool = body->pool;
    pthread_mutex_lock(&pool->mutex);
    pool->n_out--;
    if (pool->n_free < BODY_POOL_MAX) {
        pool->free[pool->n_free++] = body;
        body = NULL;
    }
    pthread_mutex_unlock(&pool->mutex);
    if (body)
        destroy(body);
}
