/* SPDX-License-Identifier: Apache-2.0
 *
 * Prometheus text 0.0.4 and 1.0.0, which differ in nothing that a segment can hold. They have no info, stateset and
 * unit: those are gauges, and the unit goes unsaid. */
#include "dialect.h"

static const char *type_name(uint32_t type)
{
    switch (type) {
    case LIBSHM_TYPE_COUNTER:
        return "counter";
    case LIBSHM_TYPE_GAUGE:
    case LIBSHM_TYPE_INFO:
    case LIBSHM_TYPE_STATESET:
        return "gauge";
    case LIBSHM_TYPE_HISTOGRAM:
        return "histogram";
    case LIBSHM_TYPE_SUMMARY:
        return "summary";
    default:
        return "untyped";
    }
}

void dialect_text_header(const struct dialect *dialect, struct buffer *out, const libshm_family_view *family)
{
    buffer_append_string(out, "# HELP ");
    dialect_append_name(dialect, out, family->name);
    buffer_append(out, " ", 1);
    dialect_append_help(dialect, out, family->help);
    buffer_append_string(out, "\n# TYPE ");
    dialect_append_name(dialect, out, family->name);
    buffer_append(out, " ", 1);
    buffer_append_string(out, type_name(family->type));
    buffer_append(out, "\n", 1);
}
