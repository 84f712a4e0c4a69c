/* SPDX-License-Identifier: Apache-2.0
 *
 * See bench.h. */
#define _GNU_SOURCE
#include "bench.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_NS 100e3

static char directory[256];
static pid_t directory_owner;

void bench_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_quantile(double *sorted, size_t n, double q)
{
    return n ? sorted[(size_t)((double)(n - 1) * q + 0.5)] : NAN;
}

double bench_median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_value);
    return bench_quantile(v, n, 0.5);
}

void bench_pin(int cpu)
{
    static cpu_set_t allowed; /* as the program was started */
    if (!CPU_COUNT(&allowed) && sched_getaffinity(0, sizeof allowed, &allowed))
        bench_die("sched_getaffinity: %s", strerror(errno));
    for (size_t i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &allowed) || cpu-- > 0)
            continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(i, &one);
        if (sched_setaffinity(0, sizeof one, &one))
            bench_die("sched_setaffinity: %s", strerror(errno));
        return;
    }
    fprintf(stderr, "%s: too few CPUs\n", program_invocation_short_name);
    exit(77);
}

uint64_t bench_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ---- timing ---- */

static double chunk(struct bench_case *one)
{
    double start = bench_now();
    one->run(one->context, one->n);
    double ns = (bench_now() - start) / (double)one->n;
    one->done += (uint64_t)one->n;
    return ns;
}

/* So many operations that a chunk takes CHUNK_NS; `run` is warm afterwards. The fastest of three, as a chunk that was
 * interrupted would make all others too short. */
static void calibrate(struct bench_case *one)
{
    one->n = 64;
    for (;;) {
        double fastest = chunk(one);
        for (int i = 0; i < 2; i++) {
            double ns = chunk(one);
            fastest = ns < fastest ? ns : fastest;
        }
        double total = fastest * (double)one->n;
        if (total > CHUNK_NS / 4) {
            one->n = (long)((double)one->n * CHUNK_NS / total) + 1;
            return;
        }
        one->n *= 4;
    }
}

/* ---- the machine ---- */

#if defined(__x86_64__)
#define DEPENDENT   "add $1, %0\n\t"
#define INDEPENDENT "nop\n\t"
#else
#define DEPENDENT   "add %0, %0, #1\n\t"
#define INDEPENDENT "nop\n\t"
#endif

static void dependent(void *context, long n) /* 8 instructions an operation, one a cycle whatever else the core does */
{
    uint64_t x = 0;
    (void)context;
    for (long i = 0; i < n; i++)
        __asm__ __volatile__(DEPENDENT DEPENDENT DEPENDENT DEPENDENT DEPENDENT DEPENDENT DEPENDENT DEPENDENT : "+r"(x));
}

static void independent(void *context, long n) /* 16 instructions an operation, as many a cycle as there is room for */
{
    (void)context;
    for (long i = 0; i < n; i++)
        __asm__ __volatile__(
            INDEPENDENT INDEPENDENT INDEPENDENT INDEPENDENT INDEPENDENT INDEPENDENT INDEPENDENT INDEPENDENT INDEPENDENT
                INDEPENDENT INDEPENDENT INDEPENDENT INDEPENDENT INDEPENDENT INDEPENDENT INDEPENDENT);
}

static struct bench_case machine[] = {{.name = "dependent", .run = dependent},
                                      {.name = "independent", .run = independent}};

void bench_report_machine(void)
{
    double cycle = machine[0].ns / 8;
    bench_report("machine_cycle_ns", cycle, "ns");
    bench_report("machine_ops_per_cycle", cycle / (machine[1].ns / 16), "1/cycle");
}

static void measure(struct bench_case **cases, size_t n, int chunks)
{
    double *ns = calloc(n * (size_t)chunks, sizeof *ns);
    if (!ns)
        bench_die("out of memory");
    for (int c = 0; c < chunks; c++)
        for (size_t i = 0; i < n; i++)
            ns[i * (size_t)chunks + (size_t)c] = chunk(cases[i]);
    for (size_t i = 0; i < n; i++)
        cases[i]->ns = bench_median(ns + i * (size_t)chunks, (size_t)chunks);
    free(ns);
}

void bench_measure(struct bench_case *cases, size_t n, int chunks)
{
    struct bench_case *all[64] = {&machine[0], &machine[1]};
    if (n + 2 > BENCH_COUNT(all))
        bench_die("%zu cases are too many", n);
    for (size_t i = 0; i < n; i++)
        all[i + 2] = &cases[i];
    for (size_t i = 0; i < n + 2; i++)
        calibrate(all[i]);
    measure(all, n + 2, chunks);
}

/* ---- with a second process ---- */

struct beside {
    _Atomic uint64_t want;                /* case number + 1 to run; 0: wait; UINT64_MAX: end */
    _Atomic uint64_t running;             /* what the other one runs */
    _Atomic uint64_t done;                /* its operations */
    _Alignas(64) _Atomic uint64_t so_far; /* the same while it runs */
    struct bench_case *cases;
};

static void be_the_other(struct beside *beside, struct bench_case *cases)
{
    bench_pin(1);
    for (uint64_t want; (want = atomic_load(&beside->want)) != UINT64_MAX;) {
        if (!want) {
            usleep(20);
            continue;
        }
        struct bench_case *one = &cases[want - 1];
        one->run(one->context, 256); /* surely at it before it says so */
        uint64_t done = 256;
        atomic_store(&beside->running, want);
        while (atomic_load_explicit(&beside->want, memory_order_relaxed) == want) {
            one->run(one->context, 256);
            atomic_store_explicit(&beside->so_far, done += 256, memory_order_relaxed);
        }
        atomic_store(&beside->done, done);
        atomic_store(&beside->running, 0);
    }
}

static void *other_thread(void *context)
{
    struct beside *beside = context;
    be_the_other(beside, beside->cases);
    return NULL;
}

/* `other` runs this case from now on; or no case, with -1. Returns the operations of what it ran before. */
static uint64_t let_other(struct beside *beside, struct bench_case *cases, long which)
{
    uint64_t before = atomic_load(&beside->want), done = 0;
    if (before) {
        atomic_store(&beside->want, 0);
        while (atomic_load(&beside->running))
            sched_yield();
        done = atomic_load(&beside->done);
        cases[before - 1].done += done;
    }
    atomic_store(&beside->want, (uint64_t)(which + 1));
    while (atomic_load(&beside->running) != (uint64_t)(which + 1))
        sched_yield();
    return done;
}

/* Median chunks of one case, alone and beside the other process. A chunk in which the other one hardly ran (something
 * else had its CPU) says nothing and is not counted. */
static void measure_both(struct beside *beside, struct bench_case *cases, size_t which, int chunks, double *alone_ns)
{
    enum { TURNS = 5, TRIES = 60 };
    size_t n_alone = 0, n_both = 0, wanted = TURNS * (size_t)chunks;
    double *alone = calloc(wanted + TRIES * (size_t)chunks, 2 * sizeof *alone), *both = alone + TRIES * chunks;
    if (!alone)
        bench_die("out of memory");
    for (int try = 0; try < TRIES && n_both < wanted; try++) {
        for (int c = 0; c < chunks; c++)
            alone[n_alone++] = chunk(&cases[which]);
        let_other(beside, cases, (long)which);
        for (int c = 0; c < chunks; c++) {
            uint64_t before = atomic_load(&beside->so_far);
            double ns = chunk(&cases[which]);
            if (atomic_load(&beside->so_far) - before > (uint64_t)(cases[which].n / 4))
                both[n_both++] = ns;
        }
        let_other(beside, cases, -1);
    }
    *alone_ns = bench_median(alone, n_alone);
    cases[which].ns = n_both >= wanted / 2 ? bench_median(both, n_both) : NAN;
    free(alone);
}

void bench_measure_beside(struct bench_case *cases, size_t n, int chunks, int threads, double *alone_ns)
{
    struct beside *beside = bench_shared_page();
    pthread_t thread;
    pid_t other = 0;
    beside->cases = cases;
    for (size_t i = 0; i < n; i++)
        calibrate(&cases[i]);
    if (threads && pthread_create(&thread, NULL, other_thread, beside))
        bench_die("cannot start a thread");
    if (!threads && (other = fork()) < 0)
        bench_die("fork: %s", strerror(errno));
    if (!threads && !other) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        be_the_other(beside, cases);
        _exit(0);
    }
    for (size_t i = 0; i < n; i++)
        measure_both(beside, cases, i, chunks, &alone_ns[i]);
    bench_measure(NULL, 0, 11);
    atomic_store(&beside->want, UINT64_MAX);
    int status = 0;
    if (threads)
        pthread_join(thread, NULL);
    else if (waitpid(other, &status, 0) != other || status)
        bench_die("the second process ended with status %d", status);
    munmap(beside, 4096);
}

void bench_report_beside(const struct bench_case *cases, size_t n, int threads, const double *alone_ns)
{
    char name[128];
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s_1%s_ns", cases[i].name, threads ? "thread" : "proc");
        bench_report(name, alone_ns[i], "ns");
        snprintf(name, sizeof name, "%s_2%s_ns", cases[i].name, threads ? "thread" : "proc");
        bench_report(name, cases[i].ns, "ns");
    }
}

void bench_report(const char *name, double value, const char *unit)
{
    if (isfinite(value))
        printf("%s\t%.6g\t%s\n", name, value, unit);
    fflush(stdout);
}

void bench_report_cases(const struct bench_case *cases, size_t n)
{
    char name[128];
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s_ns", cases[i].name);
        bench_report(name, cases[i].ns, "ns");
    }
}

void bench_check(const char *what, double counted, double done)
{
    if (counted != done)
        bench_die("%s: %.17g counted, %.17g done", what, counted, done);
}

/* ---- places ---- */

static void remove_directory(void)
{
    char command[sizeof directory + 16];
    if (getpid() != directory_owner)
        return;
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    if (system(command))
        fprintf(stderr, "%s: cannot remove %s\n", program_invocation_short_name, directory);
}

const char *bench_directory(void)
{
    if (directory_owner)
        return directory;
    const char *in = getenv("BENCH_DIRECTORY"); /* the runner's, which it removes whatever happens */
    snprintf(directory, sizeof directory, "%s/bench-XXXXXX", in ? in : "/dev/shm");
    if (!mkdtemp(directory))
        bench_die("%s: %s", directory, strerror(errno));
    directory_owner = getpid();
    setenv("LIBSHM_DIR", directory, 1);
    atexit(remove_directory);
    return directory;
}

void *bench_shared_page(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        bench_die("mmap: %s", strerror(errno));
    memset(page, 0, 4096);
    return page;
}
