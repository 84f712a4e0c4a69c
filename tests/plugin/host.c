/* SPDX-License-Identifier: Apache-2.0
 *
 *     host PLUGIN WAY
 *
 * Loads the plugin, makes each kind of update leave it by one way, unloads it and then lets the kernel look at the
 * thread's rseq_cs: by signals and by preemptions. A descriptor that was left there is now in memory that is gone, and
 * the kernel ends the process with SIGSEGV.
 *
 *     commit   per-CPU cells, undisturbed
 *     abort    per-CPU cells; the trap flag raises a signal after every instruction, so no sequence comes to its end
 *     limit    a segment without per-CPU cells: the sequence ends at its comparison
 *     no-op    handles that were never set up
 *
 * Exit code 0: alive, and what was counted is exact. 1: not exact, or something failed. 77: no restartable sequences.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plugin.h"

#define ROUNDS 20 /* load, update, unload */
#define TIMES  5  /* updates of a kind in a round */

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static void fail(const char *what)
{
    fprintf(stderr, "host: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void check(int error, const char *what)
{
    if (error) {
        fprintf(stderr, "host: %s: %s: %s\n", what, libshm_strerror(error), libshm_error_detail());
        exit(1);
    }
}

/* Runs the update; in single steps, each of which ends in a signal. */
static void update(plugin_update_function *function, const struct handles *handles, int kind, int step)
{
#ifdef __x86_64__
    if (step)
        __asm__ __volatile__("pushfq\n\torq $0x100,(%%rsp)\n\tpopfq" ::: "memory", "cc");
    function(handles, kind);
    if (step)
        __asm__ __volatile__("pushfq\n\tandq $~0x100,(%%rsp)\n\tpopfq" ::: "memory", "cc");
#else
    (void)step;
    function(handles, kind);
#endif
}

/* A child that is always ready to run shares this CPU, so this thread is preempted; and it moves between the CPUs. */
static void be_preempted(void)
{
    cpu_set_t all, one;
    if (sched_getaffinity(0, sizeof(all), &all))
        fail("sched_getaffinity");
    for (size_t cpu = 0, moves = 0; cpu < CPU_SETSIZE && moves < 4; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (sched_setaffinity(0, sizeof(one), &one))
            fail("sched_setaffinity");
        moves++;
        pid_t child = fork();
        if (child < 0)
            fail("fork");
        if (child == 0)
            for (;;)
                sched_yield();
        for (int i = 0; i < 50; i++)
            sched_yield();
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    sched_setaffinity(0, sizeof(all), &all);
}

static void round_trip(const char *plugin, const struct handles *handles, int kind, int step)
{
    void *library = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "host: %s\n", dlerror());
        exit(1);
    }
    void *symbol = dlsym(library, "plugin_update");
    plugin_update_function *function;
    memcpy(&function, &symbol, sizeof(function));
    if (!function)
        fail("no plugin_update in the plugin");
    for (int i = 0; i < TIMES; i++)
        update(function, handles, kind, step);
    dlclose(library);
    if (dlopen(plugin, RTLD_NOW | RTLD_NOLOAD)) {
        fprintf(stderr, "host: the plugin is still loaded after dlclose\n");
        exit(1);
    }
    raise(SIGUSR1); /* delivering a signal, the kernel looks at rseq_cs */
    nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL);
}

static void expect(const char *what, double value, double right)
{
    if (value < right || value > right) {
        fprintf(stderr, "host: %s is %g and should be %g\n", what, value, right);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: host PLUGIN commit|abort|limit|no-op\n");
        return 2;
    }
    const char *way = argv[2];
    int limit = !strcmp(way, "limit"), noop = !strcmp(way, "no-op"), step = !strcmp(way, "abort");
    signal(SIGUSR1, count_signal);
    signal(SIGTRAP, count_signal);

    libshm_segment *segment;
    const libshm_open_options options = {.size = sizeof(options), .cpu_lanes = limit ? LIBSHM_NO_CPU_LANES : 0};
    struct handles handles = {0};
    check(libshm_open("plugin", &options, &segment), "open");
    if (!noop) {
        check(libshm_counter_define(segment, &(libshm_metric){.name = "plugin_total", .help = "Counted."},
                                    &handles.counter),
              "counter");
        check(libshm_histogram_define(
                  segment, &(libshm_metric){.name = "plugin_size", .help = "Sizes.", .LIBSHM_BOUNDS(1, 2, 3)},
                  &handles.histogram),
              "histogram");
        check(libshm_gauge_define(
                  segment, &(libshm_metric){.name = "plugin_active", .help = "Active.", .gauge_mode = LIBSHM_GAUGE_SUM},
                  &handles.gauge),
              "gauge");
        if (!limit && handles.counter.cpu_limit == 0) {
            printf("no restartable sequences here\n");
            return 77;
        }
        if (limit && handles.counter.cpu_limit != 0) {
            fprintf(stderr, "host: a segment without per-CPU cells has a CPU limit of %u\n", handles.counter.cpu_limit);
            return 1;
        }
    }

    for (int i = 0; i < ROUNDS; i++)
        for (int kind = 0; kind < UPDATE_KINDS; kind++)
            round_trip(argv[1], &handles, kind, step);
    be_preempted();
    if (step && signals < ROUNDS * UPDATE_KINDS * TIMES) {
        fprintf(stderr, "host: only %d signals: nothing was stepped\n", (int)signals);
        return 1;
    }
    if (step) { /* this thread's atomic cell has what went the way out through an abort: everything */
        const struct libshm_cell *cell = libshm_atomic_cell(handles.counter.cell, handles.counter.atomic_mask);
        expect("what was counted after an abort", (double)cell->integer, ROUNDS * TIMES * 3);
        expect("its fractions", cell->fractional, ROUNDS * TIMES * 0.5);
    }
    if (!noop) {
        uint64_t count;
        double sum;
        libshm_histogram_value(&handles.histogram, &count, &sum);
        expect("the counter", libshm_counter_value(&handles.counter), ROUNDS * TIMES * 3.5);
        expect("the histogram's count", (double)count, ROUNDS * TIMES);
        expect("the histogram's sum", sum, ROUNDS * TIMES * 2);
        expect("the gauge", libshm_gauge_value(&handles.gauge), ROUNDS * TIMES);
    }
    libshm_close(segment);
    return 0;
}
