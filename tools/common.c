/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages of the tools, and how an argument becomes an open file. */
#define _GNU_SOURCE
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <libshm.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *tool_name = "libshm";

void complain(const char *format, ...)
{
    char *message;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&message, format, arguments);
    va_end(arguments);
    if (length < 0) {
        fprintf(stderr, "%s: out of memory\n", tool_name);
        return;
    }
    fprintf(stderr, "%s: ", tool_name);
    print_escaped(stderr, message, (size_t)length, 0);
    fputc('\n', stderr);
    free(message);
}

int finish_output(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    complain("cannot write to standard output: %s", strerror(errno));
    return EXIT_TROUBLE;
}

int segment_path(const char *argument, const char *directory, char *path, size_t size)
{
    char place[4096], warning[512] = "";
    int length;
    if (!*argument) {
        complain("the name is empty; a segment's name or path was expected");
        return -1;
    }
    if (strchr(argument, '/')) {
        length = snprintf(path, size, "%s", argument);
    } else {
        if (!directory) {
            if (libshm_directory(place, sizeof place, warning, sizeof warning) != 0) {
                complain("cannot tell the directory of segments: %s", libshm_error_detail());
                return -1;
            }
            directory = place;
        }
        length = snprintf(path, size, "%s/%s", directory, argument);
    }
    if (length < 0 || (size_t)length >= size) {
        complain("the path of '%.64s...' is too long", argument);
        return -1;
    }
    return 0;
}

static const char *kind_of_file(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a FIFO";
    case S_IFSOCK:
        return "a socket";
    case S_IFCHR:
    case S_IFBLK:
        return "a device";
    case S_IFLNK:
        return "a symbolic link, which is not followed";
    default:
        return "not a regular file";
    }
}

int segment_open(const char *path)
{
    struct stat status;
    /* Looked at before it is opened as well as after: opening a device or a socket can have effects or fails oddly. */
    if (lstat(path, &status) != 0) {
        complain("cannot open %s: %s", path, strerror(errno));
        return -EXIT_TROUBLE;
    }
    if (S_ISREG(status.st_mode)) {
        int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &status) != 0) {
            complain("cannot open %s: %s", path, strerror(errno));
            if (fd >= 0)
                close(fd);
            return -EXIT_TROUBLE;
        }
        if (S_ISREG(status.st_mode))
            return fd;
        close(fd);
    }
    complain("%s: not a segment: it is %s, and a segment is a regular file", path, kind_of_file(status.st_mode));
    return -EXIT_DAMAGED;
}
