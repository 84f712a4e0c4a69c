/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening a segment for reading, what is no segment, what a reader makes of a file that changes under it. */
#define _GNU_SOURCE
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "reader_common.h"

static void expect_open(const char *path, int code, const char *text)
{
    libshm_reader *r = (libshm_reader *)&b;
    assert_int_equal(libshm_reader_open(path, &r), code);
    assert_null(r);
    if (!strstr(libshm_error_detail(), text) || !strstr(libshm_error_detail(), path))
        fail_msg("\"%s\" does not say \"%s\" of %s", libshm_error_detail(), text, path);
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void not_a_segment(void **state)
{
    (void)state;
    char path[105];
    unsigned before = open_descriptors();
    snprintf(path, sizeof path, "%s/none", b.directory);
    expect_open(path, LIBSHM_E_NOT_FOUND, "there is no");
    snprintf(path, sizeof path, "%s/none", b.path);
    expect_open(path, LIBSHM_E_NOT_FOUND, "there is no");
    expect_open(b.directory, LIBSHM_E_NOT_SEGMENT, "a directory");
    expect_open("/dev/null", LIBSHM_E_NOT_SEGMENT, "a character device");
    snprintf(path, sizeof path, "%s/other", b.directory);
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody writes to it: an open that waits would hang */
    expect_open(path, LIBSHM_E_NOT_SEGMENT, "a FIFO");
    unlink(path);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(s, (struct sockaddr *)&address, sizeof address), 0);
    expect_open(path, LIBSHM_E_NOT_SEGMENT, "a socket");
    close(s);
    unlink(path);
    assert_int_equal(symlink(b.path, path), 0);
    expect_open(path, LIBSHM_E_PERMISSION, "symbolic link");
    unlink(path);
    assert_int_equal(link(b.path, path), 0);
    expect_open(path, LIBSHM_E_PERMISSION, "2 names");
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    expect_open(path, LIBSHM_E_NOT_SEGMENT, "0 bytes");
    assert_int_equal(write(fd, "hello, world", 12), 12);
    expect_open(path, LIBSHM_E_NOT_SEGMENT, "first 8 bytes");
    assert_int_equal(pwrite(fd, LIBSHM_MAGIC, 8, 0), 8);
    expect_open(path, LIBSHM_E_DAMAGED, "cut off after 12 bytes");
    close(fd);
    unlink(path);
    assert_int_equal(open_descriptors(), before);
}

static void version(void **state)
{
    (void)state;
    b.header->format_version = 2;
    expect_open(b.path, LIBSHM_E_VERSION, "format version 2");
    b.header->format_version = 1;
    b.header->incompat = 4;
    sb_checksum(&b);
    expect_open(b.path, LIBSHM_E_VERSION, "features 0x4");
    b.header->incompat = 0;
    b.header->compat = b.header->ro_compat = UINT32_MAX;
    sb_checksum(&b);
    sb_series(&b, sb_family(&b, &(struct sb_family){.name = "a_total"}), NULL);
    take();
    assert_int_equal(snapshot->n_series, 1);
}

static void damaged_header(void **state)
{
    (void)state;
    b.header->page_next = 12345;
    expect_open(b.path, LIBSHM_E_DAMAGED, "page_next");
    b.header->page_next = b.header->file_end;
    take();
    b.header->page_next = b.header->file_end + LIBSHM_PAGE; /* while it is being read */
    assert_int_equal(libshm_reader_snapshot(reader, &snapshot), LIBSHM_E_DAMAGED);
    assert_null(snapshot);
    assert_non_null(strstr(libshm_error_detail(), "page_next"));
    b.header->page_next = b.header->file_end;
    take();
    b.header->max_bytes = LIBSHM_MAX_BYTES; /* beyond what was mapped */
    sb_checksum(&b);
    assert_int_equal(libshm_reader_snapshot(reader, &snapshot), LIBSHM_E_DAMAGED);
    assert_non_null(strstr(libshm_error_detail(), "changed since it was opened"));
    b.header->max_bytes = SB_MAX_BYTES;
    sb_checksum(&b);
    take();
    b.header->magic[0] = 0;
    assert_int_equal(libshm_reader_snapshot(reader, &snapshot), LIBSHM_E_NOT_SEGMENT);
}

static void permission(void **state)
{
    (void)state;
    assert_int_equal(chmod(b.directory, 0755), 0);
    assert_int_equal(fchmod(b.fd, 0600), 0);
    if (geteuid() != 0) {
        assert_int_equal(fchmod(b.fd, 0), 0);
        expect_open(b.path, LIBSHM_E_PERMISSION, "may not read");
        return;
    }
    pid_t child = fork();
    if (child == 0) {
        libshm_reader *r;
        _exit(setgid(65534) == 0 && setuid(65534) == 0 && libshm_reader_open(b.path, &r) == LIBSHM_E_PERMISSION &&
                      strstr(libshm_error_detail(), "may not read")
                  ? 0
                  : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* A reader that may only read, of a file that it may only read. */
static void read_only(void **state)
{
    (void)state;
    uint32_t f = sb_family(&b, &(struct sb_family){.name = "a_total"}), s = sb_series(&b, f, NULL);
    sb_cell(&b, s, 0, 2)->integer = 7;
    int fd = open(b.path, O_RDONLY);
    assert_int_equal(libshm_reader_open_fd(fd, "its name", &reader), 0);
    assert_string_equal(libshm_reader_path(reader), "its name");
    take();
    assert_int_equal(only("a_total")->integer, 7);
    unlink(b.path); /* a file without a name is still read */
    assert_int_equal(libshm_reader_current(reader, b.path), 0);
    sb_cell(&b, s, 0, 2)->integer = 8;
    take();
    assert_int_equal(only("a_total")->integer, 8);
    libshm_reader_close(reader);
    fd = open("/dev/null", O_RDONLY);
    assert_int_equal(libshm_reader_open_fd(fd, "null", &reader), LIBSHM_E_NOT_SEGMENT);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* taken over */
    assert_null(reader);
    libshm_reader_close(NULL);
}

static void identity(void **state)
{
    (void)state;
    struct stat file;
    dev_t device;
    ino_t inode;
    take();
    libshm_reader_identity(reader, &device, &inode);
    assert_int_equal(fstat(b.fd, &file), 0);
    assert_true(device == file.st_dev && inode == file.st_ino);
    assert_int_equal(libshm_reader_current(reader, b.path), 1);
    assert_int_equal(libshm_reader_current(reader, "/dev/null"), 0);
    char other[128];
    snprintf(other, sizeof other, "%s/other", b.directory);
    assert_int_equal(libshm_reader_current(reader, other), 0);
    assert_int_equal(symlink(b.path, other), 0);
    assert_int_equal(libshm_reader_current(reader, other), 0);
    assert_int_equal(rename(other, b.path), 0); /* replaced by something else of that name */
    assert_int_equal(libshm_reader_current(reader, b.path), 0);
}

static void facts(void **state)
{
    (void)state;
    sb_series(&b, sb_family(&b, &(struct sb_family){.name = "a_total"}), NULL);
    b.header->statistics.overflowed = 11;
    b.header->statistics.replaced_families = 12;
    b.header->incarnation = 3;
    take();
    assert_int_equal(snapshot->segment_id, 0x1234);
    assert_int_equal(snapshot->created_ns, 1000);
    assert_int_equal(snapshot->incarnation, 3);
    assert_int_equal(snapshot->file_bytes, b.header->file_end);
    assert_int_equal(snapshot->used_bytes, b.header->page_next);
    assert_int_equal(snapshot->max_bytes, SB_MAX_BYTES);
    assert_int_equal(snapshot->cpu_lanes, 2);
    assert_int_equal(snapshot->n_groups, 1);
    assert_int_equal(snapshot->cells_used, 1);
    assert_int_equal(snapshot->statistics.overflowed, 11);
    assert_int_equal(snapshot->statistics.replaced_families, 12);
    assert_int_equal(snapshot->directory_version, b.header->directory_version);
    assert_string_equal(snapshot->first_problem, "");
}

/* Cut off at every page, read all the while: what is left is served, and the snapshot says that something is missing.
 */
static void truncated(void **state)
{
    (void)state;
    uint32_t f = sb_family(&b, &(struct sb_family){.name = "a_total", .labels = LIST("l")});
    uint32_t g = sb_family(&b, &(struct sb_family){.name = "b", .type = LIBSHM_TYPE_GAUGE, .mode = LIBSHM_GAUGE_SUM});
    char value[16];
    for (int i = 0; i < 600; i++) {
        snprintf(value, sizeof value, "%d", i);
        sb_series(&b, f, LIST(value));
    }
    sb_live_set(&b, sb_slot(&b, 1, 1), 0, 1, 1.0);
    int lock = sb_live_lock(&b, 1);
    sb_series(&b, g, NULL);
    uint64_t end = b.header->file_end;
    take();
    assert_int_equal(snapshot->n_series, 601);
    assert_int_equal(snapshot->skipped_series, 0);
    for (uint64_t size = end; size > 0;) {
        size -= size % LIBSHM_PAGE ? size % LIBSHM_PAGE : 1000; /* at a page's end, and inside */
        assert_int_equal(ftruncate(b.fd, (off_t)size), 0);
        libshm_reader *late = NULL;
        const libshm_snapshot *shot = NULL;
        if (size < LIBSHM_PAGE) {
            assert_int_equal(libshm_reader_snapshot(reader, &snapshot), LIBSHM_E_DAMAGED);
            assert_int_equal(libshm_reader_open(b.path, &late), LIBSHM_E_DAMAGED);
            break;
        }
        take();
        assert_non_null(strstr(snapshot->first_problem, "cut off"));
        assert_int_equal(libshm_reader_open(b.path, &late), 0);
        assert_int_equal(libshm_reader_snapshot(late, &shot), 0);
        /* nothing is lost without a count; what the first reader has copied it does not need again */
        bool families_there = shot->skipped_families == 0;
        assert_true(!families_there || shot->n_series + shot->skipped_series == 601);
        assert_true(snapshot->n_series + snapshot->skipped_series == 601 || snapshot->skipped_families > 0);
        assert_true(shot->n_series <= snapshot->n_series);
        libshm_reader_close(late);
    }
    assert_true(snapshot == NULL);
    close(lock);
}

/* A file that grows after it was opened. */
static void growth(void **state)
{
    (void)state;
    take();
    assert_int_equal(snapshot->n_families, 0);
    uint32_t f = sb_family(&b, &(struct sb_family){.name = "a_total", .labels = LIST("l")});
    char value[16];
    for (int i = 0; i < 3000; i++) {
        snprintf(value, sizeof value, "%d", i);
        uint32_t s = sb_series(&b, f, LIST(value));
        sb_cell(&b, s, 0, 3)->integer = (uint64_t)i;
        if (i % 500 == 0) {
            take();
            assert_int_equal(snapshot->n_series, i + 1);
        }
    }
    take();
    assert_int_equal(snapshot->n_series, 3000);
    for (int i = 0; i < 3000; i++) {
        snprintf(value, sizeof value, "%d", i);
        assert_string_equal(family("a_total")->series[i].label_values[0], value);
        assert_int_equal(family("a_total")->series[i].integer, i);
    }
    assert_int_equal(snapshot->skipped_series + snapshot->skipped_families, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(not_a_segment), TEST(version), TEST(damaged_header), TEST(permission), TEST(read_only),
        TEST(identity),      TEST(facts),   TEST(truncated),      TEST(growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
