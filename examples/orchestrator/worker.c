/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker process. */
#define _GNU_SOURCE
#include "worker.h"
#include "catalogue.h"
#include "git_manager.h"
#include "tallied.h"

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILES_EDITED_MAX   3
#define PERCENT_OLD_BASE   25 /* tasks that start from an older commit, as after a long plan */
#define PERCENT_BAD_BRANCH 3  /* tasks whose agent names a branch that was never made */

struct worker {
    const struct repository *repository;
    struct llm_client client;
    struct random random;
    char prefix[12]; /* of its worktrees and branches */
};

/* ---- what tasks do -------------------------------------------------------------------------------------------- */

/* Planning and research: a model is asked, no file changes. */
static enum worker_outcome think(struct worker *worker, const struct task *task)
{
    char prompt[256];
    struct llm_response response;
    snprintf(prompt, sizeof(prompt), "You are the %s of %s. What is to be done?", task_profile_name(task->profile),
             task->id);
    return ask_llm(&worker->client, LLM_PLAN, prompt, &response) == 0 ? OUTCOME_COMPLETE : OUTCOME_FAILED;
}

/* SIGTERM is blocked while a task is at work: what is begun is ended in order, and nothing new is begun. */
static bool told_to_stop(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGTERM);
}

/* A model edits some files of the worktree, one request each. */
static int edit_files(struct worker *worker, struct worktree *worktree)
{
    unsigned first = random_below(&worker->random, REPOSITORY_FILES);
    unsigned n = 1 + random_below(&worker->random, FILES_EDITED_MAX);
    for (unsigned i = 0; i < n; i++) {
        char name[REPOSITORY_NAME_MAX], text[REPOSITORY_TEXT_MAX];
        struct llm_response response;
        repository_file_name((first + i) % REPOSITORY_FILES, name);
        if (told_to_stop() || repository_read(worktree->path, name, text) != 0 ||
            ask_llm(&worker->client, LLM_EDIT, text, &response) != 0 ||
            repository_write(worktree->path, name, response.completion) != 0)
            return -1;
        worktree->files_modified++;
    }
    return 0;
}

static enum worker_outcome edit_and_merge(struct worker *worker, const struct task *task, struct worktree *worktree)
{
    if (edit_files(worker, worktree) != 0)
        return OUTCOME_FAILED;
    if (repository_worktree_commit(worker->repository, worktree->branch, task->id) != 0)
        return OUTCOME_ERROR;
    if (told_to_stop())
        return OUTCOME_FAILED;
    const char *branch = random_percent(&worker->random, PERCENT_BAD_BRANCH) ? "never-made" : worktree->branch;
    switch (merge_to_main(worker->repository, worktree, branch, &worker->client)) {
    case MERGE_SUCCESS:
        return OUTCOME_COMPLETE;
    case MERGE_CONFLICT:
        return OUTCOME_FAILED;
    default:
        return OUTCOME_ERROR;
    }
}

/* Code, tests, documents: a worktree, edits, a commit, a merge. */
static enum worker_outcome change(struct worker *worker, const struct task *task)
{
    char branch[REPOSITORY_NAME_MAX], base[16] = "main";
    struct worktree worktree;
    snprintf(branch, sizeof(branch), "%s%s-%u", worker->prefix, task->id, task->retry_count);
    if (random_percent(&worker->random, PERCENT_OLD_BASE))
        snprintf(base, sizeof(base), "main~%u", 1 + random_below(&worker->random, REPOSITORY_HISTORY - 1));
    if (create_worktree(worker->repository, branch, base, &worktree) != 0) {
        repository_clear(worker->repository, worker->prefix);
        return OUTCOME_ERROR;
    }
    enum worker_outcome outcome = edit_and_merge(worker, task, &worktree);
    remove_worktree(worker->repository, &worktree);
    return outcome;
}

static enum worker_outcome execute(struct worker *worker, const struct task *task)
{
    static const char *const status[] = {"success", "failed", "error"};
    const char *profile = task_profile_name(task->profile);
    libshm_timer timer = libshm_timer_start(NULL);

    enum worker_outcome outcome = task->profile == PROFILE_PLANNER || task->profile == PROFILE_RESEARCH
                                      ? think(worker, task)
                                      : change(worker, task);

    tallied_histogram_observe_with(task_metrics.execution_duration,
                                   LIBSHM_VALUES(task_phase_name(task->phase), profile), libshm_timer_seconds(&timer));
    tallied_counter_add_with(task_metrics.completion_total, LIBSHM_VALUES(status[outcome], profile), 1);
    if (task->retry_count)
        tallied_histogram_observe(&task_metrics.retry_count, task->retry_count);
    return outcome;
}

/* ---- the process ---------------------------------------------------------------------------------------------- */
static volatile sig_atomic_t stopping;

static void on_sigterm(int signal)
{
    (void)signal;
    stopping = 1;
}

/* The next task. Returns 0 when there will be none. */
static int receive(int socket, struct task *task)
{
    sigset_t none; /* the one place where SIGTERM comes in: it cannot be missed */
    sigemptyset(&none);
    while (!stopping) {
        int ready = ppoll(&(struct pollfd){.fd = socket, .events = POLLIN}, 1, NULL, &none);
        if (ready > 0)
            return recv(socket, task, sizeof(*task), 0) == (ssize_t)sizeof(*task);
        if (ready < 0 && errno != EINTR)
            return 0;
    }
    return 0;
}

int worker_run(const struct worker_setup *setup, unsigned number, int socket, pid_t parent)
{
    struct sigaction action = {.sa_handler = on_sigterm};
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGINT, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        return 0;

    struct worker worker = {.repository = setup->repository, .client = {.path = setup->llm_path}};
    snprintf(worker.prefix, sizeof(worker.prefix), "w%u-", number);
    repository_clear(worker.repository, worker.prefix);

    struct task task;
    while (receive(socket, &task)) {
        struct worker_report report = {0};
        worker.random.state = setup->seed ^ task.seed;
        worker.client.random.state = random_next(&worker.random);
        memcpy(report.task_id, task.id, sizeof(report.task_id));
        report.outcome = execute(&worker, &task);
        if (send(socket, &report, sizeof(report), MSG_NOSIGNAL) != (ssize_t)sizeof(report))
            break;
    }
    return 0;
}
