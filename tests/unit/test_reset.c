/* SPDX-License-Identifier: Apache-2.0
 *
 * A reset whose author dies at each point of it in turn: once somebody else has had the insert lock, all of it is done,
 * or none of it was begun. */
#define _GNU_SOURCE
#include "common_segment.h"

#include <sys/wait.h>

static unsigned long points, die_at;

void libshm_test_point(const char *function, int line);
void libshm_test_point(const char *function, int line)
{
    (void)function, (void)line;
    if (die_at > 0 && ++points == die_at)
        _exit(42);
}

enum { SERIES = 5 };

static double total(libshm_counter *counters, libshm_histogram *histogram)
{
    double sum = 0, values;
    uint64_t count;
    for (int i = 0; i < SERIES; i++)
        sum += libshm_counter_value(&counters[i]);
    libshm_histogram_value(histogram, &count, &values);
    return sum + (double)count + values;
}

static void each_point(void **state)
{
    struct fixture *fixture = *state;
    libshm_segment *segment = fixture->segment;
    libshm_counter counters[SERIES];
    libshm_histogram histogram;
    libshm_family *family = family_of(segment, METRIC(LIBSHM_TYPE_COUNTER, "c_total", .labels = LIBSHM_LABELS("a")));
    for (int i = 0; i < SERIES; i++)
        assert_done(libshm_counter_get(family, LIBSHM_VALUES((const char[]){(char)('a' + i), 0}), &counters[i]));
    assert_done(libshm_histogram_define(segment, METRIC(0, "h", .LIBSHM_BOUNDS(1, 2, 3)), &histogram));
    unsigned done = 0, undone = 0;
    for (int status = 1; status != 0;) {
        for (int i = 0; i < SERIES; i++)
            libshm_counter_add(&counters[i], 3);
        for (int i = 0; i < 4; i++)
            libshm_histogram_observe(&histogram, i + 0.5);
        double before = total(counters, &histogram);
        uint64_t incarnation = segment->header->incarnation, resets = STATISTIC(segment, resets);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            points = 0;
            die_at = done + undone + 1;
            _exit(libshm_reset(segment) != 0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 42 || WEXITSTATUS(status) == 0));
        assert_done(libshm_sweep(segment)); /* anything that takes the lock */
        assert_int_equal(segment->header->reset_to, 0);
        uint64_t more = segment->header->incarnation - incarnation;
        assert_true(more == 0 || more == 1);
        assert_value(total(counters, &histogram), more ? 0 : before);
        assert_in_range(STATISTIC(segment, resets) - resets, more, more * 2); /* counted again if that was the point */
        if (more)
            done++;
        else
            undone++;
    }
    assert_true(done > SERIES && undone > 0);
}

/* A word that no reset can have left resets nothing. */
static void spoiled(void **state)
{
    struct fixture *fixture = *state;
    libshm_segment *segment = fixture->segment;
    libshm_counter counter;
    assert_done(libshm_counter_define(segment, METRIC(0, "x_total", .unit = NULL), &counter));
    libshm_counter_inc(&counter);
    segment->header->reset_to = segment->header->incarnation + 7;
    assert_done(libshm_sweep(segment));
    assert_int_equal(segment->header->reset_to, 0);
    assert_value(libshm_counter_value(&counter), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_point, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(spoiled, segment_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
