/* SPDX-License-Identifier: Apache-2.0
 *
 * Names, samples and escaping of the text formats, see dialect.h. */
#include "dialect.h"

#include <string.h>

static void append_name(const struct dialect *dialect, struct buffer *out, const char *name, size_t length)
{
    for (size_t plain; length; name += plain, length -= plain) {
        const char *special = dialect->dots ? memchr(name, '_', length) : NULL;
        plain = special ? (size_t)(special - name) + 1 : length;
        buffer_append(out, name, plain);
        if (special)
            buffer_append(out, "_", 1);
    }
}

void dialect_append_name(const struct dialect *dialect, struct buffer *out, const char *name)
{
    append_name(dialect, out, name, strlen(name));
}

static bool ends_with(const char *name, const char *suffix)
{
    const size_t n = strlen(name), s = strlen(suffix);
    return n > s && strcmp(name + n - s, suffix) == 0;
}

/* The suffix that OpenMetrics does not count as part of the family's name; "" if it has none. */
static const char *own_suffix(const libshm_family_view *family)
{
    const uint32_t type = dialect_openmetrics_type(family);
    const char *suffix = type == LIBSHM_TYPE_COUNTER ? "_total" : type == LIBSHM_TYPE_INFO ? "_info" : "";
    return ends_with(family->name, suffix) ? suffix : "";
}

void dialect_append_base_name(const struct dialect *dialect, struct buffer *out, const libshm_family_view *family)
{
    append_name(dialect, out, family->name, strlen(family->name) - strlen(own_suffix(family)));
}

void dialect_append_value_name(const struct dialect *dialect, struct buffer *out, const libshm_family_view *family)
{
    if (!dialect->openmetrics) {
        dialect_append_name(dialect, out, family->name);
        return;
    }
    dialect_append_base_name(dialect, out, family);
    buffer_append_string(out, family->type == LIBSHM_TYPE_COUNTER ? "_total" : own_suffix(family));
}

uint32_t dialect_openmetrics_type(const libshm_family_view *family)
{
    if (family->type == LIBSHM_TYPE_INFO && !ends_with(family->name, "_info"))
        return LIBSHM_TYPE_GAUGE;
    if (family->type == LIBSHM_TYPE_STATESET &&
        (!family->n_labels || strcmp(family->label_names[family->n_labels - 1], family->name) != 0))
        return LIBSHM_TYPE_GAUGE;
    return family->type;
}

struct dialect_samples dialect_samples(const struct dialect *dialect, const libshm_family_view *family)
{
    const bool histogram = family->type == LIBSHM_TYPE_HISTOGRAM, summary = family->type == LIBSHM_TYPE_SUMMARY;
    /* OpenMetrics: below zero a sum is no counter, and without a sum there is no count */
    const bool negative = histogram && family->n_bounds && family->bounds[0] < 0;
    return (struct dialect_samples){
        .value = !histogram && !summary,
        .buckets = histogram,
        .sum_and_count = (histogram || summary) && !(dialect->openmetrics && negative),
        .created = dialect->created && (histogram || summary || family->type == LIBSHM_TYPE_COUNTER),
    };
}

static void append_escaped(struct buffer *out, const char *text, const char *special)
{
    while (*text) {
        const size_t plain = strcspn(text, special);
        buffer_append(out, text, plain);
        text += plain;
        if (!*text)
            break;
        buffer_append(out, *text == '\n' ? "\\n" : *text == '"' ? "\\\"" : "\\\\", 2);
        text++;
    }
}

void dialect_append_help(const struct dialect *dialect, struct buffer *out, const char *help)
{
    append_escaped(out, help, dialect->openmetrics ? "\\\n\"" : "\\\n");
}

void dialect_append_label_value(struct buffer *out, const char *value)
{
    append_escaped(out, value, "\\\n\"");
}
