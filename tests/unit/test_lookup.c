/* SPDX-License-Identifier: Apache-2.0
 *
 * Look-ups, the series cap, removal, hiding and reuse. */
#define _GNU_SOURCE
#include "common_segment.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common_sound.h"
#include "libshm/lookup_table.h"

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

/* The same buffer with ever other contents, up against memory that cannot be read: the address is only a hint. */
static void buffers(void **state)
{
    struct fixture *fixture = *state;
    static const int lengths[] = {1, 2, 7, 8, 14, 15, 16, 17, 30, 31, 32, 33, 47, 48, 100, 1000};
    static const size_t gaps[] = {0, 1, 15, 16, 64}; /* between the string's end and the page's */
    libshm_family *family = family_of(fixture->segment, METRIC(LIBSHM_TYPE_COUNTER, "c_total", .max_series = 10000,
                                                               .labels = LIBSHM_LABELS("a", "b", "c")));
    char *page = mmap(NULL, 2 * LIBSHM_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    assert_return_code(mprotect(page + LIBSHM_PAGE, LIBSHM_PAGE, PROT_NONE), errno);
    char kept[4][1001];
    uint64_t expected = 0;
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
        for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++) {
            int length = lengths[l];
            char *buffer = page + LIBSHM_PAGE - gaps[g] - length - 1, *of_gap = kept[3];
            snprintf(of_gap, sizeof kept[3], "gap %zu", g);
            memset(kept, 'x', 3 * sizeof kept[0]);
            kept[1][length - 1] = 'y'; /* differs in the last byte, */
            kept[2][0] = 'z';          /* in the first, */
            for (int k = 0; k < 3; k++)
                kept[k][length] = 0;
            for (int round = 1; round <= 5; round++)
                for (int k = 0; k < 4; k++) {
                    memcpy(buffer, kept[k % 3], (size_t)length + 1);
                    if (k == 3)
                        buffer[length - 1] = 0; /* by its end */
                    libshm_counter_add_with(family, LIBSHM_VALUES(of_gap, buffer, number(length)), (uint64_t)(k + 1));
                }
            for (int k = 0; k < 4; k++) {
                libshm_counter counter;
                kept[0][length - 1] = k == 3 ? 0 : 'x';
                assert_done(libshm_counter_get(family, LIBSHM_VALUES(of_gap, kept[k % 3], number(length)), &counter));
                assert_value(libshm_counter_value(&counter), 5.0 * (k + 1));
                libshm_counter_put(&counter);
                expected++;
            }
        }
    assert_int_equal(family->entry->series, expected);
    munmap(page, 2 * LIBSHM_PAGE);
}

static int restarts_in_child(struct fixture *fixture)
{
    struct libshm_grace *grace = &fixture->segment->lookup->grace;
    CHILD_CHECK(libshm_grace_over(grace) && libshm_grace_start(grace) && libshm_grace_over(grace));
    return 0;
}

/* Hits are sequences wherever the kernel can restart them, and grace periods come to their end in children, too. */
static void sequences(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t *cpu_id = (const void *)((const char *)__builtin_thread_pointer() + libshm_rseq_offset + 4);
    bool restart = syscall(SYS_membarrier, 0, 0, 0) & 1 << 7; /* MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ */
    struct libshm_grace *grace = &fixture->segment->lookup->grace;
    assert_int_equal(grace->sequences, restart && LIBSHM_RSEQ && fixture->segment->per_cpu && *cpu_id <= INT32_MAX);
    in_child(restarts_in_child, fixture);
    assert_true(libshm_grace_over(grace));
    uint32_t phase = libshm_grace_enter(grace);
    assert_true(libshm_grace_start(grace));
    assert_false(libshm_grace_over(grace)); /* this thread is in */
    in_child(restarts_in_child, fixture);   /* but not there */
    libshm_grace_leave(grace, phase);
    assert_true(libshm_grace_over(grace));
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
        cmocka_unit_test_setup_teardown(buffers, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(sequences, segment_setup, fixture_teardown),
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
