/* SPDX-License-Identifier: Apache-2.0
 *
 * What the unit tests of the writers' side share: a directory and a segment for each test, checks in children, and
 * short ways to look into the segment. */
#ifndef TESTS_UNIT_COMMON_SEGMENT_H
#define TESTS_UNIT_COMMON_SEGMENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "libshm/internal.h"

struct fixture {
    char directory[64]; /* LIBSHM_DIR; on a tmpfs */
    libshm_segment *segment;
};

/* cmocka's setup and teardown: the directory alone, or with the segment "t" in it. */
int directory_setup(void **state);
int segment_setup(void **state);
int fixture_teardown(void **state);

/* The path of a file in the test's directory; the string is good for a few calls. */
const char *path_in(const struct fixture *fixture, const char *name);

/* Runs `body` in a forked child (made by fork(), or by what `make` does) and asserts that it returned 0. A child uses
 * CHILD_CHECK and not cmocka's assertions, which would jump into the parent's test runner. */
void in_child(int (*body)(struct fixture *fixture), struct fixture *fixture);
#define CHILD_CHECK(condition)                                                                                         \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: in a child: %s (%s)\n", __FILE__, __LINE__, #condition, libshm_error_detail());    \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

/* Setup must have worked. */
#define assert_done(call)                                                                                              \
    do {                                                                                                               \
        int done_ = (call);                                                                                            \
        if (done_ != 0)                                                                                                \
            fail_msg("%s: %s (%s)", #call, libshm_strerror(done_), libshm_error_detail());                             \
    } while (0)

/* It must have failed with this code and a detail that contains `word`. */
#define assert_refused(call, code, word)                                                                               \
    do {                                                                                                               \
        int done_ = (call);                                                                                            \
        if (done_ != (code) || !strstr(libshm_error_detail(), word))                                                   \
            fail_msg("%s: %s (%s)", #call, libshm_strerror(done_), libshm_error_detail());                             \
    } while (0)

/* Exactly this number (cmocka compares as float). */
#define assert_value(value, expected)                                                                                  \
    do {                                                                                                               \
        double value_ = (value), expected_ = (expected);                                                               \
        if (!(value_ == expected_))                                                                                    \
            fail_msg("%s is %.17g, not %.17g", #value, value_, expected_);                                             \
    } while (0)

/* `many`, or a hundredth of it under valgrind, a twentieth under a sanitizer. */
int rounds(int many);

/* A definition: type, name, further members. */
#define METRIC(metric_type, ...) (&(libshm_metric){.type = (metric_type), .help = "A test.", .name = __VA_ARGS__})

libshm_family *family_of(libshm_segment *segment, const libshm_metric *metric); /* asserts */

/* Entry of a series by its handle's number, and one statistic. */
struct libshm_series_entry *series_entry(libshm_segment *segment, uint32_t number);
#define STATISTIC(segment, what) ((segment)->header->statistics.what)

#endif
