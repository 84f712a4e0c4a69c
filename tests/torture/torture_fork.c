/* SPDX-License-Identifier: Apache-2.0
 *
 * Children of a process whose threads are in the middle of updates and look-ups: by fork(), _Fork(), raw clone, vfork
 * and exec; daemons that close every descriptor; thousands of short threads; children inside their parent's in-progress
 * scope. Nobody is killed, so every total is exact; live gauges end where they began. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "torture.h"

enum { THREADS = 3, SLOTS = 64 };

static struct tally {
    volatile uint64_t counter, histogram, looked_up;
} __attribute__((aligned(128))) * tallies;

static libshm_segment *segment;
static libshm_counter counter;
static libshm_histogram histogram;
static libshm_gauge live, shared;
static libshm_family *family;
static int stop;

static void update(struct tally *tally, int times)
{
    for (int i = 0; i < times; i++) {
        libshm_counter_inc(&counter);
        __atomic_fetch_add(&tally->counter, 1, __ATOMIC_RELAXED);
        libshm_histogram_observe(&histogram, 1.0);
        __atomic_fetch_add(&tally->histogram, 1, __ATOMIC_RELAXED);
        libshm_gauge_add(&live, 1);
        libshm_gauge_add(&shared, 1);
        libshm_gauge_add(&shared, -1);
        libshm_gauge_add(&live, -1);
    }
}

static void look_up(struct tally *tally, unsigned first, int times)
{
    for (int i = 0; i < times; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", (first + (unsigned)i) % 50);
        libshm_counter_add_with(family, LIBSHM_VALUES(name), 1);
        __atomic_fetch_add(&tally->looked_up, 1, __ATOMIC_RELAXED);
    }
}

static void *all_along(void *tally)
{
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        update(tally, 100);
        look_up(tally, 0, 20);
    }
    return NULL;
}

static void *briefly(void *tally)
{
    update(tally, 5);
    return NULL;
}

enum way { FORK, RAW_FORK, CLONE, VFORK_EXEC, FORK_EXEC, DAEMON, GRANDCHILD, WAYS };

/* What a child does that may only make updates (others of its parent's threads held any lock when it was made). */
static void updates_only(struct tally *tally, libshm_progress *scope)
{
    libshm_progress_leave(scope); /* the parent's: no -1 */
    update(tally, 20);
    libshm_progress own = libshm_progress_enter(&live);
    (void)own; /* ends inside of its own scope */
    _exit(0);
}

static void everything(struct tally *tally, libshm_progress *scope, enum way way)
{
    libshm_progress_leave(scope);
    if (way == DAEMON) {
        setsid();
        syscall(SYS_close_range, 0u, ~0u, 0u); /* the library has no descriptor that must live */
    }
    update(tally, 20);
    look_up(tally, (unsigned)getpid(), 30);
    pthread_t thread;
    if (pthread_create(&thread, NULL, briefly, tally) == 0)
        pthread_join(thread, NULL);
    if (way == GRANDCHILD) {
        pid_t child = fork();
        if (child == 0) {
            update(tally, 20);
            look_up(tally, (unsigned)getpid(), 30);
            _exit(0);
        }
        int status = 1;
        waitpid(child, &status, 0);
        if (status != 0)
            _exit(3);
    }
    if (libshm_gauge_value(&live) < 0)
        _exit(4);
    libshm_progress own = libshm_progress_enter(&live);
    (void)own;
    if (way == FORK_EXEC)
        execl("/bin/true", "true", (char *)NULL); /* in the middle of a scope */
    _exit(0);
}

static pid_t make(enum way way, struct tally *tally, libshm_progress *scope)
{
    pid_t child;
    switch (way) {
    case RAW_FORK:
        child = _Fork();
        if (child == 0)
            updates_only(tally, scope);
        return child;
    case CLONE:
        child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
        if (child == 0)
            updates_only(tally, scope);
        return child;
    case VFORK_EXEC:
        child = vfork();
        if (child == 0) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(5);
        }
        return child;
    default:
        child = fork();
        if (child == 0)
            everything(tally, scope, way);
        return child;
    }
}

#define METRIC(n, ...) (&(libshm_metric){.name = (n), .help = "A test.", .type = LIBSHM_TYPE_COUNTER, __VA_ARGS__})

int main(int argc, char **argv)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)argc, (void)argv;
    puts("a sanitizer's runtime does not survive a fork of a process with threads");
    return 77;
#endif
    struct torture t = torture_begin("fork", argc, argv);
    uint64_t random = t.seed, count, threads = 0;
    double sum;
    tallies = torture_shared(sizeof *tallies * (THREADS + 1));
    TORTURE_DO(libshm_open("fork", NULL, &segment));
    TORTURE_DO(libshm_counter_define(segment, METRIC("x_total", .unit = NULL), &counter));
    TORTURE_DO(libshm_gauge_define(segment, METRIC("shared", .unit = NULL), &shared));
    TORTURE_DO(libshm_gauge_define(segment, METRIC("live", .gauge_mode = LIBSHM_GAUGE_SUM), &live));
    TORTURE_DO(libshm_histogram_define(segment, METRIC("h", .LIBSHM_BOUNDS(0.5, 2)), &histogram));
    TORTURE_DO(libshm_family_define(segment, METRIC("looked_up_total", .labels = LIBSHM_LABELS("a")), &family));
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, all_along, &tallies[i]);
    struct tally *tally = &tallies[THREADS];
    double end = torture_now() + t.seconds;
    while (torture_now() < end && t.wrong < 10) {
        pid_t children[6];
        libshm_progress scope = libshm_progress_enter(&live);
        for (int i = 0; i < 6; i++)
            children[i] = make((enum way)(torture_random(&random) % WAYS), tally, &scope);
        for (int i = 0; i < 20; i++) { /* threads come and go */
            pthread_t brief;
            if (pthread_create(&brief, NULL, briefly, tally) == 0)
                pthread_join(brief, NULL);
            threads++;
        }
        for (int i = 0; i < 6; i++) {
            int status = -1;
            while (waitpid(children[i], &status, 0) < 0 && errno == EINTR)
                ;
            TORTURE_CHECK(&t, status == 0, "a child ended with status %#x", (unsigned)status);
            t.forks++;
        }
        libshm_progress_leave(&scope);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    struct tally all = {0, 0, 0};
    for (int i = 0; i <= THREADS; i++) {
        all.counter += tallies[i].counter;
        all.histogram += tallies[i].histogram;
        all.looked_up += tallies[i].looked_up;
    }
    t.operations = all.counter + all.histogram + all.looked_up;
    double looked_up = 0;
    for (unsigned i = 0; i < 50; i++) {
        char name[16];
        libshm_counter one;
        snprintf(name, sizeof name, "%u", i);
        TORTURE_DO(libshm_counter_get(family, LIBSHM_VALUES(name), &one));
        looked_up += libshm_counter_value(&one);
        libshm_counter_put(&one);
    }
    libshm_histogram_value(&histogram, &count, &sum);
    torture_compare(&t, "counter", all.counter, (uint64_t)libshm_counter_value(&counter), 0);
    torture_compare(&t, "histogram", all.histogram, count, 0);
    torture_compare(&t, "looked up", all.looked_up, (uint64_t)looked_up, 0);
    TORTURE_CHECK(&t, sum == (double)count, "sum %g, count %llu", sum, (unsigned long long)count);
    TORTURE_CHECK(&t, libshm_gauge_value(&live) == 0, "the live gauge is %g", libshm_gauge_value(&live));
    TORTURE_CHECK(&t, libshm_gauge_value(&shared) == 0, "the shared gauge is %g", libshm_gauge_value(&shared));
    printf("fork: %llu short threads\n", (unsigned long long)threads);
    return torture_end(&t);
}
