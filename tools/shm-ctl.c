/* SPDX-License-Identifier: Apache-2.0
 *
 * shm-ctl: what is done to a whole segment from outside, while workers run: begin a new incarnation, remove the file.
 */
#define _GNU_SOURCE
#include "common.h"

#include <getopt.h>
#include <libshm.h>
#include <libshm/reader.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "Usage: shm-ctl [OPTION]... reset|unlink NAME|PATH\n"
    "  reset       begins a new incarnation of the segment: counters, histograms and summaries go on\n"
    "              from zero, gauges stay; workers go on undisturbed\n"
    "  unlink      removes the segment's file; refused while processes are attached\n"
    "\n"
    "  --force     unlink also while processes are attached: they go on without a name\n"
    "  --dir=DIR   directory of segments (default: $LIBSHM_DIR, /run/libshm,\n"
    "              $XDG_RUNTIME_DIR/libshm or /dev/shm/libshm-UID)\n"
    "  --help      this text\n"
    "  --version   the version\n"
    "\n"
    "Exit status: 0 done; 1 refused or failed; 2 usage.\n";

enum { EXIT_FAILED = 1 };

static int explain(const char *what, const char *path)
{
    complain("cannot %s %s: %s", what, path, libshm_error_detail());
    return EXIT_FAILED;
}

/* Opening for writing makes a segment that is not there, and a reset must not: so it is looked at first. */
static int reset(const char *path, const char *directory, const char *name)
{
    libshm_open_options options = {.size = sizeof options, .directory = directory};
    libshm_segment *segment;
    libshm_reader *reader;
    int error = libshm_reader_open(path, &reader);
    if (error == 0) {
        libshm_reader_close(reader);
        error = libshm_open(name, &options, &segment);
    }
    if (error == 0) {
        error = libshm_reset(segment);
        int code = error ? explain("reset", path) : EXIT_SOUND;
        libshm_close(segment);
        return code;
    }
    return explain("reset", path);
}

struct job {
    const char *path, *directory, *name;
    int code;
};

static void guarded_reset(void *context)
{
    struct job *job = context;
    job->code = reset(job->path, job->directory, job->name);
}

static int misuse(const char *message)
{
    complain("%s", message);
    fputs("Try 'shm-ctl --help'.\n", stderr);
    return EXIT_TROUBLE;
}

/* Runs the command on the segment at `path`, which is split into directory and name: the library takes these. */
static int run(const char *command, char *path, int force)
{
    char *slash = strrchr(path, '/'), *directory = strndup(path, (size_t)(slash - path) + (slash == path));
    struct job job = {path, directory, slash + 1, EXIT_FAILED};
    if (!directory) {
        complain("out of memory");
        return EXIT_FAILED;
    }
    if (strcmp(command, "unlink") == 0) {
        int error = libshm_unlink(directory, job.name, force);
        job.code = error ? explain("unlink", path) : EXIT_SOUND;
    } else if (guarded(guarded_reset, &job) != 0) {
        complain("cannot reset %s: it was truncated meanwhile", path);
    }
    free(directory);
    return job.code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"force", no_argument, NULL, 'f'},
                                            {"dir", required_argument, NULL, 'd'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'v'},
                                            {NULL, 0, NULL, 0}};
    const char *directory = NULL;
    char path[4096];
    int option, force = 0;
    tool_name = "shm-ctl";
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'f':
            force = 1;
            break;
        case 'd':
            directory = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return finish_output(EXIT_SOUND);
        case 'v':
            puts("shm-ctl " LIBSHM_VERSION);
            return finish_output(EXIT_SOUND);
        default:
            fputs("Try 'shm-ctl --help'.\n", stderr);
            return EXIT_TROUBLE;
        }
    }
    if (argc - optind != 2)
        return misuse("a command and the name of a segment were expected");
    const char *command = argv[optind];
    if (strcmp(command, "reset") != 0 && strcmp(command, "unlink") != 0)
        return misuse("the command is reset or unlink");
    if (force && strcmp(command, "unlink") != 0)
        return misuse("--force is for unlink only");
    if (segment_path(argv[optind + 1], directory, path, sizeof path) != 0)
        return EXIT_TROUBLE;
    return run(command, path, force);
}
