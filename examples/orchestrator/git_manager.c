/* SPDX-License-Identifier: Apache-2.0
 *
 * Worktrees and merges of tasks, measured. */
#define _GNU_SOURCE
#include "git_manager.h"
#include "catalogue.h"
#include "tallied.h"

#include <stdio.h>
#include <string.h>

int create_worktree(const struct repository *repository, const char *branch, const char *base,
                    struct worktree *worktree)
{
    int status;
    *worktree = (struct worktree){0};
    {
        TALLIED_TIME_SCOPE(&git_metrics.worktree_creation_duration);
        status = repository_worktree_add(repository, branch, base);
    }
    tallied_counter_add_with(git_metrics.worktree_operations_total,
                             LIBSHM_VALUES("create", status == 0 ? "success" : "error"), 1);
    if (status != 0)
        return -1;
    snprintf(worktree->branch, sizeof(worktree->branch), "%s", branch);
    repository_worktree_path(repository, branch, worktree->path);
    return 0;
}

void remove_worktree(const struct repository *repository, struct worktree *worktree)
{
    int status = repository_worktree_remove(repository, worktree->branch);
    tallied_counter_add_with(git_metrics.worktree_operations_total,
                             LIBSHM_VALUES("remove", status == 0 ? "success" : "error"), 1);
    int lock = repository_lock(repository);
    if (lock >= 0) {
        repository_branch_delete(repository, worktree->branch);
        repository_unlock(lock);
    }
    *worktree = (struct worktree){0};
}

/* One file in conflict: the model gets it with its markers. What it gives back is checked. */
static int resolve_file(const struct repository *repository, const char *name, struct llm_client *client)
{
    char text[REPOSITORY_TEXT_MAX];
    struct llm_response response;
    if (repository_read(repository->main, name, text) != 0 || ask_llm(client, LLM_RESOLVE, text, &response) != 0)
        return -1;
    if (!*response.completion || llm_has_conflict(response.completion))
        return -1;
    return repository_write(repository->main, name, response.completion);
}

static int llm_resolve_conflict(const struct repository *repository, char *names, struct llm_client *client)
{
    TALLIED_TIME_SCOPE(&git_metrics.conflict_resolution_duration);
    for (char *rest = names, *name; (name = strsep(&rest, "\n")) != NULL;) {
        if (*name && resolve_file(repository, name, client) != 0)
            return -1;
    }
    return repository_merge_commit(repository);
}

static int checkout_main(const struct repository *repository)
{
    TALLIED_TIME_SCOPE(&git_metrics.checkout_duration);
    return repository_checkout_main(repository);
}

static enum merge_result merge_locked(const struct repository *repository, const struct worktree *worktree,
                                      const char *branch, struct llm_client *client)
{
    TRACK_MERGE(metadata);
    if (!*worktree->branch || checkout_main(repository) != 0) {
        metadata.result = "error";
        return MERGE_ERROR;
    }

    char message[REPOSITORY_NAME_MAX + 16], conflicted[REPOSITORY_TEXT_MAX];
    snprintf(message, sizeof(message), "Merge %s", branch);
    int merged = repository_merge(repository, branch, message);
    if (merged < 0) {
        metadata.result = "error";
        return MERGE_ERROR;
    }
    if (merged == 0) {
        metadata.result = "success";
        metadata.files_modified = worktree->files_modified;
        return MERGE_SUCCESS;
    }

    metadata.result = "conflict";
    metadata.conflict_count = repository_conflicts(repository, conflicted, sizeof(conflicted));
    tallied_histogram_observe(&git_metrics.conflicts_per_merge, (double)metadata.conflict_count);
    if (llm_resolve_conflict(repository, conflicted, client) == 0) {
        metadata.result = "success";
        tallied_counter_add_with(git_metrics.conflict_resolution_total, LIBSHM_VALUES("llm", "success"), 1);
        return MERGE_SUCCESS;
    }
    tallied_counter_add_with(git_metrics.conflict_resolution_total, LIBSHM_VALUES("llm", "failure"), 1);
    repository_merge_abort(repository);
    return MERGE_CONFLICT;
}

enum merge_result merge_to_main(const struct repository *repository, const struct worktree *worktree,
                                const char *branch, struct llm_client *client)
{
    int lock = repository_lock(repository); /* waiting is not merging: outside of the tracker */
    if (lock < 0)
        return MERGE_ERROR;
    enum merge_result result = merge_locked(repository, worktree, branch, client);
    repository_unlock(lock);
    return result;
}
