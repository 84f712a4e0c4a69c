/* SPDX-License-Identifier: Apache-2.0
 *
 * The worker processes, from the parent's side: starts them, gives them tasks, hears from them, replaces the dead. */
#ifndef ORCHESTRATOR_POOL_H
#define ORCHESTRATOR_POOL_H

#include "random.h"
#include "tally.h"
#include "worker.h"

#include <stdbool.h>

#define POOL_MAX 64

struct pool_worker {
    pid_t pid;   /* 0: none */
    int socket;  /* to it */
    bool closed; /* its end of the socket: it is dying, and SIGCHLD will tell */
    struct task *task;
    struct tally *tally; /* of this worker and those that it replaced */
};

struct pool {
    const struct worker_setup *setup;
    unsigned n;
    unsigned kills;   /* workers that ended by SIGKILL */
    unsigned crashes; /* workers that ended otherwise before they were told to */
    struct pool_worker worker[POOL_MAX];
};

/* Starts n workers. Returns -1 after saying on stderr what failed; pool_stop() is due in either case. */
int pool_start(struct pool *pool, const struct worker_setup *setup, unsigned n);

/* Ends the workers: SIGTERM, and SIGKILL for those that do not end in time. */
void pool_stop(struct pool *pool);

/* Gives an ACTIVE task to a worker without one. Returns -1 if there is none. */
int pool_give(struct pool *pool, struct task *task);

/* A task that a worker reports back, NULL if there is none now. A task whose worker died is an OUTCOME_ERROR. */
struct task *pool_collect(struct pool *pool, enum worker_outcome *outcome);

/* Starts new workers for those that died. Returns -1 after saying on stderr what failed. */
int pool_replace_dead(struct pool *pool);

/* Kills one of them at random. */
void pool_kill_one(struct pool *pool, struct random *random);

#endif
