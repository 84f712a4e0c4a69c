/* SPDX-License-Identifier: Apache-2.0
 *
 * PCP's memory mapped values beside libshm: a counter in a mapped file, in one and in two processes. Its increments are
 * plain, so those of two processes on one value get lost; how many is a row, too. */
#include "bench.h"

#include <errno.h>
#include <libshm.h>
#include <pcp/pmapi.h> /* first: mmv_stats.h needs it */

#include <pcp/mmv_stats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void *mapped;

static void mmv_counter(void *context, long n)
{
    for (long i = 0; i < n; i++)
        mmv_inc(mapped, context);
}

static void mmv_double(void *context, long n)
{
    for (long i = 0; i < n; i++)
        mmv_inc_value(mapped, context, 0.5);
}

static void shm_counter(void *context, long n)
{
    for (long i = 0; i < n; i++)
        libshm_counter_add(context, 1);
}

int main(void)
{
    char path[512];
    bench_pin(1);
    bench_pin(0);
    snprintf(path, sizeof path, "%s/mmv", bench_directory());
    if (mkdir(path, 0755) || setenv("PCP_TMP_DIR", bench_directory(), 1))
        bench_die("%s: %s", path, strerror(errno));
    mmv_metric_t metrics[] = {
        {.name = "one",
         .item = 1,
         .type = MMV_TYPE_U64,
         .semantics = MMV_SEM_COUNTER,
         .dimension = MMV_UNITS(0, 0, 1, 0, 0, 0)},
        {.name = "two",
         .item = 2,
         .type = MMV_TYPE_U64,
         .semantics = MMV_SEM_COUNTER,
         .dimension = MMV_UNITS(0, 0, 1, 0, 0, 0)},
        {.name = "half",
         .item = 3,
         .type = MMV_TYPE_DOUBLE,
         .semantics = MMV_SEM_COUNTER,
         .dimension = MMV_UNITS(0, 0, 1, 0, 0, 0)},
    };
    mapped = mmv_stats_init("bench", 0, 0, metrics, BENCH_COUNT(metrics), NULL, 0);
    if (!mapped)
        bench_die("mmv_stats_init: %s", strerror(errno));
    pmAtomValue *one = mmv_lookup_value_desc(mapped, "one", NULL), *two = mmv_lookup_value_desc(mapped, "two", NULL);
    pmAtomValue *half = mmv_lookup_value_desc(mapped, "half", NULL);
    if (!one || !two || !half)
        bench_die("mmv_lookup_value_desc found nothing");
    libshm_segment *segment;
    libshm_counter counter;
    if (libshm_open("bench", NULL, &segment) ||
        libshm_counter_define(segment, &(libshm_metric){.name = "count_total", .help = "Bench."}, &counter))
        bench_die("%s", libshm_error_detail());

    struct bench_case cases[] = {{.name = "counter_inlined", .run = shm_counter, .context = &counter},
                                 {.name = "pcp_mmv_counter", .run = mmv_counter, .context = one},
                                 {.name = "pcp_mmv_counter_float", .run = mmv_double, .context = half}};
    bench_measure(cases, BENCH_COUNT(cases), 21);
    bench_check("PCP counter", (double)one->ull, (double)cases[1].done);
    bench_check("PCP floating counter", half->d, (double)cases[2].done * 0.5);
    bench_report_cases(cases, BENCH_COUNT(cases));
    struct bench_case pair[] = {{.name = "counter", .run = shm_counter, .context = &counter},
                                {.name = "pcp_mmv_counter", .run = mmv_counter, .context = two}};
    double alone[BENCH_COUNT(pair)];
    bench_measure_beside(pair, BENCH_COUNT(pair), 5, 0, alone);
    bench_check("libshm counter", libshm_counter_value(&counter), (double)(cases[0].done + pair[0].done));
    bench_report_beside(pair, BENCH_COUNT(pair), 0, alone);
    bench_report("pcp_mmv_counter_2proc_lost", 1 - (double)two->ull / (double)pair[1].done, "share");
    mmv_stats_stop("bench", mapped);
    libshm_close(segment);
    return 0;
}
