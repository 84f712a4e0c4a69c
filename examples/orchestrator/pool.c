/* SPDX-License-Identifier: Apache-2.0
 *
 * The worker processes. Each leads a process group, so that what it started can be ended with it. */
#define _GNU_SOURCE
#include "pool.h"
#include "clock.h"
#include "tallied.h"

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_SECONDS_MAX 30

static _Noreturn void become_worker(struct pool *pool, unsigned i, int socket, pid_t parent)
{
    setpgid(0, 0);
    for (unsigned other = 0; other < pool->n; other++) {
        if (pool->worker[other].socket >= 0)
            close(pool->worker[other].socket); /* or nobody would see the parent's end close */
    }
    tallied_use(pool->worker[i].tally);
    _exit(worker_run(pool->setup, i, socket, parent));
}

static int start_worker(struct pool *pool, unsigned i)
{
    struct pool_worker *worker = &pool->worker[i];
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        warn("socketpair");
        return -1;
    }
    pid_t parent = getpid();
    tally_before_fork(worker->tally);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        become_worker(pool, i, ends[1], parent);
    }
    int error = errno;
    tally_after_fork(worker->tally);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        warnx("fork: %s", strerror(error));
        return -1;
    }
    setpgid(pid, pid); /* as the child does: whoever comes first */
    worker->pid = pid;
    worker->socket = ends[0];
    worker->closed = false;
    return 0;
}

int pool_start(struct pool *pool, const struct worker_setup *setup, unsigned n)
{
    *pool = (struct pool){.setup = setup, .n = n};
    for (unsigned i = 0; i < n; i++) {
        pool->worker[i].socket = -1;
        pool->worker[i].tally = tally_new();
        if (!pool->worker[i].tally) {
            warn("mmap");
            pool->n = i;
            return -1;
        }
    }
    return pool_replace_dead(pool);
}

int pool_give(struct pool *pool, struct task *task)
{
    for (unsigned i = 0; i < pool->n; i++) {
        struct pool_worker *worker = &pool->worker[i];
        if (worker->pid && !worker->closed && !worker->task) {
            /* One that dies just now does not get it, and is found dead with it. */
            send(worker->socket, task, sizeof(*task), MSG_NOSIGNAL | MSG_DONTWAIT);
            worker->task = task;
            return 0;
        }
    }
    return -1;
}

/* Its report, if it has sent one. */
static struct task *read_report(struct pool_worker *worker, enum worker_outcome *outcome)
{
    struct worker_report report;
    struct task *task = worker->task;
    ssize_t size = worker->pid ? recv(worker->socket, &report, sizeof(report), MSG_DONTWAIT) : -1;
    worker->closed |= size == 0;
    if (!task || size != (ssize_t)sizeof(report))
        return NULL;
    *outcome = (enum worker_outcome)report.outcome;
    worker->task = NULL;
    return task;
}

static int has_ended(const struct pool_worker *worker)
{
    siginfo_t info = {0}; /* WNOWAIT: its pid, and so its process group, stays reserved */
    return worker->pid && waitid(P_PID, (id_t)worker->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid;
}

/* Takes away the remains of one that has ended: first of all the git commands that it left running. They are children
 * of this process now (PR_SET_CHILD_SUBREAPER), and nobody cleans up behind them before they are gone. */
static int bury(struct pool_worker *worker)
{
    int status = 0;
    kill(-worker->pid, SIGKILL);
    while (waitpid(worker->pid, &status, 0) < 0 && errno == EINTR)
        ;
    while (waitpid(-worker->pid, NULL, 0) > 0 || errno == EINTR)
        ;
    close(worker->socket);
    worker->socket = -1;
    worker->pid = 0;
    return status;
}

struct task *pool_collect(struct pool *pool, enum worker_outcome *outcome)
{
    for (unsigned i = 0; i < pool->n; i++) {
        struct pool_worker *worker = &pool->worker[i];
        int ended = has_ended(worker); /* before the look into its socket: what it sent is all there then */
        struct task *task = read_report(worker, outcome);
        if (task)
            return task;
        if (!ended)
            continue;
        int status = bury(worker);
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
            pool->kills++;
        } else {
            pool->crashes++;
            if (WIFSIGNALED(status))
                warnx("worker %u ended by signal %d", i, WTERMSIG(status));
            else
                warnx("worker %u ended by itself with status %d", i, WEXITSTATUS(status));
        }
        task = worker->task;
        worker->task = NULL;
        *outcome = OUTCOME_ERROR;
        if (task)
            return task;
    }
    return NULL;
}

int pool_replace_dead(struct pool *pool)
{
    for (unsigned i = 0; i < pool->n; i++) {
        if (!pool->worker[i].pid && start_worker(pool, i) != 0)
            return -1;
    }
    return 0;
}

void pool_kill_one(struct pool *pool, struct random *random)
{
    struct pool_worker *worker = &pool->worker[random_below(random, pool->n)];
    if (worker->pid)
        kill(worker->pid, SIGKILL);
}

void pool_stop(struct pool *pool)
{
    for (unsigned i = 0; i < pool->n; i++) {
        if (pool->worker[i].pid)
            kill(pool->worker[i].pid, SIGTERM);
    }
    unsigned waited_ms = 0;
    for (unsigned i = 0; i < pool->n; i++) {
        struct pool_worker *worker = &pool->worker[i];
        if (!worker->pid)
            continue;
        for (; !has_ended(worker) && waited_ms < STOP_SECONDS_MAX * 1000; waited_ms += 5)
            sleep_ms(5);
        if (!has_ended(worker))
            warnx("worker %u does not end: killed", i);
        int status = bury(worker);
        pool->kills += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        pool->crashes += !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) && status != 0;
    }
}
