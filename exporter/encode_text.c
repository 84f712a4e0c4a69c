/* SPDX-License-Identifier: Apache-2.0
 *
 * The text formats: prepared text and values, line by line. */
#include "dialect.h"
#include "encoder.h"
#include "number.h"
#include "prepared.h"

#include <stdlib.h>
#include <string.h>

struct text_encoder {
    struct encoder encoder;
    struct dialect dialect;
    uint64_t version;           /* of the merged families that the rest belongs to; 0: none */
    struct prepared **prepared; /* for each part */
    size_t n_parts;
    struct buffer headers; /* of all families, one behind the other */
    size_t *header_sizes;
};

/* ---- keeping up with the families ------------------------------------------------------------------------------ */

static int by_key(const void *a, const void *b)
{
    const struct prepared *x = *(const struct prepared *const *)a, *y = *(const struct prepared *const *)b;
    if (x->identity != y->identity)
        return x->identity < y->identity ? -1 : 1;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return x->generation < y->generation ? -1 : x->generation > y->generation;
}

static void release_all(struct prepared **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        prepared_release(list[i]);
    free(list);
}

static bool prepare_parts(struct text_encoder *text, const struct merged *merged, const struct source *sources)
{
    struct prepared **list = calloc(merged->n_parts + 1, sizeof *list), **old = text->prepared;
    const size_t n_old = text->n_parts;
    if (!list)
        return false;
    if (n_old)
        qsort(old, n_old, sizeof *old, by_key);
    text->prepared = list;
    text->n_parts = 0;
    bool whole = true;
    while (whole && text->n_parts < merged->n_parts) {
        const struct merged_part *part = &merged->parts[text->n_parts];
        const struct source *source = &sources[part->source];
        const libshm_family_view *family = merged_view(part, sources);
        const struct prepared key = {
            .identity = source->identity, .number = family->number, .generation = family->generation};
        const struct prepared *wanted = &key;
        struct prepared **found = n_old ? bsearch(&wanted, old, n_old, sizeof(struct prepared *), by_key) : NULL;
        struct prepared *made = prepared_make(&text->dialect, source, family, found ? *found : NULL);
        whole = made != NULL;
        if (whole)
            list[text->n_parts++] = made;
    }
    release_all(old, n_old);
    return whole;
}

static bool prepare_headers(struct text_encoder *text, const struct merged *merged, const struct source *sources)
{
    free(text->header_sizes);
    text->header_sizes = calloc(merged->n_families + 1, sizeof *text->header_sizes);
    text->headers.size = 0;
    for (size_t i = 0; text->header_sizes && i < merged->n_families; i++) {
        const size_t start = text->headers.size;
        const struct merged_family *family = &merged->families[i];
        text->dialect.header(&text->dialect, &text->headers, merged_view(&family->parts[family->first], sources));
        text->header_sizes[i] = text->headers.size - start;
    }
    return text->header_sizes && !text->headers.failed;
}

static bool keep_up(struct text_encoder *text, const struct merged *merged, const struct source *sources)
{
    if (text->version == merged->version)
        return true;
    text->version = 0;
    if (!prepare_parts(text, merged, sources) || !prepare_headers(text, merged, sources))
        return false;
    text->version = merged->version;
    return true;
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

/* In steps of PREPARED_SLACK, which is why both ends need so much room: lines are short, and a call would cost more. */
static inline char *copy_text(char *to, const char *from, size_t n)
{
    for (size_t i = 0; i < n; i += PREPARED_SLACK)
        memcpy(to + i, from + i, PREPARED_SLACK);
    return to + n;
}

struct writer {
    char *at;
    const char *text;
    const uint32_t *length;
    struct dialect_samples samples;
    bool openmetrics;
};

static inline void start_line(struct writer *writer)
{
    writer->at = copy_text(writer->at, writer->text, *writer->length);
    writer->text += *writer->length++;
}

static inline void end_line(struct writer *writer, size_t value_size)
{
    writer->at += value_size;
    *writer->at++ = '\n';
}

/* Cumulative. Returns the count of all: what `_count` says is the +Inf bucket, whatever the segment holds. */
static uint64_t write_buckets(struct writer *writer, const libshm_series_view *series, uint32_t n_bounds)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i <= n_bounds; i++) {
        count += series->buckets[i].integer;
        start_line(writer);
        end_line(writer, number_format_u64(writer->at, count));
    }
    return count;
}

static inline void skip_line(struct writer *writer)
{
    writer->text += *writer->length++;
}

static void write_sum_and_count(struct writer *writer, double sum, uint64_t count)
{
    if (writer->openmetrics && !(sum >= 0)) { /* to OpenMetrics a sum is a counter, and none without the other */
        skip_line(writer);
        skip_line(writer);
        return;
    }
    start_line(writer);
    end_line(writer, number_format_double(writer->at, sum));
    start_line(writer);
    end_line(writer, number_format_u64(writer->at, count));
}

static size_t format_value(char *out, uint32_t type, const libshm_series_view *series)
{
    switch (type) {
    case LIBSHM_TYPE_COUNTER:
        return number_format_counter(out, series->integer, series->fractional);
    case LIBSHM_TYPE_INFO:
        return number_format_u64(out, 1);
    case LIBSHM_TYPE_STATESET:
        return number_format_u64(out, series->fractional != 0);
    default:
        return number_format_double(out, series->fractional);
    }
}

static inline void write_series(struct writer *writer, const libshm_family_view *family,
                                const libshm_series_view *series)
{
    uint64_t count = series->count;
    if (writer->samples.value) {
        start_line(writer);
        end_line(writer, format_value(writer->at, family->type, series));
    }
    if (writer->samples.buckets)
        count = write_buckets(writer, series, family->n_bounds);
    if (writer->samples.sum_and_count)
        write_sum_and_count(writer, series->sum, count);
    if (writer->samples.created) {
        start_line(writer);
        end_line(writer, number_format_double(writer->at, (double)(series->created_ns / 1000000) / 1e3));
    }
}

static bool wanted(const struct merged_part *part, const struct selection *selection, const libshm_family_view *family,
                   size_t i)
{
    if (part->skip && part->skip[i])
        return false;
    return part->source != 0 || selection_has_own_series(selection, family, &family->series[i]);
}

static void write_part(const struct text_encoder *text, struct buffer *out, const struct merged_part *part,
                       const struct source *sources, const struct selection *selection, const struct prepared *prepared)
{
    const libshm_family_view *family = merged_view(part, sources);
    const bool all = !part->skip && (part->source != 0 || selection->n_segments == 0);
    struct writer writer = {
        .at = out->data + out->size,
        .text = prepared->text,
        .length = prepared->lengths,
        .samples = dialect_samples(&text->dialect, family),
        .openmetrics = text->dialect.openmetrics,
    };
    if (part->source != 0 && !selection_has_segment(selection, sources[part->source].name))
        return;
    for (size_t i = 0; i < family->n_series; i++) {
        if (all || wanted(part, selection, family, i))
            write_series(&writer, family, &family->series[i]);
        else
            for (uint32_t line = 0; line < prepared->lines_per_series; line++)
                skip_line(&writer);
    }
    out->size = (size_t)(writer.at - out->data);
}

/* Not more than this: every line's text, its value and its end, and what copying in steps writes too far. */
static size_t most_bytes(const struct prepared *prepared)
{
    return prepared->size + prepared->n_series * prepared->lines_per_series * (NUMBER_MAX + 1u) + PREPARED_SLACK;
}

static void write_families(const struct text_encoder *text, struct buffer *out, const struct merged *merged,
                           const struct source *sources, const struct selection *selection)
{
    const char *header = text->headers.data;
    struct prepared *const *prepared = text->prepared;
    for (size_t i = 0; i < merged->n_families; i++) {
        const struct merged_family *family = &merged->families[i];
        if (selection_has_family(selection, merged_view(&family->parts[family->first], sources))) {
            const size_t start = out->size;
            buffer_append(out, header, text->header_sizes[i]);
            for (size_t part = 0; part < family->n_parts; part++)
                write_part(text, out, &family->parts[part], sources, selection, prepared[part]);
            if (selection->n_segments && out->size == start + text->header_sizes[i])
                out->size = start; /* it has nothing in these segments */
        }
        header += text->header_sizes[i];
        prepared += family->n_parts;
    }
}

static bool encode(struct encoder *encoder, const struct merged *merged, const struct source *sources,
                   const struct selection *selection, struct buffer *out)
{
    struct text_encoder *text = (struct text_encoder *)encoder;
    if (!keep_up(text, merged, sources))
        return false;
    size_t most = text->headers.size + strlen(text->dialect.end);
    for (size_t i = 0; i < text->n_parts; i++)
        most += most_bytes(text->prepared[i]);
    if (!buffer_reserve(out, most))
        return false;
    write_families(text, out, merged, sources, selection);
    buffer_append_string(out, text->dialect.end);
    return !out->failed;
}

static void free_encoder(struct encoder *encoder)
{
    struct text_encoder *text = (struct text_encoder *)encoder;
    release_all(text->prepared, text->n_parts);
    buffer_free(&text->headers);
    free(text->header_sizes);
    free(text);
}

struct encoder *encoder_new_text(const struct dialect *dialect)
{
    struct text_encoder *text = calloc(1, sizeof *text);
    if (!text)
        return NULL;
    text->encoder = (struct encoder){.encode = encode, .free = free_encoder};
    text->dialect = *dialect;
    return &text->encoder;
}
