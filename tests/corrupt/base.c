/* SPDX-License-Identifier: Apache-2.0
 *
 * base DIRECTORY NAME [SECONDS]: makes a segment that has some of everything, all of it sound: families of every type,
 * series shared, live, removed but held, and free, overflow, text blocks of many sizes, attaches with holds and slots
 * with chains of live pages, of processes that are dead when it ends. What is called bystander_* is what the tests
 * expect to be served unchanged while something else is damaged; what is called victim_* is damaged.
 *
 * With SECONDS it goes on, as four processes, to make and remove series, for a check of a segment that lives. */
#include <libshm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIVE_GAUGES 260 /* more than one live page holds, and more series than one leaf */

static libshm_segment *segment;

static void must(int error, const char *what)
{
    if (error == 0)
        return;
    fprintf(stderr, "base: %s: %s: %s\n", what, libshm_strerror(error), libshm_error_detail());
    exit(1);
}

static libshm_family *define(uint32_t type, const char *name, libshm_metric metric)
{
    libshm_family *family;
    metric.name = name;
    metric.type = type;
    must(libshm_family_define(segment, &metric, &family), name);
    return family;
}

/* The same families twice: one set stays sound, one is damaged. */
static void families(const char *prefix)
{
    char name[64], text[700];
    const char *const *labels = LIBSHM_LABELS("method", "path");
    libshm_counter counter;
    libshm_gauge gauge;
    libshm_histogram histogram;

    snprintf(name, sizeof name, "%s_requests_total", prefix);
    libshm_family *requests =
        define(LIBSHM_TYPE_COUNTER, name, (libshm_metric){.help = "Requests \"by\" path \\ method.", .labels = labels});
    must(libshm_counter_get(requests, LIBSHM_VALUES("GET", "/"), &counter), "get");
    libshm_counter_add(&counter, 9007199254740993u); /* 2^53 + 1 */
    must(libshm_counter_get(requests, LIBSHM_VALUES("P\"O\\S\nT", "/\xc3\xa4/\xe2\x82\xac"), &counter), "get");
    libshm_counter_add(&counter, 41);
    libshm_counter_add_double(&counter, 0.5);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    must(libshm_counter_get(requests, LIBSHM_VALUES("PUT", text), &counter), "get");
    libshm_counter_inc(&counter);

    snprintf(name, sizeof name, "%s_temperature_celsius", prefix);
    libshm_family *temperature = define(LIBSHM_TYPE_GAUGE, name, (libshm_metric){.help = "Shared.", .unit = "celsius"});
    must(libshm_gauge_get(temperature, NULL, &gauge), "get");
    libshm_gauge_set(&gauge, -1.5);

    snprintf(name, sizeof name, "%s_seconds", prefix);
    libshm_family *seconds = define(
        LIBSHM_TYPE_HISTOGRAM, name,
        (libshm_metric){
            .help = "A histogram.", .unit = "seconds", .labels = LIBSHM_LABELS("op"), .LIBSHM_BOUNDS(.1, 1, 10)});
    for (int i = 0; i < 3; i++) {
        must(libshm_histogram_get(seconds, LIBSHM_VALUES(i == 0 ? "read" : i == 1 ? "write" : ""), &histogram), "get");
        for (int k = 0; k < 20; k++)
            libshm_histogram_observe(&histogram, k * .75);
    }

    snprintf(name, sizeof name, "%s_bytes", prefix);
    libshm_family *bytes = define(LIBSHM_TYPE_SUMMARY, name, (libshm_metric){.help = "A summary.", .unit = "bytes"});
    must(libshm_histogram_get(bytes, NULL, &histogram), "get");
    libshm_histogram_observe(&histogram, 1000);

    snprintf(name, sizeof name, "%s_build_info", prefix);
    libshm_family *info =
        define(LIBSHM_TYPE_INFO, name, (libshm_metric){.help = "An info.", .labels = LIBSHM_LABELS("version")});
    must(libshm_gauge_get(info, LIBSHM_VALUES("1.0"), &gauge), "get");
    libshm_gauge_set(&gauge, 1);

    snprintf(name, sizeof name, "%s_state", prefix);
    libshm_family *state =
        define(LIBSHM_TYPE_STATESET, name, (libshm_metric){.help = "A state set.", .labels = LIBSHM_LABELS("state")});
    must(libshm_gauge_get(state, LIBSHM_VALUES("on"), &gauge), "get");
    libshm_gauge_set(&gauge, 1);
    must(libshm_gauge_get(state, LIBSHM_VALUES("off"), &gauge), "get");

    snprintf(name, sizeof name, "%s_unknown", prefix);
    libshm_family *unknown = define(LIBSHM_TYPE_UNKNOWN, name, (libshm_metric){.help = "Of no known type."});
    must(libshm_gauge_get(unknown, NULL, &gauge), "get");
    libshm_gauge_set(&gauge, 3e300);

    snprintf(name, sizeof name, "%s_capped_total", prefix);
    libshm_family *capped = define(LIBSHM_TYPE_COUNTER, name,
                                   (libshm_metric){.help = "A cap.", .labels = LIBSHM_LABELS("n"), .max_series = 1});
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "%d", i);
        libshm_counter_add_with(capped, LIBSHM_VALUES(text), 1);
    }
}

/* In-progress gauges of several processes, which do not live on. */
static void live_gauges(const char *prefix)
{
    static const uint32_t modes[] = {LIBSHM_GAUGE_SUM, LIBSHM_GAUGE_MIN, LIBSHM_GAUGE_MAX, LIBSHM_GAUGE_ALL};
    static const char *const names[] = {"summed", "least", "most", "each"};
    char name[64];
    libshm_gauge gauge;
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s_live_%s", prefix, names[i]);
        libshm_family *family =
            define(LIBSHM_TYPE_GAUGE, name, (libshm_metric){.help = "Live.", .gauge_mode = modes[i]});
        must(libshm_gauge_get(family, NULL, &gauge), "get");
        libshm_gauge_set(&gauge, 7);
    }
}

static void in_child(void (*work)(void))
{
    pid_t child = fork();
    int status = 0;
    if (child == 0) {
        work();
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        must(LIBSHM_E_SYSTEM, "a child");
}

/* More series than one leaf of the table and one live page hold. */
static void fill(void)
{
    char text[32];
    libshm_gauge gauge;
    libshm_family *gauges =
        define(LIBSHM_TYPE_GAUGE, "fill_live",
               (libshm_metric){.help = "Fill.", .labels = LIBSHM_LABELS("n"), .gauge_mode = LIBSHM_GAUGE_MAX});
    for (int i = 0; i < LIVE_GAUGES; i++) {
        snprintf(text, sizeof text, "%d", i);
        must(libshm_gauge_get(gauges, LIBSHM_VALUES(text), &gauge), "get");
        libshm_gauge_set(&gauge, i);
    }
}

/* Entries in every free list, and removed ones that wait for their holder. */
static void removed(void)
{
    char text[300];
    libshm_counter counter;
    libshm_family *family[4];
    const char *const *labels = LIBSHM_LABELS("n");
    family[0] = define(LIBSHM_TYPE_COUNTER, "gone_total", (libshm_metric){.help = "Removed.", .labels = labels});
    family[1] = define(LIBSHM_TYPE_GAUGE, "gone_shared", (libshm_metric){.help = "Removed.", .labels = labels});
    family[2] = define(LIBSHM_TYPE_GAUGE, "gone_live",
                       (libshm_metric){.help = "Removed.", .labels = labels, .gauge_mode = LIBSHM_GAUGE_MAX});
    family[3] = define(LIBSHM_TYPE_HISTOGRAM, "gone_seconds",
                       (libshm_metric){.help = "Removed.", .labels = labels, .LIBSHM_BOUNDS(1, 2, 3)});
    for (int i = 0; i < 5; i++) {
        memset(text, 'a' + i, sizeof text);
        text[1 << (2 * i)] = 0;
        libshm_gauge gauge;
        libshm_histogram histogram;
        must(libshm_counter_get(family[0], LIBSHM_VALUES(text), &counter), "get");
        if (i % 2)
            libshm_counter_put(&counter);
        must(libshm_gauge_get(family[1], LIBSHM_VALUES(text), &gauge), "get");
        libshm_gauge_put(&gauge);
        must(libshm_gauge_get(family[2], LIBSHM_VALUES(text), &gauge), "get");
        libshm_gauge_put(&gauge);
        must(libshm_histogram_get(family[3], LIBSHM_VALUES(text), &histogram), "get");
        libshm_histogram_put(&histogram);
    }
    for (int i = 0; i < 4; i++)
        must(libshm_family_clear(family[i]), "clear");
    must(libshm_sweep(segment), "sweep");
}

/* One of the processes of a segment that lives. */
static void churn(unsigned seed, double seconds)
{
    struct timespec now, start;
    char name[32], text[32];
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (unsigned i = 0;; i++) {
        libshm_family *family;
        libshm_histogram histogram;
        seed = seed * 1103515245u + 12345u;
        snprintf(name, sizeof name, "churn_%u", seed >> 16 & 7);
        snprintf(text, sizeof text, "%u", seed >> 20 & 63);
        libshm_metric metric = {.name = name,
                                .help = "Comes and goes.",
                                .type = LIBSHM_TYPE_HISTOGRAM,
                                .labels = LIBSHM_LABELS("n"),
                                .LIBSHM_BOUNDS(1, 2, 3)};
        if (libshm_family_define(segment, &metric, &family) == 0 &&
            libshm_histogram_get(family, LIBSHM_VALUES(text), &histogram) == 0) {
            libshm_histogram_observe(&histogram, i);
            libshm_histogram_put(&histogram);
            if (seed & 1u << 30)
                libshm_series_remove(family, LIBSHM_VALUES(text));
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
        if ((double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) * 1e-9 > seconds)
            return;
    }
}

static void children_work(void)
{
    live_gauges("bystander");
    live_gauges("victim");
}

int main(int argc, char **argv)
{
    double seconds = argc > 3 ? atof(argv[3]) : 0;
    if (argc < 3) {
        fputs("usage: base DIRECTORY NAME [SECONDS]\n", stderr);
        return 2;
    }
    libshm_open_options options = {
        .size = sizeof options, .directory = argv[1], .max_bytes = 8 << 20, .cpu_lanes = 2, .per_cpu_budget = 64 << 10};
    must(libshm_open(argv[2], &options, &segment), "open");
    families("bystander");
    families("victim");
    live_gauges("bystander");
    live_gauges("victim");
    in_child(children_work);
    fill();
    removed();
    in_child(children_work);
    puts("ready");
    fflush(stdout);
    for (unsigned i = 0; seconds > 0 && i < 4; i++) {
        if (fork() == 0) {
            churn(i + 1, seconds);
            _exit(0);
        }
    }
    while (wait(NULL) > 0)
        ;
    return 0;
}
