/* SPDX-License-Identifier: Apache-2.0
 *
 * Prometheus text 0.0.4. It has no info, stateset and unit: those are gauges, and the unit goes unsaid. */
#include "dialect.h"

#include <string.h>

static void append_escaped(struct buffer *out, const char *text, const char *special)
{
    while (*text) {
        size_t plain = strcspn(text, special);
        buffer_append(out, text, plain);
        text += plain;
        if (!*text)
            break;
        buffer_append(out, *text == '\n' ? "\\n" : *text == '"' ? "\\\"" : "\\\\", 2);
        text++;
    }
}

void dialect_append_help(struct buffer *out, const char *help)
{
    append_escaped(out, help, "\\\n");
}

void dialect_append_label_value(struct buffer *out, const char *value)
{
    append_escaped(out, value, "\\\n\"");
}

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

static void header(struct buffer *out, const libshm_family_view *family)
{
    buffer_append_string(out, "# HELP ");
    buffer_append_string(out, family->name);
    buffer_append(out, " ", 1);
    dialect_append_help(out, family->help);
    buffer_append_string(out, "\n# TYPE ");
    buffer_append_string(out, family->name);
    buffer_append(out, " ", 1);
    buffer_append_string(out, type_name(family->type));
    buffer_append(out, "\n", 1);
}

static void sample_name(struct buffer *out, const libshm_family_view *family, enum sample sample)
{
    static const char *const suffixes[] = {
        [SAMPLE_VALUE] = "", [SAMPLE_BUCKET] = "_bucket", [SAMPLE_SUM] = "_sum", [SAMPLE_COUNT] = "_count"};
    buffer_append_string(out, family->name);
    buffer_append_string(out, suffixes[sample]);
}

const struct dialect dialect_text = {.header = header, .sample_name = sample_name, .end = ""};
