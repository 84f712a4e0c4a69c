/* SPDX-License-Identifier: Apache-2.0
 *
 * See common_segment.h. */
#define _GNU_SOURCE
#include "common_segment.h"

#include <ftw.h>
#include <sys/wait.h>

static int remove_one(const char *path, const struct stat *file, int type, struct FTW *walk)
{
    (void)file, (void)type, (void)walk;
    return remove(path);
}

int directory_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    if (!fixture)
        return -1;
    snprintf(fixture->directory, sizeof fixture->directory, "/dev/shm/libshm-unit-XXXXXX");
    if (!mkdtemp(fixture->directory)) {
        free(fixture);
        return -1;
    }
    setenv("LIBSHM_DIR", fixture->directory, 1);
    *state = fixture;
    return 0;
}

int segment_setup(void **state)
{
    if (directory_setup(state) != 0)
        return -1;
    struct fixture *fixture = *state;
    int error = libshm_open("t", NULL, &fixture->segment);
    if (error)
        fprintf(stderr, "libshm_open: %s\n", libshm_error_detail());
    return error;
}

int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    libshm_close(fixture->segment);
    nftw(fixture->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(fixture);
    return 0;
}

const char *path_in(const struct fixture *fixture, const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", fixture->directory, name);
    return path;
}

void in_child(int (*body)(struct fixture *fixture), struct fixture *fixture)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(body(fixture));
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status != 0)
        fail_msg("the child ended with status %#x", (unsigned)status);
}

int rounds(int many)
{
    const char *preload = getenv("LD_PRELOAD");
    if (preload && strstr(preload, "vgpreload"))
        return many / 100;
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    return many / 20;
#else
    return many;
#endif
}

libshm_family *family_of(libshm_segment *segment, const libshm_metric *metric)
{
    libshm_family *family;
    assert_done(libshm_family_define(segment, metric, &family));
    assert_non_null(family);
    return family;
}

struct libshm_series_entry *series_entry(libshm_segment *segment, uint32_t number)
{
    struct libshm_series_entry *entry = libshm_table_at(segment, LIBSHM_TABLE_SERIES, number);
    assert_non_null(entry);
    return entry;
}
