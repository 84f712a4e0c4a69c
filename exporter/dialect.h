/* SPDX-License-Identifier: Apache-2.0
 *
 * What tells the text formats apart: how a family is announced and what its samples are called. */
#ifndef EXPORTER_DIALECT_H
#define EXPORTER_DIALECT_H

#include "buffer.h"

#include <libshm/reader.h>

/* The samples of one series, in the order of their lines. A histogram has n_bounds + 1 buckets, then sum and count. */
enum sample { SAMPLE_VALUE, SAMPLE_BUCKET, SAMPLE_SUM, SAMPLE_COUNT };

struct dialect {
    /* The lines before the first sample. `unit` "" if there is none. */
    void (*header)(struct buffer *out, const libshm_family_view *family);
    /* The name of a sample, without labels. */
    void (*sample_name)(struct buffer *out, const libshm_family_view *family, enum sample sample);
    /* The last line, or "". */
    const char *end;
};

extern const struct dialect dialect_text;

/* Escaped for the place: \ and line feed, in a label value the quote as well. */
void dialect_append_help(struct buffer *out, const char *help);
void dialect_append_label_value(struct buffer *out, const char *value);

#endif
