/* SPDX-License-Identifier: Apache-2.0
 *
 * What tells the text formats apart: how a family is announced and which samples a series has under which names. */
#ifndef EXPORTER_DIALECT_H
#define EXPORTER_DIALECT_H

#include "buffer.h"

#include <libshm/reader.h>

struct dialect {
    /* The lines before the first sample. */
    void (*header)(const struct dialect *dialect, struct buffer *out, const libshm_family_view *family);
    /* The last line, or "". */
    const char *end;
    bool openmetrics;
    bool dots;    /* escape names so that they could have had dots: _ is __ */
    bool created; /* samples _created (OpenMetrics) */
};

void dialect_text_header(const struct dialect *dialect, struct buffer *out, const libshm_family_view *family);
void dialect_openmetrics_header(const struct dialect *dialect, struct buffer *out, const libshm_family_view *family);

/* The samples of one series, in the order of their lines. */
struct dialect_samples {
    bool value;
    bool buckets; /* n_bounds + 1 */
    bool sum_and_count;
    bool created;
};
struct dialect_samples dialect_samples(const struct dialect *dialect, const libshm_family_view *family);

/* The name of a metric or label. */
void dialect_append_name(const struct dialect *dialect, struct buffer *out, const char *name);
/* The name of a family as OpenMetrics has it: without the _total of a counter, the _info of an info. */
void dialect_append_base_name(const struct dialect *dialect, struct buffer *out, const libshm_family_view *family);
/* The name of the sample that has no suffix of its own: x_total, x_info, x. */
void dialect_append_value_name(const struct dialect *dialect, struct buffer *out, const libshm_family_view *family);

/* Escaped for the place. OpenMetrics wants the quote escaped in a help text as well. */
void dialect_append_help(const struct dialect *dialect, struct buffer *out, const char *help);
void dialect_append_label_value(struct buffer *out, const char *value);

/* What OpenMetrics calls its type: it has rules for infos and statesets that a segment need not keep, and then they are
 * gauges. */
uint32_t dialect_openmetrics_type(const libshm_family_view *family);

#endif
