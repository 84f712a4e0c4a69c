/* SPDX-License-Identifier: Apache-2.0
 *
 * What the torture programs share: options, a seeded random number, shared tallies, and the one line that each prints:
 *
 *      subject  operations  kills  forks  signals  acknowledged  counted  difference  bound
 *
 * A tally is written by one thread, after the library's call has returned, in memory that the library knows nothing of:
 * that is what "acknowledged" means. Exit code 1: out of bounds; the seed is printed first. */
#ifndef TESTS_TORTURE_H
#define TESTS_TORTURE_H

#include <inttypes.h>
#include <libshm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct torture {
    double seconds;
    uint64_t seed;
    const char *subject;
    uint64_t operations, kills, forks, signals, acknowledged, counted, bound;
    int wrong; /* findings so far */
};

static inline double torture_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline uint64_t torture_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline struct torture torture_begin(const char *subject, int argc, char **argv)
{
    struct torture t = {.seconds = 2, .seed = (uint64_t)(torture_now() * 1e9) ^ (uint64_t)getpid(), .subject = subject};
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--seconds=", 10) == 0)
            t.seconds = strtod(argv[i] + 10, NULL);
        else if (strncmp(argv[i], "--seed=", 7) == 0)
            t.seed = strtoull(argv[i] + 7, NULL, 0);
        else {
            fprintf(stderr, "usage: %s [--seconds=N] [--seed=N]\n", argv[0]);
            exit(2);
        }
    }
    if (!getenv("LIBSHM_DIR")) {
        static char directory[] = "/dev/shm/libshm-torture-XXXXXX";
        if (!mkdtemp(directory) || setenv("LIBSHM_DIR", directory, 1) != 0)
            exit(2);
        fprintf(stderr, "LIBSHM_DIR=%s\n", directory);
    }
    printf("%s: SEED=%" PRIu64 "\n", subject, t.seed);
    fflush(stdout);
    return t;
}

/* Zeroed memory that all children share. */
static inline void *torture_shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    return p;
}

#define TORTURE_CHECK(t, condition, ...)                                                                               \
    do {                                                                                                               \
        if (!(condition) && (t)->wrong++ < 10) {                                                                       \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                                            \
            fprintf(stderr, __VA_ARGS__);                                                                              \
            fputc('\n', stderr);                                                                                       \
        }                                                                                                              \
    } while (0)

/* acknowledged <= counted <= acknowledged + bound, added to the line. */
static inline void torture_compare(struct torture *t, const char *what, uint64_t acknowledged, uint64_t counted,
                                   uint64_t bound)
{
    t->acknowledged += acknowledged;
    t->counted += counted;
    t->bound += bound;
    TORTURE_CHECK(t, counted >= acknowledged && counted - acknowledged <= bound,
                  "%s: acknowledged %" PRIu64 ", counted %" PRIu64 ", bound %" PRIu64, what, acknowledged, counted,
                  bound);
}

/* Prints the line; the program's exit code. */
static inline int torture_end(const struct torture *t)
{
    printf("%-14s operations %" PRIu64 "  kills %" PRIu64 "  forks %" PRIu64 "  signals %" PRIu64
           "  acknowledged %" PRIu64 "  counted %" PRIu64 "  difference %" PRId64 "  bound %" PRIu64 "%s\n",
           t->subject, t->operations, t->kills, t->forks, t->signals, t->acknowledged, t->counted,
           (int64_t)(t->counted - t->acknowledged), t->bound, t->wrong ? "  WRONG" : "");
    return t->wrong != 0;
}

/* Setup that must work. */
#define TORTURE_DO(call)                                                                                               \
    do {                                                                                                               \
        int error_ = (call);                                                                                           \
        if (error_ != 0) {                                                                                             \
            fprintf(stderr, "%s:%d: %s: %s (%s)\n", __FILE__, __LINE__, #call, libshm_strerror(error_),                \
                    libshm_error_detail());                                                                            \
            exit(2);                                                                                                   \
        }                                                                                                              \
    } while (0)

#endif
