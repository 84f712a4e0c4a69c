/* SPDX-License-Identifier: Apache-2.0
 *
 * More threads than CPUs, each moved from CPU to CPU in a tight loop, in processes on the restartable sequences and in
 * processes on the atomic cells, all on one segment: totals are exact. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

#include "torture.h"

enum { PROCESSES = 4, THREADS = 3 };

struct tally {
    volatile uint64_t updates;
} __attribute__((aligned(128)));

static libshm_counter counter, fractional;
static libshm_histogram histogram;
static libshm_family *labelled;
static int *stop;

static libshm_segment *define(void)
{
    libshm_segment *segment;
    TORTURE_DO(libshm_open("migration", NULL, &segment));
    TORTURE_DO(libshm_counter_define(segment, &(libshm_metric){.name = "c_total", .help = "c"}, &counter));
    TORTURE_DO(libshm_counter_define(segment, &(libshm_metric){.name = "f_total", .help = "f"}, &fractional));
    TORTURE_DO(libshm_histogram_define(segment, &(libshm_metric){.name = "h", .help = "h", .LIBSHM_BOUNDS(.5, 1)},
                                       &histogram));
    TORTURE_DO(libshm_family_define(
        segment,
        &(libshm_metric){
            .type = LIBSHM_TYPE_COUNTER, .name = "l_total", .help = "l", .labels = LIBSHM_LABELS("parity")},
        &labelled));
    return segment;
}

static void *run(void *argument)
{
    struct tally *tally = argument;
    int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;
    for (uint64_t i = 0; !__atomic_load_n(stop, __ATOMIC_RELAXED); i++) {
        if (i % 16 == 0) {
            CPU_ZERO(&set);
            CPU_SET(i / 16 % (uint64_t)cpus, &set);
            sched_setaffinity(0, sizeof set, &set);
        }
        libshm_counter_inc(&counter);
        libshm_counter_add_double(&fractional, 0.5);
        libshm_histogram_observe(&histogram, 1.0);
        libshm_counter_add_with(labelled, LIBSHM_VALUES(i & 1 ? "odd" : "even"), 1);
        tally->updates++;
    }
    return NULL;
}

static void process(struct tally *tallies, int number)
{
    if (number % 2 == 1)
        setenv("LIBSHM_RSEQ", "0", 1); /* atomic cells, beside processes on per-CPU cells */
    define();
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, run, &tallies[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    _exit(0);
}

int main(int argc, char **argv)
{
    struct torture t = torture_begin("migration", argc, argv);
    struct tally(*tallies)[THREADS] = torture_shared(sizeof(*tallies) * PROCESSES);
    stop = torture_shared(sizeof *stop);
    for (int i = 0; i < PROCESSES; i++, t.forks++)
        if (fork() == 0)
            process(tallies[i], i);
    double end = torture_now() + t.seconds;
    while (torture_now() < end)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    __atomic_store_n(stop, 1, __ATOMIC_RELAXED);
    for (int status; wait(&status) > 0;)
        TORTURE_CHECK(&t, status == 0, "a process ended with status %#x", (unsigned)status);
    uint64_t updates = 0, count;
    double sum;
    for (int p = 0; p < PROCESSES; p++)
        for (int i = 0; i < THREADS; i++)
            updates += tallies[p][i].updates;
    libshm_segment *segment = define();
    libshm_counter odd, even;
    TORTURE_DO(libshm_counter_get(labelled, LIBSHM_VALUES("odd"), &odd));
    TORTURE_DO(libshm_counter_get(labelled, LIBSHM_VALUES("even"), &even));
    libshm_histogram_value(&histogram, &count, &sum);
    t.operations = updates * 4;
    torture_compare(&t, "counter", updates, (uint64_t)libshm_counter_value(&counter), 0);
    torture_compare(&t, "floating counter", updates, (uint64_t)(libshm_counter_value(&fractional) * 2), 0);
    torture_compare(&t, "histogram", updates, count, 0);
    torture_compare(&t, "looked up", updates, (uint64_t)(libshm_counter_value(&odd) + libshm_counter_value(&even)), 0);
    TORTURE_CHECK(&t, sum == (double)count, "count %" PRIu64 ", sum %.17g", count, sum);
    TORTURE_CHECK(&t, updates > 0, "nothing was done");
    libshm_close(segment);
    return torture_end(&t);
}
