/* SPDX-License-Identifier: Apache-2.0
 *
 * What all benchmarks share: interleaved timing of short chunks, pinning, a second process, output and checks.
 * bench/README.md says why it is measured in this way. */
#ifndef BENCH_H
#define BENCH_H

/* Where a loop of 60 bytes begins decides whether it is one line of the micro-operation cache or two: 2.4 or 2.8 cycles
 * for the same instructions. So all loops here, whatever they measure, begin at a line. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("align-loops=64")
#endif

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One thing to measure: `run` does `n` operations on `context`. bench_measure sets `n` (a chunk takes about 100 us),
 * `ns` (median chunk, per operation) and `done` (operations over all chunks, calibration included). */
struct bench_case {
    const char *name; /* of the row: name_ns */
    void (*run)(void *context, long n);
    void *context;
    long n;
    double ns;
    uint64_t done;
};

double bench_now(void);                   /* nanoseconds, CLOCK_MONOTONIC */
double bench_median(double *v, size_t n); /* sorts v */
double bench_quantile(double *sorted, size_t n, double q);
void bench_pin(int cpu); /* this thread to the cpu-th of the CPUs it may use; exits 77 if there are too few */
uint64_t bench_random(uint64_t *state);

/* Chunks of all cases in turn, `chunks` times over, so that whatever the machine does to one it does to all. */
void bench_measure(struct bench_case *cases, size_t n, int chunks);
/* In turn alone (alone_ns[i]) and while a second process on the other CPU, or a second thread there, does the same
 * operations all the time (cases[i].ns). `done` counts both. */
void bench_measure_beside(struct bench_case *cases, size_t n, int chunks, int threads, double *alone_ns);
/* Rows name_1proc_ns and name_2proc_ns, or name_1thread_ns and name_2thread_ns, of that. */
void bench_report_beside(const struct bench_case *cases, size_t n, int threads, const double *alone_ns);

void bench_report(const char *name, double value, const char *unit); /* one row of output */
void bench_report_cases(const struct bench_case *cases, size_t n);
/* How the machine did meanwhile (bench_measure looks), as rows machine_cycle_ns and machine_ops_per_cycle. */
void bench_report_machine(void);

/* Ends the program if what was counted is not what was done. */
void bench_check(const char *what, double counted, double done);
void bench_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* A directory of its own for this process's segments, in memory; LIBSHM_DIR is set to it; removed at exit. */
const char *bench_directory(void);
/* A page that forked processes share, zero. */
void *bench_shared_page(void);

/* Starts shm-exporter for a segment (NULL: all of LIBSHM_DIR) on a free port, which is returned; it ends with this
 * program. `cpu` as for bench_pin, or -1. bench_start_listener: the same with another program of the build directory
 * that says "listening" and 127.0.0.1:port. */
int bench_start_exporter(const char *segment, int cpu);
int bench_start_listener(const char *name, const char *const *arguments, int cpu);
/* Memory of its own that it has touched; after `seconds` at the most, as soon as some of it went back to the kernel.
 * CPU time that it has had so far, in nanoseconds. */
double bench_exporter_bytes(int seconds);
double bench_exporter_cpu(void);
/* Nanoseconds from the connect to the last byte of /metrics; its body is in `buffer`, terminated. */
double bench_scrape(int port, char *buffer, size_t size, size_t *length);
/* The same with Accept-Encoding: gzip. bench_gunzip decompresses that body in its place. */
double bench_scrape_gzip(int port, char *buffer, size_t size, size_t *length);
/* `n` of them at once, each in a thread of its own with buffers[i] of `size`: until the last one has its last byte. */
typedef double bench_scrape_function(int port, char *buffer, size_t size, size_t *length);
double bench_scrape_together(int port, bench_scrape_function *scrape, int n, char *const *buffers, size_t size,
                             size_t *lengths);
void bench_gunzip(char *buffer, size_t size, size_t length);

#define BENCH_COUNT(array) (sizeof(array) / sizeof *(array))
/* Keeps the compiler from merging, moving or dropping what a loop does. */
#define BENCH_BARRIER() __asm__ __volatile__("" ::: "memory")

#ifdef __cplusplus
}
#endif

#endif
