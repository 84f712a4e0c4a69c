/* SPDX-License-Identifier: Apache-2.0
 *
 * The bucket search against counting the bounds below, over many kinds of bounds and every value near a bound.
 * LIBSHM_TEST_SEED repeats a run. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "libshm/buckets.h"

static uint64_t random_state;

static uint64_t random_word(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static double random_double(void) /* any bit pattern but NaN */
{
    double v;
    do {
        uint64_t word = random_word();
        memcpy(&v, &word, 8);
    } while (isnan(v));
    return v;
}

/* Cells for a histogram whose limit is so many CPUs that this one is among them. */
#define LANES 512
static _Alignas(4096) struct libshm_cell cells[LANES * LIBSHM_CELLS_PER_PAGE];
static uint64_t observed;

/* The sequence, which is an assembler's, finds the same bucket, and does nothing if it finds none. */
static void check_sequence(const libshm_histogram *search, double v, uint32_t expected)
{
    const uint64_t range = (search->range & ~UINT64_C(0xffff)) | LANES;
    for (int attempt = 0; attempt < 3; attempt++) { /* preempted three times in a row: not every time */
        if (!libshm_rseq_observe(cells, v, range, search->table))
            continue;
        observed++;
        unsigned cpu;
        for (cpu = 0; cpu < LANES && cells[cpu * LIBSHM_CELLS_PER_PAGE + expected].integer == 0; cpu++)
            ;
        if (cpu == LANES)
            fail_msg("%a: the sequence did not find bucket %u", v, expected);
        struct libshm_cell *cell = &cells[cpu * LIBSHM_CELLS_PER_PAGE + expected];
        assert_int_equal(cell->integer, 1);
        assert_memory_equal(&cell->fractional, &(double){0.0 + v}, sizeof v);
        *cell = (struct libshm_cell){0};
        return;
    }
    static const char nothing[LIBSHM_PAGE];
    static unsigned undone;
    for (unsigned cpu = 0; cpu < 2 && undone++ % 64 == 0; cpu++) /* now and then, on the first CPUs at least */
        assert_memory_equal(&cells[cpu * LIBSHM_CELLS_PER_PAGE], nothing, sizeof nothing);
}

static void check_value(const libshm_histogram *search, const double *bounds, uint32_t n, double v)
{
    uint32_t expected = 0, found = libshm_histogram_bucket(search, v);
    while (expected < n && bounds[expected] < v)
        expected++;
    if (found != expected)
        fail_msg("%a among %u bounds from %a to %a: bucket %u, not %u", v, n, n ? bounds[0] : 0, n ? bounds[n - 1] : 0,
                 found, expected);
    check_sequence(search, v, expected);
}

static void check_values(const libshm_histogram *search, const double *bounds, uint32_t n)
{
    static const double special[] = {0.0,
                                     -0.0,
                                     5e-324,
                                     -5e-324,
                                     2.2250738585072014e-308,
                                     1e-310,
                                     1e300,
                                     -1e300,
                                     INFINITY,
                                     -INFINITY,
                                     1.0,
                                     -1.0,
                                     1.7976931348623157e308,
                                     -1.7976931348623157e308,
                                     0x1p-1000};
    for (uint32_t i = 0; i < n; i++) {
        check_value(search, bounds, n, bounds[i]);
        check_value(search, bounds, n, nextafter(bounds[i], INFINITY));
        check_value(search, bounds, n, nextafter(bounds[i], -INFINITY));
        check_value(search, bounds, n, bounds[i] * 1.03);
        check_value(search, bounds, n, bounds[i] * 0.97);
        check_value(search, bounds, n, -bounds[i]);
    }
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        check_value(search, bounds, n, special[i]);
    for (int i = 0; i < 300; i++)
        check_value(search, bounds, n, random_double());
    for (int i = 0; n && i < 300; i++) { /* between the bounds */
        double from = bounds[random_word() % n], to = bounds[random_word() % n];
        check_value(search, bounds, n, from + (to - from) * ((double)(random_word() >> 11) * 0x1p-53));
    }
}

/* The last 16 bits of the range belong to the CPU limit, whatever that is. */
static void check_bounds(const double *bounds, uint32_t n)
{
    libshm_histogram search = {.cell = NULL};
    struct libshm_buckets *buckets = libshm_buckets_new(bounds, n, &search);
    assert_non_null(buckets);
    assert_int_equal(search.range & 0xffffffff, 0);
    check_values(&search, bounds, n);
    search.range |= 0xffff;
    check_values(&search, bounds, n);
    free(buckets);
}

static void usual_bounds(void **state)
{
    (void)state;
    static const double prometheus[] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};
    static const double from_zero[] = {0, 1, 2, 4, 8};
    static const double both_signs[] = {-10, -1, -.1, 0, .1, 1, 10};
    static const double negative[] = {-3, -2, -1};
    static const double extreme[] = {-1.7976931348623157e308, 5e-324, 1e-300, 1e300, 1.7976931348623157e308};
    static const double neighbours[] = {1, 0x1.0000000000001p0, 0x1.0000000000002p0};
    static const double denormal[] = {5e-324, 3e-308};
    static const double one[] = {1};
    check_bounds(prometheus, 11);
    check_bounds(from_zero, 5);
    check_bounds(both_signs, 7);
    check_bounds(negative, 3);
    check_bounds(extreme, 5);
    check_bounds(extreme + 1, 4);
    check_bounds(neighbours, 3);
    check_bounds(denormal, 2);
    check_bounds(one, 1);
    check_bounds(NULL, 0); /* a summary: one bucket */
    double linear[LIBSHM_MAX_BOUNDS], powers[LIBSHM_MAX_BOUNDS];
    for (uint32_t i = 0; i < LIBSHM_MAX_BOUNDS; i++) {
        linear[i] = 10 + i;
        powers[i] = ldexp(1, (int)i - 100);
    }
    for (uint32_t n = 1; n <= LIBSHM_MAX_BOUNDS; n += n < 40 ? 1 : 43) {
        check_bounds(linear, n);
        check_bounds(powers, n);
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void random_bounds(void **state)
{
    (void)state;
    for (int round = 0; round < 400; round++) {
        double bounds[LIBSHM_MAX_BOUNDS];
        uint32_t n = (uint32_t)(random_word() % LIBSHM_MAX_BOUNDS) + 1, kept = 1;
        double scale = exp((double)(random_word() % 40)), spread = (double)(random_word() % 30) + 1;
        for (uint32_t i = 0; i < n; i++) {
            double uniform = (double)(random_word() >> 11) * 0x1p-53;
            bounds[i] = round % 4 == 0   ? random_double()
                        : round % 4 == 1 ? uniform * scale
                                         : scale * exp(spread * uniform);
            if (!isfinite(bounds[i]))
                bounds[i] = i;
        }
        qsort(bounds, n, sizeof *bounds, by_value);
        for (uint32_t i = 1; i < n; i++)
            if (bounds[i] > bounds[kept - 1])
                bounds[kept++] = bounds[i];
        check_bounds(bounds, kept);
    }
}

static void sequences_ran(void **state)
{
    (void)state;
    if (observed == 0)
        skip(); /* no restartable sequences here */
}

int main(void)
{
    const char *seed = getenv("LIBSHM_TEST_SEED");
    random_state = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) * UINT64_C(0x9e3779b97f4a7c15);
    random_state += !random_state;
    printf("LIBSHM_TEST_SEED=%llu\n", (unsigned long long)random_state);
    const struct CMUnitTest tests[] = {cmocka_unit_test(usual_bounds), cmocka_unit_test(random_bounds),
                                       cmocka_unit_test(sequences_ran)};
    return cmocka_run_group_tests_name("bucket search", tests, NULL, NULL);
}
