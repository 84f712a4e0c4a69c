/* SPDX-License-Identifier: Apache-2.0
 *
 * How long does a scrape of N series take (100,000 unless given), end to end: connect, /metrics without compression,
 * last byte? Every value has changed since the scrape before. */
#include "bench.h"

#include <errno.h>
#include <libshm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SCRAPES = 21, BUFFER = 512 << 20 };

static uint64_t lines_of(const char *body, const char *prefix)
{
    uint64_t n = 0;
    size_t length = strlen(prefix);
    for (const char *line = body; line && *line; line = strchr(line, '\n'), line += line ? 1 : 0)
        n += strncmp(line, prefix, length) == 0;
    return n;
}

int main(int argc, char **argv)
{
    uint32_t n_series = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000;
    char label[32], name[96];
    if (n_series >= 1000000)
        snprintf(label, sizeof label, "%um", n_series / 1000000);
    else if (n_series >= 1000)
        snprintf(label, sizeof label, "%uk", n_series / 1000);
    else
        snprintf(label, sizeof label, "%u", n_series);
    bench_directory();
    libshm_segment *segment;
    libshm_open_options options = {.size = sizeof options, .max_bytes = UINT64_C(4) << 30};
    libshm_family *family;
    libshm_metric metric = {.name = "bench_requests_total",
                            .help = "Bench.",
                            .labels = LIBSHM_LABELS("path", "code"),
                            .max_series = n_series,
                            .type = LIBSHM_TYPE_COUNTER};
    if (libshm_open("bench", &options, &segment) || libshm_family_define(segment, &metric, &family))
        bench_die("%s", libshm_error_detail());
    libshm_counter *counters = malloc(n_series * sizeof *counters);
    char *buffer = malloc(BUFFER);
    if (!counters || !buffer)
        bench_die("out of memory");
    double start = bench_now();
    for (uint32_t i = 0; i < n_series; i++) {
        char path[32], code[8];
        snprintf(path, sizeof path, "/api/v1/item/%u", i / 5);
        snprintf(code, sizeof code, "%u", 200 + i % 5);
        if (libshm_counter_get(family, LIBSHM_VALUES(path, code), &counters[i]))
            bench_die("%s", libshm_error_detail());
    }
    snprintf(name, sizeof name, "register_%s_us_per_series", label);
    bench_report(name, (bench_now() - start) / 1e3 / n_series, "us");

    int port = bench_start_exporter("bench", -1);
    double ms[SCRAPES];
    size_t length = 0;
    uint64_t random = 1;
    for (int s = -2; s < SCRAPES; s++) {
        for (uint32_t i = 0; i < n_series; i++)
            libshm_counter_add(&counters[i], bench_random(&random) % 100000 + 1);
        double took = bench_scrape(port, buffer, BUFFER, &length) / 1e6;
        if (s >= 0)
            ms[s] = took;
        else if (s == -2) {
            snprintf(name, sizeof name, "scrape_%s_first_ms", label);
            bench_report(name, took, "ms");
        }
    }
    bench_check("series in the scrape", (double)lines_of(buffer, "bench_requests_total{"), n_series);
    char line[128];
    snprintf(line, sizeof line, "\nbench_requests_total{code=\"%u\",path=\"/api/v1/item/%u\"} %.0f\n",
             200 + (n_series - 1) % 5, (n_series - 1) / 5, libshm_counter_value(&counters[n_series - 1]));
    if (!strstr(buffer, line))
        bench_die("the scrape lacks%s", line);
    snprintf(name, sizeof name, "scrape_%s_identity_ms", label);
    bench_report(name, bench_median(ms, SCRAPES), "ms");
    snprintf(name, sizeof name, "render_%s_per_series_ns", label);
    bench_report(name, ms[SCRAPES / 2] * 1e6 / n_series, "ns");
    if (n_series == 100000) { /* the segment, and all the memory of the exporter */
        struct stat status;
        if (stat(libshm_segment_path(segment), &status))
            bench_die("%s: %s", libshm_segment_path(segment), strerror(errno));
        bench_report("bytes_per_counter_series", ((double)status.st_size + bench_exporter_bytes()) / n_series, "B");
        bench_report("segment_bytes_per_counter_series", (double)status.st_size / n_series, "B");
    }
    snprintf(name, sizeof name, "scrape_%s_slowest_ms", label);
    bench_report(name, ms[SCRAPES - 1], "ms");
    snprintf(name, sizeof name, "scrape_%s_bytes", label);
    bench_report(name, (double)length, "B");
    return 0;
}
