/* SPDX-License-Identifier: Apache-2.0
 *
 * How long is a writer held up at worst while another process registers 10,000 series and an exporter is scraped all
 * the time, both on the other CPU? Beside the worst that the machine alone does to the same loop. */
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
#include <unistd.h>

enum { SERIES = 10000, BATCH = 64, REPEAT = 5 };

static libshm_counter counter;
static uint64_t batches;

/* The longest batch while *busy is as given, at least for `ns`. */
static double worst_batch(const _Atomic int *busy, int wanted, double ns)
{
    double worst = 0, start = bench_now(), end = start + ns;
    for (double before = start; atomic_load_explicit(busy, memory_order_relaxed) == wanted && before < end;) {
        for (int i = 0; i < BATCH; i++)
            libshm_counter_inc(&counter);
        batches++;
        double now = bench_now();
        worst = now - before > worst ? now - before : worst;
        before = now;
    }
    return worst;
}

static void register_series(int round)
{
    libshm_segment *segment;
    libshm_family *family;
    libshm_metric metric = {.name = "registered_total",
                            .help = "Bench.",
                            .labels = LIBSHM_LABELS("round", "item"),
                            .max_series = SERIES * REPEAT,
                            .type = LIBSHM_TYPE_COUNTER};
    if (libshm_open("bench", NULL, &segment) || libshm_family_define(segment, &metric, &family))
        bench_die("%s", libshm_error_detail());
    for (int i = 0; i < SERIES; i++) {
        char first[16], second[16];
        snprintf(first, sizeof first, "%d", round);
        snprintf(second, sizeof second, "%d", i);
        libshm_counter_add_with(family, LIBSHM_VALUES(first, second), 1);
    }
}

static pid_t child(void)
{
    pid_t pid = fork();
    if (pid < 0)
        bench_die("fork: %s", strerror(errno));
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        bench_pin(1);
    }
    return pid;
}

int main(void)
{
    bench_pin(1);
    bench_pin(0);
    bench_directory();
    libshm_segment *segment;
    if (libshm_open("bench", NULL, &segment) ||
        libshm_counter_define(segment, &(libshm_metric){.name = "hot_total", .help = "Bench."}, &counter))
        bench_die("%s", libshm_error_detail());
    struct {
        _Atomic int busy;
    } *shared = bench_shared_page();
    int port = bench_start_exporter("bench", 1);
    pid_t scraper = child();
    if (!scraper) {
        size_t size = 64 << 20, length;
        char *buffer = malloc(size);
        for (;;) {
            if (buffer && atomic_load(&shared->busy))
                bench_scrape(port, buffer, size, &length);
            else
                usleep(200);
        }
    }
    double idle[REPEAT], busy[REPEAT], beyond[REPEAT], took[REPEAT];
    for (int r = 0; r < REPEAT; r++) {
        pid_t registrar = child();
        if (!registrar) {
            while (!atomic_load(&shared->busy))
                usleep(100);
            register_series(r);
            atomic_store(&shared->busy, 0);
            _exit(0);
        }
        idle[r] = worst_batch(&shared->busy, 0, 200e6);
        double start = bench_now();
        atomic_store(&shared->busy, 1);
        busy[r] = worst_batch(&shared->busy, 1, 20e9);
        took[r] = bench_now() - start;
        beyond[r] = busy[r] - idle[r];
        int status;
        if (waitpid(registrar, &status, 0) != registrar || status)
            bench_die("the registrar ended with status %d", status);
    }
    kill(scraper, SIGKILL);
    waitpid(scraper, NULL, 0);
    bench_check("counter", libshm_counter_value(&counter), (double)batches * BATCH);
    bench_report("writer_worst_idle_us", bench_median(idle, REPEAT) / 1e3, "us");
    bench_report("writer_worst_registering_us", bench_median(busy, REPEAT) / 1e3, "us");
    bench_report("writer_worst_registering_beyond_idle_us", bench_median(beyond, REPEAT) / 1e3, "us");
    bench_report("register_10k_while_scraped_ms", bench_median(took, REPEAT) / 1e6, "ms");
    libshm_close(segment);
    return 0;
}
