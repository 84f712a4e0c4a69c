/* SPDX-License-Identifier: Apache-2.0
 *
 * Ends connections on which nothing gets finished, see reaper.h. */
#include "reaper.h"
#include "log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

struct watched {
    struct watched *previous, *next;
    int fd;
    _Atomic int64_t since; /* CLOCK_MONOTONIC, seconds */
    bool ended;
};

struct reaper {
    unsigned seconds;
    struct watched list; /* a ring */
    pthread_t thread;
    pthread_mutex_t mutex; /* of the ring; held while a descriptor is shut down, so that it is not another's by then */
    pthread_cond_t wake;
    bool stopping;
};

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

static size_t end_overdue(struct reaper *reaper)
{
    const int64_t limit = now() - reaper->seconds;
    size_t n = 0;
    for (struct watched *watched = reaper->list.next; watched != &reaper->list; watched = watched->next) {
        if (watched->ended || atomic_load(&watched->since) >= limit)
            continue;
        watched->ended = true;
        shutdown(watched->fd, SHUT_RDWR);
        n++;
    }
    return n;
}

static void *run(void *argument)
{
    struct reaper *reaper = argument;
    pthread_mutex_lock(&reaper->mutex);
    while (!reaper->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec++;
        pthread_cond_timedwait(&reaper->wake, &reaper->mutex, &until);
        const size_t n = end_overdue(reaper);
        if (n)
            log_event(LOG_WARN, "connections ended: nothing was finished in time", "connections", LOG_NUMBER(n), NULL);
    }
    pthread_mutex_unlock(&reaper->mutex);
    return NULL;
}

struct reaper *reaper_start(unsigned seconds)
{
    struct reaper *reaper = calloc(1, sizeof *reaper);
    pthread_condattr_t monotonic;
    if (!reaper)
        return NULL;
    reaper->seconds = seconds;
    reaper->list.previous = reaper->list.next = &reaper->list;
    pthread_mutex_init(&reaper->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&reaper->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&reaper->thread, NULL, run, reaper) != 0) {
        free(reaper);
        return NULL;
    }
    return reaper;
}

void reaper_stop(struct reaper *reaper)
{
    pthread_mutex_lock(&reaper->mutex);
    reaper->stopping = true;
    pthread_cond_signal(&reaper->wake);
    pthread_mutex_unlock(&reaper->mutex);
    pthread_join(reaper->thread, NULL);
    pthread_cond_destroy(&reaper->wake);
    pthread_mutex_destroy(&reaper->mutex);
    free(reaper);
}

struct watched *reaper_watch(struct reaper *reaper, int fd)
{
    struct watched *watched = calloc(1, sizeof *watched);
    if (!watched)
        return NULL;
    watched->fd = fd;
    atomic_init(&watched->since, now());
    pthread_mutex_lock(&reaper->mutex);
    watched->previous = reaper->list.previous;
    watched->next = &reaper->list;
    watched->previous->next = watched;
    reaper->list.previous = watched;
    pthread_mutex_unlock(&reaper->mutex);
    return watched;
}

void reaper_progress(struct watched *watched)
{
    if (watched)
        atomic_store(&watched->since, now());
}

void reaper_forget(struct reaper *reaper, struct watched *watched)
{
    if (!watched)
        return;
    pthread_mutex_lock(&reaper->mutex);
    watched->previous->next = watched->next;
    watched->next->previous = watched->previous;
    pthread_mutex_unlock(&reaper->mutex);
    free(watched);
}
