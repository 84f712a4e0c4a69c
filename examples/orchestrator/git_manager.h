/* SPDX-License-Identifier: Apache-2.0
 *
 * Worktrees and merges of tasks, measured. */
#ifndef ORCHESTRATOR_GIT_MANAGER_H
#define ORCHESTRATOR_GIT_MANAGER_H

#include "llm_client.h"
#include "repository.h"

/* What is known of the worktree of a task. */
struct worktree {
    char branch[REPOSITORY_NAME_MAX]; /* "": none */
    char path[REPOSITORY_PATH_MAX];
    int files_modified;
};

enum merge_result { MERGE_SUCCESS, MERGE_CONFLICT, MERGE_ERROR };

/* Creates the worktree of a new branch at commit `base`. Returns 0 or -1. */
int create_worktree(const struct repository *repository, const char *branch, const char *base,
                    struct worktree *worktree);

/* Removes a worktree and its branch. */
void remove_worktree(const struct repository *repository, struct worktree *worktree);

/* Merges `branch`, the work of `worktree`, to main, one merge at a time over all workers. A language model tries to
 * resolve conflicts; MERGE_CONFLICT when it could not. */
enum merge_result merge_to_main(const struct repository *repository, const struct worktree *worktree,
                                const char *branch, struct llm_client *client);

#endif
