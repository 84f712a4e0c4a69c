/* SPDX-License-Identifier: Apache-2.0
 *
 * Processes are stopped (SIGSTOP) at any point of registration, the insert lock in their hands or not, longer than
 * anybody's patience. Updates of others go on, their registrations wait no longer than the stated bound, what could not
 * be registered goes to the overflow series or is dropped, and everything is counted. */
#define _GNU_SOURCE
#include <errno.h>
#include <libshm/reader.h>
#include <signal.h>
#include <sys/wait.h>

#include "torture.h"

enum { WORKERS = 3, LABELS = 400 };
#define STATED_BOUND (40 * LIBSHM_LOCK_PATIENCE_MS * 1e-3) /* guarantee W1 */

static struct tally {
    volatile uint64_t updates, looked_up, stops;
    volatile double longest;   /* one look-up, while this process was not stopped */
    volatile uint64_t stop_at; /* the point to stop at, counted from when it is set; 0: none */
} __attribute__((aligned(128))) * tallies;

static struct tally *mine;

void libshm_test_point(const char *function, int line);
void libshm_test_point(const char *function, int line)
{
    (void)function, (void)line;
    if (mine && mine->stop_at > 0 && --mine->stop_at == 0) {
        mine->stops++;
        raise(SIGSTOP);
    }
}

static libshm_segment *segment;
static libshm_counter counter;
static libshm_family *family;

static void define(void)
{
    TORTURE_DO(libshm_open("stop", NULL, &segment));
    TORTURE_DO(libshm_counter_define(segment, &(libshm_metric){.name = "x_total", .help = "A test."}, &counter));
    TORTURE_DO(libshm_family_define(
        segment,
        &(libshm_metric){
            .name = "looked_up_total", .type = LIBSHM_TYPE_COUNTER, .help = "A test.", .labels = LIBSHM_LABELS("a")},
        &family));
}

static pid_t worker(int index, uint64_t seed)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    uint64_t random = seed + (uint64_t)index;
    mine = &tallies[index];
    for (;;) {
        char name[16];
        snprintf(name, sizeof name, "%u", (unsigned)(torture_random(&random) % LABELS));
        uint64_t stops = mine->stops;
        double start = torture_now();
        libshm_counter_add_with(family, LIBSHM_VALUES(name), 1);
        double took = torture_now() - start;
        mine->looked_up++;
        if (mine->stops == stops && took > mine->longest)
            mine->longest = took;
        libshm_counter_inc(&counter);
        mine->updates++;
        if (torture_random(&random) % 4 == 0) /* so that there is always something to register */
            (void)libshm_series_remove(family, LIBSHM_VALUES(name));
    }
}

int main(int argc, char **argv)
{
    struct torture t = torture_begin("stop", argc, argv);
    uint64_t random = t.seed, updates = 0, looked_up = 0, others_went_on = 0;
    double longest = 0;
    pid_t pids[WORKERS];
    libshm_reader *reader;
    const libshm_snapshot *snapshot;
    tallies = torture_shared(sizeof *tallies * WORKERS);
    define();
    TORTURE_DO(libshm_reader_open(libshm_segment_path(segment), &reader));
    for (int i = 0; i < WORKERS; i++, t.forks++)
        pids[i] = worker(i, t.seed);
    double end = torture_now() + t.seconds;
    do {
        int i = (int)(torture_random(&random) % WORKERS), status;
        tallies[i].stop_at = 1 + torture_random(&random) % 100;
        while (waitpid(pids[i], &status, WUNTRACED) < 0 && errno == EINTR)
            ;
        TORTURE_CHECK(&t, WIFSTOPPED(status), "worker %d: status %#x", i, (unsigned)status);
        if (t.wrong)
            break;
        int other = (i + 1) % WORKERS;
        uint64_t before = tallies[other].updates;
        for (double until = torture_now() + 0.3; torture_now() < until;) { /* longer than their patience */
            TORTURE_DO(libshm_reader_snapshot(reader, &snapshot));         /* a reader waits for nobody */
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        }
        while (tallies[other].updates < before + 3) /* while the one is stopped: this must come, however late */
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        others_went_on++;
        kill(pids[i], SIGCONT);
        t.signals++;
    } while (torture_now() < end);
    for (int i = 0; i < WORKERS;
         i++) { /* ended between two of its operations: stopped, then counted exactly or once more */
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
        t.kills++;
        updates += tallies[i].updates;
        looked_up += tallies[i].looked_up;
        longest = tallies[i].longest > longest ? tallies[i].longest : longest;
    }
    TORTURE_DO(libshm_reader_snapshot(reader, &snapshot));
    t.operations = updates + looked_up;
    torture_compare(&t, "counter", updates, (uint64_t)libshm_counter_value(&counter), WORKERS);
    TORTURE_CHECK(&t, longest <= STATED_BOUND, "a look-up waited for %.3f s", longest);
    printf("stop: %llu stops, longest look-up %.0f ms, %llu lock time-outs, %llu overflowed, %llu dropped\n",
           (unsigned long long)others_went_on, longest * 1e3, (unsigned long long)snapshot->statistics.lock_timeouts,
           (unsigned long long)snapshot->statistics.overflowed,
           (unsigned long long)snapshot->statistics.dropped_updates);
    TORTURE_CHECK(&t, snapshot->statistics.dropped_updates <= snapshot->statistics.overflowed,
                  "dropped without a reason");
    libshm_reader_close(reader);
    return torture_end(&t);
}
