/* SPDX-License-Identifier: Apache-2.0
 *
 * What does the library cost a process beside its updates: opening a segment, a fork, the first definitions; and how
 * long after a SIGKILL is the process gone from a live gauge? */
#define _GNU_SOURCE
#include "bench.h"

#include <errno.h>
#include <libshm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REPEAT = 101, METRICS = 20 };

static double *results; /* one for each repetition, shared with children */

static void define(libshm_segment *segment)
{
    for (int i = 0; i < METRICS; i++) {
        char name[32];
        libshm_counter counter;
        snprintf(name, sizeof name, "metric_%d_total", i);
        if (libshm_counter_define(segment, &(libshm_metric){.name = name, .help = "Bench."}, &counter))
            bench_die("%s", libshm_error_detail());
        libshm_counter_inc(&counter);
    }
}

/* Each repetition in a process of its own. */
static void repeat(const char *name, double (*once)(void))
{
    for (int i = 0; i < REPEAT; i++) {
        pid_t pid = fork();
        if (!pid) {
            results[i] = once();
            _exit(0);
        }
        int status;
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
            bench_die("%s: a process failed", name);
    }
    bench_report(name, bench_median(results, REPEAT) / 1e3, "us");
}

static double attach(void)
{
    libshm_segment *segment;
    double start = bench_now();
    if (libshm_open("bench", NULL, &segment))
        bench_die("%s", libshm_error_detail());
    return bench_now() - start;
}

static double start_up(void)
{
    libshm_segment *segment;
    double start = bench_now();
    if (libshm_open("bench", NULL, &segment))
        bench_die("%s", libshm_error_detail());
    define(segment);
    return bench_now() - start;
}

static double fork_once(void)
{
    double start = bench_now();
    pid_t pid = fork();
    if (!pid)
        _exit(0);
    waitpid(pid, NULL, 0);
    return bench_now() - start;
}

static double fork_attached(void)
{
    attach();
    return fork_once();
}

/* From the kill of a process that holds 1 in a live gauge until it is 0 to everybody else. */
static double gauge_corrected(void)
{
    libshm_segment *segment;
    libshm_gauge gauge;
    libshm_metric metric = {.name = "in_progress", .help = "Bench.", .gauge_mode = LIBSHM_GAUGE_SUM};
    int ready[2];
    char byte;
    pid_t pid;
    if (pipe(ready) || (pid = fork()) < 0)
        bench_die("fork: %s", strerror(errno));
    if (!pid) {
        if (libshm_open("bench", NULL, &segment) || libshm_gauge_define(segment, &metric, &gauge))
            bench_die("%s", libshm_error_detail());
        libshm_gauge_inc(&gauge);
        if (write(ready[1], "x", 1) == 1)
            pause();
        _exit(0);
    }
    if (read(ready[0], &byte, 1) != 1 || libshm_open("bench", NULL, &segment) ||
        libshm_gauge_define(segment, &metric, &gauge))
        bench_die("%s", libshm_error_detail());
    bench_check("gauge", libshm_gauge_value(&gauge), 1);
    double start = bench_now();
    kill(pid, SIGKILL);
    while (libshm_gauge_value(&gauge) > 0)
        ;
    double took = bench_now() - start;
    waitpid(pid, NULL, 0);
    return took;
}

int main(void)
{
    bench_pin(0);
    bench_directory();
    results = bench_shared_page();
    libshm_segment *segment;
    if (libshm_open("bench", NULL, &segment))
        bench_die("%s", libshm_error_detail());
    define(segment);
    libshm_close(segment);
    repeat("attach_us", attach);
    repeat("start_20_metrics_us", start_up);
    repeat("fork_without_us", fork_once);
    repeat("fork_attached_us", fork_attached);
    repeat("sigkill_to_gauge_us", gauge_corrected);
    return 0;
}
