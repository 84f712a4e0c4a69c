/* SPDX-License-Identifier: Apache-2.0
 *
 * What does an update cost while a process on the other CPU, or with --threads a thread there, updates the same metric
 * all the time? Beside what it costs alone, moments before. */
#include "models.h"

#include <libshm.h>
#include <stdlib.h>

static void inlined(void *context, long n)
{
    for (long i = 0; i < n; i++)
        libshm_counter_add(context, 1);
}

static void floating(void *context, long n)
{
    for (long i = 0; i < n; i++)
        libshm_counter_add_double(context, 0.5);
}

static double values[4096];

static void observe(void *context, long n)
{
    for (long i = 0; i < n; i++)
        libshm_histogram_observe(context, values[i & 4095]);
}

static const double bounds[] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5};

static libshm_counter counter, by_float, atomic;
static libshm_histogram histogram;
static struct model *model;

int main(int argc, char **argv)
{
    int threads = argc > 1 && strcmp(argv[1], "--threads") == 0;
    bench_pin(1); /* says so if there is no second CPU */
    bench_pin(0);
    bench_directory();
    libshm_segment *segment, *forced;
    if (libshm_open("bench", NULL, &segment))
        bench_die("%s", libshm_error_detail());
    setenv("LIBSHM_RSEQ", "0", 1);
    if (libshm_open("forced", NULL, &forced) ||
        libshm_counter_define(segment, &(libshm_metric){.name = "integer_total", .help = "Bench."}, &counter) ||
        libshm_counter_define(segment, &(libshm_metric){.name = "float_total", .help = "Bench."}, &by_float) ||
        libshm_counter_define(forced, &(libshm_metric){.name = "atomic_total", .help = "Bench."}, &atomic) ||
        libshm_histogram_define(
            segment,
            &(libshm_metric){.name = "observed", .help = "Bench.", .bounds = bounds, .n_bounds = BENCH_COUNT(bounds)},
            &histogram))
        bench_die("%s", libshm_error_detail());
    uint64_t random = 1;
    for (size_t i = 0; i < BENCH_COUNT(values); i++) {
        double a = (double)(bench_random(&random) >> 11) * 0x1p-53, b = (double)(bench_random(&random) >> 11) * 0x1p-53;
        values[i] = a * b * 8;
    }
    model = model_new();

    struct bench_case cases[] = {
        {.name = "counter", .run = inlined, .context = &counter},
        {.name = "counter_float", .run = floating, .context = &by_float},
        {.name = "counter_atomic", .run = inlined, .context = &atomic},
        {.name = "histogram_10_random", .run = observe, .context = &histogram},
        {.name = "lock_add", .run = lock_add, .context = model},
        {.name = "cas_double", .run = cas_double, .context = model},
        {.name = "mutex", .run = mutex_add, .context = model},
    };
    double alone_ns[BENCH_COUNT(cases)];
    bench_measure_beside(cases, BENCH_COUNT(cases), 5, threads, alone_ns);

    uint64_t count;
    double sum;
    libshm_histogram_value(&histogram, &count, &sum);
    bench_check("counter", libshm_counter_value(&counter), (double)cases[0].done);
    bench_check("floating counter", libshm_counter_value(&by_float), (double)cases[1].done * 0.5);
    bench_check("atomic counter", libshm_counter_value(&atomic), (double)cases[2].done);
    bench_check("histogram", (double)count, (double)cases[3].done);
    bench_check("lock add", (double)model->integer, (double)cases[4].done);
    bench_check("CAS double", model->floating, (double)cases[5].done * 0.5);
    bench_check("mutex", model->locked.value, (double)cases[6].done * 0.5);
    bench_report_beside(cases, BENCH_COUNT(cases), threads, alone_ns);
    bench_report_machine();
    libshm_close(forced);
    libshm_close(segment);
    return 0;
}
