/* SPDX-License-Identifier: Apache-2.0
 *
 * The names of phases, profiles and states. */
#include "task.h"

static const char *const phase_names[TASK_PHASES] = {
    [PHASE_PLAN] = "plan",
    [PHASE_BUILD] = "build",
    [PHASE_TEST] = "test",
};

static const char *const profile_names[TASK_PROFILES] = {
    [PROFILE_PLANNER] = "planner_worker", [PROFILE_RESEARCH] = "research_worker", [PROFILE_CODE] = "code_worker",
    [PROFILE_WRITER] = "writer_worker",   [PROFILE_TEST] = "test_worker",
};

static const char *const status_names[TASK_STATUSES] = {
    [TASK_PLANNED] = "planned",   [TASK_READY] = "ready",   [TASK_ACTIVE] = "active",
    [TASK_COMPLETE] = "complete", [TASK_FAILED] = "failed",
};

const char *task_phase_name(enum task_phase phase)
{
    return phase_names[phase];
}

const char *task_profile_name(enum task_profile profile)
{
    return profile_names[profile];
}

const char *task_status_name(enum task_status status)
{
    return status_names[status];
}
