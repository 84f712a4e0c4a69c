/* SPDX-License-Identifier: Apache-2.0
 *
 * What does it cost to look a series up by two label values and add to it: 32 series and 10,000, at random; with
 * --full also 1,000,000 series; with --atomic on the atomic path, in a process of its own, as caches are what counts?
 * lookup_miss_N: of series that do not exist yet, until there are N. */
#include "models.h"

#include <libshm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PICKS = 65536 };

/* As a program has them: label values lie where they came from, and are put together for each update. */
struct lookup {
    libshm_family *family;
    char (*strings)[2][24];
    uint32_t *pick; /* PICKS series at random */
    uint32_t n_series;
    long next;
    double miss_ns; /* an update that made its series */
};

static void add_with(void *context, long n)
{
    struct lookup *lookup = context;
    long next = lookup->next;
    for (long i = 0; i < n; i++, next++) {
        char(*strings)[24] = lookup->strings[lookup->pick[next % PICKS]];
        libshm_counter_add_with(lookup->family, LIBSHM_VALUES(strings[0], strings[1]), 1);
    }
    lookup->next = next;
}

/* The same strings read, nothing looked up: what the loop and the memory cost. */
static void touch(void *context, long n)
{
    struct lookup *lookup = context;
    long next = lookup->next;
    unsigned sum = 0;
    for (long i = 0; i < n; i++, next++) {
        char(*strings)[24] = lookup->strings[lookup->pick[next % PICKS]];
        sum += (unsigned char)strings[0][0] + (unsigned char)strings[1][0];
        __asm__ __volatile__("" ::"r"(sum) : "memory");
    }
    lookup->next = next;
}

static struct lookup lookup_new(libshm_segment *segment, const char *name, uint32_t n_series)
{
    struct lookup lookup = {.n_series = n_series};
    lookup.strings = malloc(n_series * sizeof *lookup.strings);
    lookup.pick = malloc(PICKS * sizeof *lookup.pick);
    if (!lookup.strings || !lookup.pick)
        bench_die("out of memory");
    uint32_t columns = 1;
    while (columns * columns < n_series)
        columns *= 2;
    for (uint32_t i = 0; i < n_series; i++) {
        snprintf(lookup.strings[i][0], sizeof *lookup.strings[i], "profile-%u", i / columns);
        snprintf(lookup.strings[i][1], sizeof *lookup.strings[i], "phase-%u", i % columns);
    }
    uint64_t random = n_series;
    for (int i = 0; i < PICKS; i++)
        lookup.pick[i] = (uint32_t)(bench_random(&random) % n_series);
    libshm_metric metric = {.name = name,
                            .help = "Bench.",
                            .labels = LIBSHM_LABELS("profile", "phase"),
                            .max_series = n_series,
                            .type = LIBSHM_TYPE_COUNTER};
    if (libshm_family_define(segment, &metric, &lookup.family))
        bench_die("%s", libshm_error_detail());
    double start = bench_now();
    for (uint32_t i = 0; i < n_series; i++)
        libshm_counter_add_with(lookup.family, LIBSHM_VALUES(lookup.strings[i][0], lookup.strings[i][1]), 1);
    lookup.miss_ns = (bench_now() - start) / n_series;
    return lookup;
}

static int add_value(const char *const *values, void *context)
{
    struct lookup *lookup = context;
    libshm_counter counter;
    if (libshm_counter_get(lookup->family, values, &counter))
        bench_die("%s", libshm_error_detail());
    lookup->next += (long)libshm_counter_value(&counter);
    libshm_counter_put(&counter);
    return 0;
}

static void check(struct lookup *lookup, const char *what, uint64_t done)
{
    lookup->next = 0;
    libshm_family_each(lookup->family, add_value, lookup);
    bench_check(what, (double)lookup->next, (double)(done + lookup->n_series));
}

int main(int argc, char **argv)
{
    bench_pin(0);
    bench_directory();
    libshm_segment *segment;
    int atomic = argc > 1 && strcmp(argv[1], "--atomic") == 0, full = argc > 1 && !atomic;
    if (atomic)
        setenv("LIBSHM_RSEQ", "0", 1);
    libshm_open_options options = {.size = sizeof options, .max_bytes = UINT64_C(4) << 30};
    if (libshm_open("bench", &options, &segment))
        bench_die("%s", libshm_error_detail());
    struct lookup few = lookup_new(segment, "few_total", 32), many = lookup_new(segment, "many_total", 10000);
    struct lookup most = {.family = NULL};
    struct bench_case cases[4] = {{.name = "lookup_2_labels_32", .run = add_with, .context = &few},
                                  {.name = "lookup_2_labels_10000", .run = add_with, .context = &many},
                                  {.name = "lookup_only_strings_10000", .run = touch, .context = &many}};
    size_t n = 3;
    if (atomic) {
        cases[0].name = "lookup_2_labels_32_atomic";
        cases[1].name = "lookup_2_labels_10000_atomic";
        n = 2;
    }
    bench_report(atomic ? "lookup_miss_32_atomic_ns" : "lookup_miss_32_ns", few.miss_ns, "ns");
    bench_report(atomic ? "lookup_miss_10000_atomic_ns" : "lookup_miss_10000_ns", many.miss_ns, "ns");
    if (full) {
        most = lookup_new(segment, "most_total", 1000000);
        bench_report("lookup_miss_1000000_ns", most.miss_ns, "ns");
        cases[n++] = (struct bench_case){.name = "lookup_2_labels_1000000", .run = add_with, .context = &most};
    }
    for (size_t i = 0; i < n; i++) { /* every series in the state in which a running program has it */
        cases[i].run(cases[i].context, 2 * PICKS);
        cases[i].done += 2 * PICKS;
    }
    bench_measure(cases, n, 31);
    check(&few, "32 series", cases[0].done);
    check(&many, "10,000 series", cases[1].done);
    if (most.family)
        check(&most, "1,000,000 series", cases[3].done);
    bench_report_cases(cases, n);
    bench_report_machine();
    libshm_close(segment);
    return 0;
}
