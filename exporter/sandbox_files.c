/* SPDX-License-Identifier: Apache-2.0
 *
 * Landlock, see sandbox_files.h. libc has no functions for it. */
#define _GNU_SOURCE
#include "sandbox_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of kernels younger than the headers may be. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (UINT64_C(1) << 14) /* from the third version on */
#endif

struct file_rules {
    int fd;
};

static uint64_t known_rights(long version)
{
    uint64_t rights = LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1; /* the first version's, which are the lowest bits */
    if (version >= 2)
        rights |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3)
        rights |= LANDLOCK_ACCESS_FS_TRUNCATE;
    return rights;
}

struct file_rules *file_rules_new(void)
{
    const long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    struct file_rules *rules = version > 0 ? malloc(sizeof *rules) : NULL;
    if (!rules)
        return NULL;
    const struct landlock_ruleset_attr all = {.handled_access_fs = known_rights(version)};
    rules->fd = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all.handled_access_fs, 0);
    if (rules->fd < 0) {
        free(rules);
        return NULL;
    }
    return rules;
}

static bool allow(struct file_rules *rules, const char *path, uint64_t rights)
{
    char place[PATH_MAX];
    if (strlen(path) >= sizeof place)
        return false;
    strcpy(place, *path ? path : ".");
    int fd;
    while ((fd = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0 && errno == ENOENT) {
        char *slash = strrchr(place, '/');
        if (!slash) {
            strcpy(place, ".");
        } else if (slash == place) {
            strcpy(place, "/");
        } else {
            *slash = '\0';
        }
    }
    if (fd < 0)
        return errno == EACCES; /* not to be reached in any case */
    const struct landlock_path_beneath_attr beneath = {.allowed_access = rights, .parent_fd = fd};
    const bool well = syscall(SYS_landlock_add_rule, rules->fd, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0;
    close(fd);
    return well;
}

static bool allow_beside(struct file_rules *rules, const char *path, uint64_t rights)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const size_t length = slash ? (size_t)(slash - path) + (slash == path) : 0;
    if (length >= sizeof directory)
        return false;
    memcpy(directory, path, length);
    directory[length] = '\0';
    return allow(rules, directory, rights);
}

bool file_rules_read(struct file_rules *rules, const char *path)
{
    return allow(rules, path, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR);
}

bool file_rules_read_beside(struct file_rules *rules, const char *path)
{
    return allow_beside(rules, path, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR);
}

bool file_rules_remove_beside(struct file_rules *rules, const char *path)
{
    return allow_beside(rules, path, LANDLOCK_ACCESS_FS_REMOVE_FILE);
}

bool file_rules_enforce(struct file_rules *rules)
{
    const bool well = syscall(SYS_landlock_restrict_self, rules->fd, 0) == 0;
    close(rules->fd);
    free(rules);
    return well;
}
