/* SPDX-License-Identifier: Apache-2.0
 *
 * Look-ups, the series cap, removal, hiding and reuse. */
#define _GNU_SOURCE
#include "common_segment.h"

#include <math.h>
#include <pthread.h>
#include <sys/wait.h>

#include "common_sound.h"

static const char *number(int i)
{
    static __thread char text[16];
    snprintf(text, sizeof text, "%d", i);
    return text;
}

static double counter_of(libshm_family *family, const char *value)
{
    libshm_counter counter;
    assert_done(libshm_counter_get(family, LIBSHM_VALUES(value), &counter));
    double v = libshm_counter_value(&counter);
    libshm_counter_put(&counter);
    return v;
}

#define COUNTERS(...) METRIC(LIBSHM_TYPE_COUNTER, "c_total", .labels = LIBSHM_LABELS("a"), __VA_ARGS__)

static void many(void **state)
{
    struct fixture *fixture = *state;
    libshm_family *family = family_of(fixture->segment, COUNTERS(.max_series = 3000));
    for (int round = 1; round <= 3; round++)
        for (int i = 0; i < 3000; i++) /* the cache and the index grow */
            libshm_counter_add_with(family, LIBSHM_VALUES(number(i)), (uint64_t)i);
    for (int i = 0; i < 3000; i++)
        assert_value(counter_of(family, number(i)), 3.0 * i);
    assert_int_equal(family->entry->series, 3000);
    assert_null(segment_unsound(fixture->segment));
}

static void cap(void **state)
{
    struct fixture *fixture = *state;
    libshm_family *family = family_of(fixture->segment, COUNTERS(.max_series = 2));
    libshm_counter counter, other;
    for (int i = 0; i < 5; i++)
        libshm_counter_add_with(family, LIBSHM_VALUES(number(i)), 1);
    assert_int_equal(libshm_counter_get(family, LIBSHM_VALUES("6"), &counter), LIBSHM_E_OVERFLOW);
    libshm_counter_inc(&counter); /* the overflow series */
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("overflow"), &other));
    assert_ptr_equal(other.cell, counter.cell); /* a user's own is the same */
    assert_value(libshm_counter_value(&counter), 4);
    assert_int_equal(family->entry->series, 2);
    assert_int_equal(family->entry->overflowed, 4);
    assert_int_equal(STATISTIC(fixture->segment, overflowed), 4);
    assert_value(counter_of(family, "0"), 1); /* those that were there go on */
    libshm_family *gauges =
        family_of(fixture->segment, METRIC(LIBSHM_TYPE_GAUGE, "g", .labels = LIBSHM_LABELS("a"), .max_series = 1));
    libshm_gauge gauge;
    libshm_gauge_set_with(gauges, LIBSHM_VALUES("1"), 1);
    assert_int_equal(libshm_gauge_get(gauges, LIBSHM_VALUES("2"), &gauge), LIBSHM_E_OVERFLOW);
    uint64_t dropped = STATISTIC(fixture->segment, dropped_updates);
    libshm_gauge_set(&gauge, 3);
    assert_int_equal(STATISTIC(fixture->segment, dropped_updates), dropped + 1);
    assert_null(segment_unsound(fixture->segment));
}

static void removed(void **state)
{
    struct fixture *fixture = *state;
    libshm_family *family = family_of(fixture->segment, COUNTERS(.max_series = 0));
    libshm_counter old, new;
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("1"), &old));
    libshm_counter_add_with(family, LIBSHM_VALUES("1"), 5);
    assert_done(libshm_series_remove(family, LIBSHM_VALUES("1")));
    assert_refused(libshm_series_remove(family, LIBSHM_VALUES("1")), LIBSHM_E_NOT_FOUND, "c_total");
    libshm_counter_inc(&old);                               /* counts nowhere */
    libshm_counter_add_with(family, LIBSHM_VALUES("1"), 2); /* a new series, from zero, though the old one was cached */
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("1"), &new));
    assert_value(libshm_counter_value(&new), 2);
    assert_ptr_not_equal(new.cell, old.cell); /* held: not given to another */
    libshm_counter_put(&old);
    assert_done(libshm_family_clear(family));
    assert_int_equal(family->entry->series, 0);
    libshm_counter_put(&new);
    assert_done(libshm_sweep(fixture->segment));
    assert_null(segment_unsound(fixture->segment));
}

/* What nobody can hold is used again; what somebody holds is not, whoever that is. */
static int hold_in_child(struct fixture *fixture)
{
    libshm_family *family;
    libshm_counter counter;
    CHILD_CHECK(libshm_family_define(fixture->segment, COUNTERS(.max_series = 0), &family) == 0);
    CHILD_CHECK(libshm_counter_get(family, LIBSHM_VALUES("gone"), &counter) == 0);
    CHILD_CHECK(libshm_series_remove(family, LIBSHM_VALUES("gone")) == 0);
    return 0;
}

static void reused(void **state)
{
    struct fixture *fixture = *state;
    libshm_family *family = family_of(fixture->segment, COUNTERS(.max_series = 0));
    libshm_counter held, next;
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("held"), &held));
    assert_done(libshm_series_remove(family, LIBSHM_VALUES("held")));
    assert_done(libshm_sweep(fixture->segment));
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("next"), &next));
    assert_int_not_equal(next.series, held.series);
    libshm_counter_add(&held, 100);
    assert_value(libshm_counter_value(&next), 0);
    uint32_t number_held = held.series;
    libshm_counter_put(&held);
    assert_done(libshm_sweep(fixture->segment)); /* lets go of the hold, and of the series */
    assert_done(libshm_sweep(fixture->segment));
    libshm_counter again;
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("again"), &again));
    assert_int_equal(again.series, number_held);
    assert_value(libshm_counter_value(&again), 0); /* 100 were another's */
    in_child(hold_in_child, fixture);
    assert_null(segment_unsound(fixture->segment));
}

static void idle(void **state)
{
    struct fixture *fixture = *state;
    libshm_segment *segment = fixture->segment;
    libshm_family *family = family_of(segment, COUNTERS(.max_series = 2, .ttl_seconds = 1));
    libshm_counter one, two, three;
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("1"), &one));
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("2"), &two));
    libshm_counter_add(&one, 7);
    assert_done(libshm_sweep(segment)); /* sees that it moved */
    struct libshm_series_entry *entry = series_entry(segment, one.series);
    entry->moved_ns = 1; /* as if that were long ago */
    assert_done(libshm_sweep(segment));
    assert_int_equal(LIBSHM_STATUS_STATE(entry->status), LIBSHM_STATE_HIDDEN);
    assert_int_equal(STATISTIC(segment, hidden), 1);
    family->entry->last_sweep_ns = 0; /* held: its cells stay its own */
    assert_int_equal(libshm_counter_get(family, LIBSHM_VALUES("3"), &three), LIBSHM_E_OVERFLOW);
    libshm_counter_inc(&one); /* through the old handle: it is back, with its value */
    assert_done(libshm_sweep(segment));
    assert_int_equal(LIBSHM_STATUS_STATE(entry->status), LIBSHM_STATE_LIVE);
    assert_value(libshm_counter_value(&one), 8);
    entry->moved_ns = 1;
    assert_done(libshm_sweep(segment));
    libshm_counter_put(&one); /* nobody holds it, and it is idle: the next at the cap gets its cells */
    family->entry->last_sweep_ns = 0;
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("4"), &three));
    assert_value(libshm_counter_value(&three), 0);
    assert_int_equal(family->entry->series, 2);
    assert_null(segment_unsound(segment));
}

static void reset(void **state)
{
    struct fixture *fixture = *state;
    libshm_family *family = family_of(fixture->segment, COUNTERS(.max_series = 0));
    libshm_histogram histogram;
    libshm_gauge gauge;
    uint64_t count, incarnation = fixture->segment->header->incarnation;
    double sum;
    assert_done(libshm_histogram_define(fixture->segment, METRIC(0, "h", .LIBSHM_BOUNDS(1)), &histogram));
    assert_done(libshm_gauge_define(fixture->segment, METRIC(0, "g", .unit = NULL), &gauge));
    libshm_counter_add_with(family, LIBSHM_VALUES("1"), 5);
    libshm_counter_add_double_with(family, LIBSHM_VALUES("1"), 0.1);
    libshm_histogram_observe(&histogram, 0.3);
    libshm_gauge_set(&gauge, 4);
    assert_done(libshm_reset(fixture->segment));
    assert_int_equal(fixture->segment->header->incarnation, incarnation + 1);
    assert_value(counter_of(family, "1"), 0);
    libshm_histogram_value(&histogram, &count, &sum);
    assert_int_equal(count, 0);
    assert_value(sum, 0);
    assert_value(libshm_gauge_value(&gauge), 4); /* gauges stay */
    libshm_counter_add_with(family, LIBSHM_VALUES("1"), 2);
    assert_value(counter_of(family, "1"), 2);
}

static void unlinked(void **state)
{
    struct fixture *fixture = *state;
    libshm_segment *segment;
    libshm_counter counter;
    assert_done(libshm_counter_define(fixture->segment, METRIC(0, "x_total", .unit = NULL), &counter));
    assert_refused(libshm_unlink(NULL, "t", 0), LIBSHM_E_BUSY, "force");
    assert_refused(libshm_unlink(NULL, "none", 1), LIBSHM_E_NOT_FOUND, "none");
    assert_done(libshm_unlink(NULL, "t", 1));
    libshm_counter_inc(&counter); /* goes on, undisturbed */
    assert_value(libshm_counter_value(&counter), 1);
    libshm_family *family;
    assert_int_equal(libshm_family_define(fixture->segment, COUNTERS(.max_series = 0), &family), LIBSHM_E_REPLACED);
    assert_done(libshm_open("t", NULL, &segment)); /* a new one of that name */
    assert_ptr_not_equal(segment, fixture->segment);
    libshm_close(segment);
    assert_done(libshm_unlink(NULL, "t", 0)); /* nobody is attached */
}

enum { THREADS = 4 };
static libshm_family *shared_family;

static void *look_up(void *argument)
{
    (void)argument;
    for (int i = 0, n = rounds(20000); i < n; i++)
        libshm_counter_add_with(shared_family, LIBSHM_VALUES(number(i % 300)), 1);
    return NULL;
}

static void threads(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread[THREADS];
    shared_family = family_of(fixture->segment, COUNTERS(.max_series = 0));
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, look_up, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    double sum = 0;
    for (int i = 0; i < 300; i++)
        sum += counter_of(shared_family, number(i));
    assert_value(sum, THREADS * rounds(20000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(many, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(cap, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(removed, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(reused, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(idle, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(reset, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(unlinked, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(threads, segment_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
