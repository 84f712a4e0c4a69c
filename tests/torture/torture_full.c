/* SPDX-License-Identifier: Apache-2.0
 *
 * No room: a tmpfs of 1 MiB (in a private mount namespace, where that is permitted), a segment at its maximum size,
 * RLIMIT_FSIZE, no descriptors, and each allocation of memory failing in turn. Every refusal is an error code, no
 * signal comes, what was counted stays and goes on counting, and when there is room again, registration goes on. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "torture.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define INJECT 0 /* the sanitizer has an allocator of its own */
#else
#define INJECT 1
#endif

static long fail_at = -1; /* the fail_at-th allocation from now on fails; -1: none */

#if INJECT
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static int fails(void)
{
    if (fail_at < 0 || fail_at-- > 0)
        return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    return fails() ? NULL : __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __libc_memalign(alignment, size);
}
#endif

static struct torture *t;
static libshm_segment *segment;
static libshm_counter counter;
static libshm_family *family;
static uint64_t acknowledged;

static void begin(const char *name, uint64_t max_bytes)
{
    libshm_open_options options = {.size = sizeof options, .max_bytes = max_bytes};
    acknowledged = 0;
    TORTURE_DO(libshm_open(name, &options, &segment));
    TORTURE_DO(libshm_counter_define(segment, &(libshm_metric){.name = "x_total", .help = "A test."}, &counter));
    TORTURE_DO(libshm_family_define(segment,
                                    &(libshm_metric){.name = "h",
                                                     .type = LIBSHM_TYPE_HISTOGRAM,
                                                     .help = "A test.",
                                                     .max_series = 1000000,
                                                     .labels = LIBSHM_LABELS("a"),
                                                     .LIBSHM_BOUNDS(1, 2, 3, 4, 5, 6, 7)},
                                    &family));
}

/* Registers until it is refused, counting all the while: how many it were; *error is the refusal. */
static unsigned fill(unsigned from, unsigned most, int *error)
{
    for (unsigned i = 0; i < most; i++) {
        char name[64];
        libshm_histogram h;
        snprintf(name, sizeof name, "a name that takes some room %u", from + i);
        *error = libshm_histogram_get(family, LIBSHM_VALUES(name), &h);
        libshm_histogram_observe(&h, 1);
        libshm_counter_inc(&counter);
        acknowledged++;
        t->operations++;
        if (*error)
            return i;
    }
    *error = 0;
    return most;
}

static void counts(const char *what)
{
    torture_compare(t, what, acknowledged, (uint64_t)libshm_counter_value(&counter), 0);
}

/* ---- the subjects: each runs in a child, and returns whether it could be tried ---- */

static void small_segment(void)
{
    int error;
    begin("small", 512 << 10);
    unsigned n = fill(0, 100000, &error);
    TORTURE_CHECK(t, error == LIBSHM_E_FULL && n > 10, "%u series, then %s", n, libshm_strerror(error));
    fill(n, 1, &error);
    TORTURE_CHECK(t, error == LIBSHM_E_FULL, "%s", libshm_strerror(error));
    counts("a segment at its maximum size");
}

static void small_tmpfs(void)
{
    const char *directory = getenv("LIBSHM_DIR");
    int error;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", directory, "tmpfs", 0, "size=1m") != 0) {
        printf("full: no private tmpfs here: %s\n", strerror(errno));
        return;
    }
    begin("tmpfs", 0);
    unsigned n = fill(0, 100000, &error);
    TORTURE_CHECK(t, error == LIBSHM_E_FULL && n > 10, "%u series, then %s", n, libshm_strerror(error));
    counts("a full tmpfs");
    libshm_segment *another;
    error = libshm_open("another", NULL, &another);
    TORTURE_CHECK(t, error == LIBSHM_E_FULL && !another, "%s", libshm_strerror(error));
    if (mount("none", directory, "tmpfs", MS_REMOUNT, "size=2m") == 0) { /* room again */
        unsigned more = fill(n, 100, &error);
        TORTURE_CHECK(t, more > 10, "%u more, then %s", more, libshm_strerror(error));
        counts("a tmpfs that was full");
    }
}

static void limited_file(void)
{
    int error;
    begin("limit", 0);
    struct stat file;
    TORTURE_CHECK(t, stat(libshm_segment_path(segment), &file) == 0, "stat");
    struct rlimit limit = {(rlim_t)file.st_size + 100000, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &limit); /* beyond it the kernel raises SIGXFSZ */
    unsigned n = fill(0, 100000, &error);
    TORTURE_CHECK(t, error == LIBSHM_E_FULL, "%u series, then %s", n, libshm_strerror(error));
    counts("RLIMIT_FSIZE");
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    fill(n, 100, &error);
    TORTURE_CHECK(t, error == 0, "%s", libshm_strerror(error));
    counts("after RLIMIT_FSIZE");
}

static void no_descriptors(void)
{
    int error;
    begin("files", 0);
    struct rlimit limit, old;
    getrlimit(RLIMIT_NOFILE, &old);
    limit = old;
    limit.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &limit);
    fill(0, 1, &error);
    TORTURE_CHECK(t, error == LIBSHM_E_SYSTEM && errno == EMFILE, "%s, errno %d", libshm_strerror(error), errno);
    libshm_segment *another;
    error = libshm_open("another", NULL, &another);
    TORTURE_CHECK(t, error != 0 && !another, "%s", libshm_strerror(error));
    counts("no descriptors");
    setrlimit(RLIMIT_NOFILE, &old);
    fill(1, 100, &error);
    TORTURE_CHECK(t, error == 0, "%s", libshm_strerror(error));
    counts("after no descriptors");
}

/* Open, define, get, look up, put, remove, sweep, with the n-th allocation failing. */
static int all_of_it(long n)
{
    libshm_segment *s;
    libshm_family *f;
    libshm_histogram h;
    libshm_counter c;
    fail_at = n;
    int error = libshm_open("memory", NULL, &s), first = error;
    error = libshm_family_define(s,
                                 &(libshm_metric){.name = "h",
                                                  .type = LIBSHM_TYPE_HISTOGRAM,
                                                  .help = "A test.",
                                                  .labels = LIBSHM_LABELS("a"),
                                                  .LIBSHM_BOUNDS(1, 2)},
                                 &f);
    first = first ? first : error;
    error = libshm_histogram_get(f, LIBSHM_VALUES("1"), &h);
    first = first ? first : error;
    libshm_histogram_observe(&h, 1);
    for (unsigned i = 0; i < 70; i++) { /* the cache and the holds grow */
        char name[16];
        snprintf(name, sizeof name, "%u", i);
        libshm_histogram_observe_with(f, LIBSHM_VALUES(name), 1);
    }
    error = libshm_counter_define(s, &(libshm_metric){.name = "c_total", .help = "A test."}, &c);
    first = first ? first : error;
    libshm_counter_inc(&c);
    libshm_histogram_put(&h);
    if (f)
        (void)libshm_series_remove(f, LIBSHM_VALUES("1"));
    if (s)
        (void)libshm_sweep(s);
    libshm_close(s);
    int failed = fail_at < 0 && n >= 0;
    fail_at = -1;
    TORTURE_CHECK(t, first == 0 || first == LIBSHM_E_MEMORY || first == LIBSHM_E_INVALID, "allocation %ld: %s (%s)", n,
                  libshm_strerror(first), libshm_error_detail());
    t->operations++;
    return failed;
}

static void no_memory(void)
{
    if (!INJECT)
        return;
    long n = 0;
    while (all_of_it(n) && n < 10000)
        n++;
    TORTURE_CHECK(t, n > 10 && n < 10000, "%ld allocations", n);
    printf("full: %ld allocations failed in turn\n", n);
}

int main(int argc, char **argv)
{
    struct torture torture = torture_begin("full", argc, argv);
    static void (*const subjects[])(void) = {small_segment, small_tmpfs, limited_file, no_descriptors, no_memory};
    struct torture *total = torture_shared(sizeof *total);
    *total = torture;
    t = total;
    double end = torture_now() + t->seconds;
    do {
        for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
            int status;
            fflush(stdout);
            pid_t child = fork();
            if (child == 0) {
                subjects[i]();
                fflush(stdout);
                _exit(0);
            }
            while (waitpid(child, &status, 0) < 0 && errno == EINTR)
                ;
            total->forks++;
            TORTURE_CHECK(total, status == 0, "subject %zu ended with status %#x", i, (unsigned)status);
            static const char *const names[] = {"small", "limit", "files", "memory", "another"};
            for (size_t n = 0; n < sizeof names / sizeof names[0]; n++)
                (void)libshm_unlink(NULL, names[n], 1);
        }
    } while (torture_now() < end && !total->wrong);
    return torture_end(total);
}
