/* SPDX-License-Identifier: Apache-2.0
 *
 * git as a child process. */
#define _GNU_SOURCE
#include "git.h"
#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 24

/* Nothing of the user's configuration, and nobody to ask. */
static char *const environment[] = {
    "PATH=/usr/local/bin:/usr/bin:/bin",
    "LC_ALL=C",
    "GIT_CONFIG_NOSYSTEM=1",
    "GIT_CONFIG_GLOBAL=/dev/null",
    "GIT_TERMINAL_PROMPT=0",
    "GIT_EDITOR=true",
    "GIT_AUTHOR_NAME=Orchestrator",
    "GIT_AUTHOR_EMAIL=orchestrator@localhost",
    "GIT_COMMITTER_NAME=Orchestrator",
    "GIT_COMMITTER_EMAIL=orchestrator@localhost",
    NULL,
};

/* posix_spawn uses vfork: no copy of this process, and no fork hooks of libshm, for a child that only calls exec. */
static int start(pid_t *pid, char *const *arguments, int output_fd)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);

    int error = posix_spawn_file_actions_init(&actions);
    if (error)
        return error;
    error = posix_spawnattr_init(&attributes);
    if (error) {
        posix_spawn_file_actions_destroy(&actions);
        return error;
    }
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!error)
        error = output_fd >= 0 ? posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO)
                               : posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (!error)
        error = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (!error)
        error = posix_spawnp(pid, "git", &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Until the child has ended, reading what it prints (fd >= 0). Returns 0 or ETIMEDOUT or another error. */
static int await_end(pid_t pid, int fd, char *output, size_t size)
{
    int64_t deadline = now_ms() + GIT_SECONDS_MAX * 1000;
    int end = pidfd_open(pid, 0), error = end < 0 ? errno : 0;
    struct pollfd polled[2] = {{.fd = end, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    size_t length = 0;

    while (!error && (polled[0].fd >= 0 || polled[1].fd >= 0)) {
        int64_t left = deadline - now_ms();
        if (left <= 0)
            error = ETIMEDOUT;
        else if (poll(polled, 2, (int)left) < 0 && errno != EINTR)
            error = errno;
        else if (polled[1].fd >= 0 && polled[1].revents) {
            char rest[512];
            size_t room = size - 1 - length;
            ssize_t n = room ? read(fd, output + length, room) : read(fd, rest, sizeof(rest));
            if (n > 0)
                length += room ? (size_t)n : 0;
            else if (n == 0 || errno != EINTR)
                polled[1].fd = -1; /* all of it */
        } else if (polled[0].fd >= 0 && polled[0].revents)
            polled[0].fd = -1;
    }
    if (end >= 0)
        close(end);
    if (output)
        output[length] = '\0';
    return error;
}

static int run(char *output, size_t size, const char *directory, va_list list)
{
    char *arguments[ARGUMENTS_MAX + 1] = {"git", "-C", (char *)(uintptr_t)directory};
    size_t n = 3;
    while ((arguments[n] = va_arg(list, char *)) != NULL) {
        if (++n > ARGUMENTS_MAX) {
            errno = E2BIG;
            return -1;
        }
    }

    int ends[2] = {-1, -1}, status = 0;
    if (output && pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    pid_t pid;
    int error = start(&pid, arguments, ends[1]);
    if (ends[1] >= 0)
        close(ends[1]);
    if (!error) {
        error = await_end(pid, ends[0], output, size);
        if (error)
            kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (!error && !WIFEXITED(status))
            error = EINTR;
    }
    if (ends[0] >= 0)
        close(ends[0]);
    errno = error;
    return error ? -1 : WEXITSTATUS(status);
}

int git(const char *directory, ...)
{
    va_list list;
    va_start(list, directory);
    int status = run(NULL, 0, directory, list);
    va_end(list);
    return status;
}

int git_output(char *output, size_t size, const char *directory, ...)
{
    va_list list;
    va_start(list, directory);
    int status = run(output, size, directory, list);
    va_end(list);
    return status;
}
