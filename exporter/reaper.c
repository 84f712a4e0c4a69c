/* SPDX-License-Identifier: Apache-2.0
 *
 * Ends connections on which nothing gets finished, see reaper.h. */
#include "reaper.h"
#include "log.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#define STALL_MS 100 /* beyond two round trips */

struct watched {
    struct watched *previous, *next;
    int fd;
    _Atomic int64_t since; /* CLOCK_MONOTONIC, seconds */
    bool ended;
    bool sending, slot_given; /* of a response, under the mutex */
    int64_t sending_since;    /* milliseconds */
};

struct reaper {
    unsigned seconds;
    struct watched list; /* a ring */
    pthread_t thread;
    pthread_mutex_t mutex; /* of the ring; held while a descriptor is shut down, so that it is not another's by then */
    pthread_cond_t wake;
    bool stopping;
};

static int64_t now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static int64_t now(void)
{
    return now_ms() / 1000;
}

/* Milliseconds since the last byte of the response left; 0: it is not known. A window that the client keeps shut is
 * probed without data, so this grows. The shortest round trip: the average has the time that a client that reads
 * nothing takes to acknowledge. */
static int64_t stalled_for(const struct watched *watched, int64_t time)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    const int64_t sending = time - watched->sending_since; /* what left before was another response's */
    if (getsockopt(watched->fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        return 0;
    return (sending < info.tcpi_last_data_sent ? sending : info.tcpi_last_data_sent) -
           2 * (int64_t)info.tcpi_min_rtt / 1000;
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

void reaper_sending(struct reaper *reaper, struct watched *watched)
{
    if (!watched)
        return;
    pthread_mutex_lock(&reaper->mutex);
    watched->sending = true;
    watched->slot_given = false;
    watched->sending_since = now_ms();
    pthread_mutex_unlock(&reaper->mutex);
}

bool reaper_sent(struct reaper *reaper, struct watched *watched)
{
    if (!watched)
        return true;
    pthread_mutex_lock(&reaper->mutex);
    const bool kept = !watched->slot_given;
    watched->sending = watched->slot_given = false;
    pthread_mutex_unlock(&reaper->mutex);
    return kept;
}

bool reaper_end_stalled(struct reaper *reaper)
{
    struct watched *worst = NULL;
    int64_t longest = STALL_MS - 1;
    pthread_mutex_lock(&reaper->mutex);
    const int64_t time = now_ms();
    for (struct watched *watched = reaper->list.next; watched != &reaper->list; watched = watched->next) {
        if (!watched->sending || watched->ended)
            continue;
        const int64_t stalled = stalled_for(watched, time);
        if (stalled > longest) {
            longest = stalled;
            worst = watched;
        }
    }
    if (worst) {
        worst->ended = worst->slot_given = true;
        shutdown(worst->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&reaper->mutex);
    if (worst)
        log_event(LOG_WARN, "response ended: its client did not take it, and another one asked", NULL);
    return worst != NULL;
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
