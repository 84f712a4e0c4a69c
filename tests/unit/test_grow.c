/* SPDX-License-Identifier: Apache-2.0
 *
 * Growth of the file while signals keep interrupting it: retried, not for ever. */
#define _GNU_SOURCE
#include "common_segment.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

static int interruptions, calls; /* how many more calls are interrupted; calls since */

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    calls++;
    if (interruptions > 0) {
        interruptions--;
        errno = EINTR;
        return -1;
    }
    return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

/* Series until the file has to grow, which is interrupted so often; the error, or 0 when it has grown. */
static int grow(libshm_segment *segment, int interrupted)
{
    libshm_family *family =
        family_of(segment, METRIC(LIBSHM_TYPE_COUNTER, "c_total", .labels = LIBSHM_LABELS("a"), .max_series = 100000));
    uint64_t end = segment->header->file_end;
    libshm_counter counter;
    int error = 0;
    char value[16];
    calls = 0;
    interruptions = interrupted;
    for (int i = 0; !error && calls == 0 && i < 100000; i++) {
        snprintf(value, sizeof value, "%d-%llu", i, (unsigned long long)end);
        error = libshm_counter_get(family, LIBSHM_VALUES(value), &counter);
    }
    assert_true(calls > 0);
    return error ? error : segment->header->file_end > end ? 0 : LIBSHM_E_NOT_FOUND;
}

static void interrupted(void **state)
{
    struct fixture *fixture = *state;
    assert_done(grow(fixture->segment, 20));
    assert_int_equal(calls, 21);
    assert_int_equal(grow(fixture->segment, 100000), LIBSHM_E_FULL);
    assert_non_null(strstr(libshm_error_detail(), strerror(EINTR)));
    assert_in_range(calls, 2, 1000);
    assert_done(grow(fixture->segment, 0)); /* the lock was given back, and nothing is half done */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(interrupted, segment_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
