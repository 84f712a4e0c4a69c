/* SPDX-License-Identifier: Apache-2.0
 *
 * Generations of workers come and go, each with gauges and series of its own; some are killed. The segment's size, the
 * time of a reader's snapshot and its memory stay what they were after the first few. Prints them as it goes, and draws
 * them in $BUILD/generations.svg. Some 1,000 generations a second. */
#define _GNU_SOURCE
#include <errno.h>
#include <libshm/reader.h>
#include <signal.h>
#include <sys/wait.h>

#include "plot.h"
#include "torture.h"

#ifdef __SANITIZE_ADDRESS__
#define QUARANTINE 1 /* freed memory is kept: what is resident says nothing */
#else
#define QUARANTINE 0
#endif

enum { EARLY = 32, SERIES = 20 };

static libshm_segment *parent_segment;
static volatile uint64_t *acknowledged;

static void generation(uint64_t number, int forked, int end_by_kill)
{
    libshm_segment *segment = parent_segment;
    libshm_counter counter;
    libshm_gauge live;
    libshm_family *family;
    if (!forked)
        TORTURE_DO(libshm_open("generations", NULL, &segment));
    TORTURE_DO(libshm_counter_define(segment, &(libshm_metric){.name = "x_total", .help = "A test."}, &counter));
    TORTURE_DO(libshm_gauge_define(
        segment, &(libshm_metric){.name = "live", .help = "A test.", .gauge_mode = LIBSHM_GAUGE_SUM}, &live));
    TORTURE_DO(libshm_family_define(segment,
                                    &(libshm_metric){.name = "own",
                                                     .type = LIBSHM_TYPE_HISTOGRAM,
                                                     .help = "Of one worker.",
                                                     .max_series = 100,
                                                     .labels = LIBSHM_LABELS("worker"),
                                                     .LIBSHM_BOUNDS(1, 2, 3)},
                                    &family));
    libshm_gauge_inc(&live);
    for (unsigned i = 0; i < SERIES; i++) {
        char name[48];
        snprintf(name, sizeof name, "%llu-%u", (unsigned long long)number, i);
        libshm_histogram_observe_with(family, LIBSHM_VALUES(name), 2);
        libshm_counter_inc(&counter);
        ++*acknowledged;
        (void)libshm_series_remove(family, LIBSHM_VALUES(name));
    }
    if (end_by_kill)
        raise(SIGKILL);
    _exit(0);
}

static long resident(void)
{
    long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%ld %ld", &size, &pages) != 2)
        pages = 0;
    if (file)
        fclose(file);
    return pages * 4;
}

int main(int argc, char **argv)
{
    struct torture t = torture_begin("generations", argc, argv);
    uint64_t random = t.seed, early_bytes = 0, number = 0, counted = 0;
    acknowledged = torture_shared(4096);
    libshm_reader *reader = NULL;
    const libshm_snapshot *snapshot = NULL;
    TORTURE_DO(libshm_open("generations", NULL, &parent_segment)); /* prefork: half of them inherit it */
    TORTURE_DO(libshm_reader_open(libshm_segment_path(parent_segment), &reader));
    static struct plot plot = {
        .title = {"segment (KiB)", "snapshot (microseconds, best of 5)", "the reader's resident memory (KiB)"}};
    double end = torture_now() + t.seconds, early_time = 0, late_time = 0;
    long early_memory = 0, late_memory = 0;
    for (; torture_now() < end || number <= 2 * EARLY; number++) {
        int forked = (int)(torture_random(&random) & 1), killed = (int)(torture_random(&random) & 1), status;
        pid_t child = fork();
        if (child == 0) {
            if (!forked)
                libshm_close(parent_segment);
            generation(number, forked, killed);
        }
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        TORTURE_CHECK(&t, killed ? WTERMSIG(status) == SIGKILL : status == 0, "ended with %#x", (unsigned)status);
        t.forks++;
        t.kills += (uint64_t)killed;
        double best = 1; /* of some: the machine does other things */
        for (int i = 0; i < 5; i++) {
            double start = torture_now();
            TORTURE_DO(libshm_reader_snapshot(reader, &snapshot));
            start = torture_now() - start;
            best = start < best ? start : best;
        }
        late_time = best;
        late_memory = resident();
        plot_add(&plot, number, (double)snapshot->file_bytes / 1024, best * 1e6, (double)late_memory);
        if (number == EARLY) {
            early_bytes = snapshot->file_bytes;
            early_time = late_time;
            early_memory = late_memory;
        }
        if ((number & (number - 1)) == 0 || number == EARLY) /* 1, 2, 4 ... */
            printf("generation %6llu: %llu bytes, snapshot %.1f us, %ld KiB resident, %zu series\n",
                   (unsigned long long)number, (unsigned long long)snapshot->file_bytes, best * 1e6, late_memory,
                   snapshot->n_series);
        for (size_t f = 0; f < snapshot->n_families; f++) {
            const libshm_family_view *family = &snapshot->families[f];
            if (strcmp(family->name, "live") == 0 && family->n_series > 0)
                TORTURE_CHECK(&t, family->series[0].fractional == 0, "live gauge %g", family->series[0].fractional);
            if (strcmp(family->name, "x_total") == 0 && family->n_series > 0)
                counted = family->series[0].integer;
        }
    }
    printf("generation %6llu: %llu bytes, snapshot %.1f us, %ld KiB resident, %zu series\n", (unsigned long long)number,
           (unsigned long long)snapshot->file_bytes, late_time * 1e6, late_memory, snapshot->n_series);
    t.operations = number * SERIES;
    torture_compare(&t, "counter", *acknowledged, counted, t.kills);
    TORTURE_CHECK(&t, snapshot->file_bytes == early_bytes, "%llu bytes, %llu after generation %d",
                  (unsigned long long)snapshot->file_bytes, (unsigned long long)early_bytes, EARLY);
    TORTURE_CHECK(&t, QUARANTINE || late_memory < early_memory + 1024, "%ld KiB resident, %ld after generation %d",
                  late_memory, early_memory, EARLY);
    printf("generations: the snapshot took %.1f us after generation %d, %.1f us at the end\n", early_time * 1e6, EARLY,
           late_time * 1e6);
    if (getenv("BUILD")) {
        char path[4096];
        snprintf(path, sizeof path, "%s/generations.svg", getenv("BUILD"));
        TORTURE_CHECK(&t, plot_write(&plot, "generation", path) == 0, "%s: %s", path, strerror(errno));
    }
    libshm_reader_close(reader);
    return torture_end(&t);
}
