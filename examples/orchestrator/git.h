/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs git commands: as processes, in an environment of their own, and never longer than a time limit. */
#ifndef ORCHESTRATOR_GIT_H
#define ORCHESTRATOR_GIT_H

#include <stddef.h>

#define GIT_SECONDS_MAX 30

/* Runs `git -C directory arguments... NULL`. Returns its exit status; -1, with errno, when it could not be run, did not
 * end in time (ETIMEDOUT) or was ended by a signal (EINTR). Descriptors without O_CLOEXEC are passed on. */
__attribute__((sentinel)) int git(const char *directory, ...);

/* The same, with the first size - 1 bytes of what it printed in `output`, ended by a NUL. */
__attribute__((sentinel)) int git_output(char *output, size_t size, const char *directory, ...);

#endif
