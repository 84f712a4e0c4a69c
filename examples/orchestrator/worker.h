/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker process: takes tasks from its socket, works on them, and answers. */
#ifndef ORCHESTRATOR_WORKER_H
#define ORCHESTRATOR_WORKER_H

#include "repository.h"
#include "task.h"

#include <sys/types.h>

enum worker_outcome { OUTCOME_COMPLETE, OUTCOME_FAILED, OUTCOME_ERROR };

/* On the socket (SOCK_SEQPACKET): a struct task to the worker, a struct worker_report back. */
struct worker_report {
    char task_id[sizeof(((struct task *)0)->id)];
    uint32_t outcome; /* enum worker_outcome */
};

/* What all workers have in common. */
struct worker_setup {
    const struct repository *repository;
    const char *llm_path;
    uint64_t seed;
};

/* Works until SIGTERM, the end of the socket or the death of `parent`; a task at hand is ended in order, at its next
 * step. Returns the exit status of the process. */
int worker_run(const struct worker_setup *setup, unsigned number, int socket, pid_t parent);

#endif
