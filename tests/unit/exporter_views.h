/* SPDX-License-Identifier: Apache-2.0
 *
 * Families and series made by hand, for tests of what comes after the snapshot. */
#ifndef TESTS_EXPORTER_VIEWS_H
#define TESTS_EXPORTER_VIEWS_H

#include "exporter/source.h"

/* What a test gives overrides the macros' defaults. */
#pragma GCC diagnostic ignored "-Woverride-init"
#ifdef __clang__ /* it need not give anything */
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#endif

#define STRINGS(...) ((const char *const[]){__VA_ARGS__})

/* A family with these series; `number` in the order of the sources' names is up to the test. */
#define FAMILY(family_number, family_name, family_type, series_array, ...)                                             \
    {                                                                                                                  \
        .generation = 1, .number = (family_number), .type = LIBSHM_TYPE_##family_type, .name = (family_name),          \
        .help = "Help of " family_name ".", .unit = "", .series = (series_array),                                      \
        .n_series = sizeof(series_array) / sizeof *(series_array), __VA_ARGS__                                         \
    }

#define SOURCE(source_name, source_identity, families_array, ...)                                                      \
    {                                                                                                                  \
        .name = (source_name), .identity = (source_identity), .layout = 1, .created_ns = (source_identity),            \
        .families = (families_array), .n_families = sizeof(families_array) / sizeof *(families_array), __VA_ARGS__     \
    }

#endif
