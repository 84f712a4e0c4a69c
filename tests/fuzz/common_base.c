/* SPDX-License-Identifier: Apache-2.0
 *
 * A sound segment to start from, see common_base.h. */
#define _GNU_SOURCE
#include "common_base.h"

#include "tools/common.h"
#include <libshm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static libshm_segment *segment;

static void must(int error)
{
    if (error == 0)
        return;
    fprintf(stderr, "the base segment: %s\n", libshm_error_detail());
    abort();
}

static libshm_family *define(uint32_t type, const char *name, libshm_metric metric)
{
    libshm_family *family;
    metric.name = name;
    metric.help = "Help \\ \"text\".";
    metric.type = type;
    must(libshm_family_define(segment, &metric, &family));
    return family;
}

static void live(uint32_t mode, const char *name)
{
    libshm_gauge gauge;
    libshm_family *family =
        define(LIBSHM_TYPE_GAUGE, name, (libshm_metric){.gauge_mode = mode, .labels = LIBSHM_LABELS("q")});
    must(libshm_gauge_get(family, LIBSHM_VALUES("a"), &gauge));
    libshm_gauge_set(&gauge, 3);
}

static void live_gauges(void)
{
    live(LIBSHM_GAUGE_SUM, "live_sum");
    live(LIBSHM_GAUGE_MIN, "live_min");
    live(LIBSHM_GAUGE_MAX, "live_max");
    live(LIBSHM_GAUGE_ALL, "live_all");
}

static void fill(void)
{
    libshm_counter counter;
    libshm_family *requests =
        define(LIBSHM_TYPE_COUNTER, "requests_total", (libshm_metric){.labels = LIBSHM_LABELS("method", "path")});
    must(libshm_counter_get(requests, LIBSHM_VALUES("GET", "/\xc3\xa4\n\"\\"), &counter));
    libshm_counter_add(&counter, 41);
    libshm_counter_add_with(requests, LIBSHM_VALUES("PUT", ""), 1);
    libshm_counter_add_double_with(requests, LIBSHM_VALUES("PUT", ""), .5);
    libshm_counter_add_with(requests, LIBSHM_VALUES("GONE", "x"), 1);
    must(libshm_series_remove(requests, LIBSHM_VALUES("GONE", "x")));
    libshm_family *seconds =
        define(LIBSHM_TYPE_HISTOGRAM, "wait_seconds", (libshm_metric){.unit = "seconds", .LIBSHM_BOUNDS(.1, 1, 1e7)});
    for (int i = 0; i < 9; i++)
        libshm_histogram_observe_with(seconds, NULL, i * .3);
    libshm_histogram_observe_with(define(LIBSHM_TYPE_SUMMARY, "size_bytes", (libshm_metric){.unit = "bytes"}), NULL, 7);
    libshm_gauge_set_with(define(LIBSHM_TYPE_GAUGE, "level", (libshm_metric){.ttl_seconds = 60}), NULL, -1.5);
    libshm_gauge_set_with(define(LIBSHM_TYPE_INFO, "build_info", (libshm_metric){.labels = LIBSHM_LABELS("version")}),
                          LIBSHM_VALUES("1"), 1);
    libshm_gauge_set_with(define(LIBSHM_TYPE_STATESET, "state", (libshm_metric){.labels = LIBSHM_LABELS("state")}),
                          LIBSHM_VALUES("on"), 1);
    libshm_gauge_set_with(define(LIBSHM_TYPE_UNKNOWN, "thing", (libshm_metric){.type = 0}), NULL, 1e300);
    libshm_family *capped =
        define(LIBSHM_TYPE_COUNTER, "capped_total", (libshm_metric){.labels = LIBSHM_LABELS("n"), .max_series = 1});
    libshm_counter_add_with(capped, LIBSHM_VALUES("1"), 1);
    libshm_counter_add_with(capped, LIBSHM_VALUES("2"), 1);
    live_gauges();
}

/* All in a child, so that the fuzzer itself holds nothing. */
static void make(const char *directory)
{
    libshm_open_options options = {.size = sizeof options,
                                   .directory = directory,
                                   .max_bytes = 1 << 20,
                                   .cpu_lanes = 1,
                                   .per_cpu_budget = 64 << 10};
    must(libshm_open("base", &options, &segment));
    fill();
    if (fork() == 0) {
        live_gauges();
        _exit(0);
    }
    wait(NULL);
    _exit(0);
}

const uint8_t *base_segment(size_t *length)
{
    static struct image image;
    if (!image.bytes) {
        char directory[] = "/tmp/fuzz-XXXXXX", path[64];
        int status = 1;
        if (!mkdtemp(directory))
            abort();
        pid_t child = fork();
        if (child == 0)
            make(directory);
        snprintf(path, sizeof path, "%s/base", directory);
        waitpid(child, &status, 0);
        int fd = status ? -1 : segment_open(path);
        if (fd < 0 || image_copy(fd, &image) != 0)
            abort();
        close(fd);
        unlink(path);
        rmdir(directory);
    }
    /* Only what was given out: the rest of the file is room to grow. */
    struct libshm_header *header = (struct libshm_header *)(uintptr_t)image_header(&image);
    if (!header || header->page_next > image.length || header->serial > BASE_SERIALS)
        abort();
    header->file_end = header->page_next;
    *length = header->page_next;
    return image.bytes;
}

void base_seal(uint8_t *bytes, size_t length)
{
    const size_t at = offsetof(struct libshm_header, checksum);
    if (length < at + 4)
        return;
    uint32_t crc = crc32c(bytes, at);
    memcpy(bytes + at, &crc, sizeof crc);
}

void base_flag(int *argc, char ***argv, const char *flag)
{
    static char *longer[256], text[8][32]; /* static: it must outlive the call, and is no leak */
    static size_t n;
    if (*argc > 254 || n == 8)
        abort();
    snprintf(text[n], sizeof text[n], "%s", flag);
    memmove(longer + 2, *argv + 1, (size_t)(*argc - 1) * sizeof *longer);
    longer[0] = (*argv)[0];
    longer[1] = text[n++];
    *argv = longer;
    ++*argc;
}
