/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenMetrics 1.0.0. */
#include "dialect.h"

#include <string.h>

static const char *type_name(uint32_t type)
{
    static const char *const names[] = {
        [LIBSHM_TYPE_COUNTER] = "counter", [LIBSHM_TYPE_GAUGE] = "gauge", [LIBSHM_TYPE_HISTOGRAM] = "histogram",
        [LIBSHM_TYPE_SUMMARY] = "summary", [LIBSHM_TYPE_INFO] = "info",   [LIBSHM_TYPE_STATESET] = "stateset",
        [LIBSHM_TYPE_UNKNOWN] = "unknown",
    };
    return type < sizeof names / sizeof *names && names[type] ? names[type] : "unknown";
}

/* A unit must end the family's name, and not every type may have one. */
static bool has_unit(const libshm_family_view *family, uint32_t type)
{
    if (!*family->unit || type == LIBSHM_TYPE_INFO || type == LIBSHM_TYPE_STATESET)
        return false;
    size_t n = strlen(family->name);
    const size_t unit = strlen(family->unit);
    if (type == LIBSHM_TYPE_COUNTER && n > 6 && strcmp(family->name + n - 6, "_total") == 0)
        n -= 6;
    return n > unit + 1 && family->name[n - unit - 1] == '_' &&
           memcmp(family->name + n - unit, family->unit, unit) == 0;
}

static void begin(const struct dialect *dialect, struct buffer *out, const char *what, const libshm_family_view *family)
{
    buffer_append_string(out, what);
    dialect_append_base_name(dialect, out, family);
    buffer_append(out, " ", 1);
}

void dialect_openmetrics_header(const struct dialect *dialect, struct buffer *out, const libshm_family_view *family)
{
    const uint32_t type = dialect_openmetrics_type(family);
    begin(dialect, out, "# TYPE ", family);
    buffer_append_string(out, type_name(type));
    buffer_append(out, "\n", 1);
    if (has_unit(family, type)) {
        begin(dialect, out, "# UNIT ", family);
        dialect_append_name(dialect, out, family->unit);
        buffer_append(out, "\n", 1);
    }
    begin(dialect, out, "# HELP ", family);
    dialect_append_help(dialect, out, family->help);
    buffer_append(out, "\n", 1);
}
