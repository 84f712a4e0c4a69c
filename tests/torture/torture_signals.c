/* SPDX-License-Identifier: Apache-2.0
 *
 * A timer's handler, 20,000 times a second, updates the same metrics as the code that it interrupts, on two threads.
 * Every update is counted exactly once: totals are exact, count and sum agree. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>

#include "torture.h"

enum { THREADS = 2, INTERVAL_NS = 50000 };

struct tally {
    volatile uint64_t updates, handled;
} __attribute__((aligned(128)));

static libshm_counter counter, fractional;
static libshm_histogram histogram;
static libshm_gauge shared, live;
static struct tally tallies[THREADS];
static __thread struct tally *mine;
static int stop;

static void update_all(void)
{
    libshm_counter_inc(&counter);
    libshm_counter_add_double(&fractional, 0.5);
    libshm_histogram_observe(&histogram, 1.0);
    libshm_gauge_add(&shared, 1);
    libshm_gauge_add(&live, 1);
}

static void handler(int signal)
{
    (void)signal;
    int saved = errno;
    update_all();
    mine->handled++;
    errno = saved;
}

static void *run(void *argument)
{
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN};
    mine = argument;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
        exit(2);
    struct itimerspec every = {.it_interval = {.tv_nsec = INTERVAL_NS}, .it_value = {.tv_nsec = INTERVAL_NS}};
    timer_settime(timer, 0, &every, NULL);
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        update_all();
        mine->updates++;
    }
    timer_delete(timer);
    return NULL;
}

int main(int argc, char **argv)
{
    struct torture t = torture_begin("signals", argc, argv);
    libshm_segment *segment;
    pthread_t thread[THREADS];
    uint64_t count;
    double sum;
    TORTURE_DO(libshm_open("signals", NULL, &segment));
    TORTURE_DO(libshm_counter_define(segment, &(libshm_metric){.name = "c_total", .help = "c"}, &counter));
    TORTURE_DO(libshm_counter_define(segment, &(libshm_metric){.name = "f_total", .help = "f"}, &fractional));
    TORTURE_DO(libshm_histogram_define(segment, &(libshm_metric){.name = "h", .help = "h", .LIBSHM_BOUNDS(.5, 1)},
                                       &histogram));
    TORTURE_DO(libshm_gauge_define(segment, &(libshm_metric){.name = "g", .help = "g"}, &shared));
    TORTURE_DO(libshm_gauge_define(segment, &(libshm_metric){.name = "l", .help = "l", .gauge_mode = LIBSHM_GAUGE_SUM},
                                   &live));
    signal(SIGRTMIN, handler);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, run, &tallies[i]);
    double end = torture_now() + t.seconds;
    while (torture_now() < end)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    uint64_t updates = 0;
    for (int i = 0; i < THREADS; i++) {
        updates += tallies[i].updates + tallies[i].handled;
        t.signals += tallies[i].handled;
    }
    t.operations = updates * 5;
    libshm_histogram_value(&histogram, &count, &sum);
    torture_compare(&t, "counter", updates, (uint64_t)libshm_counter_value(&counter), 0);
    torture_compare(&t, "floating counter", updates, (uint64_t)(libshm_counter_value(&fractional) * 2), 0);
    torture_compare(&t, "histogram", updates, count, 0);
    torture_compare(&t, "shared gauge", updates, (uint64_t)libshm_gauge_value(&shared), 0);
    torture_compare(&t, "live gauge", updates, (uint64_t)libshm_gauge_value(&live), 0);
    TORTURE_CHECK(&t, sum == (double)count, "count %" PRIu64 ", sum %.17g", count, sum);
    TORTURE_CHECK(&t, t.signals > 0, "no signal came");
    libshm_close(segment);
    return torture_end(&t);
}
