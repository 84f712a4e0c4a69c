/* SPDX-License-Identifier: Apache-2.0
 *
 * shm-check: does a segment hold together?
 *
 * The bytes are copied and the copy is verified. While writers are at work, a copy can show a change half done. So a
 * copy counts only if nobody held the insert lock when it began and nobody has taken it until it was complete; and what
 * is found in it must be found in a second one, too. If writers never leave it alone for long enough, what remains
 * is what all copies show. */
#define _GNU_SOURCE
#include "check.h"
#include "common.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <libshm.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

static const char usage[] = "Usage: shm-check [OPTION]... NAME|PATH\n"
                            "Verifies a segment of libshm and prints each thing that does not hold together, with its\n"
                            "offset in the file. Writers may go on meanwhile.\n"
                            "A NAME is looked for in the directory of segments; an argument with a '/' is a path.\n"
                            "\n"
                            "  --dir=DIR   directory of segments (default: $LIBSHM_DIR, /run/libshm,\n"
                            "              $XDG_RUNTIME_DIR/libshm or /dev/shm/libshm-UID)\n"
                            "  --quiet     findings only, no summary\n"
                            "  --help      this text\n"
                            "  --version   the version\n"
                            "\n"
                            "Exit status: 0 sound; 1 findings; 2 usage, or cannot be read.\n";

enum { TRIES = 40, ENOUGH_COPIES = 3, PAUSE_NS = 10000000 };

/* What of the header says that writers were at work. */
struct moment {
    uint64_t progress, version, epoch;
    int locked;
};

static int same_moment(const struct moment *a, const struct moment *b)
{
    return !a->locked && !b->locked && a->progress == b->progress && a->version == b->version && a->epoch == b->epoch;
}

static struct moment look(int fd)
{
    struct moment moment = {0, 0, 0, 0};
    struct libshm_header header;
    /* read() and not the mapping: it cannot raise SIGBUS, and these words are not torn by it. */
    if (pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header) {
        moment.progress = header.lock_progress;
        moment.version = header.directory_version;
        moment.epoch = header.lock_epoch;
        moment.locked = lock_held(fd, LIBSHM_INSERT_LOCK + (header.lock_epoch & 0xffff)) != 0;
    }
    return moment;
}

/* Copies and verifies once. *stable: nothing was changed meanwhile. 0, or an exit code after a message. */
static int once(int fd, const char *path, struct check_report *report, int *stable)
{
    struct image image;
    struct moment before = look(fd);
    int error = image_copy(fd, &image);
    struct moment after = look(fd);
    if (error == -ENODATA) {
        complain("%s: it was truncated while it was read", path);
        return EXIT_DAMAGED;
    }
    if (error != 0) {
        complain("%s: cannot read it: %s", path, strerror(-error));
        return EXIT_TROUBLE;
    }
    *stable = same_moment(&before, &after);
    check_segment((unsigned char *)(uintptr_t)image.bytes, image.length, report);
    image_free(&image);
    if (report->out_of_memory) {
        complain("%s: out of memory", path);
        return EXIT_TROUBLE;
    }
    return 0;
}

/* Keeps of `report` what `other` has found as well. */
static void intersect(struct check_report *report, const struct check_report *other)
{
    size_t kept = 0;
    for (size_t i = 0; i < report->n_findings; i++) {
        size_t j = 0;
        while (j < other->n_findings && (other->findings[j].offset != report->findings[i].offset ||
                                         strcmp(other->findings[j].text, report->findings[i].text) != 0))
            j++;
        if (j < other->n_findings)
            report->findings[kept++] = report->findings[i];
    }
    if (kept < report->n_findings || other->total < report->total)
        report->total = kept > other->total ? other->total : kept;
    report->n_findings = kept;
}

/* Verifies until two quiet copies agree, or many have been looked at. 0, or an exit code after a message. */
static int verify(int fd, const char *path, struct check_report *report)
{
    int quiet = 0, copies = 0;
    for (int try = 0; try < TRIES; try++) {
        struct check_report now = {.total = 0};
        int stable = 0, code = once(fd, path, &now, &stable);
        if (code) {
            check_report_free(&now);
            return code;
        }
        if (copies++ == 0) {
            *report = now;
        } else {
            intersect(report, &now);
            check_report_free(&now);
        }
        quiet += stable;
        if (report->unreadable || report->n_findings == 0 || quiet >= 2 || (stable && copies >= ENOUGH_COPIES))
            return 0;
        if (!stable)
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
    return 0;
}

/* On a tmpfs, pages that were never allocated raise SIGBUS in a writer when memory is short. */
static void check_file(int fd, struct check_report *report)
{
    struct stat status;
    struct statfs system;
    struct check check = {.report = report};
    if (fstat(fd, &status) == 0 && fstatfs(fd, &system) == 0 && system.f_type == TMPFS_MAGIC && status.st_size > 0 &&
        status.st_blocks * INT64_C(512) < status.st_size)
        finding(&check, 0, "the file has holes: %" PRId64 " bytes, of which %" PRId64 " are allocated",
                (int64_t)status.st_size, (int64_t)status.st_blocks * 512);
}

static void print(const char *path, const struct check_report *report, int quiet)
{
    for (size_t i = 0; i < report->n_findings; i++) {
        print_escaped(stdout, path, strlen(path), 0);
        printf(": offset %" PRIu64 " (%#" PRIx64 "): ", report->findings[i].offset, report->findings[i].offset);
        print_escaped(stdout, report->findings[i].text, strlen(report->findings[i].text), 0);
        putchar('\n');
    }
    if (quiet)
        return;
    print_escaped(stdout, path, strlen(path), 0);
    if (report->total > report->n_findings)
        printf(": %zu findings, of which the first %zu were printed\n", report->total, report->n_findings);
    else if (report->total)
        printf(": %zu finding%s\n", report->total, report->total == 1 ? "" : "s");
    else
        printf(": sound; %" PRIu32 " families, %" PRIu32 " series (%" PRIu32 " removed, %" PRIu32 " free), %" PRIu64
               " pages, %" PRIu64 " of them not referenced\n",
               report->families, report->series, report->removed, report->free_series, report->pages,
               report->pages_unreferenced);
    if (report->undone)
        printf("  a writer ended in the middle of a change: %" PRIu32
               " words are put back by the next one, and were for this check\n",
               report->undone);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'v'},
                                            {NULL, 0, NULL, 0}};
    struct check_report report = {.total = 0};
    const char *directory = NULL;
    char path[4096];
    int option, quiet = 0;
    tool_name = "shm-check";
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'd':
            directory = optarg;
            break;
        case 'q':
            quiet = 1;
            break;
        case 'h':
            fputs(usage, stdout);
            return finish_output(EXIT_SOUND);
        case 'v':
            puts("shm-check " LIBSHM_VERSION);
            return finish_output(EXIT_SOUND);
        default:
            fputs("Try 'shm-check --help'.\n", stderr);
            return EXIT_TROUBLE;
        }
    }
    if (argc - optind != 1) {
        complain(argc == optind ? "the name of a segment is missing" : "one segment at a time, please");
        fputs("Try 'shm-check --help'.\n", stderr);
        return EXIT_TROUBLE;
    }
    if (segment_path(argv[optind], directory, path, sizeof path) != 0)
        return EXIT_TROUBLE;
    int fd = segment_open(path);
    if (fd < 0)
        return -fd;
    int code = verify(fd, path, &report);
    if (code == 0) {
        if (!report.unreadable)
            check_file(fd, &report);
        print(path, &report, quiet);
        code = report.total ? EXIT_DAMAGED : EXIT_SOUND;
    }
    check_report_free(&report);
    close(fd);
    return finish_output(code);
}
