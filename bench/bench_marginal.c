/* SPDX-License-Identifier: Apache-2.0
 *
 * What does an update add to a loop that has other work to do: 17 ns of dependent additions, and stores that miss the
 * caches? Rows are the difference to the loop without the update. Also a timer scope, with the clock it has to read. */
#include "models.h"

#include <libshm.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { STORE_BYTES = 64 << 20, VALUES = 4096 };

static libshm_counter counter;
static libshm_histogram histogram, timed, timed_call, timed_atomic;
static double values[VALUES];
static char *memory;
static uint64_t at, sink, *plain;

#if defined(__x86_64__)
#define ADD "add $3, %0"
#else
#define ADD "add %0, %0, #3"
#endif

static inline void work(void) /* 54 cycles of additions that wait for each other: 17 ns at 3.2 GHz */
{
    uint64_t x = sink;
    __asm__ __volatile__(".rept 54\n\t" ADD "\n\t.endr" : "+r"(x));
    sink = x;
}

static inline void miss(void)
{
    at = at * UINT64_C(6364136223846793005) + 1442695040888963407u;
    memory[at >> 20 & (STORE_BYTES - 1)]++;
}

#define LOOP(name, ...)                                                                                                \
    static void name(void *context, long n)                                                                            \
    {                                                                                                                  \
        (void)context;                                                                                                 \
        for (long i = 0; i < n; i++) {                                                                                 \
            __VA_ARGS__;                                                                                               \
            BENCH_BARRIER();                                                                                           \
        }                                                                                                              \
    }
LOOP(only_work, work())
LOOP(work_plain, work(), ++*plain)
LOOP(work_counter, work(), libshm_counter_inc(&counter))
LOOP(work_histogram, work(), libshm_histogram_observe(&histogram, values[i % VALUES]))
LOOP(only_miss, miss())
LOOP(miss_plain, miss(), ++*plain)
LOOP(miss_counter, miss(), libshm_counter_inc(&counter))
LOOP(miss_histogram, miss(), libshm_histogram_observe(&histogram, values[i % VALUES]))
LOOP(scope, LIBSHM_TIME_SCOPE(&timed))
LOOP(scope_atomic, LIBSHM_TIME_SCOPE(&timed_atomic))
LOOP(scope_call, libshm_timer timer = libshm_timer_start(&timed_call);
     libshm_histogram_observe_call(&timed_call, libshm_timer_seconds(&timer)))
LOOP(clock_twice, bench_now(); bench_now())

int main(void)
{
    bench_pin(0);
    bench_directory();
    static const double bounds[] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5};
    libshm_segment *segment, *forced;
    libshm_metric observed = {.name = "observed", .help = "Bench.", .bounds = bounds, .n_bounds = BENCH_COUNT(bounds)};
    libshm_metric times = observed;
    times.name = "timed";
    if (libshm_open("bench", NULL, &segment) ||
        libshm_counter_define(segment, &(libshm_metric){.name = "count_total", .help = "Bench."}, &counter) ||
        libshm_histogram_define(segment, &observed, &histogram) || libshm_histogram_define(segment, &times, &timed))
        bench_die("%s", libshm_error_detail());
    times.name = "timed_call";
    if (libshm_histogram_define(segment, &times, &timed_call))
        bench_die("%s", libshm_error_detail());
    setenv("LIBSHM_RSEQ", "0", 1);
    if (libshm_open("forced", NULL, &forced) || libshm_histogram_define(forced, &times, &timed_atomic))
        bench_die("%s", libshm_error_detail());
    plain = &model_new()->integer;
    uint64_t random = 1;
    for (int i = 0; i < VALUES; i++)
        values[i] = (double)(bench_random(&random) >> 11) * 0x1p-53 * 8;
    memory = mmap(NULL, STORE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        bench_die("out of memory");
    struct bench_case cases[] = {
        {.name = "work", .run = only_work},
        {.name = "work_counter", .run = work_counter},
        {.name = "work_histogram", .run = work_histogram},
        {.name = "store_miss", .run = only_miss},
        {.name = "miss_counter", .run = miss_counter},
        {.name = "miss_histogram", .run = miss_histogram},
        {.name = "timer_scope", .run = scope},
        {.name = "clock_twice", .run = clock_twice},
        {.name = "work_plain", .run = work_plain},
        {.name = "miss_plain", .run = miss_plain},
        {.name = "timer_call", .run = scope_call},
        {.name = "timer_atomic", .run = scope_atomic},
    };
    bench_measure(cases, BENCH_COUNT(cases), 31);
    uint64_t count;
    double sum;
    bench_check("counter", libshm_counter_value(&counter), (double)(cases[1].done + cases[4].done));
    libshm_histogram_value(&histogram, &count, &sum);
    bench_check("histogram", (double)count, (double)(cases[2].done + cases[5].done));
    libshm_histogram_value(&timed, &count, &sum);
    bench_check("timer", (double)count, (double)cases[6].done);
    libshm_histogram_value(&timed_call, &count, &sum);
    bench_check("timer through the library", (double)count, (double)cases[10].done);
    libshm_histogram_value(&timed_atomic, &count, &sum);
    bench_check("timer on the atomic path", (double)count, (double)cases[11].done);
    bench_report("work_ns", cases[0].ns, "ns");
    bench_report("work_added_plain_add_ns", cases[8].ns - cases[0].ns, "ns");
    bench_report("work_added_counter_ns", cases[1].ns - cases[0].ns, "ns");
    bench_report("work_added_histogram_ns", cases[2].ns - cases[0].ns, "ns");
    bench_report("store_miss_ns", cases[3].ns, "ns");
    bench_report("store_miss_added_plain_add_ns", cases[9].ns - cases[3].ns, "ns");
    bench_report("store_miss_added_counter_ns", cases[4].ns - cases[3].ns, "ns");
    bench_report("store_miss_added_histogram_ns", cases[5].ns - cases[3].ns, "ns");
    bench_report("timer_scope_ns", cases[6].ns, "ns");
    bench_report("timer_scope_call_ns", cases[10].ns, "ns");
    bench_report("timer_scope_atomic_ns", cases[11].ns, "ns");
    bench_report("clock_twice_ns", cases[7].ns, "ns");
    libshm_close(forced);
    libshm_close(segment);
    return 0;
}
