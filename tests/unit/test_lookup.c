/* SPDX-License-Identifier: Apache-2.0
 *
 * Look-ups: the cache finds what the values say, whatever their addresses; it follows removal; it forgets. */
#include <pthread.h>

#include "common_segment.h"

static libshm_family *xy_family(struct fixture *fixture, const char *name, uint32_t max_series)
{
    libshm_family *family;
    assert_done(libshm_family_define(fixture->segment,
                                     &(libshm_metric){.type = LIBSHM_TYPE_COUNTER,
                                                      .name = name,
                                                      .help = "h",
                                                      .labels = LIBSHM_LABELS("a", "b"),
                                                      .max_series = max_series},
                                     &family));
    return family;
}

static double value_of(libshm_family *family, const char *a, const char *b)
{
    libshm_counter counter;
    assert_done(libshm_counter_get(family, LIBSHM_VALUES(a, b), &counter));
    double value = libshm_counter_value(&counter);
    libshm_counter_put(&counter);
    return value;
}

/* The same addresses with other contents, and the same contents at other addresses. */
static void contents_decide(void **state)
{
    libshm_family *family = xy_family(*state, "x_total", 1000);
    char a[16], b[16], other[2][16];
    for (int round = 0; round < 200; round++)
        for (int i = 0; i < 20; i++) {
            snprintf(a, sizeof a, "%d", i);
            snprintf(b, sizeof b, i % 2 ? "odd" : "even");
            libshm_counter_add_with(family, LIBSHM_VALUES(a, b), 1);
            memcpy(other[round % 2], a, sizeof a);
            libshm_counter_add_with(family, LIBSHM_VALUES(other[round % 2], i % 2 ? "odd" : "even"), 1);
        }
    for (int i = 0; i < 20; i++) {
        snprintf(a, sizeof a, "%d", i);
        assert_value(value_of(family, a, i % 2 ? "odd" : "even"), 400);
    }
}

/* One value is the beginning of the other; values change places; families do not mix. */
static void alike(void **state)
{
    libshm_family *x = xy_family(*state, "x_total", 1000), *y = xy_family(*state, "y_total", 1000);
    const char *const values[][2] = {{"ab", "c"}, {"a", "bc"}, {"", "abc"}, {"abc", ""}, {"c", "ab"}, {"abcd", "c"}};
    for (int round = 0; round < 50; round++)
        for (unsigned i = 0; i < 6; i++) {
            libshm_counter_add_with(x, LIBSHM_VALUES(values[i][0], values[i][1]), i + 1);
            libshm_counter_add_with(y, LIBSHM_VALUES(values[i][0], values[i][1]), 100);
        }
    for (unsigned i = 0; i < 6; i++) {
        assert_value(value_of(x, values[i][0], values[i][1]), 50 * (i + 1));
        assert_value(value_of(y, values[i][0], values[i][1]), 5000);
    }
}

static void removal_begins_anew(void **state)
{
    libshm_family *family = xy_family(*state, "x_total", 1000);
    for (int round = 1; round <= 100; round++) {
        for (int i = 0; i < 40; i++)
            libshm_counter_add_with(family, LIBSHM_VALUES("a", "b"), 1);
        assert_value(value_of(family, "a", "b"), 40);
        assert_done(libshm_series_remove(family, LIBSHM_VALUES("a", "b")));
    }
    assert_int_equal(family->entry->series, 0);
}

static void wrong_numbers_of_values(void **state)
{
    struct fixture *fixture = *state;
    libshm_family *family = xy_family(fixture, "x_total", 1000);
    libshm_counter_add_with(family, LIBSHM_VALUES("a", "b"), 1);
    uint64_t dropped = fixture->segment->header->statistics.dropped_updates;
    libshm_counter_add_with(family, LIBSHM_VALUES("a"), 1);
    libshm_counter_add_with(family, LIBSHM_VALUES("a", "b", "c"), 1);
    libshm_counter_add_with(family, NULL, 1);
    libshm_counter_add_with(NULL, LIBSHM_VALUES("a", "b"), 1);
    libshm_histogram_observe_with(family, LIBSHM_VALUES("a", "b"), 1);
    assert_int_equal(fixture->segment->header->statistics.dropped_updates, dropped + 4);
    assert_value(value_of(family, "a", "b"), 1);
}

static void the_cap_overflows(void **state)
{
    struct fixture *fixture = *state;
    libshm_family *family = xy_family(fixture, "x_total", 10);
    char a[16];
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 30; i++) {
            snprintf(a, sizeof a, "%d", i);
            libshm_counter_add_with(family, LIBSHM_VALUES(a, "b"), 1);
        }
    for (int i = 0; i < 10; i++) {
        snprintf(a, sizeof a, "%d", i);
        assert_value(value_of(family, a, "b"), 3);
    }
    assert_value(value_of(family, "overflow", "overflow"), 60);
    assert_int_equal(family->entry->overflowed, 60);
}

enum { THREADS = 4, ROUNDS = 20000 };
static libshm_family *shared;

static void *look_up(void *argument)
{
    char a[16];
    (void)argument;
    for (int i = 0; i < ROUNDS; i++) {
        snprintf(a, sizeof a, "%d", i % 7);
        libshm_counter_add_with(shared, LIBSHM_VALUES(a, "b"), 1);
        if (i % 64 == 0)
            (void)libshm_series_remove(shared, LIBSHM_VALUES("6", "b"));
    }
    return NULL;
}

/* Entries are forgotten while others use them; those that are not removed count exactly. */
static void threads(void **state)
{
    pthread_t thread[THREADS];
    shared = xy_family(*state, "x_total", 1000);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, look_up, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < 6; i++) {
        char a[16];
        snprintf(a, sizeof a, "%d", i);
        assert_value(value_of(shared, a, "b"), THREADS * ((ROUNDS - i + 6) / 7));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(contents_decide, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(alike, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(removal_begins_anew, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(wrong_numbers_of_values, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(the_cap_overflows, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(threads, segment_setup, fixture_teardown),
    };
    return cmocka_run_group_tests_name("lookup", tests, NULL, NULL);
}
