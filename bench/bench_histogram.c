/* SPDX-License-Identifier: Apache-2.0
 *
 * What does one observation cost: 10 and 20 bounds; random, constant and rotating values; inlined, through the shared
 * library, on the atomic path; beside a plain add. */
#include "models.h"

#include <libshm.h>
#include <stdlib.h>

enum { VALUES = 65536 }; /* more than a branch predictor can learn by heart */

static double random_values[VALUES], constant_values[VALUES], rotating_values[VALUES];

struct observed {
    libshm_histogram histogram;
    const double *values;
};

static void inlined(void *context, long n)
{
    struct observed *observed = context;
    const double *values = observed->values;
    for (long i = 0; i < n; i++)
        libshm_histogram_observe(&observed->histogram, values[i % VALUES]);
}

/* A copy of the handle in a local variable, for a loop that cares. */
static void local(void *context, long n)
{
    struct observed *observed = context;
    const double *values = observed->values;
    const libshm_histogram histogram = observed->histogram;
    for (long i = 0; i < n; i++)
        libshm_histogram_observe(&histogram, values[i % VALUES]);
}

static void call(void *context, long n)
{
    struct observed *observed = context;
    const double *values = observed->values;
    for (long i = 0; i < n; i++)
        libshm_histogram_observe_call(&observed->histogram, values[i % VALUES]);
}

static const double bounds_10[] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5};
static const double bounds_20[] = {.001, .0025, .005, .0075, .01, .025, .05, .075, .1, .15,
                                   .25,  .35,   .5,   .75,   1,   1.5,  2.5, 3.5,  5,  6.5};

static const struct {
    const char *name;
    const double *values;
    void (*run)(void *context, long n);
    int bounds;
    int atomic;
} questions[] = {
    {"histogram_10_random", random_values, inlined, 10, 0},
    {"histogram_20_random", random_values, inlined, 20, 0},
    {"histogram_10_constant", constant_values, inlined, 10, 0},
    {"histogram_20_constant", constant_values, inlined, 20, 0},
    {"histogram_10_rotating", rotating_values, inlined, 10, 0},
    {"histogram_20_rotating", rotating_values, inlined, 20, 0},
    {"histogram_10_random_local", random_values, local, 10, 0},
    {"histogram_20_random_local", random_values, local, 20, 0},
    {"histogram_10_random_call", random_values, call, 10, 0},
    {"histogram_20_random_call", random_values, call, 20, 0},
    {"histogram_10_random_atomic", random_values, inlined, 10, 1},
    {"histogram_20_random_atomic", random_values, inlined, 20, 1},
};

int main(void)
{
    bench_pin(0);
    bench_directory();
    uint64_t random = 1;
    for (int i = 0; i < VALUES; i++) {
        double a = (double)(bench_random(&random) >> 11) * 0x1p-53, b = (double)(bench_random(&random) >> 11) * 0x1p-53;
        random_values[i] = a * b * 8;
        constant_values[i] = 0.3;
    }
    for (int i = 0; i < VALUES; i++)
        rotating_values[i] = random_values[i % 64];
    libshm_segment *segment, *forced;
    if (libshm_open("bench", NULL, &segment))
        bench_die("%s", libshm_error_detail());
    setenv("LIBSHM_RSEQ", "0", 1);
    if (libshm_open("forced", NULL, &forced))
        bench_die("%s", libshm_error_detail());

    struct model *floor = model_new();
    struct observed observed[BENCH_COUNT(questions)];
    struct bench_case cases[1 + BENCH_COUNT(questions)] = {{.name = "plain_add", .run = plain_add, .context = floor}};
    for (size_t i = 0; i < BENCH_COUNT(questions); i++) {
        libshm_metric metric = {.name = questions[i].name,
                                .help = "Bench.",
                                .bounds = questions[i].bounds == 10 ? bounds_10 : bounds_20,
                                .n_bounds = (size_t)questions[i].bounds};
        observed[i].values = questions[i].values;
        if (libshm_histogram_define(questions[i].atomic ? forced : segment, &metric, &observed[i].histogram))
            bench_die("%s", libshm_error_detail());
        cases[1 + i] = (struct bench_case){.name = questions[i].name, .run = questions[i].run, .context = &observed[i]};
    }
    bench_measure(cases, BENCH_COUNT(cases), 21);
    for (size_t i = 0; i < BENCH_COUNT(questions); i++) {
        uint64_t count;
        double sum;
        libshm_histogram_value(&observed[i].histogram, &count, &sum);
        bench_check(questions[i].name, (double)count, (double)cases[1 + i].done);
    }
    bench_report_cases(cases, BENCH_COUNT(cases));
    bench_report_machine();
    libshm_close(forced);
    libshm_close(segment);
    return 0;
}
