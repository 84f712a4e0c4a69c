/* SPDX-License-Identifier: Apache-2.0
 *
 * shm-dump: a segment for people and programs. It only reads, takes no lock and disturbs nobody. */
#define _GNU_SOURCE
#include "common.h"
#include "dump.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libshm.h>
#include <libshm/reader.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "Usage: shm-dump [OPTION]... NAME|PATH\n"
    "Shows what is in a segment of libshm: families, series, values, processes, fill.\n"
    "A NAME is looked for in the directory of segments; an argument with a '/' is a path.\n"
    "\n"
    "  --format=FORMAT  text (default), prometheus (text exposition 0.0.4) or json\n"
    "  --cells          also each cell behind a value, lane by lane (text and json)\n"
    "  --dir=DIR        directory of segments (default: $LIBSHM_DIR, /run/libshm,\n"
    "                   $XDG_RUNTIME_DIR/libshm or /dev/shm/libshm-UID)\n"
    "  --help           this text\n"
    "  --version        the version\n"
    "\n"
    "Exit status: 0 fine; 1 damaged, of another version, or not a segment; 2 usage, or cannot be opened.\n";

enum format { FORMAT_TEXT, FORMAT_PROMETHEUS, FORMAT_JSON };

struct job {
    const char *path;
    int fd;
    enum format format;
    int show_cells;
    int code;     /* exit code */
    char *output; /* all of it, printed once nothing can go wrong any more */
    size_t output_size;
};

/* Exit code of a reader's error. */
static int code_of(int error)
{
    return error == LIBSHM_E_NOT_SEGMENT || error == LIBSHM_E_VERSION || error == LIBSHM_E_DAMAGED ? EXIT_DAMAGED
                                                                                                   : EXIT_TROUBLE;
}

static int explain(int error)
{
    complain("%s: %s", libshm_strerror(error), libshm_error_detail()); /* which names the file */
    return code_of(error);
}

static int print(const struct dump *dump, enum format format, FILE *out)
{
    switch (format) {
    case FORMAT_PROMETHEUS:
        dump_prometheus(dump, out);
        return 0;
    case FORMAT_JSON:
        return dump_json(dump, out);
    default:
        dump_text(dump, out);
        return 0;
    }
}

/* What is shown may be sound although the file ends too early. The size is asked for after file_end was read: a file
 * that grows is never shorter than that. */
static void cut_off(struct job *job, uint64_t file_end)
{
    struct stat status;
    if (fstat(job->fd, &status) != 0 || (uint64_t)status.st_size >= file_end)
        return;
    complain("%s: damaged: cut off after %lld bytes, and file_end says %llu", job->path, (long long)status.st_size,
             (unsigned long long)file_end);
    job->code = EXIT_DAMAGED;
}

/* Runs guarded: the snapshot may point into the mapped file. */
static void run(void *context)
{
    struct job *job = context;
    struct dump dump = {.path = job->path, .show_cells = job->show_cells};
    libshm_reader *reader;
    int own = fcntl(job->fd, F_DUPFD_CLOEXEC, 0);
    int error = libshm_reader_open_fd(own, job->path, &reader);
    if (error == 0 && (error = libshm_reader_snapshot(reader, &dump.snapshot)) != 0) {
        job->code = explain(error);
        libshm_reader_close(reader);
        return;
    }
    if (error != 0) {
        job->code = explain(error);
        return;
    }
    error = image_copy(job->fd, &dump.image);
    dump.header = error == 0 ? image_header(&dump.image) : NULL;
    if (!dump.header) {
        complain("%s: cannot copy it: %s", job->path,
                 error == 0 || error == -ENODATA ? "it was truncated while it was read" : strerror(-error));
        job->code = error == 0 || error == -ENODATA ? EXIT_DAMAGED : EXIT_TROUBLE;
    } else {
        FILE *out = open_memstream(&job->output, &job->output_size);
        if (!out || dump_facts(&dump, job->fd) != 0 || print(&dump, job->format, out) != 0 || fclose(out) != 0) {
            complain("out of memory");
            job->code = EXIT_TROUBLE;
        } else if (dump.snapshot->skipped_families || dump.snapshot->skipped_series) {
            complain("%s: damaged: %llu families and %llu series were skipped; the first: %s", job->path,
                     (unsigned long long)dump.snapshot->skipped_families,
                     (unsigned long long)dump.snapshot->skipped_series, dump.snapshot->first_problem);
            job->code = EXIT_DAMAGED;
        }
        free(dump.attaches);
        cut_off(job, dump.header->file_end);
    }
    image_free(&dump.image);
    libshm_reader_close(reader);
}

static int parse_format(const char *text, enum format *format)
{
    static const char *const names[] = {"text", "prometheus", "json"};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) == 0) {
            *format = (enum format)i;
            return 0;
        }
    }
    complain("--format=%s: unknown; text, prometheus or json was expected", text);
    return -1;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"format", required_argument, NULL, 'f'}, {"cells", no_argument, NULL, 'c'},
                                            {"dir", required_argument, NULL, 'd'},    {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'v'},      {NULL, 0, NULL, 0}};
    struct job job = {.code = EXIT_SOUND};
    const char *directory = NULL;
    char path[4096];
    int option;
    tool_name = "shm-dump";
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'f':
            if (parse_format(optarg, &job.format) != 0)
                return EXIT_TROUBLE;
            break;
        case 'c':
            job.show_cells = 1;
            break;
        case 'd':
            directory = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return finish_output(EXIT_SOUND);
        case 'v':
            puts("shm-dump " LIBSHM_VERSION);
            return finish_output(EXIT_SOUND);
        default:
            fputs("Try 'shm-dump --help'.\n", stderr);
            return EXIT_TROUBLE;
        }
    }
    if (argc - optind != 1) {
        complain(argc == optind ? "the name of a segment is missing" : "one segment at a time, please");
        fputs("Try 'shm-dump --help'.\n", stderr);
        return EXIT_TROUBLE;
    }
    if (segment_path(argv[optind], directory, path, sizeof path) != 0)
        return EXIT_TROUBLE;
    job.path = path;
    job.fd = segment_open(path);
    if (job.fd < 0)
        return -job.fd;
    if (guarded(run, &job) != 0) {
        complain("%s: damaged: it was truncated while it was read", path);
        return EXIT_DAMAGED;
    }
    close(job.fd);
    if (job.output)
        fwrite(job.output, 1, job.output_size, stdout);
    free(job.output);
    return finish_output(job.code);
}
