/* SPDX-License-Identifier: Apache-2.0
 *
 * The overflow series: there with its family, not shown before something counts in it, and enough for every look-up
 * when the insert lock cannot be had: a process that holds it is stopped. */
#define _GNU_SOURCE
#include "common_segment.h"

#include <libshm/reader.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "common_sound.h"

#define COUNTERS METRIC(LIBSHM_TYPE_COUNTER, "c_total", .labels = LIBSHM_LABELS("a", "b"))
#define SIZES    METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .labels = LIBSHM_LABELS("a"), .LIBSHM_BOUNDS(1, 2))

/* A child that is stopped with the insert lock in its hands. */
static pid_t stop_with_lock(libshm_segment *segment)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        libshm_mutex_lock(segment);
        if (libshm_insert_lock(segment, 10000) == 0)
            raise(SIGSTOP);
        _exit(1);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    return child;
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* What a reader sees of a family: series, and their values or counts together. */
struct seen {
    size_t series;
    double total, overflow;
};

static struct seen see(const libshm_snapshot *snapshot, const char *name)
{
    struct seen seen = {0};
    for (size_t f = 0; f < snapshot->n_families; f++) {
        const libshm_family_view *family = &snapshot->families[f];
        if (strcmp(family->name, name) != 0)
            continue;
        seen.series = family->n_series;
        for (size_t s = 0; s < family->n_series; s++) {
            const libshm_series_view *series = &family->series[s];
            double value = family->type == LIBSHM_TYPE_HISTOGRAM ? (double)series->count
                                                                 : (double)series->integer + series->fractional;
            seen.total += value;
            if (family->n_labels > 0 && strcmp(series->label_values[0], "overflow") == 0)
                seen.overflow = value;
        }
    }
    return seen;
}

static struct seen read_anew(const struct fixture *fixture, const char *name)
{
    libshm_reader *reader;
    const libshm_snapshot *snapshot;
    assert_done(libshm_reader_open(path_in(fixture, "t"), &reader));
    assert_done(libshm_reader_snapshot(reader, &snapshot));
    assert_int_equal(snapshot->skipped_series, 0);
    struct seen seen = see(snapshot, name);
    libshm_reader_close(reader);
    return seen;
}

static void asleep(void **state)
{
    struct fixture *fixture = *state;
    libshm_family *family = family_of(
        fixture->segment, METRIC(LIBSHM_TYPE_COUNTER, "c_total", .labels = LIBSHM_LABELS("a"), .max_series = 1));
    libshm_reader *reader;
    const libshm_snapshot *snapshot;
    assert_true(family->entry->overflow_series != 0);
    assert_int_equal(family->entry->series, 0);
    libshm_counter_add_with(family, LIBSHM_VALUES("1"), 2);
    assert_done(libshm_reader_open(path_in(fixture, "t"), &reader));
    for (int i = 0; i < 2; i++) {
        assert_done(libshm_reader_snapshot(reader, &snapshot));
        assert_int_equal(see(snapshot, "c_total").series, 1);
        assert_int_equal(snapshot->cells_used, 1);
    }
    uint64_t layout = snapshot->layout_version;
    libshm_counter_add_with(family, LIBSHM_VALUES("2"), 5);
    for (int i = 0; i < 2; i++) { /* the same reader, at once; and it stays */
        assert_done(libshm_reader_snapshot(reader, &snapshot));
        struct seen seen = see(snapshot, "c_total");
        assert_int_equal(seen.series, 2);
        assert_value(seen.overflow, 5);
        assert_value(seen.total, 7);
    }
    assert_int_not_equal(snapshot->layout_version, layout);
    layout = snapshot->layout_version;
    assert_done(libshm_reset(fixture->segment)); /* shown on, as zero */
    assert_done(libshm_reader_snapshot(reader, &snapshot));
    assert_int_equal(see(snapshot, "c_total").series, 2);
    assert_value(see(snapshot, "c_total").total, 0);
    libshm_reader_close(reader);
    assert_int_equal(read_anew(fixture, "c_total").series, 2);
    /* labels that nothing can overflow, and values that are no sums */
    uint32_t before = libshm_table_count(fixture->segment, LIBSHM_TABLE_SERIES);
    assert_int_equal(
        family_of(fixture->segment, METRIC(LIBSHM_TYPE_COUNTER, "d_total", .unit = NULL))->entry->overflow_series, 0);
    assert_int_equal(
        family_of(fixture->segment, METRIC(LIBSHM_TYPE_GAUGE, "g", .labels = LIBSHM_LABELS("a")))->entry->series, 0);
    assert_int_equal(libshm_table_count(fixture->segment, LIBSHM_TABLE_SERIES), before);
    assert_null(segment_unsound(fixture->segment));
}

/* Defined and used for the first time by this process while the lock is taken. */
static int look_up_in_child(struct fixture *fixture)
{
    libshm_family *counters, *sizes;
    CHILD_CHECK(libshm_family_define(fixture->segment, COUNTERS, &counters) == 0);
    CHILD_CHECK(libshm_family_define(fixture->segment, SIZES, &sizes) == 0);
    libshm_counter_add_with(counters, LIBSHM_VALUES("there", "x"), 10); /* not of its cache, and no attach of its own */
    libshm_counter_add_with(counters, LIBSHM_VALUES("not there", "x"), 100);
    libshm_histogram_observe_with(sizes, LIBSHM_VALUES("not there"), 1);
    return 0;
}

static void lock_taken(void **state)
{
    struct fixture *fixture = *state;
    libshm_segment *segment = fixture->segment;
    libshm_family *counters = family_of(segment, COUNTERS), *sizes = family_of(segment, SIZES);
    libshm_counter counter;
    libshm_histogram histogram;
    assert_done(libshm_counter_get(counters, LIBSHM_VALUES("there", "x"), &counter));
    libshm_counter_put(&counter);
    pid_t holder = stop_with_lock(segment);
    libshm_counter_add_with(counters, LIBSHM_VALUES("new", "x"), 1);
    libshm_histogram_observe_with(sizes, LIBSHM_VALUES("new"), 1);
    assert_refused(libshm_counter_get(counters, LIBSHM_VALUES("new", "y"), &counter), LIBSHM_E_OVERFLOW, "insert lock");
    assert_null(strstr(libshm_error_detail(), "cap"));
    libshm_counter_inc(&counter);
    libshm_counter_put(&counter);
    assert_int_equal(libshm_histogram_get(sizes, LIBSHM_VALUES("newer"), &histogram), LIBSHM_E_OVERFLOW);
    libshm_histogram_observe(&histogram, 1);
    in_child(look_up_in_child, fixture);
    assert_int_equal(STATISTIC(segment, dropped_updates), 0);
    struct seen seen = read_anew(fixture, "c_total");
    assert_int_equal(seen.series, 2);
    assert_value(seen.overflow, 102);
    assert_value(seen.total, 112); /* what was there counts as itself, in the child too */
    seen = read_anew(fixture, "h");
    assert_int_equal(seen.series, 1);
    assert_value(seen.overflow, 3);
    end(holder);
    assert_null(segment_unsound(segment));
    libshm_counter_add_with(counters, LIBSHM_VALUES("new", "x"), 1); /* its own series, now that it can be made */
    assert_int_equal(read_anew(fixture, "c_total").series, 3);
}

/* Without labels there is nothing to overflow to: the caller is told, and can try again. */
static void lock_taken_without_labels(void **state)
{
    struct fixture *fixture = *state;
    libshm_family *family = family_of(fixture->segment, METRIC(LIBSHM_TYPE_COUNTER, "d_total", .unit = NULL));
    libshm_counter counter;
    pid_t holder = stop_with_lock(fixture->segment);
    assert_int_equal(libshm_counter_get(family, NULL, &counter), LIBSHM_E_BUSY);
    end(holder);
    assert_done(libshm_counter_get(family, NULL, &counter));
    libshm_counter_inc(&counter);
    assert_value(read_anew(fixture, "d_total").total, 1);
    assert_int_equal(family->entry->overflow_series, 0);
}

/* Whoever removes it makes another. */
static void removed(void **state)
{
    struct fixture *fixture = *state;
    libshm_segment *segment = fixture->segment;
    libshm_family *family = family_of(segment, COUNTERS);
    libshm_counter counter;
    for (int i = 0; i < 2; i++) {
        assert_done(libshm_counter_get(family, LIBSHM_VALUES("overflow", "overflow"), &counter));
        libshm_counter_inc(&counter);
        libshm_counter_put(&counter);
        assert_int_equal(read_anew(fixture, "c_total").series, 1);
        if (i == 0)
            assert_done(libshm_series_remove(family, LIBSHM_VALUES("overflow", "overflow")));
        else
            assert_done(libshm_family_clear(family));
        assert_int_equal(read_anew(fixture, "c_total").series, 0);
        pid_t holder = stop_with_lock(segment);
        libshm_counter_add_with(family, LIBSHM_VALUES("new", "x"), 3);
        end(holder);
        assert_value(read_anew(fixture, "c_total").overflow, 3);
        assert_null(segment_unsound(segment));
        assert_done(libshm_family_clear(family));
    }
}

/* An idle one is hidden like any series would be, but its cells are nobody else's. */
static void kept(void **state)
{
    struct fixture *fixture = *state;
    libshm_family *family = family_of(fixture->segment, METRIC(LIBSHM_TYPE_COUNTER, "i_total", .ttl_seconds = 1,
                                                               .max_series = 1, .labels = LIBSHM_LABELS("a")));
    assert_true(family->entry->overflow_series != 0);
    uint32_t overflow = family->entry->overflow_series - 1;
    libshm_unhold(fixture->segment, overflow); /* as if its definers were gone */
    family->overflow_held = 0;
    assert_done(libshm_sweep(fixture->segment));
    libshm_counter_add_with(family, LIBSHM_VALUES("1"), 1);
    family->entry->last_sweep_ns = 0;
    libshm_counter_add_with(family, LIBSHM_VALUES("2"), 1); /* sweeps for room */
    assert_int_equal(family->entry->overflow_series, overflow + 1);
    assert_value(read_anew(fixture, "i_total").overflow, 1);
}

static int define_and_overflow(struct fixture *fixture)
{
    libshm_family *family;
    libshm_segment *segment; /* an attach of its own: fork would keep the parent's alive */
    libshm_close(fixture->segment);
    CHILD_CHECK(libshm_open("t", NULL, &segment) == 0);
    CHILD_CHECK(libshm_family_define(segment, COUNTERS, &family) == 0);
    CHILD_CHECK(family->entry->overflow_series != 0);
    libshm_counter_add_with(family, LIBSHM_VALUES("overflow", "overflow"), 1);
    return 0;
}

/* A redeploy takes the old definition's overflow series with it. */
static void redefined(void **state)
{
    struct fixture *fixture = *state;
    in_child(define_and_overflow, fixture);
    assert_value(read_anew(fixture, "c_total").overflow, 1);
    libshm_family *family =
        family_of(fixture->segment, METRIC(LIBSHM_TYPE_COUNTER, "c_total", .labels = LIBSHM_LABELS("other")));
    assert_true(family->entry->overflow_series != 0);
    assert_int_equal(read_anew(fixture, "c_total").series, 0);
    assert_null(segment_unsound(fixture->segment));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(asleep, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(lock_taken, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(lock_taken_without_labels, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(removed, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(kept, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(redefined, segment_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
