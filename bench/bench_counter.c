/* SPDX-License-Identifier: Apache-2.0
 *
 * What does one update of a counter or gauge cost in one thread: inlined, through the shared library, on the atomic
 * path; beside a plain add (the floor), a locked add, a compare-and-swap on a double and a mutex? */
#include "models.h"

#include <libshm.h>
#include <stdlib.h>

#define CHUNK(name, update)                                                                                            \
    static void name(void *context, long n)                                                                            \
    {                                                                                                                  \
        for (long i = 0; i < n; i++)                                                                                   \
            update;                                                                                                    \
    }
CHUNK(inlined, libshm_counter_add(context, 1))
CHUNK(call, libshm_counter_add_call(context, 1))
CHUNK(floating, libshm_counter_add_double(context, 0.5))
CHUNK(floating_call, libshm_counter_add_double_call(context, 0.5))
CHUNK(gauge_add, libshm_gauge_add(context, 0.5))
CHUNK(gauge_add_call, libshm_gauge_add_call(context, 0.5))
CHUNK(gauge_set, libshm_gauge_set(context, (double)i))
CHUNK(gauge_set_call, libshm_gauge_set_call(context, (double)i))

enum { INLINED, CALL, FLOAT, FLOAT_CALL, ATOMIC, ATOMIC_CALL, FLOAT_ATOMIC, COUNTERS };
static libshm_counter kept; /* the one that `local` copies */
enum { ADDED, ADDED_CALL, ADDED_ATOMIC, SET, SET_CALL, SET_ATOMIC, GAUGES };

/* A copy of the handle in a local variable, for a loop that cares: what an update stores could be the handle otherwise,
 * which is loaded anew each time. */
static void local(void *context, long n)
{
    const libshm_counter counter = *(const libshm_counter *)context;
    for (long i = 0; i < n; i++)
        libshm_counter_add(&counter, 1);
}

int main(void)
{
    bench_pin(0);
    bench_directory();
    static const char *const names[COUNTERS] = {"inlined_total",     "call_total",   "float_total",
                                                "float_call_total",  "atomic_total", "atomic_call_total",
                                                "float_atomic_total"};
    libshm_counter counter[COUNTERS];
    static const char *const gauge_names[GAUGES] = {"added", "added_call", "added_atomic",
                                                    "set",   "set_call",   "set_atomic"};
    libshm_gauge gauge[GAUGES], live;
    libshm_segment *segment, *forced;
    if (libshm_open("bench", NULL, &segment))
        bench_die("%s", libshm_error_detail());
    setenv("LIBSHM_RSEQ", "0", 1);
    if (libshm_open("forced", NULL, &forced))
        bench_die("%s", libshm_error_detail());
    for (int i = 0; i < COUNTERS; i++)
        if (libshm_counter_define(i < ATOMIC ? segment : forced, &(libshm_metric){.name = names[i], .help = "Bench."},
                                  &counter[i]))
            bench_die("%s", libshm_error_detail());
    for (int i = 0; i < GAUGES; i++)
        if (libshm_gauge_define(i == ADDED_ATOMIC || i == SET_ATOMIC ? forced : segment,
                                &(libshm_metric){.name = gauge_names[i], .help = "Bench."}, &gauge[i]))
            bench_die("%s", libshm_error_detail());
    if (libshm_gauge_define(segment, &(libshm_metric){.name = "live", .help = "Bench.", .gauge_mode = LIBSHM_GAUGE_SUM},
                            &live))
        bench_die("%s", libshm_error_detail());
    if (libshm_counter_define(segment, &(libshm_metric){.name = "local_total", .help = "Bench."}, &kept))
        bench_die("%s", libshm_error_detail());
    struct model *models[5];
    for (int i = 0; i < 5; i++)
        models[i] = model_new();
    struct bench_case cases[] = {
        {.name = "plain_add", .run = plain_add, .context = models[0]},
        {.name = "counter_inlined", .run = inlined, .context = &counter[INLINED]},
        {.name = "counter_call", .run = call, .context = &counter[CALL]},
        {.name = "counter_float", .run = floating, .context = &counter[FLOAT]},
        {.name = "counter_float_call", .run = floating_call, .context = &counter[FLOAT_CALL]},
        {.name = "counter_atomic", .run = inlined, .context = &counter[ATOMIC]},
        {.name = "counter_atomic_call", .run = call, .context = &counter[ATOMIC_CALL]},
        {.name = "counter_float_atomic", .run = floating, .context = &counter[FLOAT_ATOMIC]},
        {.name = "plain_add_double", .run = plain_add_double, .context = models[1]},
        {.name = "lock_add", .run = lock_add, .context = models[2]},
        {.name = "cas_double", .run = cas_double, .context = models[3]},
        {.name = "mutex", .run = mutex_add, .context = models[4]},
        {.name = "gauge_add", .run = gauge_add, .context = &gauge[ADDED]},
        {.name = "gauge_add_call", .run = gauge_add_call, .context = &gauge[ADDED_CALL]},
        {.name = "gauge_add_atomic", .run = gauge_add, .context = &gauge[ADDED_ATOMIC]},
        {.name = "gauge_set", .run = gauge_set, .context = &gauge[SET]},
        {.name = "gauge_set_call", .run = gauge_set_call, .context = &gauge[SET_CALL]},
        {.name = "gauge_set_atomic", .run = gauge_set, .context = &gauge[SET_ATOMIC]},
        {.name = "gauge_live_add", .run = gauge_add, .context = &live},
        {.name = "counter_local", .run = local, .context = &kept},
    };
    bench_measure(cases, BENCH_COUNT(cases), 31);

    static const double each[COUNTERS] = {1, 1, 0.5, 0.5, 1, 1, 0.5};
    for (int i = 0; i < COUNTERS; i++)
        bench_check(names[i], libshm_counter_value(&counter[i]), (double)cases[1 + i].done * each[i]);
    bench_check("plain add", (double)models[0]->integer, (double)cases[0].done);
    bench_check("lock add", (double)models[2]->integer, (double)cases[9].done);
    bench_check("CAS double", models[3]->floating, (double)cases[10].done * 0.5);
    bench_check("mutex", models[4]->locked.value, (double)cases[11].done * 0.5);
    for (int i = 0; i < GAUGES; i++) /* what was set last is the last number of a chunk */
        bench_check(gauge_names[i], libshm_gauge_value(&gauge[i]),
                    i < SET ? (double)cases[12 + i].done * 0.5 : (double)(cases[12 + i].n - 1));
    bench_check("live gauge", libshm_gauge_value(&live), (double)cases[12 + GAUGES].done * 0.5);
    bench_check("local", libshm_counter_value(&kept), (double)cases[13 + GAUGES].done);
    bench_report_cases(cases, BENCH_COUNT(cases));
    bench_report_machine();
    libshm_close(forced);
    libshm_close(segment);
    return 0;
}
