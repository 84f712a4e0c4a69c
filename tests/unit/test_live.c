/* SPDX-License-Identifier: Apache-2.0
 *
 * Live gauges: one cell a process, merged over the living ones; process slots and their reuse. */
#define _GNU_SOURCE
#include "common_segment.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Children that set the gauges of all modes to a value and then wait to be killed. */
struct family_set {
    libshm_gauge sum, min, max, all;
};

static int define_all(libshm_segment *segment, struct family_set *set)
{
    return libshm_gauge_define(segment, METRIC(0, "g_sum", .gauge_mode = LIBSHM_GAUGE_SUM), &set->sum) ||
           libshm_gauge_define(segment, METRIC(0, "g_min", .gauge_mode = LIBSHM_GAUGE_MIN), &set->min) ||
           libshm_gauge_define(segment, METRIC(0, "g_max", .gauge_mode = LIBSHM_GAUGE_MAX), &set->max) ||
           libshm_gauge_define(segment, METRIC(0, "g_all", .gauge_mode = LIBSHM_GAUGE_ALL), &set->all);
}

static void set_all(const struct family_set *set, double value)
{
    libshm_gauge_set(&set->sum, value);
    libshm_gauge_set(&set->min, value);
    libshm_gauge_set(&set->max, value);
    libshm_gauge_set(&set->all, value);
}

static pid_t start(struct fixture *fixture, double value)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct family_set set;
        if (define_all(fixture->segment, &set) != 0)
            _exit(1);
        set_all(&set, value);
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return child;
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void modes(void **state)
{
    struct fixture *fixture = *state;
    struct family_set set;
    assert_done(define_all(fixture->segment, &set));
    assert_value(libshm_gauge_value(&set.sum), 0);
    assert_true(isnan(libshm_gauge_value(&set.min))); /* of nothing */
    assert_true(isnan(libshm_gauge_value(&set.max)));
    pid_t first = start(fixture, 3), second = start(fixture, -5);
    assert_value(libshm_gauge_value(&set.sum), -2); /* this process never set it: absent, not zero */
    assert_value(libshm_gauge_value(&set.min), -5);
    assert_value(libshm_gauge_value(&set.max), 3);
    set_all(&set, 1);
    assert_value(libshm_gauge_value(&set.sum), -1);
    end(second); /* its share goes with it */
    assert_value(libshm_gauge_value(&set.sum), 4);
    assert_value(libshm_gauge_value(&set.min), 1);
    assert_value(libshm_gauge_value(&set.max), 3);
    end(first);
    assert_value(libshm_gauge_value(&set.sum), 1);
    assert_value(libshm_gauge_value(&set.max), 1);
}

/* A slot used again never shows what its last owner left. */
static void no_ghosts(void **state)
{
    struct fixture *fixture = *state;
    struct family_set set;
    assert_done(define_all(fixture->segment, &set));
    uint32_t slots = 0;
    for (int i = 0; i < 20; i++) {
        end(start(fixture, 100 + i));
        assert_value(libshm_gauge_value(&set.sum), 0);
        assert_true(isnan(libshm_gauge_value(&set.max)));
        if (i == 2)
            slots = libshm_table_count(fixture->segment, LIBSHM_TABLE_SLOTS);
    }
    assert_int_equal(libshm_table_count(fixture->segment, LIBSHM_TABLE_SLOTS), slots); /* used again */
    uint64_t pages = fixture->segment->header->page_next;
    end(start(fixture, 7));
    assert_int_equal(fixture->segment->header->page_next, pages); /* the live pages, too */
}

static int only_attach(struct fixture *fixture)
{
    struct family_set set;
    CHILD_CHECK(define_all(fixture->segment, &set) == 0);
    CHILD_CHECK(libshm_gauge_value(&set.sum) == 0); /* in a slot whose cells had values */
    libshm_gauge_add(&set.sum, 2);
    CHILD_CHECK(libshm_gauge_value(&set.sum) == 2);
    return 0;
}

static void a_reused_slot_is_empty(void **state)
{
    struct fixture *fixture = *state;
    end(start(fixture, 42));
    in_child(only_attach, fixture);
}

/* A number given to another series: the old value does not count for it. */
static void reused_number(void **state)
{
    struct fixture *fixture = *state;
    libshm_family *family = family_of(
        fixture->segment, METRIC(LIBSHM_TYPE_GAUGE, "g", .gauge_mode = LIBSHM_GAUGE_SUM, .labels = LIBSHM_LABELS("a")));
    libshm_gauge old, new;
    assert_done(libshm_gauge_get(family, LIBSHM_VALUES("old"), &old));
    libshm_gauge_set(&old, 9);
    uint32_t number = old.number;
    libshm_gauge_put(&old);
    assert_done(libshm_series_remove(family, LIBSHM_VALUES("old")));
    assert_done(libshm_sweep(fixture->segment));
    assert_done(libshm_gauge_get(family, LIBSHM_VALUES("new"), &new));
    assert_int_equal(new.number, number); /* the same cell */
    assert_value(libshm_gauge_value(&new), 0);
    libshm_gauge_add(&new, 1);
    assert_value(libshm_gauge_value(&new), 1);
}

static void many_gauges(void **state)
{
    struct fixture *fixture = *state;
    enum { MANY = 3 * LIBSHM_LIVE_CELLS + 7 };
    libshm_family *family = family_of(fixture->segment, METRIC(LIBSHM_TYPE_GAUGE, "g", .gauge_mode = LIBSHM_GAUGE_SUM,
                                                               .labels = LIBSHM_LABELS("a"), .max_series = MANY));
    static libshm_gauge gauge[MANY];
    for (int i = 0; i < MANY; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        assert_done(libshm_gauge_get(family, LIBSHM_VALUES(value), &gauge[i]));
        libshm_gauge_set(&gauge[i], i);
    }
    for (int i = 0; i < MANY; i++)
        assert_value(libshm_gauge_value(&gauge[i]), i);
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
    struct family_set set;
    pthread_t thread[THREADS];
    assert_done(define_all(fixture->segment, &set));
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, add_many, &set.sum), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    assert_value(libshm_gauge_value(&set.sum), THREADS * rounds(ADDS));
}

static void odd_values(void **state)
{
    struct fixture *fixture = *state;
    struct family_set set;
    assert_done(define_all(fixture->segment, &set));
    set_all(&set, NAN);
    assert_int_equal(STATISTIC(fixture->segment, dropped_values), 4);
    assert_true(isnan(libshm_gauge_value(&set.max)));
    set_all(&set, INFINITY);
    assert_value(libshm_gauge_value(&set.sum), INFINITY);
}

/* ---- slots ---- */

static struct libshm_slot_entry *own_slot(const libshm_segment *segment)
{
    return libshm_table_at(segment, LIBSHM_TABLE_SLOTS, segment->process.wiped->slot);
}

static void slot_says_who(void **state)
{
    struct fixture *fixture = *state;
    const struct libshm_slot_entry *slot = own_slot(fixture->segment);
    assert_non_null(slot);
    assert_int_equal(slot->pid, getpid());
    assert_int_not_equal(slot->pid_ns, 0);
    assert_int_not_equal(slot->serial, 0);
    assert_int_equal(slot->serial, fixture->segment->process.wiped->slot_serial);
    char name[16] = "";
    prctl(PR_GET_NAME, name);
    assert_memory_equal(slot->name, name, sizeof name);
    int fd = libshm_reopen(fixture->segment);
    assert_int_equal(libshm_byte_locked(fd, LIBSHM_SLOT_LOCK + slot->serial, F_RDLCK), 1);
    assert_int_equal(libshm_byte_locked(fd, LIBSHM_SLOT_LOCK + slot->serial + 1, F_RDLCK), 0);
    close(fd);
}

static int own_slot_in_child(struct fixture *fixture)
{
    const struct libshm_slot_entry *slot = own_slot(fixture->segment);
    CHILD_CHECK(slot && slot->pid == (uint32_t)getpid()); /* taken by fork() already */
    return 0;
}

static void every_process_has_one(void **state)
{
    struct fixture *fixture = *state;
    uint64_t serial = own_slot(fixture->segment)->serial;
    in_child(own_slot_in_child, fixture);
    assert_int_equal(own_slot(fixture->segment)->serial, serial);
}

static void closed_is_dead(void **state)
{
    struct fixture *fixture = *state;
    struct family_set set;
    assert_done(define_all(fixture->segment, &set));
    set_all(&set, 5);
    libshm_close(fixture->segment);
    assert_done(libshm_open("t", NULL, &fixture->segment));
    assert_done(define_all(fixture->segment, &set));
    assert_value(libshm_gauge_value(&set.sum), 0);
}

static int come_and_go(struct fixture *fixture)
{
    (void)fixture;
    libshm_segment *segment;
    CHILD_CHECK(libshm_open("t", NULL, &segment) == 0);
    libshm_close(segment);
    return 0;
}

/* Processes that come and go are nothing that a reader's copy of the directory must follow. */
static void churn(void **state)
{
    struct fixture *fixture = *state;
    uint64_t version = fixture->segment->header->directory_version, serial = fixture->segment->header->serial;
    for (int i = 0; i < 3; i++)
        in_child(come_and_go, fixture);
    assert_true(fixture->segment->header->serial > serial);
    assert_int_equal(fixture->segment->header->directory_version, version);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(churn, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(modes, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(no_ghosts, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_reused_slot_is_empty, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(reused_number, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(many_gauges, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(threads, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(odd_values, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(slot_says_who, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(every_process_has_one, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(closed_is_dead, segment_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
