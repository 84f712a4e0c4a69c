/* SPDX-License-Identifier: Apache-2.0
 *
 * Landlock: which files the process may still reach. */
#ifndef EXPORTER_SANDBOX_FILES_H
#define EXPORTER_SANDBOX_FILES_H

#include <stdbool.h>

struct file_rules; /* what stays allowed; everything else does not */
/* NULL: the kernel has no Landlock, or there is no memory. */
struct file_rules *file_rules_new(void);
/* Reading what is in the directory `path`; while it does not exist, in the nearest one above it that does. */
bool file_rules_read(struct file_rules *rules, const char *path);
/* The same for the directory of a file. */
bool file_rules_read_beside(struct file_rules *rules, const char *path);
/* Removing files from the directory of a file. */
bool file_rules_remove_beside(struct file_rules *rules, const char *path);
/* For this thread and those that it starts. Needs "no new privileges". Frees the rules. */
bool file_rules_enforce(struct file_rules *rules);

#endif
