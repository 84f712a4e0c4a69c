/* SPDX-License-Identifier: Apache-2.0
 *
 * What an update could be without this library: the floor, and what other clients do. Chunks for bench.h. */
#ifndef BENCH_MODELS_H
#define BENCH_MODELS_H

#include "bench.h"

#include <pthread.h>
#include <string.h>

/* Plain memory, one cache line each. */
struct model {
    _Alignas(64) uint64_t integer;
    _Alignas(64) double floating;
    _Alignas(64) struct {
        pthread_mutex_t mutex;
        double value;
    } locked;
};

/* One add to memory, not shared with anybody: the floor. */
static inline void plain_add(void *context, long n)
{
    uint64_t *at = &((struct model *)context)->integer;
    for (long i = 0; i < n; i++) {
        *at += 1;
        BENCH_BARRIER();
    }
}

static inline void plain_add_double(void *context, long n)
{
    double *at = &((struct model *)context)->floating;
    for (long i = 0; i < n; i++) {
        *at += 0.5;
        BENCH_BARRIER();
    }
}

static inline void lock_add(void *context, long n)
{
    uint64_t *at = &((struct model *)context)->integer;
    for (long i = 0; i < n; i++)
        __atomic_fetch_add(at, 1, __ATOMIC_RELAXED);
}

/* A floating counter as most clients have it. */
static inline void cas_double(void *context, long n)
{
    uint64_t *at = (uint64_t *)(void *)&((struct model *)context)->floating;
    for (long i = 0; i < n; i++) {
        uint64_t old = __atomic_load_n(at, __ATOMIC_RELAXED), new;
        do {
            double v;
            memcpy(&v, &old, 8);
            v += 0.5;
            memcpy(&new, &v, 8);
        } while (!__atomic_compare_exchange_n(at, &old, new, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    }
}

static inline void mutex_add(void *context, long n)
{
    struct model *model = context;
    for (long i = 0; i < n; i++) {
        pthread_mutex_lock(&model->locked.mutex);
        model->locked.value += 0.5;
        pthread_mutex_unlock(&model->locked.mutex);
    }
}

/* A struct model on a page of its own, which forked processes share. */
static inline struct model *model_new(void)
{
    struct model *model = bench_shared_page();
    pthread_mutexattr_t shared;
    pthread_mutexattr_init(&shared);
    pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&model->locked.mutex, &shared);
    pthread_mutexattr_destroy(&shared);
    return model;
}

#endif
