/* SPDX-License-Identifier: Apache-2.0
 *
 * In-progress scopes: +1 and -1 on every way out, and who may write the -1. */
#define _GNU_SOURCE
#include "common_segment.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static libshm_gauge live, shared;

static void define(struct fixture *fixture)
{
    assert_done(libshm_gauge_define(fixture->segment, METRIC(0, "live", .gauge_mode = LIBSHM_GAUGE_SUM), &live));
    assert_done(libshm_gauge_define(fixture->segment, METRIC(0, "shared"), &shared));
}

static double inside;

static int scopes(int way)
{
    LIBSHM_PROGRESS_SCOPE(&live);
    LIBSHM_PROGRESS_SCOPE(&shared);
    inside = libshm_gauge_value(&live) + libshm_gauge_value(&shared);
    if (way == 0)
        return 1;
    while (way == 1) {
        LIBSHM_PROGRESS_SCOPE(&live);
        inside += libshm_gauge_value(&live);
        break;
    }
    return 2;
}

static void every_way_out(void **state)
{
    define(*state);
    for (int way = 0; way < 3; way++) {
        scopes(way);
        assert_value(inside, way == 1 ? 4 : 2);
        assert_value(libshm_gauge_value(&live), 0);
        assert_value(libshm_gauge_value(&shared), 0);
    }
}

/* A child made inside of its parent's scope leaves it as well, and writes nothing: however it was made. */
static pid_t with_fork(void)
{
    return fork();
}

static pid_t with_raw_fork(void)
{
    return _Fork();
}

static pid_t with_clone(void)
{
    return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static void child_inside(struct fixture *fixture, pid_t (*make)(void))
{
    define(fixture);
    libshm_progress a = libshm_progress_enter(&live), b = libshm_progress_enter(&shared);
    pid_t child = make();
    assert_true(child >= 0);
    if (child == 0) {
        libshm_progress_leave(&a); /* the parent's */
        libshm_progress_leave(&b);
        libshm_progress own = libshm_progress_enter(&live); /* its own */
        libshm_progress_leave(&own);
        own = libshm_progress_enter(&live);
        _exit(0); /* dies inside of its own scope */
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_value(libshm_gauge_value(&live), 1);
    assert_value(libshm_gauge_value(&shared), 1);
    libshm_progress_leave(&a);
    libshm_progress_leave(&b);
    assert_value(libshm_gauge_value(&live), 0);
    assert_value(libshm_gauge_value(&shared), 0);
}

static void forked_inside(void **state)
{
    child_inside(*state, with_fork);
}

static void raw_forked_inside(void **state)
{
    child_inside(*state, with_raw_fork);
}

static void cloned_inside(void **state)
{
    child_inside(*state, with_clone);
}

/* What an in-progress gauge is for: killed in the middle, it goes back to 0. */
static void killed_inside(void **state)
{
    struct fixture *fixture = *state;
    int ready[2];
    char byte;
    define(fixture);
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        libshm_progress_enter(&live);
        if (write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_value(libshm_gauge_value(&live), 1);
    kill(child, SIGSTOP); /* stopped is alive */
    assert_int_equal(waitpid(child, NULL, WUNTRACED), child);
    assert_value(libshm_gauge_value(&live), 1);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_value(libshm_gauge_value(&live), 0);
    close(ready[0]);
    close(ready[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_way_out, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(forked_inside, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(raw_forked_inside, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(cloned_inside, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(killed_inside, segment_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
