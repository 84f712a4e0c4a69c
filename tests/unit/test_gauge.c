/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared gauges: one cell for all processes; the last write wins, additions are never lost. */
#include "common_segment.h"

#include <math.h>
#include <pthread.h>

static void sets_and_adds(void **state)
{
    struct fixture *fixture = *state;
    libshm_gauge gauge;
    assert_done(libshm_gauge_define(fixture->segment, METRIC(0, "g"), &gauge));
    assert_value(libshm_gauge_value(&gauge), 0);
    libshm_gauge_set(&gauge, -2.5);
    assert_value(libshm_gauge_value(&gauge), -2.5);
    libshm_gauge_add(&gauge, 10);
    libshm_gauge_add(&gauge, -0.5);
    libshm_gauge_inc(&gauge);
    libshm_gauge_dec(&gauge);
    libshm_gauge_set_call(&gauge, libshm_gauge_value(&gauge) + 1);
    libshm_gauge_add_call(&gauge, 1);
    assert_value(libshm_gauge_value(&gauge), 9);
    libshm_gauge_set(&gauge, INFINITY);
    assert_value(libshm_gauge_value(&gauge), INFINITY);
    libshm_gauge_set(&gauge, 3);
    libshm_gauge_set(&gauge, NAN);
    libshm_gauge_add(&gauge, NAN);
    assert_value(libshm_gauge_value(&gauge), 3);
    assert_int_equal(STATISTIC(fixture->segment, dropped_values), 2);
}

/* What is kept as a gauge. */
static void other_types(void **state)
{
    struct fixture *fixture = *state;
    libshm_gauge info, red, unknown;
    libshm_family *family =
        family_of(fixture->segment, METRIC(LIBSHM_TYPE_INFO, "build_info", .labels = LIBSHM_LABELS("version")));
    assert_done(libshm_gauge_get(family, LIBSHM_VALUES("1.0"), &info));
    libshm_gauge_set(&info, 1);
    family = family_of(fixture->segment, METRIC(LIBSHM_TYPE_STATESET, "light", .labels = LIBSHM_LABELS("light")));
    assert_done(libshm_gauge_get(family, LIBSHM_VALUES("red"), &red));
    libshm_gauge_set(&red, 1);
    libshm_gauge_set_with(family, LIBSHM_VALUES("green"), 0);
    assert_done(libshm_gauge_get(family_of(fixture->segment, METRIC(LIBSHM_TYPE_UNKNOWN, "u")), NULL, &unknown));
    libshm_gauge_set(&unknown, 0.5);
    assert_value(libshm_gauge_value(&info) + libshm_gauge_value(&red) + libshm_gauge_value(&unknown), 2.5);
}

static int child(struct fixture *fixture)
{
    libshm_gauge gauge;
    CHILD_CHECK(libshm_gauge_define(fixture->segment, METRIC(0, "g"), &gauge) == 0);
    CHILD_CHECK(libshm_gauge_value(&gauge) == 1);
    libshm_gauge_set(&gauge, 5);
    return 0;
}

static void processes(void **state)
{
    struct fixture *fixture = *state;
    libshm_gauge gauge;
    assert_done(libshm_gauge_define(fixture->segment, METRIC(0, "g"), &gauge));
    libshm_gauge_set(&gauge, 1);
    in_child(child, fixture);
    assert_value(libshm_gauge_value(&gauge), 5); /* stays after its writer */
}

enum { THREADS = 6, ADDS = 20000 };

static void *add_many(void *gauge)
{
    for (int i = 0, n = rounds(ADDS); i < n; i++) {
        libshm_gauge_add(gauge, 3);
        libshm_gauge_add(gauge, -2);
    }
    return NULL;
}

static void threads(void **state)
{
    struct fixture *fixture = *state;
    libshm_gauge gauge;
    pthread_t thread[THREADS];
    assert_done(libshm_gauge_define(fixture->segment, METRIC(0, "g"), &gauge));
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, add_many, &gauge), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    assert_value(libshm_gauge_value(&gauge), THREADS * rounds(ADDS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sets_and_adds, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(other_types, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(processes, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(threads, segment_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
