/* SPDX-License-Identifier: Apache-2.0
 *
 * What does a reader's snapshot of N counters cost (100,000 unless given): the first one, one in which every value has
 * changed, one after which a series was added, and of a tenth as many histograms of 11 buckets? */
#include "bench.h"

#include <libshm.h>
#include <libshm/reader.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 41 };

static libshm_reader *reader;
static const libshm_snapshot *snapshot;

static double take(void)
{
    double start = bench_now();
    if (libshm_reader_snapshot(reader, &snapshot))
        bench_die("%s", libshm_error_detail());
    return bench_now() - start;
}

static uint64_t total(void)
{
    uint64_t sum = 0;
    for (size_t f = 0; f < snapshot->n_families; f++)
        for (size_t i = 0; i < snapshot->families[f].n_series; i++)
            sum += snapshot->families[f].series[i].integer; /* of a histogram the same place is its count */
    return sum;
}

/* Values of a label set, made anew in the same buffers. */
static const char *const *labels(uint32_t i)
{
    static char path[32], code[8];
    static const char *values[] = {path, code, NULL};
    snprintf(path, sizeof path, "/api/v1/item/%u", i / 5);
    snprintf(code, sizeof code, "%u", 200 + i % 5);
    return values;
}

int main(int argc, char **argv)
{
    uint32_t n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000, extra = n, n_histograms = n / 10;
    const char *directory = bench_directory();
    libshm_segment *segment, *second;
    libshm_open_options options = {.size = sizeof options, .max_bytes = UINT64_C(4) << 30};
    libshm_family *family, *histograms;
    libshm_metric metric = {.name = "bench_requests_total",
                            .help = "Bench.",
                            .labels = LIBSHM_LABELS("path", "code"),
                            .max_series = n + ROUNDS,
                            .type = LIBSHM_TYPE_COUNTER};
    libshm_metric durations = {.name = "bench_seconds",
                               .help = "Bench.",
                               .labels = LIBSHM_LABELS("path", "code"),
                               .max_series = n,
                               .type = LIBSHM_TYPE_HISTOGRAM,
                               .LIBSHM_BOUNDS(.001, .002, .005, .01, .02, .05, .1, .2, .5, 1)};
    if (libshm_open("counters", &options, &segment) || libshm_family_define(segment, &metric, &family) ||
        libshm_open("histograms", &options, &second) || libshm_family_define(second, &durations, &histograms))
        bench_die("%s", libshm_error_detail());
    libshm_counter *counters = malloc((n + ROUNDS) * sizeof *counters);
    libshm_histogram *observed = malloc((n_histograms + 1) * sizeof *observed);
    if (!counters || !observed)
        bench_die("out of memory");
    for (uint32_t i = 0; i < n; i++)
        if (libshm_counter_get(family, labels(i), &counters[i]))
            bench_die("%s", libshm_error_detail());
    for (uint32_t i = 0; i < n_histograms; i++)
        if (libshm_histogram_get(histograms, labels(i), &observed[i]))
            bench_die("%s", libshm_error_detail());

    char path[4096];
    double changed[ROUNDS], grown[ROUNDS], buckets[ROUNDS];
    uint64_t random = 1, expected = 0;
    snprintf(path, sizeof path, "%s/counters", directory);
    if (libshm_reader_open(path, &reader))
        bench_die("%s", libshm_error_detail());
    bench_report("snapshot_first_ns_per_series", take() / n, "ns");
    for (int round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < n; i++) {
            uint64_t add = bench_random(&random) % 100000 + 1;
            libshm_counter_add(&counters[i], add);
            expected += add;
        }
        changed[round] = take() / n;
        bench_check("counters", (double)total(), (double)expected);
    }
    for (int round = 0; round < ROUNDS; round++) {
        if (libshm_counter_get(family, labels(extra), &counters[extra]))
            bench_die("%s", libshm_error_detail());
        extra++;
        grown[round] = take() / n;
    }
    bench_check("series", (double)snapshot->n_series, extra);
    libshm_reader_close(reader);

    snprintf(path, sizeof path, "%s/histograms", directory);
    if (libshm_reader_open(path, &reader))
        bench_die("%s", libshm_error_detail());
    take();
    for (int round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < n_histograms; i++)
            libshm_histogram_observe(&observed[i], (double)(bench_random(&random) % 2000) / 1000);
        buckets[round] = take() / n_histograms;
    }
    bench_check("observations", (double)total(), (double)ROUNDS * n_histograms);
    libshm_reader_close(reader);
    bench_report("snapshot_counter_ns", bench_median(changed, ROUNDS), "ns");
    bench_report("snapshot_counter_after_growth_ns", bench_median(grown, ROUNDS), "ns");
    bench_report("snapshot_histogram_10_ns", bench_median(buckets, ROUNDS), "ns");
    return 0;
}
