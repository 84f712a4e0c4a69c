/* SPDX-License-Identifier: Apache-2.0
 *
 * Does a scrape disturb a writer? Batches of 64 updates (8 counters and a histogram, again and again) are timed one by
 * one, in turns alone and while an exporter on the other CPU is scraped at 10 Hz (or as often as the argument says; 0:
 * without a pause). The segment has 10,000 series more. The turns are short and many, and their times are pooled: so
 * whatever else happens to the machine happens to both. */
#define _GNU_SOURCE
#include "bench.h"

#include <errno.h>
#include <libshm.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OTHER_SERIES = 10000, HOT = 8, BATCH = 64, TURNS = 20, TICKS = 65536 };
#define TURN_NS 125e6 /* of 10 Hz, one scrape */
/* Of fewer a second: two of four turns in a row, which have at least two. */
enum { LONG_TURNS = 4 };
#define LONG_TURN_NS(hertz) (1.25e9 / (hertz))

static libshm_counter counters[HOT];
static libshm_histogram histogram;
static double values[1024];
static uint64_t batches;

struct times { /* of batches, in ticks of the clock */
    uint64_t longer, total, n;
    uint32_t count[TICKS];
};

#if defined(__x86_64__)
static inline uint64_t ticks(void)
{
    return __builtin_ia32_rdtsc();
}
#else
static inline uint64_t ticks(void)
{
    return (uint64_t)bench_now();
}
#endif

static void write_for(double ns, struct times *times)
{
    for (double end = bench_now() + ns; bench_now() < end;)
        for (int i = 0; i < 256; i++) {
            const double *value = &values[batches++ % 1024];
            uint64_t start = ticks();
            for (int j = 0; j < BATCH / HOT; j++) {
                for (int k = 0; k < HOT - 1; k++)
                    libshm_counter_inc(&counters[k]);
                libshm_histogram_observe(&histogram, *value);
            }
            uint64_t took = ticks() - start;
            times->total += took;
            times->n++;
            if (took < TICKS)
                times->count[took]++;
            else
                times->longer++;
        }
}

/* The clock moves in steps of many ticks (Zen: 10 ns), so the quantile is interpolated between the times that occurred:
 * batches start anywhere between two steps. */
static double quantile(const struct times *times, double q)
{
    double wanted = (double)times->n * q, below = 0, last_below = 0, last = 0;
    for (int t = 0; t < TICKS; t++) {
        if (!times->count[t])
            continue;
        double middle = below + times->count[t] / 2.0;
        if (middle > wanted)
            return last + (t - last) * (wanted - last_below) / (middle - last_below);
        below += times->count[t];
        last_below = middle;
        last = t;
    }
    return TICKS;
}

static double figure(const struct times *times, double q)
{
    return q > 0 ? quantile(times, q) : (double)times->total / (double)times->n;
}

static _Noreturn void scraper(int port, double hertz, _Atomic int *on, _Atomic uint64_t *scrapes)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    bench_pin(1);
    size_t size = 64 << 20, length;
    char *buffer = malloc(size);
    struct timespec pause = {.tv_nsec = 1000000};
    if (hertz > 0)
        pause = (struct timespec){.tv_sec = (time_t)(1 / hertz), .tv_nsec = (long)(1e9 / hertz) % 1000000000};
    while (buffer) {
        if (atomic_load(on)) {
            bench_scrape(port, buffer, size, &length);
            atomic_fetch_add(scrapes, 1);
        }
        if (hertz > 0 || !atomic_load(on))
            nanosleep(&pause, NULL);
    }
    _exit(1);
}

static void setup(libshm_segment **segment)
{
    libshm_family *family;
    static const double bounds[] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5};
    libshm_metric others = {.name = "others_total",
                            .help = "Bench.",
                            .labels = LIBSHM_LABELS("item"),
                            .max_series = OTHER_SERIES,
                            .type = LIBSHM_TYPE_COUNTER};
    if (libshm_open("bench", NULL, segment) || libshm_family_define(*segment, &others, &family))
        bench_die("%s", libshm_error_detail());
    for (int i = 0; i < HOT; i++) {
        char name[32];
        snprintf(name, sizeof name, "hot_%d_total", i);
        if (libshm_counter_define(*segment, &(libshm_metric){.name = name, .help = "Bench."}, &counters[i]))
            bench_die("%s", libshm_error_detail());
    }
    if (libshm_histogram_define(
            *segment,
            &(libshm_metric){.name = "hot", .help = "Bench.", .bounds = bounds, .n_bounds = BENCH_COUNT(bounds)},
            &histogram))
        bench_die("%s", libshm_error_detail());
    for (int i = 0; i < OTHER_SERIES; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        libshm_counter_add_with(family, LIBSHM_VALUES(value), (uint64_t)i);
    }
    uint64_t random = 1;
    for (int i = 0; i < 1024; i++)
        values[i] = (double)(bench_random(&random) >> 11) * 0x1p-53 * 8;
}

int main(int argc, char **argv)
{
    double hertz = argc > 1 ? atof(argv[1]) : 10;
    char scraped[48], name[128];
    if (hertz > 0)
        snprintf(scraped, sizeof scraped, "writer_scraped_%ghz", hertz);
    else
        snprintf(scraped, sizeof scraped, "writer_scraped_always");
    libshm_segment *segment;
    bench_pin(1);
    bench_pin(0);
    bench_directory();
    setup(&segment);
    struct {
        _Atomic int on;
        _Atomic uint64_t scrapes;
    } *shared = bench_shared_page();
    int port = bench_start_exporter("bench", 1);
    pid_t child = fork();
    if (child < 0)
        bench_die("fork: %s", strerror(errno));
    if (!child)
        scraper(port, hertz, &shared->on, &shared->scrapes);

    static const struct {
        const char *suffix;
        double q; /* 0: the mean */
    } figures[] = {{"", 0}, {"_p50", 0.5}, {"_p99", 0.99}, {"_p999", 0.999}};
    static struct times warming, alone, beside;
    const double turn_ns = hertz > 0 && hertz < 10 ? LONG_TURN_NS(hertz) : TURN_NS;
    const int turns = hertz > 0 && hertz < 10 ? LONG_TURNS : TURNS;
    write_for(TURN_NS, &warming);
    uint64_t start_ticks = ticks();
    double start = bench_now();
    for (int turn = 0; turn < 2 * turns; turn++) {
        const int on = (turn + 1) / 2 % 2; /* off, on, on, off: neither always comes first */
        atomic_store(&shared->on, on);
        write_for(turn_ns, on ? &beside : &alone);
    }
    double tick_ns = (bench_now() - start) / (double)(ticks() - start_ticks);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    if (!atomic_load(&shared->scrapes))
        bench_die("nothing was scraped");
    uint64_t count;
    double sum;
    libshm_histogram_value(&histogram, &count, &sum);
    bench_check("histogram", (double)count, (double)(batches * (BATCH / HOT)));
    for (int k = 0; k < HOT - 1; k++)
        bench_check("counter", libshm_counter_value(&counters[k]), (double)(batches * (BATCH / HOT)));
    for (size_t f = 0; f < BENCH_COUNT(figures); f++) {
        const double without = figure(&alone, figures[f].q), with = figure(&beside, figures[f].q);
        snprintf(name, sizeof name, "writer_alone%s_ns", figures[f].suffix);
        bench_report(name, without * tick_ns / BATCH, "ns");
        snprintf(name, sizeof name, "%s%s_ns", scraped, figures[f].suffix);
        bench_report(name, with * tick_ns / BATCH, "ns");
        snprintf(name, sizeof name, "%s%s/writer_alone%s", scraped, figures[f].suffix, figures[f].suffix);
        bench_report(name, with / without, "ratio");
    }
    return 0;
}
