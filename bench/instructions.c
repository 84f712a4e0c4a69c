/* SPDX-License-Identifier: Apache-2.0
 *
 * One update a function, each called 1,000 times, for callgrind to count. tests/cli/instructions runs it and holds the
 * counts against bench/instructions.tsv.
 *
 * Under valgrind there are no restartable sequences, so updates go to the atomic cells. With --per-cpu they do not: the
 * offset of the thread's struct rseq is pointed at a fake one, which says that the thread is on CPU 0. The sequence
 * then runs as it would on a CPU that nobody takes away. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The clock of a timer scope differs from libc to libc; this one is counted instead. To the compiler it is as unknown.
 */
__attribute__((noipa)) static int fixed_clock(clockid_t clock, struct timespec *now)
{
    now->tv_sec = clock;
    now->tv_nsec = 5;
    return 0;
}
#define clock_gettime fixed_clock
#include <libshm.h>

enum { CALLS = 1000 };

static __thread struct {
    uint32_t cpu_id_start, cpu_id;
    uint64_t rseq_cs;
    uint64_t rest[2];
} fake __attribute__((aligned(32)));

static libshm_family *family;
static libshm_counter counter;
static libshm_gauge gauge, live;
static libshm_histogram histogram_10, histogram_20, histogram_linear, histogram_timer;

#define MEASURED(name, ...)                                                                                            \
    __attribute__((noinline, noclone)) static void count_##name(void)                                                  \
    {                                                                                                                  \
        __VA_ARGS__;                                                                                                   \
    }
MEASURED(nothing, __asm__ __volatile__(""))
MEASURED(counter_add, libshm_counter_inc(&counter))
MEASURED(counter_add_call, libshm_counter_add_call(&counter, 1))
MEASURED(counter_add_double, libshm_counter_add_double(&counter, 0.5))
MEASURED(counter_add_double_call, libshm_counter_add_double_call(&counter, 0.5))
MEASURED(gauge_set, libshm_gauge_set(&gauge, 0.5))
MEASURED(gauge_set_call, libshm_gauge_set_call(&gauge, 0.5))
MEASURED(gauge_add, libshm_gauge_add(&gauge, 0.5))
MEASURED(gauge_add_call, libshm_gauge_add_call(&gauge, 0.5))
MEASURED(gauge_add_live, libshm_gauge_add(&live, 0.5))
MEASURED(histogram_observe_10, libshm_histogram_observe(&histogram_10, 0.3))
MEASURED(histogram_observe_10_call, libshm_histogram_observe_call(&histogram_10, 0.3))
MEASURED(histogram_observe_20, libshm_histogram_observe(&histogram_20, 0.3))
MEASURED(histogram_observe_linear_100, libshm_histogram_observe(&histogram_linear, 75.5))
MEASURED(timer_scope, LIBSHM_TIME_SCOPE(&histogram_timer))
MEASURED(counter_add_with_2_labels, libshm_counter_add_with(family, LIBSHM_VALUES("profile-7", "planning"), 1))

static const struct {
    const char *name;
    void (*count)(void);
} measured[] = {
#define ROW(name)                                                                                                      \
    {                                                                                                                  \
#name, count_##name                                                                                            \
    }
    ROW(nothing),
    ROW(counter_add),
    ROW(counter_add_call),
    ROW(counter_add_double),
    ROW(counter_add_double_call),
    ROW(gauge_set),
    ROW(gauge_set_call),
    ROW(gauge_add),
    ROW(gauge_add_call),
    ROW(gauge_add_live),
    ROW(histogram_observe_10),
    ROW(histogram_observe_10_call),
    ROW(histogram_observe_20),
    ROW(histogram_observe_linear_100),
    ROW(timer_scope),
    ROW(counter_add_with_2_labels),
};

static int must(int error)
{
    if (error) {
        fprintf(stderr, "instructions: %s\n", libshm_error_detail());
        exit(1);
    }
    return error;
}

int main(int argc, char **argv)
{
    static const double bounds_10[] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5};
    static const double bounds_20[] = {.001, .0025, .005, .0075, .01, .025, .05, .075, .1, .15,
                                       .25,  .35,   .5,   .75,   1,   1.5,  2.5, 3.5,  5,  6.5};
    double linear[100];
    for (int i = 0; i < 100; i++)
        linear[i] = i + 1;
    int per_cpu = argc > 1 && strcmp(argv[1], "--per-cpu") == 0;
    if (per_cpu) {
        ptrdiff_t offset = (char *)&fake - (char *)__builtin_thread_pointer();
        memcpy((void *)(uintptr_t)&libshm_rseq_offset, &offset, sizeof offset);
    }
    libshm_segment *segment;
    must(libshm_open("instructions", NULL, &segment));
    must(libshm_counter_define(segment, &(libshm_metric){.name = "c_total", .help = "-"}, &counter));
    must(libshm_gauge_define(segment, &(libshm_metric){.name = "g", .help = "-"}, &gauge));
    must(libshm_gauge_define(segment, &(libshm_metric){.name = "l", .help = "-", .gauge_mode = LIBSHM_GAUGE_SUM},
                             &live));
    must(libshm_histogram_define(
        segment, &(libshm_metric){.name = "h10", .help = "-", .bounds = bounds_10, .n_bounds = 10}, &histogram_10));
    must(libshm_histogram_define(
        segment, &(libshm_metric){.name = "h20", .help = "-", .bounds = bounds_20, .n_bounds = 20}, &histogram_20));
    must(libshm_histogram_define(
        segment, &(libshm_metric){.name = "h100", .help = "-", .bounds = linear, .n_bounds = 100}, &histogram_linear));
    must(libshm_histogram_define(
        segment, &(libshm_metric){.name = "t", .help = "-", .bounds = bounds_10, .n_bounds = 10}, &histogram_timer));
    libshm_metric labelled = {
        .name = "f_total", .help = "-", .type = LIBSHM_TYPE_COUNTER, .labels = LIBSHM_LABELS("profile", "phase")};
    must(libshm_family_define(segment, &labelled, &family));
    libshm_counter_add_with(family, LIBSHM_VALUES("profile-7", "planning"), 1);
    libshm_gauge_add(&live, 0.5);
    if (per_cpu && !counter.cpu_limit) {
        fprintf(stderr, "instructions: the segment has no per-CPU cells\n");
        return 77;
    }
    for (size_t i = 0; i < sizeof measured / sizeof *measured; i++)
        for (int call = 0; call < CALLS; call++)
            measured[i].count();
    /* Two adds of 1 and two of 0.5; the gauge is set to 0.5 before two adds of 0.5; ten bounds are observed in two
     * ways. */
    uint64_t counts[3];
    double sum, value = libshm_counter_value(&counter), level = libshm_gauge_value(&gauge);
    libshm_histogram_value(&histogram_10, &counts[0], &sum);
    libshm_histogram_value(&histogram_20, &counts[1], &sum);
    libshm_histogram_value(&histogram_timer, &counts[2], &sum);
    libshm_close(segment);
    if (value != 3.0 * CALLS || level != 0.5 + 1.0 * CALLS || counts[0] != 2 * CALLS || counts[1] != CALLS ||
        counts[2] != CALLS || fake.rseq_cs) {
        fprintf(stderr, "instructions: counted %g, %g, %g, %g and %g\n", value, level, (double)counts[0],
                (double)counts[1], (double)counts[2]);
        return 1;
    }
    for (size_t i = 0; i < sizeof measured / sizeof *measured; i++)
        printf("%s\n", measured[i].name);
    return 0;
}
