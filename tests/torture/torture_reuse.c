/* SPDX-License-Identifier: Apache-2.0
 *
 * Series come and go: made, counted, removed, hidden by their TTL and given away at the cap, by processes with many
 * threads that are killed, fork, keep handles and look up. No number is ever seen under another series' name: series k
 * is only ever given observations of k, so its sum is k times its count. A child goes on with the handles of a parent
 * that has died. */
#define _GNU_SOURCE
#include <errno.h>
#include <libshm/reader.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "torture.h"

enum { WORKERS = 3, THREADS = 2, NAMES = 200, CAP = 40 };

static struct tally {
    volatile uint64_t updates, made, removed, kept;
} __attribute__((aligned(128))) * tallies;

static const libshm_metric churned = {.type = LIBSHM_TYPE_HISTOGRAM,
                                      .name = "churned",
                                      .help = "Made, used, removed.",
                                      .labels = (const char *const[]){"name", NULL},
                                      .bounds = (const double[]){1e9},
                                      .n_bounds = 1,
                                      .max_series = CAP,
                                      .ttl_seconds = 1};

static libshm_family *family;
static libshm_segment *segment;

static void *work(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument ^ (uint64_t)(torture_now() * 1e9) ^ (uint64_t)getpid() << 32;
    struct tally *tally = argument;
    char name[16];
    for (;;) {
        unsigned k = 1 + (unsigned)(torture_random(&random) % NAMES);
        libshm_histogram handle;
        snprintf(name, sizeof name, "%u", k);
        switch (torture_random(&random) % 8) {
        case 0:
            tally->removed += libshm_series_remove(family, LIBSHM_VALUES(name)) == 0;
            break;
        case 1:
        case 2: /* a handle, used for a while, perhaps after its series was removed */
            if (libshm_histogram_get(family, LIBSHM_VALUES(name), &handle) == 0) {
                tally->made++;
                for (int i = 0; i < 50; i++) {
                    libshm_histogram_observe(&handle, k);
                    if (i % 16 == 0)
                        sched_yield();
                }
            }
            libshm_histogram_put(&handle);
            break;
        default:
            for (int i = 0; i < 20; i++)
                libshm_histogram_observe_with(family, LIBSHM_VALUES(name), k);
        }
        tally->updates++;
    }
    return NULL;
}

/* Forks a child that goes on with the handles of its parent, and ends. */
static void leave_children(struct tally *tally)
{
    libshm_histogram handle[4];
    unsigned k[4];
    char name[16];
    for (int i = 0; i < 4; i++) {
        k[i] = 1 + (unsigned)(getpid() + i * 37) % NAMES;
        snprintf(name, sizeof name, "%u", k[i]);
        if (libshm_histogram_get(family, LIBSHM_VALUES(name), &handle[i]) != 0)
            k[i] = 0;
    }
    pid_t child = fork();
    if (child != 0)
        return;
    for (int round = 0; round < 20; round++) { /* longer than its parent lives */
        for (int i = 0; i < 4; i++)
            if (k[i])
                libshm_histogram_observe(&handle[i], k[i]);
        tally->kept++;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    _exit(0);
}

static pid_t worker(int index)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    signal(SIGCHLD, SIG_IGN);
    TORTURE_DO(libshm_open("reuse", NULL, &segment));
    TORTURE_DO(libshm_family_define(segment, &churned, &family));
    leave_children(&tallies[index * THREADS]);
    pthread_t thread;
    for (int i = 0; i < THREADS; i++)
        pthread_create(&thread, NULL, work, &tallies[index * THREADS + i]);
    for (;;)
        pause();
}

/* Every bucket sum of series k is k times its count. */
static uint64_t seen, most_series;

static void look(struct torture *t, libshm_reader *reader)
{
    const libshm_snapshot *snapshot;
    TORTURE_DO(libshm_reader_snapshot(reader, &snapshot));
    TORTURE_CHECK(t, snapshot->skipped_families + snapshot->skipped_series == 0, "skipped: %s",
                  snapshot->first_problem);
    for (size_t f = 0; f < snapshot->n_families; f++)
        for (size_t s = 0; s < snapshot->families[f].n_series; s++) {
            const libshm_series_view *series = &snapshot->families[f].series[s];
            const char *name = series->label_values[0];
            double k = strtod(name, NULL);
            seen++;
            TORTURE_CHECK(t, strcmp(name, "overflow") == 0 || series->sum == k * (double)series->count,
                          "series %s: count %llu, sum %g", name, (unsigned long long)series->count, series->sum);
        }
    if (snapshot->n_series > most_series)
        most_series = snapshot->n_series;
}

int main(int argc, char **argv)
{
    struct torture t = torture_begin("reuse", argc, argv);
    uint64_t random = t.seed;
    pid_t pids[WORKERS];
    libshm_reader *reader;
    tallies = torture_shared(sizeof *tallies * WORKERS * THREADS);
    pids[0] = worker(0);
    for (int i = 1; i < WORKERS; i++)
        pids[i] = worker(i);
    t.forks = WORKERS;
    char path[256];
    snprintf(path, sizeof path, "%s/reuse", getenv("LIBSHM_DIR"));
    while (libshm_reader_open(path, &reader) != 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    double end = torture_now() + t.seconds, next = torture_now();
    const libshm_snapshot *snapshot;
    while (torture_now() < end && t.wrong < 10) {
        look(&t, reader);
        if (torture_now() < next)
            continue;
        next = torture_now() + 0.02 + (double)(torture_random(&random) % 100) * 1e-3;
        int i = (int)(torture_random(&random) % WORKERS);
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
        pids[i] = worker(i);
        t.kills++;
        t.forks++;
    }
    for (int i = 0; i < WORKERS; i++)
        kill(pids[i], SIGKILL);
    while (wait(NULL) > 0)
        ;
    look(&t, reader);
    TORTURE_DO(libshm_reader_snapshot(reader, &snapshot));
    uint64_t made = 0, removed = 0, kept = 0;
    for (int i = 0; i < WORKERS * THREADS; i++) {
        t.operations += tallies[i].updates;
        made += tallies[i].made;
        removed += tallies[i].removed;
        kept += tallies[i].kept;
    }
    printf(
        "reuse: %llu handles got, %llu series removed, %llu cells reused, %llu rounds by orphans, %llu series looked "
        "at, %llu bytes\n",
        (unsigned long long)made, (unsigned long long)removed, (unsigned long long)snapshot->statistics.reused,
        (unsigned long long)kept, (unsigned long long)seen, (unsigned long long)snapshot->used_bytes);
    TORTURE_CHECK(&t, snapshot->statistics.reused > 0, "nothing was reused");
    TORTURE_CHECK(&t, snapshot->used_bytes < UINT64_C(4) << 20, "the segment grew");
    libshm_reader_close(reader);
    return torture_end(&t);
}
