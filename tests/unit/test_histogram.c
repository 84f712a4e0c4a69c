/* SPDX-License-Identifier: Apache-2.0
 *
 * Histograms and summaries: which bucket, count and sum together, odd values, timers. */
#define _GNU_SOURCE
#include "common_segment.h"
#include "libshm/buckets.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>

/* The cells summed over all lanes, as a reader sees them. */
static struct libshm_cell bucket(struct fixture *fixture, const libshm_histogram *histogram, uint32_t i)
{
    return libshm_cells_total(fixture->segment, series_entry(fixture->segment, histogram->series), i, true);
}

/* Every bound, its neighbours, and what is far beyond, for each number of bounds: the search has several ways. */
static void buckets(void **state)
{
    struct fixture *fixture = *state;
    static const size_t counts[] = {1, 2, 3, 4, 5, 7, 8, 10, 16, 20, 63, 64, 65, 66, 100, 128, 200, 254, 255};
    double bounds[LIBSHM_MAX_BOUNDS];
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        size_t n = counts[c];
        char name[32];
        libshm_histogram h;
        for (size_t i = 0; i < n; i++)
            bounds[i] = ((double)i - 3) * 1.5;
        snprintf(name, sizeof name, "h%zu", n);
        assert_done(libshm_histogram_define(fixture->segment, METRIC(0, name, .bounds = bounds, .n_bounds = n), &h));
        for (uint32_t i = 0; i < n; i++) {
            assert_int_equal(libshm_histogram_bucket(&h, bounds[i]), i); /* le: the bound is in */
            assert_int_equal(libshm_histogram_bucket(&h, nextafter(bounds[i], -INFINITY)), i);
            assert_int_equal(libshm_histogram_bucket(&h, nextafter(bounds[i], INFINITY)), i + 1);
        }
        assert_int_equal(libshm_histogram_bucket(&h, -DBL_MAX), 0);
        assert_int_equal(libshm_histogram_bucket(&h, -INFINITY), 0);
        assert_int_equal(libshm_histogram_bucket(&h, DBL_MAX), n);
        assert_int_equal(libshm_histogram_bucket(&h, INFINITY), n);
        assert_int_equal(libshm_histogram_bucket(&h, -0.0), libshm_histogram_bucket(&h, 0.0));
    }
}

static void count_and_sum(void **state)
{
    struct fixture *fixture = *state;
    libshm_histogram h;
    uint64_t count;
    double sum;
    assert_done(libshm_histogram_define(fixture->segment,
                                        METRIC(0, "h_seconds", .unit = "seconds", .LIBSHM_BOUNDS(1, 2, 4)), &h));
    libshm_histogram_value(&h, &count, &sum);
    assert_int_equal(count, 0);
    assert_value(sum, 0);
    libshm_histogram_observe(&h, 0.5);
    libshm_histogram_observe(&h, 1);
    libshm_histogram_observe(&h, 1.5);
    libshm_histogram_observe(&h, -8);
    libshm_histogram_observe_call(&h, 100);
    static const struct libshm_cell expected[] = {{3, -6.5}, {1, 1.5}, {0, 0}, {1, 100}};
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(bucket(fixture, &h, i).integer, expected[i].integer);
        assert_value(bucket(fixture, &h, i).fractional, expected[i].fractional);
    }
    libshm_histogram_value(&h, &count, &sum);
    assert_int_equal(count, 5);
    assert_value(sum, 95);
}

static void odd_values(void **state)
{
    struct fixture *fixture = *state;
    libshm_histogram h;
    uint64_t count;
    double sum;
    assert_done(libshm_histogram_define(fixture->segment, METRIC(0, "h", .LIBSHM_BOUNDS(0)), &h));
    libshm_histogram_observe(&h, NAN);
    libshm_histogram_observe(&h, -NAN);
    assert_int_equal(STATISTIC(fixture->segment, dropped_values), 2);
    libshm_histogram_value(&h, &count, &sum);
    assert_int_equal(count, 0);
    assert_value(sum, 0);
    libshm_histogram_observe(&h, INFINITY);
    libshm_histogram_observe(&h, INFINITY);
    libshm_histogram_value(&h, &count, &sum);
    assert_int_equal(count, 2);
    assert_value(sum, INFINITY);
    assert_int_equal(bucket(fixture, &h, 1).integer, 2);
    libshm_histogram_observe(&h, -INFINITY);
    assert_int_equal(bucket(fixture, &h, 0).integer, 1);
    assert_value(bucket(fixture, &h, 0).fractional, -INFINITY);
}

static void summary(void **state)
{
    struct fixture *fixture = *state;
    libshm_family *family = family_of(fixture->segment, METRIC(LIBSHM_TYPE_SUMMARY, "s", .labels = LIBSHM_LABELS("a")));
    libshm_histogram s;
    uint64_t count;
    double sum;
    assert_done(libshm_histogram_get(family, LIBSHM_VALUES("x"), &s));
    libshm_histogram_observe(&s, 3);
    libshm_histogram_observe(&s, -1);
    libshm_histogram_observe_with(family, LIBSHM_VALUES("x"), 0.5);
    libshm_histogram_value(&s, &count, &sum);
    assert_int_equal(count, 3);
    assert_value(sum, 2.5);
}

/* Two histograms beside each other in a page group do not touch each other's cells. */
static void neighbours(void **state)
{
    struct fixture *fixture = *state;
    libshm_family *family = family_of(
        fixture->segment, METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .LIBSHM_BOUNDS(1, 2, 3), .labels = LIBSHM_LABELS("a")));
    enum { MANY = 200 }; /* more than a group holds */
    libshm_histogram h[MANY];
    for (int i = 0; i < MANY; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        assert_done(libshm_histogram_get(family, LIBSHM_VALUES(value), &h[i]));
    }
    for (int i = 0; i < MANY; i++)
        for (int v = 0; v < 4; v++)
            libshm_histogram_observe(&h[i], v + 0.5 + i * 8);
    for (int i = 0; i < MANY; i++) {
        uint64_t count;
        double sum;
        libshm_histogram_value(&h[i], &count, &sum);
        assert_int_equal(count, 4);
        assert_value(sum, 8 + 32.0 * i);
    }
}

enum { THREADS = 6, OBSERVATIONS = 20000 };
static int stop;

static void *observe_many(void *histogram)
{
    for (int i = 0, n = rounds(OBSERVATIONS); i < n; i++)
        libshm_histogram_observe(histogram, 1);
    return NULL;
}

/* A bucket never disagrees with itself, also while it is updated. */
struct checked {
    struct fixture *fixture;
    libshm_histogram *histogram;
    uint64_t wrong, seen;
};

static void *check_cells(void *argument)
{
    struct checked *checked = argument;
    do {
        struct libshm_cell cell = bucket(checked->fixture, checked->histogram, 0);
        checked->wrong += (double)cell.integer != cell.fractional;
        checked->seen++;
    } while (!__atomic_load_n(&stop, __ATOMIC_RELAXED));
    return NULL;
}

static void threads(void **state)
{
    struct fixture *fixture = *state;
    libshm_histogram h;
    pthread_t thread[THREADS], reader;
    uint64_t count;
    double sum;
    assert_done(libshm_histogram_define(fixture->segment, METRIC(0, "h", .LIBSHM_BOUNDS(2)), &h));
    struct checked checked = {.fixture = fixture, .histogram = &h};
    assert_int_equal(pthread_create(&reader, NULL, check_cells, &checked), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, observe_many, &h), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_join(reader, NULL);
    libshm_histogram_value(&h, &count, &sum);
    assert_int_equal(count, THREADS * rounds(OBSERVATIONS));
    assert_value(sum, THREADS * rounds(OBSERVATIONS));
    assert_int_equal(checked.wrong, 0);
    assert_true(checked.seen > 0);
}

static int early_return(const libshm_histogram *histogram, int way)
{
    LIBSHM_TIME_SCOPE(histogram);
    if (way == 0)
        return 1;
    for (;;) {
        LIBSHM_TIME_SCOPE(histogram); /* twice in a function, on other lines */
        if (way == 1)
            break;
        return 2;
    }
    return 3;
}

static void timers(void **state)
{
    struct fixture *fixture = *state;
    libshm_histogram h;
    uint64_t count;
    double sum;
    assert_done(libshm_histogram_define(fixture->segment, METRIC(0, "h_seconds", .LIBSHM_BOUNDS(1e-9, 3600)), &h));
    libshm_timer timer = libshm_timer_start(&h);
    assert_true(libshm_timer_seconds(&timer) >= 0);
    timer.start.tv_sec -= 2; /* as if it had begun earlier */
    assert_true(libshm_timer_seconds(&timer) >= 2);
    libshm_timer_observe(&timer);
    libshm_histogram_value(&h, &count, &sum);
    assert_int_equal(count, 1);
    assert_true(sum >= 2 && sum < 3600);
    assert_int_equal(early_return(&h, 0), 1);
    assert_int_equal(early_return(&h, 1), 3);
    assert_int_equal(early_return(&h, 2), 2);
    libshm_histogram_value(&h, &count, &sum);
    assert_int_equal(count, 1 + 1 + 2 + 2);
}

static const struct libshm_cell *in_lane(const libshm_histogram *histogram, long lane)
{
    return (const struct libshm_cell *)(const void *)((const char *)histogram->cell + lane * (long)LIBSHM_PAGE);
}

/* An observation keeps within the lanes; of a summary, too, and of a histogram that is only searched. */
static void which_cells(void **state)
{
    struct fixture *fixture = *state;
    libshm_histogram h[3];
    cpu_set_t one;
    assert_done(libshm_histogram_define(fixture->segment, METRIC(0, "h", .LIBSHM_BOUNDS(1, 2, 4)), &h[0]));
    assert_done(libshm_histogram_get(family_of(fixture->segment, METRIC(LIBSHM_TYPE_SUMMARY, "s")), NULL, &h[1]));
    assert_done(libshm_histogram_define(fixture->segment, METRIC(0, "below_zero", .LIBSHM_BOUNDS(-2, -1)), &h[2]));
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
    const int cpu = sched_getcpu();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(h[i].range & 0xffff, h[i].cpu_limit);
        for (int n = 0; n < 1000; n++)
            libshm_histogram_observe(&h[i], -3);
        const uint64_t atomic = in_lane(&h[i], -1)->integer;
        if (h[i].cpu_limit == 0) {
            assert_int_equal(atomic, 1000);
            continue;
        }
        const uint64_t mine = in_lane(&h[i], cpu)->integer;
        if (mine == 0)
            skip(); /* no restartable sequences here */
        assert_int_equal(mine + atomic, 1000);
        assert_true(mine > 900);
        assert_value(in_lane(&h[i], cpu)->fractional + in_lane(&h[i], -1)->fractional, -3000);
        h[i].range = (h[i].range & ~UINT64_C(0xffff)) | (uint64_t)cpu; /* a CPU beyond the lanes */
        h[i].cpu_limit = (uint16_t)cpu;                                /* and for what the table cannot find */
        libshm_histogram_observe(&h[i], -3);
        assert_int_equal(in_lane(&h[i], -1)->integer, atomic + 1);
        assert_int_equal(in_lane(&h[i], cpu)->integer, mine);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(buckets, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(count_and_sum, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(odd_values, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(summary, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(neighbours, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(which_cells, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(threads, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(timers, segment_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
