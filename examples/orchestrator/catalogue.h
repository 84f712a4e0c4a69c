/* SPDX-License-Identifier: Apache-2.0
 *
 * The orchestrator's metrics: what there is, and how code uses it. catalogue.tsv lists names, labels, buckets and help;
 * a test holds it against the definitions in catalogue.c.
 *
 *     TRACK_MERGE(metadata);                            // in a function that merges
 *     if (!worktree) {
 *         metadata.result = "error";
 *         return -1;                                    // recorded here, as on every other way out
 *     }
 *     ...
 *     metadata.files_modified = worktree->n_files;
 *
 * Any thread may use all of this once catalogue_define() has returned, and any child forked afterwards. */
#ifndef ORCHESTRATOR_CATALOGUE_H
#define ORCHESTRATOR_CATALOGUE_H

#include "prices.h"
#include "task.h"

#include <libshm.h>

/* Without labels: a handle, ready to use. With labels (in the comment, in the order of the values: sorted): a family,
 * for libshm_..._with() or for getting handles to keep. */
struct git_metrics {
    libshm_histogram merge_duration;
    libshm_gauge active_merges;
    libshm_family *merge_total; /* result */
    libshm_histogram files_modified;
    libshm_counter conflicted_files_total;
    libshm_histogram checkout_duration;
    libshm_histogram conflicts_per_merge;
    libshm_family *conflict_resolution_total; /* method, result */
    libshm_histogram conflict_resolution_duration;
    libshm_histogram worktree_creation_duration;
    libshm_family *worktree_operations_total; /* operation, result */
};

struct task_metrics {
    libshm_family *execution_duration; /* phase, worker_profile */
    libshm_family *completion_total;   /* status, worker_profile */
    libshm_histogram retry_count;
    libshm_family *tasks_by_state; /* status; set by update_task_state_gauges() */
};

struct dispatch_metrics {
    libshm_histogram loop_cycle_duration;
    libshm_family *loop_iterations; /* run_id */
    libshm_histogram tasks_dispatched_per_cycle;
    libshm_histogram worker_completions_per_cycle;
};

struct llm_metrics {
    libshm_family *request_duration;        /* model, provider */
    libshm_family *requests_total;          /* model, provider, result */
    libshm_family *active_requests;         /* model, provider */
    libshm_family *tokens_total;            /* model, provider, type */
    libshm_family *cost_dollars_total;      /* model, provider */
    libshm_family *rate_limit_events;       /* model, provider */
    libshm_family *unpriced_requests_total; /* model; counted by estimate_llm_cost() */
};

extern struct git_metrics git_metrics;
extern struct task_metrics task_metrics;
extern struct dispatch_metrics dispatch_metrics;
extern struct llm_metrics llm_metrics;

/* Defines all of them in `segment`, says on stderr which could not be, and returns their number: they do nothing, the
 * rest works. `prices` serves estimate_llm_cost() and must outlive it; NULL: no model has a price. */
int catalogue_define(libshm_segment *segment, const struct prices *prices);

/* ---- trackers -------------------------------------------------------------------------------------------------
 * A tracker lasts until the end of the enclosing block, whatever way the block is left, and then records what its
 * metadata say. Nothing outside of the variable itself is held in between: trackers may nest in any order. */

/* In progress from here; on leaving: duration, result, and what was set of the rest. */
struct merge_metadata {
    const char *result;      /* "success", "conflict", "error"; NULL, as at the start: "success" */
    int files_modified;      /* -1, as at the start: not known, not observed */
    uint64_t conflict_count; /* conflicted files */
    libshm_timer timer;      /* the tracker's own */
    libshm_progress active;
};
#define TRACK_MERGE(metadata)                                                                                          \
    __attribute__((cleanup(track_merge_leave))) struct merge_metadata metadata = track_merge_enter()

struct merge_metadata track_merge_enter(void);
void track_merge_leave(struct merge_metadata *metadata);

struct request_metadata {
    const char *result; /* "success", "error", "rate_limit", "timeout"; NULL, as at the start: "success" */
    uint64_t prompt_tokens;
    uint64_t completion_tokens;
    double cost;       /* dollars */
    const char *model; /* the tracker's own */
    const char *provider;
    libshm_timer timer;
    libshm_gauge gauge;
    libshm_progress active;
};
/* The strings must live as long as the tracker. */
#define TRACK_REQUEST(metadata, model, provider)                                                                       \
    __attribute__((cleanup(track_request_leave))) struct request_metadata metadata =                                   \
        track_request_enter(model, provider)

struct request_metadata track_request_enter(const char *model, const char *provider);
void track_request_leave(struct request_metadata *metadata);

/* ---- functions ------------------------------------------------------------------------------------------------ */

/* tasks_by_state: how many of the n tasks are in each state. A state that an earlier call showed and that no task is in
 * any more reads 0. */
void update_task_state_gauges(const struct task *tasks, size_t n);

/* Dollars; 0, and llm_unpriced_requests_total, for a model without a price. */
double estimate_llm_cost(const char *model, uint64_t prompt_tokens, uint64_t completion_tokens);

#endif
