/* SPDX-License-Identifier: Apache-2.0
 *
 * Definitions of the orchestrator's metrics, and the trackers. */
#include "catalogue.h"
#include "tallied.h"

#include <err.h>
#include <string.h>

struct git_metrics git_metrics;
struct task_metrics task_metrics;
struct dispatch_metrics dispatch_metrics;
struct llm_metrics llm_metrics;

static const struct prices *price_table;

/* One definition, and where what it gives goes: one of the four pointers. */
static const struct definition {
    libshm_metric metric;
    libshm_family **family;
    libshm_counter *counter;
    libshm_gauge *gauge;
    libshm_histogram *histogram;
} definitions[] = {
    {{.name = "git_merge_duration_seconds",
      .type = LIBSHM_TYPE_HISTOGRAM,
      .help = "Time to merge a task branch to main",
      .unit = "seconds",
      .LIBSHM_BOUNDS(.1, .5, 1, 2, 5, 10, 30, 60)},
     .histogram = &git_metrics.merge_duration},
    {{.name = "git_active_merges",
      .type = LIBSHM_TYPE_GAUGE,
      .gauge_mode = LIBSHM_GAUGE_SUM, /* live: a worker that is killed takes its share with it */
      .help = "Merges in progress"},
     .gauge = &git_metrics.active_merges},
    {{.name = "git_merge_total",
      .type = LIBSHM_TYPE_COUNTER,
      .help = "Merges of a task branch to main by result",
      .labels = LIBSHM_LABELS("result")},
     .family = &git_metrics.merge_total},
    {{.name = "git_merge_files_modified",
      .type = LIBSHM_TYPE_HISTOGRAM,
      .help = "Files that a merge brought to main",
      .LIBSHM_BOUNDS(0, 1, 2, 5, 10, 20, 50, 100, 200)},
     .histogram = &git_metrics.files_modified},
    {{.name = "git_merge_conflicted_files_total",
      .type = LIBSHM_TYPE_COUNTER,
      .help = "Files in conflict, over all merges"},
     .counter = &git_metrics.conflicted_files_total},
    {{.name = "git_checkout_duration_seconds",
      .type = LIBSHM_TYPE_HISTOGRAM,
      .help = "Time to check out a branch",
      .unit = "seconds",
      .LIBSHM_BOUNDS(.01, .05, .1, .25, .5, 1, 2.5, 5, 10)},
     .histogram = &git_metrics.checkout_duration},
    {{.name = "git_conflicts_per_merge",
      .type = LIBSHM_TYPE_HISTOGRAM,
      .help = "Files in conflict in a merge that had conflicts",
      .LIBSHM_BOUNDS(0, 1, 2, 3, 5, 10, 20, 50)},
     .histogram = &git_metrics.conflicts_per_merge},
    {{.name = "git_conflict_resolution_total",
      .type = LIBSHM_TYPE_COUNTER,
      .help = "Attempts to resolve the conflicts of a merge",
      .labels = LIBSHM_LABELS("method", "result")},
     .family = &git_metrics.conflict_resolution_total},
    {{.name = "git_conflict_resolution_duration_seconds",
      .type = LIBSHM_TYPE_HISTOGRAM,
      .help = "Time to resolve the conflicts of a merge",
      .unit = "seconds",
      .LIBSHM_BOUNDS(.5, 1, 2, 5, 10, 30, 60, 120, 300)},
     .histogram = &git_metrics.conflict_resolution_duration},
    {{.name = "git_worktree_creation_duration_seconds",
      .type = LIBSHM_TYPE_HISTOGRAM,
      .help = "Time to create a worktree",
      .unit = "seconds",
      .LIBSHM_BOUNDS(.01, .05, .1, .25, .5, 1, 2.5, 5, 10)},
     .histogram = &git_metrics.worktree_creation_duration},
    {{.name = "git_worktree_operations_total",
      .type = LIBSHM_TYPE_COUNTER,
      .help = "Worktrees created and removed",
      .labels = LIBSHM_LABELS("operation", "result")},
     .family = &git_metrics.worktree_operations_total},

    {{.name = "task_execution_duration_seconds",
      .type = LIBSHM_TYPE_HISTOGRAM,
      .help = "Worker task execution time",
      .unit = "seconds",
      .labels = LIBSHM_LABELS("phase", "worker_profile"),
      .LIBSHM_BOUNDS(1, 5, 10, 30, 60, 120, 300, 600, 1800)},
     .family = &task_metrics.execution_duration},
    {{.name = "task_completion_total",
      .type = LIBSHM_TYPE_COUNTER,
      .help = "Tasks that a worker finished",
      .labels = LIBSHM_LABELS("status", "worker_profile")},
     .family = &task_metrics.completion_total},
    {{.name = "task_retry_count",
      .type = LIBSHM_TYPE_HISTOGRAM,
      .help = "Retries of the tasks that needed some",
      .LIBSHM_BOUNDS(0, 1, 2, 3, 5, 10)},
     .histogram = &task_metrics.retry_count},
    {{.name = "tasks_by_state",
      .type = LIBSHM_TYPE_GAUGE,
      .help = "Tasks of the current run by state",
      .labels = LIBSHM_LABELS("status")},
     .family = &task_metrics.tasks_by_state},

    {{.name = "dispatch_loop_cycle_duration_seconds",
      .type = LIBSHM_TYPE_HISTOGRAM,
      .help = "Time of one dispatch cycle, without the wait for the next",
      .unit = "seconds",
      .LIBSHM_BOUNDS(.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30)},
     .histogram = &dispatch_metrics.loop_cycle_duration},
    {{.name = "dispatch_loop_iterations_total",
      .type = LIBSHM_TYPE_COUNTER,
      .help = "Dispatch cycles by run",
      .labels = LIBSHM_LABELS("run_id"), /* grows without end: capped, and idle runs go out of sight */
      .max_series = 1000,
      .ttl_seconds = 3600},
     .family = &dispatch_metrics.loop_iterations},
    {{.name = "dispatch_tasks_dispatched_per_cycle",
      .type = LIBSHM_TYPE_HISTOGRAM,
      .help = "Tasks handed to workers in a dispatch cycle",
      .LIBSHM_BOUNDS(0, 1, 2, 5, 10, 20, 50)},
     .histogram = &dispatch_metrics.tasks_dispatched_per_cycle},
    {{.name = "dispatch_worker_completions_per_cycle",
      .type = LIBSHM_TYPE_HISTOGRAM,
      .help = "Tasks that workers handed back in a dispatch cycle",
      .LIBSHM_BOUNDS(0, 1, 2, 5, 10, 20, 50)},
     .histogram = &dispatch_metrics.worker_completions_per_cycle},

    {{.name = "llm_request_duration_seconds",
      .type = LIBSHM_TYPE_HISTOGRAM,
      .help = "Time of a language model request",
      .unit = "seconds",
      .labels = LIBSHM_LABELS("model", "provider"),
      .LIBSHM_BOUNDS(.1, .5, 1, 2.5, 5, 10, 30, 60, 120)},
     .family = &llm_metrics.request_duration},
    {{.name = "llm_requests_total",
      .type = LIBSHM_TYPE_COUNTER,
      .help = "Language model requests by result",
      .labels = LIBSHM_LABELS("model", "provider", "result")},
     .family = &llm_metrics.requests_total},
    {{.name = "llm_active_requests",
      .type = LIBSHM_TYPE_GAUGE,
      .gauge_mode = LIBSHM_GAUGE_SUM,
      .help = "Language model requests in progress",
      .labels = LIBSHM_LABELS("model", "provider")},
     .family = &llm_metrics.active_requests},
    {{.name = "llm_tokens_total",
      .type = LIBSHM_TYPE_COUNTER,
      .help = "Tokens sent to and received from language models",
      .labels = LIBSHM_LABELS("model", "provider", "type")},
     .family = &llm_metrics.tokens_total},
    {{.name = "llm_cost_dollars_total",
      .type = LIBSHM_TYPE_COUNTER,
      .help = "Estimated cost of language model requests",
      .unit = "dollars",
      .labels = LIBSHM_LABELS("model", "provider")},
     .family = &llm_metrics.cost_dollars_total},
    {{.name = "llm_rate_limit_events_total",
      .type = LIBSHM_TYPE_COUNTER,
      .help = "Language model requests refused by a rate limit",
      .labels = LIBSHM_LABELS("model", "provider")},
     .family = &llm_metrics.rate_limit_events},
    {{.name = "llm_unpriced_requests_total",
      .type = LIBSHM_TYPE_COUNTER,
      .help = "Language model requests whose model has no price",
      .labels = LIBSHM_LABELS("model")},
     .family = &llm_metrics.unpriced_requests_total},
};

static int define(libshm_segment *segment, const struct definition *d)
{
    int error;
    const void *handle;
    if (d->family) {
        error = libshm_family_define(segment, &d->metric, d->family);
        handle = *d->family;
    } else if (d->counter) {
        error = libshm_counter_define(segment, &d->metric, d->counter);
        handle = d->counter;
    } else if (d->gauge) {
        error = libshm_gauge_define(segment, &d->metric, d->gauge);
        handle = d->gauge;
    } else {
        error = libshm_histogram_define(segment, &d->metric, d->histogram);
        handle = d->histogram;
    }
    if (!error)
        tallied_register(handle, d->metric.name, d->metric.labels);
    return error;
}

int catalogue_define(libshm_segment *segment, const struct prices *prices)
{
    int failed = 0;
    price_table = prices;
    for (size_t i = 0; i < sizeof(definitions) / sizeof(definitions[0]); i++) {
        if (define(segment, &definitions[i]) != 0) {
            warnx("%s: %s", definitions[i].metric.name, libshm_error_detail());
            failed++;
        }
    }
    return failed;
}

/* ---- trackers ------------------------------------------------------------------------------------------------- */
struct merge_metadata track_merge_enter(void)
{
    return (struct merge_metadata){
        .files_modified = -1,
        .timer = libshm_timer_start(&git_metrics.merge_duration),
        .active = libshm_progress_enter(&git_metrics.active_merges),
    };
}

void track_merge_leave(struct merge_metadata *metadata)
{
    libshm_progress_leave(&metadata->active);
    tallied_timer_observe(&metadata->timer);
    tallied_counter_add_with(git_metrics.merge_total, LIBSHM_VALUES(metadata->result ? metadata->result : "success"),
                             1);
    if (metadata->files_modified >= 0)
        tallied_histogram_observe(&git_metrics.files_modified, metadata->files_modified);
    if (metadata->conflict_count)
        tallied_counter_add(&git_metrics.conflicted_files_total, metadata->conflict_count);
}

struct request_metadata track_request_enter(const char *model, const char *provider)
{
    struct request_metadata metadata = {
        .model = model,
        .provider = provider,
        .timer = libshm_timer_start(NULL),
    };
    libshm_gauge_get(llm_metrics.active_requests, LIBSHM_VALUES(model, provider), &metadata.gauge);
    metadata.active = libshm_progress_enter(&metadata.gauge);
    return metadata;
}

void track_request_leave(struct request_metadata *metadata)
{
    const char *model = metadata->model, *provider = metadata->provider;

    libshm_progress_leave(&metadata->active);
    libshm_gauge_put(&metadata->gauge);
    tallied_histogram_observe_with(llm_metrics.request_duration, LIBSHM_VALUES(model, provider),
                                   libshm_timer_seconds(&metadata->timer));
    tallied_counter_add_with(llm_metrics.requests_total,
                             LIBSHM_VALUES(model, provider, metadata->result ? metadata->result : "success"), 1);
    if (metadata->prompt_tokens)
        tallied_counter_add_with(llm_metrics.tokens_total, LIBSHM_VALUES(model, provider, "prompt"),
                                 metadata->prompt_tokens);
    if (metadata->completion_tokens)
        tallied_counter_add_with(llm_metrics.tokens_total, LIBSHM_VALUES(model, provider, "completion"),
                                 metadata->completion_tokens);
    if (metadata->cost > 0)
        tallied_counter_add_double_with(llm_metrics.cost_dollars_total, LIBSHM_VALUES(model, provider), metadata->cost);
}

/* ---- functions ------------------------------------------------------------------------------------------------ */
static int zero_if_gone(const char *const *values, void *context)
{
    const unsigned *count = context;
    for (int status = 0; status < TASK_STATUSES; status++) {
        if (count[status] && strcmp(values[0], task_status_name((enum task_status)status)) == 0)
            return 0;
    }
    libshm_gauge_set_with(task_metrics.tasks_by_state, values, 0);
    return 0;
}

void update_task_state_gauges(const struct task *tasks, size_t n)
{
    unsigned count[TASK_STATUSES] = {0};
    for (size_t i = 0; i < n; i++)
        count[tasks[i].status]++;
    for (int status = 0; status < TASK_STATUSES; status++) {
        if (count[status])
            libshm_gauge_set_with(task_metrics.tasks_by_state,
                                  LIBSHM_VALUES(task_status_name((enum task_status)status)), count[status]);
    }
    libshm_family_each(task_metrics.tasks_by_state, zero_if_gone, count);
}

double estimate_llm_cost(const char *model, uint64_t prompt_tokens, uint64_t completion_tokens)
{
    double dollars = 0;
    if (!price_table || !prices_cost(price_table, model, prompt_tokens, completion_tokens, &dollars))
        tallied_counter_add_with(llm_metrics.unpriced_requests_total, LIBSHM_VALUES(model), 1);
    return dollars;
}
