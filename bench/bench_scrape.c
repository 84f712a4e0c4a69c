/* SPDX-License-Identifier: Apache-2.0
 *
 * How long does a scrape of N series take (100,000 unless given), end to end: connect, /metrics, last byte; without
 * compression and with gzip? Of 100,000, also: for four scrapers at once until the last of them has it, and what memory
 * a series costs. Every value has changed since the scrape before. A second argument is the number of CPUs that the
 * segment is made for. */
#include "bench.h"

#include <errno.h>
#include <libshm.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SCRAPES = 21, BUFFER = 512 << 20, SCRAPERS = 4, THEIR_BUFFER = 32 << 20 };

static uint64_t lines_of(const char *body, const char *prefix)
{
    uint64_t n = 0;
    size_t length = strlen(prefix);
    for (const char *line = body; line && *line; line = strchr(line, '\n'), line += line ? 1 : 0)
        n += strncmp(line, prefix, length) == 0;
    return n;
}

/* ---- what is scraped ------------------------------------------------------------------------------------------- */

static libshm_counter *counters;
static uint32_t n_series;
static char label[32];

static void change_all(void)
{
    static uint64_t random = 1;
    for (uint32_t i = 0; i < n_series; i++)
        libshm_counter_add(&counters[i], bench_random(&random) % 100000 + 1);
}

static void check(const char *body)
{
    char line[128];
    bench_check("series in the scrape", (double)lines_of(body, "bench_requests_total{"), n_series);
    snprintf(line, sizeof line, "\nbench_requests_total{code=\"%u\",path=\"/api/v1/item/%u\"} %.0f\n",
             200 + (n_series - 1) % 5, (n_series - 1) / 5, libshm_counter_value(&counters[n_series - 1]));
    if (!strstr(body, line))
        bench_die("the scrape lacks%s", line);
}

/* Row scrape_<label>_<what>. */
static void report(const char *what, double value, const char *unit)
{
    char name[96];
    snprintf(name, sizeof name, "scrape_%s_%s", label, what);
    bench_report(name, value, unit);
}

/* ---- four at once ---------------------------------------------------------------------------------------------- */

/* From the start until the last of them has its last byte. All of it is checked then. */
static double scrape_four(int port, bench_scrape_function *scrape, char *const buffers[SCRAPERS])
{
    size_t lengths[SCRAPERS];
    const double took = bench_scrape_together(port, scrape, SCRAPERS, buffers, THEIR_BUFFER, lengths);
    for (int i = 0; i < SCRAPERS; i++) {
        if (scrape == bench_scrape_gzip)
            bench_gunzip(buffers[i], THEIR_BUFFER, lengths[i]);
        check(buffers[i]);
    }
    return took;
}

/* One scraper and four in turn: time, and what the exporter works for them. */
static void measure_four(int port, bench_scrape_function *scrape, const char *coding)
{
    char *buffers[SCRAPERS], name[64];
    double one[SCRAPES], four[SCRAPES], cpu_one[SCRAPES], cpu_four[SCRAPES];
    size_t length;
    for (int i = 0; i < SCRAPERS; i++)
        if (!(buffers[i] = malloc(THEIR_BUFFER)))
            bench_die("out of memory");
    for (int s = 0; s < SCRAPES; s++) {
        change_all();
        double before = bench_exporter_cpu();
        one[s] = scrape(port, buffers[0], THEIR_BUFFER, &length);
        cpu_one[s] = bench_exporter_cpu() - before;
        change_all();
        before = bench_exporter_cpu();
        four[s] = scrape_four(port, scrape, buffers);
        cpu_four[s] = bench_exporter_cpu() - before;
    }
    snprintf(name, sizeof name, "one_%s_ms", coding);
    report(name, bench_median(one, SCRAPES) / 1e6, "ms");
    snprintf(name, sizeof name, "four_%s_ms", coding);
    report(name, bench_median(four, SCRAPES) / 1e6, "ms");
    snprintf(name, sizeof name, "one_cpu_%s_ms", coding);
    report(name, bench_median(cpu_one, SCRAPES) / 1e6, "ms");
    snprintf(name, sizeof name, "four_cpu_%s_ms", coding);
    report(name, bench_median(cpu_four, SCRAPES) / 1e6, "ms");
    for (int i = 0; i < SCRAPERS; i++)
        free(buffers[i]);
}

int main(int argc, char **argv)
{
    n_series = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000;
    uint32_t lanes = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    if (n_series >= 1000000)
        snprintf(label, sizeof label, "%um", n_series / 1000000);
    else if (n_series >= 1000)
        snprintf(label, sizeof label, "%uk", n_series / 1000);
    else
        snprintf(label, sizeof label, "%u", n_series);
    if (lanes)
        snprintf(label + strlen(label), sizeof label - strlen(label), "_%ucpus", lanes);
    bench_directory();
    libshm_segment *segment;
    libshm_open_options options = {.size = sizeof options, .max_bytes = UINT64_C(4) << 30};
    if (lanes) { /* of a million series, too, each is to have all its lanes */
        options.cpu_lanes = lanes;
        options.max_bytes = options.per_cpu_budget = UINT64_C(16) << 30;
    }
    libshm_family *family;
    libshm_metric metric = {.name = "bench_requests_total",
                            .help = "Bench.",
                            .labels = LIBSHM_LABELS("path", "code"),
                            .max_series = n_series,
                            .type = LIBSHM_TYPE_COUNTER};
    if (libshm_open("bench", &options, &segment) || libshm_family_define(segment, &metric, &family))
        bench_die("%s", libshm_error_detail());
    counters = malloc(n_series * sizeof *counters);
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
        if (lanes && counters[i].cpu_limit)
            bench_check("CPU lanes of a series", counters[i].cpu_limit, lanes);
        else if (lanes)
            exit(77); /* no restartable sequences here: no lanes */
    }
    char name[64];
    snprintf(name, sizeof name, "register_%s_us_per_series", label);
    bench_report(name, (bench_now() - start) / 1e3 / n_series, "us");

    int port = bench_start_exporter("bench", -1), scrapes = n_series < 1000000 ? SCRAPES : 7;
    double ms[SCRAPES], gzip_ms[SCRAPES];
    size_t length = 0, gzip_length = 0;
    for (int s = -2; s < scrapes; s++) {
        const bool look = s == -2 || s == scrapes - 1;
        change_all();
        double took = bench_scrape(port, buffer, BUFFER, &length) / 1e6;
        if (look)
            check(buffer);
        if (s == -2)
            report("first_ms", took, "ms");
        else if (s >= 0)
            ms[s] = took;
        change_all();
        took = bench_scrape_gzip(port, buffer, BUFFER, &gzip_length) / 1e6;
        if (look) {
            bench_gunzip(buffer, BUFFER, gzip_length);
            check(buffer);
        }
        if (s >= 0)
            gzip_ms[s] = took;
    }
    report("identity_ms", bench_median(ms, (size_t)scrapes), "ms");
    report("slowest_ms", ms[scrapes - 1], "ms");
    report("gzip_ms", bench_median(gzip_ms, (size_t)scrapes), "ms");
    report("bytes", (double)length, "B");
    report("gzip_bytes", (double)gzip_length, "B");
    snprintf(name, sizeof name, "render_%s_per_series_ns", label);
    bench_report(name, ms[scrapes / 2] * 1e6 / n_series, "ns");
    if (n_series == 100000 && !lanes) {
        struct stat status;
        measure_four(port, bench_scrape, "identity");
        measure_four(port, bench_scrape_gzip, "gzip");
        /* the segment and all the memory of the exporter: with the bodies of the last scrapes, and between scrapes */
        if (stat(libshm_segment_path(segment), &status))
            bench_die("%s: %s", libshm_segment_path(segment), strerror(errno));
        bench_report("bytes_per_counter_series_scraped", ((double)status.st_size + bench_exporter_bytes(0)) / n_series,
                     "B");
        bench_report("bytes_per_counter_series", ((double)status.st_size + bench_exporter_bytes(15)) / n_series, "B");
        bench_report("segment_bytes_per_counter_series", (double)status.st_size / n_series, "B");
    }
    return 0;
}
