/* SPDX-License-Identifier: Apache-2.0
 *
 * The scratch git repository: a main worktree, where branches are merged one at a time, and a worktree for each task.
 *
 *     root/repository      the main worktree, on branch main
 *     root/worktrees/NAME  the worktree of branch NAME; NAME begins with its worker's prefix, such as w3-
 *     root/merge.lock      held (flock) by whoever works in the main worktree or deletes branches
 *     root/worktrees.lock  held by whoever adds or removes a worktree: git cannot do two of that at once
 *
 * No metrics in here: git_manager.c has them. Functions return 0, or -1 after git or a system call failed. */
#ifndef ORCHESTRATOR_REPOSITORY_H
#define ORCHESTRATOR_REPOSITORY_H

#include <stdbool.h>
#include <stddef.h>

#define REPOSITORY_FILES    8    /* that tasks edit */
#define REPOSITORY_HISTORY  4    /* commits on main at the start, at least */
#define REPOSITORY_TEXT_MAX 8192 /* bytes of a file */
#define REPOSITORY_NAME_MAX 64
#define REPOSITORY_PATH_MAX 512

struct repository {
    char root[256];
    char main[256 + 16];
};

/* Makes one in a new directory below $TMPDIR or /tmp; says on stderr what failed. */
int repository_create(struct repository *repository);
void repository_remove(const struct repository *repository);

/* The merge lock. Returns a descriptor, to be given to repository_unlock(), or -1 when it could not be had in time.
 * The kernel releases it when the holder and the last git command that it started have ended, whatever ended them; if
 * the last holder died while it held the lock, the main worktree is repaired first. */
int repository_lock(const struct repository *repository);
void repository_unlock(int lock);

/* Worktrees. `base` is a commit, such as main~2. */
void repository_worktree_path(const struct repository *repository, const char *name, char path[REPOSITORY_PATH_MAX]);
int repository_worktree_add(const struct repository *repository, const char *name, const char *base);
int repository_worktree_remove(const struct repository *repository, const char *name);
int repository_worktree_commit(const struct repository *repository, const char *name, const char *message);

/* With the merge lock held. repository_merge returns 0 after a merge, 1 after conflicts, else -1; conflicts are ended
 * by one of the next two. */
int repository_checkout_main(const struct repository *repository);
int repository_merge(const struct repository *repository, const char *branch, const char *message);
int repository_merge_commit(const struct repository *repository);
int repository_merge_abort(const struct repository *repository);
int repository_branch_delete(const struct repository *repository, const char *name);

/* Files in conflict: their names, each ended by \n, in `names`. Returns their number. */
unsigned repository_conflicts(const struct repository *repository, char *names, size_t size);

/* Removes worktrees, branches and git's lock files that a dead worker or a failed command left, all of which begin with
 * the worker's prefix. */
void repository_clear(const struct repository *repository, const char *prefix);

/* Packs what history has grown. Nobody else may be using the repository. */
void repository_pack(const struct repository *repository);

/* Files in a worktree. */
void repository_file_name(unsigned number, char name[REPOSITORY_NAME_MAX]);
int repository_read(const char *directory, const char *name, char text[REPOSITORY_TEXT_MAX]);
int repository_write(const char *directory, const char *name, const char *text);

#endif
