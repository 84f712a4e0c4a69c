/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of the reader share: a built segment, a reader of it, and finding things in a snapshot. */
#ifndef READER_COMMON_H
#define READER_COMMON_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "segment_builder.h"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct sb b;
static libshm_reader *reader;
static const libshm_snapshot *snapshot;

static inline int setup(void **state)
{
    (void)state;
    sb_open(&b);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    libshm_reader_close(reader);
    reader = NULL;
    snapshot = NULL;
    sb_close(&b);
    return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

static inline void take(void)
{
    if (!reader && libshm_reader_open(b.path, &reader) != 0)
        fail_msg("open: %s", libshm_error_detail());
    if (libshm_reader_snapshot(reader, &snapshot) != 0)
        fail_msg("snapshot: %s", libshm_error_detail());
}

static inline const libshm_family_view *find(const char *name)
{
    for (size_t i = 0; i < snapshot->n_families; i++)
        if (strcmp(snapshot->families[i].name, name) == 0)
            return &snapshot->families[i];
    return NULL;
}

static inline const libshm_family_view *family(const char *name)
{
    const libshm_family_view *found = find(name);
    if (!found)
        fail_msg("no family %s", name);
    return found;
}

/* The only series of a family. */
static inline const libshm_series_view *only(const char *name)
{
    const libshm_family_view *f = family(name);
    if (f->n_series != 1)
        fail_msg("%s has %zu series", name, f->n_series);
    return f->series;
}

static inline double value_of(const libshm_series_view *series)
{
    return (double)series->integer + series->fractional;
}

/* The series whose first label has this value, or NULL. */
static inline const libshm_series_view *find_series(const char *name, const char *value)
{
    const libshm_family_view *f = family(name);
    for (size_t i = 0; i < f->n_series; i++)
        if (strcmp(f->series[i].label_values[0], value) == 0)
            return &f->series[i];
    return NULL;
}

static inline void expect_problem(const char *text)
{
    if (!strstr(snapshot->first_problem, text))
        fail_msg("first problem \"%s\" does not say \"%s\"", snapshot->first_problem, text);
}

#endif
