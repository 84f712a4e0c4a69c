/* SPDX-License-Identifier: Apache-2.0
 *
 * Making a segment: complete first, its name last, so nobody ever sees half of one, and a death on the way leaves
 * nothing (O_TMPFILE; where that or /proc is missing, a temporary name). */
#include "libshm/create.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libshm/internal.h"

enum { INDEX_LOG2 = 9, DEFAULT_MODE = 0640, MOST_DEFAULT_CPU_LANES = 256 };
#define DEFAULT_MAX_BYTES (UINT64_C(64) << 20)
#define LEAST_MAX_BYTES   (UINT64_C(64) << 10)

void libshm_boot_id(uint8_t boot_id[16])
{
    char text[64];
    memset(boot_id, 0, 16);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    int digits = 0;
    for (ssize_t i = 0; i < n && digits < 32; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            continue;
        boot_id[digits / 2] = (uint8_t)(boot_id[digits / 2] << 4 | digit);
        digits++;
    }
}

/* Highest possible CPU id + 1: a CPU may come on line later, and an affinity mask says nothing about others. */
static uint32_t possible_cpus(void)
{
    char text[256];
    int fd = open("/sys/devices/system/cpu/possible", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n > 0) {
        text[n] = 0;
        char *last = text; /* "0-3,5,8-15" */
        for (char *p = text; *p; p++)
            if (*p == '-' || *p == ',')
                last = p + 1;
        long id = strtol(last, NULL, 10);
        if (id >= 0 && id < 1 << 20)
            return (uint32_t)id + 1;
    }
    long configured = sysconf(_SC_NPROCESSORS_CONF);
    return configured > 0 ? (uint32_t)configured : 1;
}

/* Lays out the first pages: header, roots of the tables, first index table. */
static uint64_t lay_out(struct libshm_header *header)
{
    static const uint32_t root_pages[LIBSHM_TABLES] = LIBSHM_TABLE_ROOT_PAGES;
    uint32_t page = 1;
    for (uint32_t t = 0; t < LIBSHM_TABLES; t++) {
        header->tables[t].root = page;
        page += root_pages[t];
    }
    header->index_page[0] = page;
    header->index_log2[0] = INDEX_LOG2;
    header->index_word = UINT64_C(1) << 16 | INDEX_LOG2;
    page += (8u << INDEX_LOG2) / LIBSHM_PAGE;
    header->page_next = header->file_end = (uint64_t)page * LIBSHM_PAGE;
    header->cells_next[0] = header->cells_next[1] = header->gauge_next = UINT64_MAX;
    return header->file_end;
}

static int fill_in(struct libshm_header *header, const libshm_open_options *options, const char *path)
{
    uint32_t cpus = possible_cpus();
    memset(header, 0, sizeof *header);
    memcpy(header->magic, LIBSHM_MAGIC, sizeof header->magic);
    header->format_version = LIBSHM_FORMAT_VERSION;
    header->header_size = sizeof *header;
    header->hot_abi = LIBSHM_HOT_ABI;
    libshm_boot_id(header->boot_id);
    header->created_ns = header->incarnation_ns = libshm_now_ns(CLOCK_REALTIME);
    header->max_bytes = (options->max_bytes ? options->max_bytes : DEFAULT_MAX_BYTES) & ~(uint64_t)(LIBSHM_PAGE - 1);
    if (header->max_bytes < LEAST_MAX_BYTES || header->max_bytes > LIBSHM_MAX_BYTES)
        return libshm_error_set(LIBSHM_E_INVALID, "%s: max_bytes is %llu; possible are %llu to %llu", path,
                                (unsigned long long)options->max_bytes, (unsigned long long)LEAST_MAX_BYTES,
                                (unsigned long long)LIBSHM_MAX_BYTES);
    if (getrandom(&header->segment_id, sizeof header->segment_id, 0) != (ssize_t)sizeof header->segment_id)
        header->segment_id = libshm_now_ns(CLOCK_MONOTONIC) ^ (uint64_t)getpid() << 40;
    if (options->cpu_lanes == LIBSHM_NO_CPU_LANES)
        header->cpu_lanes = 0;
    else if (options->cpu_lanes > LIBSHM_MAX_CPU_LANES)
        return libshm_error_set(LIBSHM_E_INVALID, "%s: cpu_lanes is %u; at most %u", path, options->cpu_lanes,
                                LIBSHM_MAX_CPU_LANES);
    else if (options->cpu_lanes)
        header->cpu_lanes = options->cpu_lanes;
    else
        header->cpu_lanes = cpus < MOST_DEFAULT_CPU_LANES ? cpus : MOST_DEFAULT_CPU_LANES;
    header->atomic_lanes_only = 2; /* never 1: that is how a group of gauges is told from one of counters */
    while (header->atomic_lanes_only < cpus && header->atomic_lanes_only < 8)
        header->atomic_lanes_only *= 2;
    header->per_cpu_budget = options->per_cpu_budget ? options->per_cpu_budget : header->max_bytes / 2;
    strncpy(header->creator, "libshm " LIBSHM_VERSION, sizeof header->creator - 1);
    header->checksum = libshm_crc32c(header, offsetof(struct libshm_header, checksum));
    lay_out(header);
    return 0;
}

static int write_file(int fd, const char *path, const libshm_open_options *options)
{
    struct libshm_header header;
    struct rlimit limit;
    int error = fill_in(&header, options, path);
    if (error)
        return error;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && header.file_end > limit.rlim_cur)
        return libshm_error_set(LIBSHM_E_FULL, "%s needs %llu bytes; RLIMIT_FSIZE is %llu", path,
                                (unsigned long long)header.file_end, (unsigned long long)limit.rlim_cur);
    LIBSHM_POINT();
    if (fallocate(fd, 0, 0, (off_t)header.file_end) != 0)
        return libshm_error_set(
            errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == ENOMEM ? LIBSHM_E_FULL : LIBSHM_E_SYSTEM,
            "no room for %s (%llu bytes): %s", path, (unsigned long long)header.file_end, strerror(errno));
    LIBSHM_POINT();
    if (pwrite(fd, &header, sizeof header, 0) != (ssize_t)sizeof header)
        return libshm_error_set(LIBSHM_E_SYSTEM, "cannot write %s: %s", path, strerror(errno));
    LIBSHM_POINT();
    if (fchmod(fd, options->mode ? (mode_t)(options->mode & 0666) : DEFAULT_MODE) != 0) /* whatever the umask says */
        return libshm_error_set(LIBSHM_E_SYSTEM, "cannot set the mode of %s: %s", path, strerror(errno));
    return 0;
}

/* Gives the file its name, unless there is one of that name already. */
static int give_name(int fd, const char *temporary, const char *path)
{
    char link[64];
    LIBSHM_POINT();
    if (temporary)
        return renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

static int create_named(const char *path, const libshm_open_options *options)
{
    char *temporary;
    const char *name = strrchr(path, '/') + 1;
    /* a leading dot: no name of a segment, should this process die here */
    if (asprintf(&temporary, "%.*s.%s.XXXXXX", (int)(name - path), path, name) < 0)
        return libshm_error_set(LIBSHM_E_MEMORY, "out of memory");
    int fd = mkostemp(temporary, O_CLOEXEC), error = 0;
    if (fd < 0)
        error = libshm_error_set(errno == EACCES || errno == EROFS ? LIBSHM_E_PERMISSION : LIBSHM_E_SYSTEM,
                                 "cannot make %s: %s", path, strerror(errno));
    if (!error)
        error = write_file(fd, path, options);
    if (!error && give_name(fd, temporary, path) != 0 && errno != EEXIST)
        error = libshm_error_set(LIBSHM_E_SYSTEM, "cannot give %s its name: %s", path, strerror(errno));
    if (fd >= 0) {
        unlink(temporary);
        close(fd);
    }
    free(temporary);
    return error;
}

int libshm_create(const char *path, const libshm_open_options *options)
{
    char *copy = strdup(path);
    if (!copy)
        return libshm_error_set(LIBSHM_E_MEMORY, "out of memory");
    LIBSHM_POINT();
    int fd = open(dirname(copy), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    free(copy);
    if (fd < 0 && (errno == EACCES || errno == EROFS))
        return libshm_error_set(LIBSHM_E_PERMISSION, "cannot make %s: %s", path, strerror(errno));
    if (fd < 0 && (errno == ENOSPC || errno == EDQUOT))
        return libshm_error_set(LIBSHM_E_FULL, "no room for %s: %s", path, strerror(errno));
    if (fd < 0)
        return create_named(path, options);
    int error = write_file(fd, path, options);
    bool named = !error && (give_name(fd, NULL, path) == 0 || errno == EEXIST);
    close(fd);
    return error || named ? error : create_named(path, options);
}
