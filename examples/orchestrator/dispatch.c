/* SPDX-License-Identifier: Apache-2.0
 *
 * The dispatch loop. */
#define _GNU_SOURCE
#include "dispatch.h"
#include "catalogue.h"
#include "clock.h"
#include "tallied.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#define RUN_PLANS    3
#define RUN_BUILDS   14
#define RUN_TESTS    3
#define RUN_TASKS    (RUN_PLANS + RUN_BUILDS + RUN_TESTS)
#define RETRIES_MAX  3
#define CYCLE_MS_MAX 50
/* Chaos: time between two kills. */
#define KILL_MS_MIN  30
#define KILL_MS_SPAN 400

struct run {
    unsigned number; /* 1..DISPATCH_RUN_IDS */
    char id[16];
    struct task task[RUN_TASKS];
};

struct loop {
    struct pool *pool;
    const struct dispatch_options *options;
    struct random random; /* of the tasks */
    struct random chaos;  /* of the kills */
    int64_t end_ms;       /* 0: none */
    int64_t kill_ms;      /* when to kill next; 0: never */
    struct run run;
};

/* ---- runs ----------------------------------------------------------------------------------------------------- */
static void begin_run(struct loop *loop)
{
    struct run *run = &loop->run;
    if (run->number == DISPATCH_RUN_IDS) { /* no task is active between runs */
        repository_pack(loop->pool->setup->repository);
        run->number = 0;
    }
    run->number++;
    snprintf(run->id, sizeof(run->id), "run-%02u", run->number % 100);
    for (unsigned i = 0; i < RUN_TASKS; i++) {
        struct task *task = &run->task[i];
        *task = (struct task){.status = TASK_PLANNED, .seed = random_next(&loop->random)};
        snprintf(task->id, sizeof(task->id), "%s-task-%02u", run->id, (i + 1) % 100);
        if (i < RUN_PLANS) {
            task->phase = PHASE_PLAN;
            task->profile = i % 2 ? PROFILE_RESEARCH : PROFILE_PLANNER;
        } else if (i < RUN_PLANS + RUN_BUILDS) {
            task->phase = PHASE_BUILD;
            task->profile = i % 3 ? PROFILE_CODE : PROFILE_WRITER;
        } else {
            task->phase = PHASE_TEST;
            task->profile = PROFILE_TEST;
        }
    }
}

static bool is_over(const struct task *task)
{
    return task->status == TASK_COMPLETE || task->status == TASK_FAILED;
}

/* The first phase that still has work: its tasks are ready, those of later phases wait. TASK_PHASES: the run is over.
 */
static enum task_phase current_phase(const struct run *run)
{
    enum task_phase phase = TASK_PHASES;
    for (unsigned i = 0; i < RUN_TASKS; i++) {
        if (!is_over(&run->task[i]) && run->task[i].phase < phase)
            phase = run->task[i].phase;
    }
    return phase;
}

/* ---- one cycle ------------------------------------------------------------------------------------------------ */
static unsigned collect_completed(struct loop *loop)
{
    unsigned completed = 0;
    enum worker_outcome outcome;
    for (struct task *task; (task = pool_collect(loop->pool, &outcome)) != NULL; completed++) {
        if (outcome == OUTCOME_COMPLETE)
            task->status = TASK_COMPLETE;
        else if (task->retry_count == RETRIES_MAX)
            task->status = TASK_FAILED;
        else {
            task->status = TASK_READY;
            task->retry_count++;
            task->seed = random_next(&loop->random);
        }
    }
    return completed;
}

static unsigned dispatch_ready(struct loop *loop)
{
    struct run *run = &loop->run;
    unsigned dispatched = 0;
    enum task_phase phase = current_phase(run);
    if (phase == TASK_PHASES) {
        begin_run(loop);
        phase = PHASE_PLAN;
    }
    for (unsigned i = 0; i < RUN_TASKS; i++) {
        struct task *task = &run->task[i];
        if (task->status == TASK_PLANNED && task->phase == phase)
            task->status = TASK_READY;
        if (task->status == TASK_READY && pool_give(loop->pool, task) == 0) {
            task->status = TASK_ACTIVE;
            dispatched++;
        }
    }
    return dispatched;
}

static int cycle(struct loop *loop)
{
    TALLIED_TIME_SCOPE(&dispatch_metrics.loop_cycle_duration);
    unsigned completed = collect_completed(loop);
    if (pool_replace_dead(loop->pool) != 0)
        return -1;
    unsigned dispatched = dispatch_ready(loop);

    tallied_counter_add_with(dispatch_metrics.loop_iterations, LIBSHM_VALUES(loop->run.id), 1);
    tallied_histogram_observe(&dispatch_metrics.tasks_dispatched_per_cycle, dispatched);
    tallied_histogram_observe(&dispatch_metrics.worker_completions_per_cycle, completed);
    update_task_state_gauges(loop->run.task, RUN_TASKS);
    return 0;
}

/* ---- between cycles ------------------------------------------------------------------------------------------- */
static void kill_if_due(struct loop *loop, int64_t now)
{
    if (!loop->kill_ms || now < loop->kill_ms)
        return;
    pool_kill_one(loop->pool, &loop->chaos);
    loop->kill_ms = now + KILL_MS_MIN + random_below(&loop->chaos, KILL_MS_SPAN);
}

/* Until a worker says something or dies, a signal comes, or the next thing is due. */
static void wait_for_news(const struct loop *loop, int64_t now)
{
    struct pollfd polled[POOL_MAX];
    int64_t until = now + CYCLE_MS_MAX;
    sigset_t none;
    for (unsigned i = 0; i < loop->pool->n; i++) {
        const struct pool_worker *worker = &loop->pool->worker[i];
        polled[i] = (struct pollfd){.fd = worker->closed ? -1 : worker->socket, .events = POLLIN};
    }
    if (loop->kill_ms && loop->kill_ms < until)
        until = loop->kill_ms;
    if (loop->end_ms && loop->end_ms < until)
        until = loop->end_ms;
    if (until < now)
        until = now;
    sigemptyset(&none);
    ppoll(polled, loop->pool->n, &(struct timespec){.tv_nsec = (until - now) * 1000000}, &none);
}

int dispatch_loop(struct pool *pool, const struct dispatch_options *options)
{
    int64_t now = now_ms();
    struct loop loop = {
        .pool = pool,
        .options = options,
        .random = {options->seed},
        .chaos = {~options->seed},
        .end_ms = options->seconds > 0 ? now + (int64_t)(options->seconds * 1000) : 0,
        .kill_ms = options->chaos ? now + KILL_MS_MIN : 0,
    };
    begin_run(&loop);
    for (;;) {
        if (cycle(&loop) != 0)
            return -1;
        now = now_ms();
        if (*options->stop || (loop.end_ms && now >= loop.end_ms))
            return 0;
        kill_if_due(&loop, now);
        wait_for_news(&loop, now);
    }
}
