/* SPDX-License-Identifier: Apache-2.0
 *
 * The orchestrator: sets everything up, runs the dispatch loop, takes everything down, and writes the truth. */
#define _GNU_SOURCE
#include "catalogue.h"
#include "dispatch.h"
#include "llm.h"
#include "options.h"
#include "tallied.h"

#include <err.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t stop;

static void on_stop(int signal)
{
    (void)signal;
    stop = 1;
}

static void on_child(int signal)
{
    (void)signal; /* that it interrupts the waiting is enough */
}

/* Signals come in while the dispatch loop waits, and nowhere else. */
static void prepare_signals(void)
{
    struct sigaction action = {.sa_handler = on_stop};
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGHUP);
    sigaddset(&blocked, SIGCHLD);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if (signal(SIGHUP, SIG_IGN) != SIG_IGN) /* nohup */
        sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* who reads its output may go */
    action.sa_handler = on_child;
    sigaction(SIGCHLD, &action, NULL);
}

/* The price table that was asked for, or the one in the source tree, seen from build/ or from the current directory. */
static int load_prices(const char *wanted, struct prices *prices)
{
    static const char usual[] = "examples/orchestrator/prices.tsv";
    char path[PATH_MAX] = "", why[512];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - sizeof(usual) - 8);
    char *slash = length > 0 ? memrchr(path, '/', (size_t)length) : NULL;
    if (slash)
        sprintf(slash, "/../%s", usual);
    if (!slash || access(path, R_OK) != 0)
        strcpy(path, usual);
    if (prices_read(wanted ? wanted : path, prices, why, sizeof(why)) == 0)
        return 0;
    warnx("price table: %s%s", why, wanted ? "" : " (--prices=FILE names another)");
    return -1;
}

/* A new segment in place of an old one of that name, with the catalogue in it. */
static libshm_segment *open_segment(const char *name, const struct prices *prices)
{
    libshm_segment *segment;
    int error = libshm_unlink(NULL, name, 1);
    if (error == 0 || error == LIBSHM_E_NOT_FOUND)
        error = libshm_open(name, NULL, &segment);
    if (error != 0) {
        warnx("segment %s: %s", name, libshm_error_detail());
        return NULL;
    }
    if (catalogue_define(segment, prices) == 0)
        return segment;
    libshm_close(segment); /* a program of your own would rather go on: it has other work than its metrics */
    return NULL;
}

static int write_truth(FILE *out, struct tally *const *tallies, size_t n, unsigned kills)
{
    int status = tally_print(out, tallies, n);
    if (status != 0)
        warnx("the tallies are not complete");
    fprintf(out, "# kills %u\n", kills);
    return status;
}

/* Everything that needs the segment. */
static int work(const struct options *options, const struct worker_setup *setup, FILE *truth)
{
    struct pool pool;
    struct tally *tallies[POOL_MAX + 1] = {tally_new()};
    if (!tallies[0]) {
        warn("mmap");
        return -1;
    }
    tally_after_fork(tallies[0]); /* the parent's own: no child sees it */
    tallied_use(tallies[0]);

    int status = pool_start(&pool, setup, options->workers);
    if (status == 0)
        status = dispatch_loop(
            &pool, &(struct dispatch_options){
                       .seconds = options->seconds, .chaos = options->chaos, .seed = options->seed, .stop = &stop});
    pool_stop(&pool);
    update_task_state_gauges(NULL, 0); /* no run any more */
    for (unsigned i = 0; i < pool.n; i++)
        tallies[1 + i] = pool.worker[i].tally;
    if (truth && write_truth(truth, tallies, pool.n + 1, pool.kills) != 0)
        status = -1;
    printf("%.0f tasks, %.0f merges (%.0f with conflicts), %.0f model requests, %u workers killed\n",
           tally_total(tallies, pool.n + 1, "task_completion_total{"),
           tally_total(tallies, pool.n + 1, "git_merge_total{"),
           tally_total(tallies, pool.n + 1, "git_conflicts_per_merge_count"),
           tally_total(tallies, pool.n + 1, "llm_requests_total{"), pool.kills);
    for (unsigned i = 0; i < pool.n + 1; i++)
        tally_free(tallies[i]);
    return pool.crashes ? -1 : status;
}

static int orchestrate(const struct options *options, const struct prices *prices, FILE *truth)
{
    struct repository repository;
    char llm_path[sizeof(repository.root) + 8];
    int status = -1;

    if (repository_create(&repository) != 0)
        return -1;
    snprintf(llm_path, sizeof(llm_path), "%s/llm", repository.root);
    pid_t llm = llm_server_start(llm_path, options->seed); /* before the segment: it has no business there */
    if (llm > 0) {
        libshm_segment *segment = open_segment(options->segment, prices);
        if (segment) {
            printf("segment %s, repository %s\n", libshm_segment_path(segment), repository.root);
            fflush(stdout);
            status = work(
                options, &(struct worker_setup){.repository = &repository, .llm_path = llm_path, .seed = options->seed},
                truth);
            libshm_close(segment);
        }
        kill(llm, SIGKILL);
        waitpid(llm, NULL, 0);
    }
    repository_remove(&repository);
    return status;
}

int main(int argc, char **argv)
{
    struct options options;
    struct prices prices;
    FILE *truth = NULL;

    options_parse(argc, argv, &options);
    if (load_prices(options.prices, &prices) != 0)
        return 1;
    if (options.truth && !(truth = fopen(options.truth, "we")))
        err(1, "%s", options.truth);
    prepare_signals();
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* git commands of a killed worker become children of this process */
    int status = orchestrate(&options, &prices, truth);
    prices_free(&prices);
    if (truth && (ferror(truth) | fclose(truth))) {
        warn("%s", options.truth);
        status = -1;
    }
    return status == 0 ? 0 : 1;
}
