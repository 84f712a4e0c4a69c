/* SPDX-License-Identifier: Apache-2.0
 *
 * Workers with several threads update and register, and are killed with SIGKILL at random, at least 1,000 a minute. A
 * reader runs all along: no counter decreases (P1), a histogram's count and sum agree exactly (P2: only 1.0 is
 * observed), nobody waits for the dead (P4: the reader's worst snapshot is printed, the workers' progress is checked).
 */
#include <errno.h>
#include <libshm/reader.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "torture.h"

enum { WORKERS = 4, THREADS = 3, NAMES = 12, LOOKED_UP = 6, METRICS = 4 };

/* What one thread of a worker acknowledged; its successor at this place goes on with it. */
struct tally {
    volatile uint64_t counter, fractional, histogram, looked_up, registered, refused;
} __attribute__((aligned(128)));

static libshm_segment *segment;
static libshm_counter counter, fractional;
static libshm_histogram histogram;
static libshm_gauge active;
static libshm_family *labelled, *churned;
static struct tally (*tallies)[THREADS];

static void define(void)
{
    TORTURE_DO(libshm_open("kill", NULL, &segment));
    TORTURE_DO(libshm_counter_define(segment, &(libshm_metric){.name = "c_total", .help = "c"}, &counter));
    TORTURE_DO(libshm_counter_define(segment, &(libshm_metric){.name = "f_total", .help = "f"}, &fractional));
    TORTURE_DO(libshm_histogram_define(segment, &(libshm_metric){.name = "h", .help = "h", .LIBSHM_BOUNDS(.5, 1, 2)},
                                       &histogram));
    TORTURE_DO(libshm_gauge_define(
        segment, &(libshm_metric){.name = "active", .help = "a", .gauge_mode = LIBSHM_GAUGE_SUM}, &active));
    TORTURE_DO(libshm_family_define(segment,
                                    &(libshm_metric){.type = LIBSHM_TYPE_COUNTER,
                                                     .name = "l_total",
                                                     .help = "l",
                                                     .labels = LIBSHM_LABELS("a", "b"),
                                                     .max_series = 100000},
                                    &labelled));
    TORTURE_DO(libshm_family_define(segment,
                                    &(libshm_metric){.type = LIBSHM_TYPE_COUNTER,
                                                     .name = "churned_total",
                                                     .help = "made and removed all the time",
                                                     .labels = LIBSHM_LABELS("n")},
                                    &churned));
}

static void *update(void *argument)
{
    struct tally *tally = argument;
    uint64_t random = torture_now() * 1e9 > 0 ? (uint64_t)(torture_now() * 1e9) ^ (uint64_t)(uintptr_t)argument : 1;
    char a[8], b[8];
    for (;;) {
        uint64_t r = torture_random(&random);
        libshm_progress progress = libshm_progress_enter(&active);
        libshm_counter_inc(&counter);
        tally->counter++;
        libshm_counter_add_double(&fractional, 1.0);
        tally->fractional++;
        libshm_histogram_observe(&histogram, 1.0);
        tally->histogram++;
        snprintf(a, sizeof a, "%u", (unsigned)(r % LOOKED_UP));
        snprintf(b, sizeof b, "%u", (unsigned)(r >> 8) % NAMES);
        libshm_counter_add_with(labelled, LIBSHM_VALUES(a, b), 1);
        tally->looked_up++;
        libshm_progress_leave(&progress);
        if (r >> 16 & 15)
            continue;
        libshm_counter handle;
        snprintf(a, sizeof a, "%u", (unsigned)(r >> 24) % 64);
        if (libshm_counter_get(churned, LIBSHM_VALUES(a), &handle) == 0) {
            libshm_counter_inc(&handle);
            libshm_counter_put(&handle);
            tally->registered++;
        } else {
            tally->refused++;
        }
        if (r >> 32 & 1)
            (void)libshm_series_remove(churned, LIBSHM_VALUES(a));
    }
    return NULL;
}

static pid_t worker(int place)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pthread_t thread;
    for (int i = 1; i < THREADS; i++)
        pthread_create(&thread, NULL, update, &tallies[place][i]);
    update(&tallies[place][0]);
    _exit(1);
}

struct seen {
    double counter, fractional, looked_up, active;
    uint64_t count;
    double sum;
};

static void look(struct torture *t, libshm_reader *reader, struct seen *seen)
{
    const libshm_snapshot *snapshot;
    int error = libshm_reader_snapshot(reader, &snapshot);
    TORTURE_CHECK(t, error == 0, "%s (%s)", libshm_strerror(error), libshm_error_detail());
    if (error)
        return;
    struct seen now = {.counter = 0};
    TORTURE_CHECK(t, snapshot->skipped_series == 0 && snapshot->skipped_families == 0, "%s", snapshot->first_problem);
    for (size_t f = 0; f < snapshot->n_families; f++) {
        const libshm_family_view *family = &snapshot->families[f];
        for (size_t s = 0; s < family->n_series; s++) {
            const libshm_series_view *series = &family->series[s];
            double value = (double)series->integer + series->fractional;
            if (strcmp(family->name, "c_total") == 0)
                now.counter = value;
            else if (strcmp(family->name, "f_total") == 0)
                now.fractional = value;
            else if (strcmp(family->name, "l_total") == 0)
                now.looked_up += value;
            else if (strcmp(family->name, "active") == 0)
                now.active = series->fractional;
            else if (strcmp(family->name, "h") == 0)
                now.count = series->count, now.sum = series->sum;
        }
    }
    TORTURE_CHECK(t,
                  now.counter >= seen->counter && now.fractional >= seen->fractional &&
                      now.looked_up >= seen->looked_up && now.count >= seen->count,
                  "a counter went down: %.0f %.0f %.0f %" PRIu64, now.counter, now.fractional, now.looked_up,
                  now.count);
    TORTURE_CHECK(t, (double)now.count == now.sum, "count %" PRIu64 ", sum %.17g", now.count, now.sum);
    TORTURE_CHECK(t, now.active >= 0 && now.active <= WORKERS * THREADS, "%g active", now.active);
    *seen = now;
}

static double worst;
static struct seen last;
static int stop;

static void *read_all_along(void *argument)
{
    struct torture *t = argument;
    libshm_reader *reader;
    TORTURE_DO(libshm_reader_open(libshm_segment_path(segment), &reader));
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        double start = torture_now();
        look(t, reader, &last);
        start = torture_now() - start;
        worst = start > worst ? start : worst;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    look(t, reader, &last);
    libshm_reader_close(reader);
    return NULL;
}

int main(int argc, char **argv)
{
    struct torture t = torture_begin("kill", argc, argv);
    uint64_t random = t.seed, acknowledged[METRICS] = {0}, registered = 0, refused = 0;
    pid_t pids[WORKERS];
    pthread_t reader;
    tallies = torture_shared(sizeof(*tallies) * WORKERS);
    define();
    for (int i = 0; i < WORKERS; i++, t.forks++)
        pids[i] = worker(i);
    pthread_create(&reader, NULL, read_all_along, &t);
    double end = torture_now() + t.seconds;
    while (torture_now() < end) { /* between 2 and 40 ms: over 1,000 kills a minute */
        nanosleep(&(struct timespec){.tv_nsec = (long)(2000000 + torture_random(&random) % 38000000)}, NULL);
        int i = (int)(torture_random(&random) % WORKERS);
        kill(pids[i], SIGKILL);
        while (waitpid(pids[i], NULL, 0) < 0 && errno == EINTR)
            ;
        pids[i] = worker(i);
        t.kills++;
        t.forks++;
    }
    for (int i = 0; i < WORKERS; i++, t.kills++)
        kill(pids[i], SIGKILL);
    while (wait(NULL) > 0)
        ;
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    pthread_join(reader, NULL);
    for (int w = 0; w < WORKERS; w++)
        for (int i = 0; i < THREADS; i++) {
            const struct tally *tally = &tallies[w][i];
            acknowledged[0] += tally->counter;
            acknowledged[1] += tally->fractional;
            acknowledged[2] += tally->histogram;
            acknowledged[3] += tally->looked_up;
            registered += tally->registered;
            refused += tally->refused;
        }
    t.operations = acknowledged[0] + acknowledged[1] + acknowledged[2] + acknowledged[3] + registered;
    torture_compare(&t, "counter", acknowledged[0], (uint64_t)last.counter, t.kills * THREADS);
    torture_compare(&t, "floating counter", acknowledged[1], (uint64_t)last.fractional, t.kills * THREADS);
    torture_compare(&t, "histogram", acknowledged[2], last.count, t.kills * THREADS);
    torture_compare(&t, "looked up", acknowledged[3], (uint64_t)last.looked_up, t.kills * THREADS);
    TORTURE_CHECK(&t, last.active == 0, "%g active after the last one died", last.active);
    TORTURE_CHECK(&t, registered > 0, "nothing was registered");
    printf("kill: %.0f kills a minute, %" PRIu64 " series made, %" PRIu64 " refused, worst snapshot %.1f ms\n",
           (double)t.kills / t.seconds * 60, registered, refused, worst * 1e3);
    return torture_end(&t);
}
