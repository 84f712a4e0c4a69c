/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening segments: names, files that are none, versions, permissions, and what is there again after a restart. */
#define _GNU_SOURCE
#include "common_segment.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>

static void names(void **state)
{
    (void)state;
    char longest[66];
    libshm_segment *segment;
    static const char *const bad[] = {"", ".hidden", "-dash", "a/b", "..", ".", "a b", "a\n", "ä", "a:b", NULL};
    static const char *const good[] = {"a", "_", "0", "a.b-c_D9", NULL};
    for (int i = 0; bad[i]; i++) {
        assert_refused(libshm_open(bad[i], NULL, &segment), LIBSHM_E_INVALID, "[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}");
        assert_null(segment);
        assert_refused(libshm_unlink(NULL, bad[i], 0), LIBSHM_E_INVALID, "[A-Za-z0-9_.-]");
    }
    assert_refused(libshm_open(NULL, NULL, &segment), LIBSHM_E_INVALID, "name");
    memset(longest, 'x', 65);
    longest[65] = 0;
    assert_refused(libshm_open(longest, NULL, &segment), LIBSHM_E_INVALID, "name");
    longest[64] = 0;
    assert_done(libshm_open(longest, NULL, &segment));
    libshm_close(segment);
    for (int i = 0; good[i]; i++) {
        assert_done(libshm_open(good[i], NULL, &segment));
        libshm_close(segment);
    }
}

static void opened_twice(void **state)
{
    struct fixture *fixture = *state;
    libshm_segment *again;
    libshm_counter counter;
    assert_done(libshm_counter_define(fixture->segment, METRIC(0, "x_total"), &counter));
    assert_done(libshm_open("t", NULL, &again));
    assert_ptr_equal(again, fixture->segment);
    libshm_close(again);
    libshm_counter_inc(&counter); /* still open */
    assert_value(libshm_counter_value(&counter), 1);
    assert_string_equal(libshm_segment_path(fixture->segment), path_in(fixture, "t"));
    assert_string_equal(libshm_segment_path(NULL), "");
    libshm_close(NULL);
}

static void restart_goes_on(void **state)
{
    struct fixture *fixture = *state;
    for (int run = 1; run <= 3; run++) {
        libshm_counter counter;
        libshm_gauge gauge, live;
        libshm_histogram histogram;
        uint64_t count;
        double sum;
        assert_done(libshm_counter_define(fixture->segment, METRIC(0, "x_total"), &counter));
        assert_done(libshm_gauge_define(fixture->segment, METRIC(0, "g"), &gauge));
        assert_done(libshm_gauge_define(fixture->segment, METRIC(0, "live", .gauge_mode = LIBSHM_GAUGE_SUM), &live));
        assert_done(
            libshm_histogram_define(fixture->segment, METRIC(0, "h_seconds", .LIBSHM_BOUNDS(1, 2)), &histogram));
        libshm_counter_add(&counter, 10);
        libshm_gauge_add(&gauge, 1);
        libshm_gauge_add(&live, 1);
        libshm_histogram_observe(&histogram, 1.5);
        libshm_histogram_value(&histogram, &count, &sum);
        assert_value(libshm_counter_value(&counter), 10 * run);
        assert_value(libshm_gauge_value(&gauge), run);
        assert_value(libshm_gauge_value(&live), 1); /* the earlier runs are gone */
        assert_int_equal(count, run);
        assert_value(sum, 1.5 * run);
        libshm_close(fixture->segment);
        assert_done(libshm_open("t", NULL, &fixture->segment));
    }
}

static void file_of_its_own(void **state)
{
    struct fixture *fixture = *state;
    struct stat file;
    libshm_segment *segment;
    mode_t old = umask(0777);
    assert_done(libshm_open("mode", NULL, &segment));
    umask(old);
    assert_int_equal(stat(path_in(fixture, "mode"), &file), 0);
    assert_int_equal(file.st_mode & 07777, 0640);
    assert_int_equal(file.st_blocks * 512, file.st_size); /* no holes */
    libshm_close(segment);
    assert_done(libshm_open("mode2", (&(libshm_open_options){.mode = 0600}), &segment));
    assert_int_equal(stat(path_in(fixture, "mode2"), &file), 0);
    assert_int_equal(file.st_mode & 07777, 0600);
    libshm_close(segment);
}

static void options(void **state)
{
    (void)state;
    libshm_segment *segment;
    libshm_open_options options = {.size = sizeof options + 8};
    assert_refused(libshm_open("o", &options, &segment), LIBSHM_E_VERSION, "libshm_open_options");
    options = (libshm_open_options){.size = sizeof options, .max_bytes = 4096};
    assert_refused(libshm_open("o", &options, &segment), LIBSHM_E_INVALID, "max_bytes");
    options.max_bytes = LIBSHM_MAX_BYTES + LIBSHM_PAGE;
    assert_refused(libshm_open("o", &options, &segment), LIBSHM_E_INVALID, "max_bytes");
    options = (libshm_open_options){.size = sizeof options, .cpu_lanes = LIBSHM_MAX_CPU_LANES + 1};
    assert_refused(libshm_open("o", &options, &segment), LIBSHM_E_INVALID, "cpu_lanes");
    assert_null(segment);
    options = (libshm_open_options){.size = sizeof options, .cpu_lanes = LIBSHM_NO_CPU_LANES};
    assert_done(libshm_open("o", &options, &segment));
    assert_int_equal(segment->header->cpu_lanes, 0);
    libshm_close(segment);
    assert_refused(libshm_open_abi("o", NULL, LIBSHM_HOT_ABI + 1, &segment), LIBSHM_E_VERSION, "compile it again");
}

static void directories(void **state)
{
    struct fixture *fixture = *state;
    libshm_segment *segment;
    libshm_open_options options = {.size = sizeof options, .directory = path_in(fixture, "missing")};
    assert_refused(libshm_open("t", &options, &segment), LIBSHM_E_NOT_FOUND, "missing");
    assert_refused(libshm_unlink(options.directory, "t", 0), LIBSHM_E_NOT_FOUND, "missing");
    int fd = open(path_in(fixture, "file"), O_CREAT | O_RDWR, 0600);
    close(fd);
    options.directory = path_in(fixture, "file");
    assert_refused(libshm_open("t", &options, &segment), LIBSHM_E_NOT_FOUND, "not a directory");
    options.directory = path_in(fixture, "open");
    mkdir(options.directory, 0777);
    chmod(options.directory, 0777);
    assert_refused(libshm_open("t", &options, &segment), LIBSHM_E_PERMISSION, "everybody");
    chmod(options.directory, 01777);
    assert_done(libshm_open("t", &options, &segment));
    libshm_close(segment);
}

/* Things that have the name of a segment. */
static void not_a_segment(void **state)
{
    struct fixture *fixture = *state;
    libshm_segment *segment;
    int fd;
    mkdir(path_in(fixture, "directory"), 0700);
    assert_int_not_equal(libshm_open("directory", NULL, &segment), 0);
    assert_non_null(strstr(libshm_error_detail(), "directory"));
    assert_int_equal(mkfifo(path_in(fixture, "fifo"), 0600), 0);
    assert_refused(libshm_open("fifo", NULL, &segment), LIBSHM_E_NOT_SEGMENT, "fifo");
    assert_int_equal(symlink(path_in(fixture, "nowhere"), path_in(fixture, "link")), 0);
    assert_refused(libshm_open("link", NULL, &segment), LIBSHM_E_PERMISSION, "symbolic link");
    assert_int_equal(access(path_in(fixture, "nowhere"), F_OK), -1);
    assert_done(libshm_open("two", NULL, &segment));
    libshm_close(segment);
    assert_int_equal(link(path_in(fixture, "two"), path_in(fixture, "names")), 0);
    assert_refused(libshm_open("two", NULL, &segment), LIBSHM_E_NOT_SEGMENT, "one name");
    unlink(path_in(fixture, "names"));
    chmod(path_in(fixture, "two"), 0646);
    assert_refused(libshm_open("two", NULL, &segment), LIBSHM_E_PERMISSION, "everybody");
    fd = open(path_in(fixture, "empty"), O_CREAT | O_RDWR, 0600);
    close(fd);
    assert_refused(libshm_open("empty", NULL, &segment), LIBSHM_E_NOT_SEGMENT, "0 bytes");
    fd = open(path_in(fixture, "other"), O_CREAT | O_RDWR, 0600);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(write(fd, "#!/bin/sh\n", 10), 10);
    close(fd);
    assert_refused(libshm_open("other", NULL, &segment), LIBSHM_E_NOT_SEGMENT, "LIBSHM");
    assert_null(segment);
    assert_int_equal(access(path_in(fixture, "other"), F_OK), 0); /* left alone */
}

/* Changes the header of segment "v" and makes its checksum right again; then opens it. */
static int open_changed(struct fixture *fixture, size_t at, uint32_t value)
{
    union {
        struct libshm_header header;
        unsigned char bytes[LIBSHM_PAGE];
    } u;
    libshm_segment *segment;
    unlink(path_in(fixture, "v"));
    assert_done(libshm_open("v", NULL, &segment));
    libshm_close(segment);
    int fd = open(path_in(fixture, "v"), O_RDWR);
    assert_int_equal(pread(fd, &u, sizeof u, 0), sizeof u);
    memcpy(u.bytes + at, &value, sizeof value);
    u.header.checksum = libshm_crc32c(&u.header, offsetof(struct libshm_header, checksum));
    assert_int_equal(pwrite(fd, &u, sizeof u, 0), sizeof u);
    close(fd);
    int error = libshm_open("v", NULL, &segment);
    libshm_close(segment);
    return error;
}

static void versions(void **state)
{
    struct fixture *fixture = *state;
    assert_refused(open_changed(fixture, offsetof(struct libshm_header, format_version), 2), LIBSHM_E_VERSION,
                   "version 2");
    assert_non_null(strstr(libshm_error_detail(), "newer"));
    assert_refused(open_changed(fixture, offsetof(struct libshm_header, format_version), 0), LIBSHM_E_VERSION, "older");
    assert_refused(open_changed(fixture, offsetof(struct libshm_header, incompat), 4), LIBSHM_E_VERSION, "0x4");
    assert_refused(open_changed(fixture, offsetof(struct libshm_header, ro_compat), 8), LIBSHM_E_VERSION, "0x8");
    assert_done(open_changed(fixture, offsetof(struct libshm_header, compat), 16));
    assert_refused(open_changed(fixture, offsetof(struct libshm_header, hot_abi), 7), LIBSHM_E_VERSION, "7");
    assert_refused(open_changed(fixture, offsetof(struct libshm_header, max_bytes), 1), LIBSHM_E_DAMAGED, "max_bytes");
}

static void damaged(void **state)
{
    struct fixture *fixture = *state;
    libshm_segment *segment;
    assert_done(libshm_open("d", NULL, &segment));
    libshm_close(segment);
    assert_int_equal(truncate(path_in(fixture, "d"), 8192), 0);
    assert_refused(libshm_open("d", NULL, &segment), LIBSHM_E_DAMAGED, "file_end");
    int fd = open(path_in(fixture, "d"), O_RDWR);
    assert_int_equal(pwrite(fd, "?", 1, 60), 1);
    close(fd);
    assert_refused(libshm_open("d", NULL, &segment), LIBSHM_E_DAMAGED, "checksum");
}

/* Another boot of the machine: the lanes are not this kernel's CPUs, so everybody uses the atomic cells. */
static void other_boot(void **state)
{
    struct fixture *fixture = *state;
    libshm_counter counter;
    assert_done(open_changed(fixture, offsetof(struct libshm_header, boot_id), 0x12345678));
    assert_done(libshm_open("v", NULL, &fixture->segment));
    assert_false(fixture->segment->per_cpu);
    assert_done(libshm_counter_define(fixture->segment, METRIC(0, "x_total"), &counter));
    libshm_counter_add(&counter, 3);
    assert_int_equal(counter.cpu_limit, 0);
    assert_value(libshm_counter_value(&counter), 3);
}

static int as_nobody(struct fixture *fixture)
{
    libshm_segment *segment;
    CHILD_CHECK(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
    CHILD_CHECK(libshm_open("t", NULL, &segment) == LIBSHM_E_PERMISSION && !segment); /* 0640, another's */
    CHILD_CHECK(strstr(libshm_error_detail(), path_in(fixture, "t")));
    CHILD_CHECK(libshm_open("new", NULL, &segment) == LIBSHM_E_PERMISSION); /* the directory may not be written */
    CHILD_CHECK(libshm_unlink(NULL, "t", 1) == LIBSHM_E_PERMISSION);
    /* and the program goes on without metrics */
    libshm_counter counter;
    CHILD_CHECK(libshm_counter_define(segment, METRIC(0, "x_total"), &counter) == LIBSHM_E_INVALID);
    uint64_t lost = libshm_lost_updates();
    libshm_counter_inc(&counter);
    CHILD_CHECK(libshm_lost_updates() == lost + 1);
    return 0;
}

static void no_permission(void **state)
{
    struct fixture *fixture = *state;
    if (geteuid() != 0)
        skip();
    libshm_segment *segment;
    assert_done(libshm_open("t", NULL, &segment));
    libshm_close(segment);
    chmod(fixture->directory, 0755);
    in_child(as_nobody, fixture);
}

static void too_many(void **state)
{
    (void)state;
    libshm_segment *segments[LIBSHM_MAX_SEGMENTS], *more;
    char name[16];
    for (int i = 0; i < LIBSHM_MAX_SEGMENTS; i++) {
        snprintf(name, sizeof name, "s%d", i);
        assert_done(libshm_open(name, NULL, &segments[i]));
    }
    assert_refused(libshm_open("more", NULL, &more), LIBSHM_E_FULL, "64 segments");
    assert_null(more);
    for (int i = 0; i < LIBSHM_MAX_SEGMENTS; i++)
        libshm_close(segments[i]);
    assert_done(libshm_open("more", NULL, &more));
    libshm_close(more);
}

static void errors_have_texts(void **state)
{
    (void)state;
    for (int code = LIBSHM_E_MEMORY; code <= 0; code++) {
        assert_string_not_equal(libshm_strerror(code), "unknown error");
        for (int other = LIBSHM_E_MEMORY; other < code; other++)
            assert_string_not_equal(libshm_strerror(code), libshm_strerror(other));
    }
    assert_string_equal(libshm_strerror(-1000), "unknown error");
    assert_string_equal(libshm_strerror(1), "unknown error");
    libshm_segment *segment;
    assert_int_equal(libshm_open("a\nb", NULL, &segment), LIBSHM_E_INVALID);
    assert_null(strchr(libshm_error_detail(), '\n')); /* a log line stays one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names, directory_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(opened_twice, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(restart_goes_on, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(file_of_its_own, directory_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(options, directory_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(directories, directory_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(not_a_segment, directory_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(versions, directory_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(damaged, directory_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(other_boot, directory_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(no_permission, directory_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(too_many, directory_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(errors_have_texts, directory_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
