/* SPDX-License-Identifier: Apache-2.0
 *
 * How much do 1, 2, 4 and 16 writers get done on one metric, as threads and as processes? Rows are nanoseconds of CPU
 * time for an update, over all writers: it stays the same as long as they do not disturb each other. */
#include "models.h"

#include <errno.h>
#include <libshm.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 16, MILLISECONDS = 60 };

struct shared {
    _Atomic int ready, go, stop;
    _Atomic uint64_t done, cpu_ns;
};

struct writer {
    struct shared *shared;
    void (*run)(void *context, long n);
    void *context;
};

static void inlined(void *context, long n)
{
    for (long i = 0; i < n; i++)
        libshm_counter_add(context, 1);
}

static void observe(void *context, long n)
{
    for (long i = 0; i < n; i++)
        libshm_histogram_observe(context, (double)(i & 7));
}

static void *write_all_the_time(void *context)
{
    struct writer *writer = context;
    struct shared *shared = writer->shared;
    struct timespec start, end;
    uint64_t done = 0;
    atomic_fetch_add(&shared->ready, 1);
    while (!atomic_load(&shared->go))
        usleep(100);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    for (; !atomic_load_explicit(&shared->stop, memory_order_relaxed); done += 4096)
        writer->run(writer->context, 4096);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    atomic_fetch_add(&shared->done, done);
    atomic_fetch_add(&shared->cpu_ns,
                     (uint64_t)((end.tv_sec - start.tv_sec) * 1000000000 + end.tv_nsec - start.tv_nsec));
    return NULL;
}

static uint64_t measure(const char *name, struct writer writer, int n, int threads)
{
    struct shared *shared = writer.shared = bench_shared_page();
    pthread_t thread[MOST];
    pid_t process[MOST];
    for (int i = 0; i < n; i++) {
        if (threads && pthread_create(&thread[i], NULL, write_all_the_time, &writer))
            bench_die("cannot start a thread");
        if (!threads && (process[i] = fork()) < 0)
            bench_die("fork: %s", strerror(errno));
        if (!threads && !process[i]) {
            write_all_the_time(&writer);
            _exit(0);
        }
    }
    while (atomic_load(&shared->ready) < n)
        usleep(100);
    atomic_store(&shared->go, 1);
    usleep(MILLISECONDS * 1000);
    atomic_store(&shared->stop, 1);
    for (int i = 0; i < n; i++)
        if (threads ? pthread_join(thread[i], NULL) : waitpid(process[i], NULL, 0) < 0)
            bench_die("a writer is lost");
    char row[96];
    snprintf(row, sizeof row, "%s_%d_%s_cpu_ns", name, n, threads ? "threads" : "processes");
    bench_report(row, (double)shared->cpu_ns / (double)shared->done, "ns");
    return shared->done;
}

int main(void)
{
    bench_directory();
    static const double bounds[] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5};
    libshm_segment *segment, *forced;
    libshm_counter counter, atomic;
    libshm_histogram histogram;
    libshm_metric observed = {.name = "observed", .help = "Bench.", .bounds = bounds, .n_bounds = BENCH_COUNT(bounds)};
    if (libshm_open("bench", NULL, &segment))
        bench_die("%s", libshm_error_detail());
    setenv("LIBSHM_RSEQ", "0", 1);
    if (libshm_open("forced", NULL, &forced) ||
        libshm_counter_define(segment, &(libshm_metric){.name = "count_total", .help = "Bench."}, &counter) ||
        libshm_counter_define(forced, &(libshm_metric){.name = "atomic_total", .help = "Bench."}, &atomic) ||
        libshm_histogram_define(segment, &observed, &histogram))
        bench_die("%s", libshm_error_detail());
    struct model *model = model_new();
    const struct {
        const char *name;
        struct writer writer;
    } questions[] = {
        {"counter", {.run = inlined, .context = &counter}},
        {"counter_atomic", {.run = inlined, .context = &atomic}},
        {"histogram_10", {.run = observe, .context = &histogram}},
        {"lock_add", {.run = lock_add, .context = model}},
    };
    uint64_t done[BENCH_COUNT(questions)] = {0}, count;
    static const int writers[] = {1, 2, 4, MOST};
    for (size_t w = 0; w < BENCH_COUNT(writers); w++)
        for (size_t q = 0; q < BENCH_COUNT(questions); q++)
            for (int threads = 0; threads < 2; threads++)
                done[q] += measure(questions[q].name, questions[q].writer, writers[w], threads);
    double sum;
    libshm_histogram_value(&histogram, &count, &sum);
    bench_check("counter", libshm_counter_value(&counter), (double)done[0]);
    bench_check("atomic counter", libshm_counter_value(&atomic), (double)done[1]);
    bench_check("histogram", (double)count, (double)done[2]);
    bench_check("lock add", (double)model->integer, (double)done[3]);
    libshm_close(forced);
    libshm_close(segment);
    return 0;
}
