/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters: integer and fractional parts, bad increments, threads, and which cells an update touches. */
#define _GNU_SOURCE
#include "common_segment.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>

static void adds(void **state)
{
    struct fixture *fixture = *state;
    libshm_counter counter;
    assert_done(libshm_counter_define(fixture->segment, METRIC(0, "x_total"), &counter));
    assert_value(libshm_counter_value(&counter), 0);
    libshm_counter_inc(&counter);
    libshm_counter_add(&counter, 0);
    libshm_counter_add(&counter, 41);
    assert_value(libshm_counter_value(&counter), 42);
    libshm_counter_add_double(&counter, 0.5);
    libshm_counter_add_double(&counter, 0);
    libshm_counter_add_double(&counter, -0.0);
    assert_value(libshm_counter_value(&counter), 42.5);
    libshm_counter_add_call(&counter, 2);
    libshm_counter_add_double_call(&counter, 0.25);
    assert_value(libshm_counter_value(&counter), 44.75);
    libshm_counter copy = counter; /* handles are values */
    libshm_counter_inc(&copy);
    assert_value(libshm_counter_value(&counter), 45.75);
    libshm_counter_add(&counter, UINT64_C(1) << 62);
    libshm_counter_add(&counter, UINT32_MAX); /* does not fit an immediate operand */
    assert_value(libshm_counter_value(&counter), 0x1p62 + UINT32_MAX + 45.75);
}

static void bad_increments(void **state)
{
    struct fixture *fixture = *state;
    libshm_counter counter;
    assert_done(libshm_counter_define(fixture->segment, METRIC(0, "x_total"), &counter));
    libshm_counter_add_double(&counter, 1.5);
    static const double bad[] = {-1, -DBL_MIN, -INFINITY, NAN, -NAN};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        libshm_counter_add_double(&counter, bad[i]);
        assert_value(libshm_counter_value(&counter), 1.5);
        assert_int_equal(STATISTIC(fixture->segment, dropped_values), i + 1);
    }
    libshm_counter_add_double(&counter, INFINITY);
    assert_value(libshm_counter_value(&counter), INFINITY);
    assert_int_equal(STATISTIC(fixture->segment, dropped_updates), 0);
}

static void same_series(void **state)
{
    struct fixture *fixture = *state;
    libshm_family *family =
        family_of(fixture->segment, METRIC(LIBSHM_TYPE_COUNTER, "x_total", .labels = LIBSHM_LABELS("a", "b")));
    libshm_counter one, same, other;
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("1", "2"), &one));
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("1", "2"), &same));
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("12", ""), &other)); /* the same bytes, other values */
    assert_ptr_equal(one.cell, same.cell);
    assert_ptr_not_equal(one.cell, other.cell);
    libshm_counter_add(&one, 1);
    libshm_counter_add(&same, 2);
    libshm_counter_add_with(family, LIBSHM_VALUES("1", "2"), 4);
    libshm_counter_add_double_with(family, LIBSHM_VALUES("1", "2"), 0.5);
    assert_value(libshm_counter_value(&one), 7.5);
    assert_value(libshm_counter_value(&other), 0);
    assert_int_equal(family->entry->series, 2);
}

/* Where an update went: the lanes of its CPU, or the atomic ones. */
static void which_cells(void **state)
{
    struct fixture *fixture = *state;
    libshm_counter counter;
    cpu_set_t one;
    assert_done(libshm_counter_define(fixture->segment, METRIC(0, "x_total"), &counter));
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
    int cpu = sched_getcpu();
    for (int i = 0; i < 1000; i++)
        libshm_counter_inc(&counter);
    uint64_t mine = ((struct libshm_cell *)(void *)((char *)counter.cell + (size_t)cpu * LIBSHM_PAGE))->integer;
    uint64_t atomic = ((struct libshm_cell *)(void *)((char *)counter.cell - LIBSHM_PAGE))->integer;
    if (counter.cpu_limit == 0) {
        assert_int_equal(atomic, 1000);
    } else {
        if (mine == 0)
            skip(); /* no restartable sequences here: valgrind, an old kernel, a seccomp filter */
        assert_int_equal(mine + atomic, 1000);
        assert_true(mine > 900);           /* what was preempted in the middle of an update went to the atomic cell */
        counter.cpu_limit = (uint16_t)cpu; /* a CPU beyond the lanes */
        libshm_counter_add(&counter, 5);
        assert_int_equal(((struct libshm_cell *)(void *)((char *)counter.cell - LIBSHM_PAGE))->integer, atomic + 5);
        assert_int_equal(((struct libshm_cell *)(void *)((char *)counter.cell + (size_t)cpu * LIBSHM_PAGE))->integer,
                         mine);
    }
}

static void environment_forces_atomic(void **state)
{
    struct fixture *fixture = *state;
    libshm_segment *segment;
    libshm_counter counter;
    const char *before = getenv("LIBSHM_RSEQ");
    setenv("LIBSHM_RSEQ", "0", 1);
    assert_done(libshm_open("atomic", NULL, &segment));
    if (before)
        setenv("LIBSHM_RSEQ", before, 1);
    else
        unsetenv("LIBSHM_RSEQ");
    assert_done(libshm_counter_define(segment, METRIC(0, "x_total"), &counter));
    assert_int_equal(counter.cpu_limit, 0);
    libshm_counter_add(&counter, 2);
    assert_int_equal(((struct libshm_cell *)(void *)((char *)counter.cell - LIBSHM_PAGE))->integer, 2);
    libshm_close(segment);
    assert_int_equal(fixture->segment->per_cpu, LIBSHM_RSEQ && !(before && strcmp(before, "0") == 0));
}

/* Groups without CPU lanes beyond the budget: several atomic lanes, threads spread over them. */
static void beyond_the_budget(void **state)
{
    (void)state;
    libshm_segment *segment;
    assert_done(libshm_open("small", (&(libshm_open_options){.per_cpu_budget = LIBSHM_PAGE}), &segment));
    libshm_family *family = family_of(segment, METRIC(LIBSHM_TYPE_COUNTER, "x_total", .labels = LIBSHM_LABELS("a")));
    libshm_counter counter;
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("1"), &counter));
    assert_int_equal(counter.cpu_limit, 0);
    assert_int_equal(counter.atomic_mask + 1, segment->header->atomic_lanes_only);
    libshm_counter_add(&counter, 3);
    libshm_counter_add_double(&counter, 0.5);
    assert_value(libshm_counter_value(&counter), 3.5);
    assert_int_equal(segment->header->per_cpu_bytes, 0);
    libshm_close(segment);
}

enum { THREADS = 8, ADDS = 20000 };

static void *add_many(void *counter)
{
    for (int i = 0, n = rounds(ADDS); i < n; i++) {
        libshm_counter_add(counter, 3);
        libshm_counter_add_double(counter, 0.25);
    }
    return NULL;
}

static void threads(void **state)
{
    struct fixture *fixture = *state;
    libshm_counter counter;
    pthread_t thread[THREADS];
    assert_done(libshm_counter_define(fixture->segment, METRIC(0, "x_total"), &counter));
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, add_many, &counter), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    assert_value(libshm_counter_value(&counter), THREADS * rounds(ADDS) * 3.25);
}

static int add_in_child(struct fixture *fixture)
{
    libshm_counter counter;
    CHILD_CHECK(libshm_counter_define(fixture->segment, METRIC(0, "x_total"), &counter) == 0);
    add_many(&counter);
    return 0;
}

static void processes(void **state)
{
    struct fixture *fixture = *state;
    libshm_counter counter;
    assert_done(libshm_counter_define(fixture->segment, METRIC(0, "x_total"), &counter));
    for (int i = 0; i < 3; i++)
        in_child(add_in_child, fixture);
    assert_value(libshm_counter_value(&counter), 3 * rounds(ADDS) * 3.25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(adds, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(bad_increments, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(same_series, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(which_cells, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(environment_forces_atomic, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(beyond_the_budget, directory_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(threads, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(processes, segment_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
