/* SPDX-License-Identifier: Apache-2.0
 *
 * The exporter's own JSON, which the page at / reads: a pure function from what the collector has to bytes.
 *
 *     FORMAT_JSON_STATUS    segments and the processes that have a slot in them
 *     FORMAT_JSON_FAMILIES  definitions, and the totals over the series of each
 *     FORMAT_JSON_SERIES    the same and every series */
#ifndef EXPORTER_ENCODE_JSON_H
#define EXPORTER_ENCODE_JSON_H

#include "buffer.h"
#include "format.h"
#include "merge.h"
#include "segments.h"
#include "selection.h"

struct json_input {
    const struct merged *merged;
    const struct source *sources;
    const struct segment *const *segments;
    size_t n_segments;
    uint64_t now_ns; /* CLOCK_REALTIME: when the values were read */
};

/* Appends what `selection` has of it to `out`. False: out of memory. */
bool encode_json(enum format format, const struct json_input *input, const struct selection *selection,
                 struct buffer *out);

/* The status, for encode_json. */
void encode_json_status(const struct json_input *input, const struct selection *selection, struct buffer *out);

#endif
