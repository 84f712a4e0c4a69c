/* SPDX-License-Identifier: Apache-2.0
 *
 * What the dispatch loop hands out and a worker works on. */
#ifndef ORCHESTRATOR_TASK_H
#define ORCHESTRATOR_TASK_H

#include <stdint.h>

enum task_phase { PHASE_PLAN, PHASE_BUILD, PHASE_TEST, TASK_PHASES };

enum task_profile { PROFILE_PLANNER, PROFILE_RESEARCH, PROFILE_CODE, PROFILE_WRITER, PROFILE_TEST, TASK_PROFILES };

enum task_status { TASK_PLANNED, TASK_READY, TASK_ACTIVE, TASK_COMPLETE, TASK_FAILED, TASK_STATUSES };

struct task {
    char id[24]; /* run-07-task-03 */
    enum task_phase phase;
    enum task_profile profile;
    enum task_status status;
    unsigned retry_count;
    uint64_t seed; /* of the choices its worker makes */
};

/* The names that the labels carry: static strings. */
const char *task_phase_name(enum task_phase phase);
const char *task_profile_name(enum task_profile profile);
const char *task_status_name(enum task_status status);

#endif
