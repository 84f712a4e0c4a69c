/* SPDX-License-Identifier: Apache-2.0
 *
 * The scratch git repository. */
#define _GNU_SOURCE
#include "repository.h"
#include "clock.h"
#include "git.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_SECONDS_MAX 60
#define LINES            16 /* of a file */

/* ---- files ---------------------------------------------------------------------------------------------------- */
static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    remove(path); /* what cannot be removed shows in its directory, which then cannot be removed either */
    return 0;
}

static void remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Removes what begins with `prefix` and ends with `suffix` in a directory. */
static void remove_matching(const char *directory, const char *prefix, const char *suffix)
{
    DIR *stream = opendir(directory);
    if (!stream)
        return; /* git makes some directories only when it needs them */
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        size_t length = strlen(entry->d_name), end = strlen(suffix);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || length < end)
            continue;
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && strcmp(entry->d_name + length - end, suffix) == 0) {
            char path[PATH_MAX];
            snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
            remove_tree(path);
        }
    }
    closedir(stream);
}

void repository_file_name(unsigned number, char name[REPOSITORY_NAME_MAX])
{
    snprintf(name, REPOSITORY_NAME_MAX, "module_%02u.txt", number);
}

int repository_read(const char *directory, const char *name, char text[REPOSITORY_TEXT_MAX])
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    size_t length = fread(text, 1, REPOSITORY_TEXT_MAX, file);
    bool whole = length < REPOSITORY_TEXT_MAX && !ferror(file);
    fclose(file);
    text[whole ? length : 0] = '\0';
    return whole ? 0 : -1;
}

int repository_write(const char *directory, const char *name, const char *text)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "we");
    if (!file)
        return -1;
    fputs(text, file);
    bool failed = ferror(file);
    return fclose(file) != 0 || failed ? -1 : 0;
}

/* ---- making it ------------------------------------------------------------------------------------------------ */
static int write_modules(const char *directory)
{
    for (unsigned i = 0; i < REPOSITORY_FILES; i++) {
        char name[REPOSITORY_NAME_MAX], text[LINES * 48] = "", *at = text;
        for (unsigned line = 1; line <= LINES; line++)
            at += snprintf(at, 48, "module %02u line %02u: as it was made\n", i, line);
        repository_file_name(i, name);
        if (repository_write(directory, name, text) != 0)
            return -1;
    }
    return 0;
}

/* Durability is for repositories that are kept; gc would run when nobody expects it. */
static int configure(const char *directory)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/.git/config", directory);
    FILE *file = fopen(path, "ae");
    if (!file)
        return -1;
    fputs("[core]\n\tfsync = none\n\tlogAllRefUpdates = false\n\thooksPath = /dev/null\n"
          "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[merge]\n\tconflictStyle = merge\n",
          file);
    return fclose(file);
}

static int fill(const struct repository *repository)
{
    char worktrees[REPOSITORY_PATH_MAX], text[32];
    snprintf(worktrees, sizeof(worktrees), "%s/worktrees", repository->root);
    if (git(repository->root, "version", NULL) < 0) {
        warn("cannot run git");
        return -1;
    }
    if (mkdir(repository->main, 0700) != 0 || mkdir(worktrees, 0700) != 0)
        return -1;
    if (git(repository->main, "init", "--quiet", "--template=", "--initial-branch=main", NULL) != 0)
        return -1;
    if (configure(repository->main) != 0 || write_modules(repository->main) != 0)
        return -1;
    for (int commit = 1; commit <= REPOSITORY_HISTORY; commit++) {
        snprintf(text, sizeof(text), "revision %d\n", commit);
        if (repository_write(repository->main, "REVISION", text) != 0 ||
            git(repository->main, "add", "--all", NULL) != 0 ||
            git(repository->main, "commit", "--quiet", "--message", text, NULL) != 0)
            return -1;
    }
    return 0;
}

int repository_create(struct repository *repository)
{
    const char *parent = getenv("TMPDIR");
    int length = snprintf(repository->root, sizeof(repository->root), "%s/orchestrator-XXXXXX",
                          parent && *parent == '/' ? parent : "/tmp");
    if (length >= (int)sizeof(repository->root)) {
        warnx("$TMPDIR is too long: at most %zu bytes", sizeof(repository->root) - 21);
        return -1;
    }
    if (!mkdtemp(repository->root)) {
        warn("%s", repository->root);
        return -1;
    }
    snprintf(repository->main, sizeof(repository->main), "%s/repository", repository->root);
    if (fill(repository) == 0)
        return 0;
    warnx("cannot make a git repository in %s", repository->root);
    repository_remove(repository);
    return -1;
}

void repository_remove(const struct repository *repository)
{
    remove_tree(repository->root);
}

/* ---- locks -----------------------------------------------------------------------------------------------------
 * The first byte of the file is + while the lock is held: who gets the lock and finds a + follows a holder that died.
 */
static void repair(const struct repository *repository)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/.git", repository->main);
    remove_matching(path, "", ".lock");
    snprintf(path, sizeof(path), "%s/.git/refs/heads/main.lock", repository->main);
    unlink(path);
    git(repository->main, "reset", "--quiet", "--hard", "main", NULL); /* ends a half-done merge as well */
    git(repository->main, "clean", "-ffdxq", NULL);
}

/* Without O_CLOEXEC: git commands inherit the lock, so that one which outlives a killed worker still keeps others out.
 */
static int take_lock(const struct repository *repository, const char *name)
{
    char path[REPOSITORY_PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", repository->root, name);
    int lock = open(path, O_RDWR | O_CREAT, 0600);
    if (lock < 0)
        return -1;
    for (int waited_ms = 0; flock(lock, LOCK_EX | LOCK_NB) != 0; waited_ms += 2) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || waited_ms > LOCK_SECONDS_MAX * 1000) {
            close(lock);
            return -1;
        }
        sleep_ms(2);
    }
    return lock;
}

int repository_lock(const struct repository *repository)
{
    char held = 0;
    int lock = take_lock(repository, "merge.lock");
    if (lock < 0)
        return -1;
    bool died = pread(lock, &held, 1, 0) == 1 && held == '+';
    if (pwrite(lock, "+", 1, 0) != 1) {
        close(lock);
        return -1;
    }
    if (died)
        repair(repository);
    return lock;
}

void repository_unlock(int lock)
{
    if (pwrite(lock, "-", 1, 0) != 1)
        warn("merge.lock"); /* the next holder makes a repair that is not needed */
    close(lock);
}

/* ---- worktrees ------------------------------------------------------------------------------------------------ */
void repository_worktree_path(const struct repository *repository, const char *name, char path[REPOSITORY_PATH_MAX])
{
    snprintf(path, REPOSITORY_PATH_MAX, "%s/worktrees/%s", repository->root, name);
}

int repository_worktree_add(const struct repository *repository, const char *name, const char *base)
{
    char path[REPOSITORY_PATH_MAX];
    int lock = take_lock(repository, "worktrees.lock");
    if (lock < 0)
        return -1;
    repository_worktree_path(repository, name, path);
    int status = git(repository->main, "worktree", "add", "--quiet", "--force", "-b", name, path, base, NULL);
    close(lock);
    return status == 0 ? 0 : -1;
}

int repository_worktree_remove(const struct repository *repository, const char *name)
{
    char path[REPOSITORY_PATH_MAX];
    int lock = take_lock(repository, "worktrees.lock");
    if (lock < 0)
        return -1;
    repository_worktree_path(repository, name, path);
    int status = git(repository->main, "worktree", "remove", "--force", path, NULL);
    close(lock);
    return status == 0 ? 0 : -1;
}

int repository_worktree_commit(const struct repository *repository, const char *name, const char *message)
{
    char path[REPOSITORY_PATH_MAX];
    repository_worktree_path(repository, name, path);
    return git(path, "commit", "--quiet", "--all", "--message", message, NULL) == 0 ? 0 : -1;
}

static void clear_worktrees(const struct repository *repository, const char *prefix)
{
    char path[PATH_MAX];
    int lock = take_lock(repository, "worktrees.lock");
    if (lock < 0)
        return;
    snprintf(path, sizeof(path), "%s/worktrees", repository->root);
    remove_matching(path, prefix, "");
    snprintf(path, sizeof(path), "%s/.git/worktrees", repository->main);
    remove_matching(path, prefix, "");
    close(lock);
}

static void clear_branches(const struct repository *repository, const char *prefix)
{
    char path[PATH_MAX], pattern[REPOSITORY_NAME_MAX + 16], refs[4096];
    int lock = repository_lock(repository);
    if (lock < 0)
        return;
    snprintf(path, sizeof(path), "%s/.git/refs/heads", repository->main);
    remove_matching(path, prefix, ".lock");
    snprintf(pattern, sizeof(pattern), "refs/heads/%s*", prefix);
    if (git_output(refs, sizeof(refs), repository->main, "for-each-ref", "--format=%(refname:short)", pattern, NULL) ==
        0) {
        for (char *rest = refs, *name; (name = strsep(&rest, "\n")) != NULL;) {
            if (*name)
                repository_branch_delete(repository, name);
        }
    }
    repository_unlock(lock);
}

void repository_clear(const struct repository *repository, const char *prefix)
{
    clear_worktrees(repository, prefix);
    clear_branches(repository, prefix);
}

/* ---- the main worktree ---------------------------------------------------------------------------------------- */
int repository_checkout_main(const struct repository *repository)
{
    return git(repository->main, "checkout", "--quiet", "main", NULL) == 0 ? 0 : -1;
}

int repository_merge(const struct repository *repository, const char *branch, const char *message)
{
    char names[REPOSITORY_TEXT_MAX];
    if (git(repository->main, "merge", "--quiet", "--no-ff", "--message", message, branch, NULL) == 0)
        return 0;
    return repository_conflicts(repository, names, sizeof(names)) > 0 ? 1 : -1;
}

unsigned repository_conflicts(const struct repository *repository, char *names, size_t size)
{
    unsigned n = 0;
    if (git_output(names, size, repository->main, "diff", "--name-only", "--diff-filter=U", NULL) != 0)
        *names = '\0';
    for (const char *at = names; (at = strchr(at, '\n')) != NULL; at++)
        n++;
    return n;
}

int repository_merge_commit(const struct repository *repository)
{
    return git(repository->main, "commit", "--quiet", "--all", "--no-edit", NULL) == 0 ? 0 : -1;
}

int repository_merge_abort(const struct repository *repository)
{
    return git(repository->main, "merge", "--abort", NULL) == 0 ? 0 : -1;
}

int repository_branch_delete(const struct repository *repository, const char *name)
{
    char ref[REPOSITORY_PATH_MAX];
    snprintf(ref, sizeof(ref), "refs/heads/%s", name); /* git branch -D would also lock the configuration */
    return git(repository->main, "update-ref", "-d", ref, NULL) == 0 ? 0 : -1;
}

void repository_pack(const struct repository *repository)
{
    int lock = repository_lock(repository);
    if (lock < 0)
        return;
    git(repository->main, "gc", "--quiet", "--prune=now", NULL);
    repository_unlock(lock);
}
