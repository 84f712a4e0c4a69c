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
    struct buffer pairs; /* the labels of the series at hand, if it has several lines */
};

/* ---- keeping up with the families ------------------------------------------------------------------------------ */

static void forget_parts(struct text_encoder *text)
{
    while (text->n_parts)
        prepared_free(text->prepared[--text->n_parts]);
    free(text->prepared);
    text->prepared = NULL;
}

static bool prepare_parts(struct text_encoder *text, const struct merged *merged, const struct source *sources)
{
    forget_parts(text);
    text->prepared = calloc(merged->n_parts + 1, sizeof(struct prepared *));
    while (text->prepared && text->n_parts < merged->n_parts) {
        const struct merged_part *part = &merged->parts[text->n_parts];
        struct prepared *made = prepared_make(&text->dialect, &sources[part->source], merged_view(part, sources));
        if (!made)
            return false;
        text->prepared[text->n_parts++] = made;
    }
    return text->prepared != NULL;
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

/* In steps of PREPARED_SLACK, which is why both ends need so much room: texts are short, and a call would cost more. */
static inline char *copy_text(char *to, const char *from, size_t n)
{
    for (size_t i = 0; i < n; i += PREPARED_SLACK)
        memcpy(to + i, from + i, PREPARED_SLACK);
    return to + n;
}

/* A label value, behind which nothing may be read: its two ends, which overlap. */
static inline char *copy_value(char *to, const char *from, size_t n)
{
    if (n > 32) {
        memcpy(to, from, n);
    } else if (n > 16) {
        memcpy(to, from, 16);
        memcpy(to + n - 16, from + n - 16, 16);
    } else if (n >= 8) {
        memcpy(to, from, 8);
        memcpy(to + n - 8, from + n - 8, 8);
    } else if (n >= 4) {
        memcpy(to, from, 4);
        memcpy(to + n - 4, from + n - 4, 4);
    } else if (n >= 2) {
        memcpy(to, from, 2);
        memcpy(to + n - 2, from + n - 2, 2);
    } else if (n) {
        *to = *from;
    }
    return to + n;
}

/* Writes to the end of a buffer. Where it stands is handed from call to call by value, as what is written could be
 * anything that has an address, and the next place would wait for a store each time. The buffer's size is brought up to
 * date when the writer stops. */
struct writer {
    struct buffer *out;
    char *end;
};

static char *writer_start(struct writer *writer, struct buffer *out)
{
    *writer = (struct writer){out, out->data + out->capacity};
    return out->data + out->size;
}

static bool writer_stop(struct writer *writer, const char *at)
{
    if (!writer->out->failed)
        writer->out->size = (size_t)(at - writer->out->data);
    return !writer->out->failed;
}

static __attribute__((noinline)) char *more_room(struct writer *writer, const char *at, size_t n)
{
    if (!writer_stop(writer, at) || !buffer_reserve(writer->out, n))
        return NULL;
    return writer_start(writer, writer->out);
}

/* The same place, or where it is after the buffer moved; NULL: out of memory. So are all below. */
static inline char *room(struct writer *writer, char *at, size_t n)
{
    return (size_t)(writer->end - at) >= n ? at : more_room(writer, at, n);
}

/* Values, and what copying and formatting write too far. */
#define MARGIN (NUMBER_MAX + 1u + PREPARED_SLACK)

/* A value that is long, or escaped, or the exporter's; or none, and then its piece of text is left out too. */
static __attribute__((noinline)) char *write_slow(struct writer *writer, char *at, const struct prepared *prepared,
                                                  const struct label_place *place, const struct source *source,
                                                  const libshm_series_view *series, const char *piece, size_t size)
{
    char text[24];
    const char *value = labels_value(place, source, series, text);
    if (!value)
        return at;
    if (!(at = room(writer, at, size + PREPARED_SLACK)))
        return NULL;
    at = copy_text(at, piece, size);
    if (!writer_stop(writer, at))
        return NULL;
    dialect_append_label_value(writer->out, value);
    return writer->out->failed ? NULL : room(writer, writer_start(writer, writer->out), prepared->most + MARGIN);
}

/* The one line up to its value, or the pairs. */
static inline __attribute__((always_inline)) char *
write_labels(struct writer *writer, char *at, const struct prepared *prepared, const struct source *source,
             const libshm_series_view *series, const uint8_t *value_sizes)
{
    const char *piece = prepared->text;
    const uint32_t *size = prepared->sizes;
    if (!(at = room(writer, at, prepared->most + MARGIN)))
        return NULL;
    for (uint32_t i = 0; i < prepared->n_labels; piece += *size++, i++) {
        const struct label_place *place = &prepared->labels[i];
        if (__builtin_expect(value_sizes[i] == PREPARED_SLOW, 0)) {
            if (!(at = write_slow(writer, at, prepared, place, source, series, piece, *size)))
                return NULL;
            continue;
        }
        at = copy_text(at, piece, *size);
        at = copy_value(at, series->label_values[place->index], value_sizes[i]);
    }
    return copy_text(at, piece, *size);
}

static inline char *end_line(char *at, size_t value_size)
{
    at[value_size] = '\n';
    return at + value_size + 1;
}

/* The lines of a series that has several. */
struct lines {
    const struct buffer *pairs;
    const char *piece;
    const uint32_t *size;
};

static char *start_line(char *at, struct lines *lines)
{
    at = copy_text(at, lines->piece, lines->size[0]);
    at = copy_text(at, lines->pairs->data, lines->pairs->size);
    at = copy_text(at, lines->piece + lines->size[0], lines->size[1]);
    lines->piece += lines->size[0] + lines->size[1];
    lines->size += 2;
    return at;
}

/* Cumulative. Counts all: what `_count` says is the +Inf bucket, whatever the segment holds. */
static char *write_buckets(char *at, struct lines *lines, const libshm_series_view *series, uint32_t n_bounds,
                           uint64_t *count)
{
    *count = 0;
    for (uint32_t i = 0; i <= n_bounds; i++) {
        *count += series->buckets[i].integer;
        at = start_line(at, lines);
        at = end_line(at, number_format_u64(at, *count));
    }
    return at;
}

static void skip_line(struct lines *lines)
{
    lines->piece += lines->size[0] + lines->size[1];
    lines->size += 2;
}

static char *write_sum_and_count(char *at, struct lines *lines, bool openmetrics, double sum, uint64_t count)
{
    if (openmetrics && !(sum >= 0)) { /* to OpenMetrics a sum is a counter, and none without the other */
        skip_line(lines);
        skip_line(lines);
        return at;
    }
    at = start_line(at, lines);
    at = end_line(at, number_format_double(at, sum));
    at = start_line(at, lines);
    return end_line(at, number_format_u64(at, count));
}

static inline size_t format_value(char *out, uint32_t type, const libshm_series_view *series)
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

static char *write_lines(struct text_encoder *text, struct writer *writer, char *at, const struct prepared *prepared,
                         const struct source *source, const libshm_family_view *family,
                         const libshm_series_view *series, const uint8_t *value_sizes)
{
    const struct dialect_samples samples = dialect_samples(&text->dialect, family);
    struct lines lines = {
        .pairs = &text->pairs,
        .piece = prepared->text,
        .size = prepared->sizes + prepared->n_labels + 1,
    };
    for (const uint32_t *size = prepared->sizes; size < lines.size; size++)
        lines.piece += *size;
    text->pairs.size = 0;
    if (!buffer_reserve(&text->pairs, prepared->most + MARGIN))
        return NULL;
    struct writer pairs;
    char *start = writer_start(&pairs, &text->pairs);
    const char *end = write_labels(&pairs, start, prepared, source, series, value_sizes);
    if (!end || !writer_stop(&pairs, end) ||
        !(at = room(writer, at, prepared->most_lines + prepared->n_lines * (text->pairs.size + MARGIN))))
        return NULL;
    uint64_t count = series->count;
    if (samples.value) {
        at = start_line(at, &lines);
        at = end_line(at, format_value(at, family->type, series));
    }
    if (samples.buckets)
        at = write_buckets(at, &lines, series, family->n_bounds, &count);
    if (samples.sum_and_count)
        at = write_sum_and_count(at, &lines, text->dialect.openmetrics, series->sum, count);
    if (samples.created) {
        at = start_line(at, &lines);
        at = end_line(at, number_format_double(at, (double)(series->created_ns / 1000000) / 1e3));
    }
    return at;
}

static bool wanted(const struct merged_part *part, const struct selection *selection, const libshm_family_view *family,
                   size_t i)
{
    if (part->skip && part->skip[i])
        return false;
    return part->source != 0 || selection_has_own_series(selection, family, &family->series[i]);
}

static bool write_part(struct text_encoder *text, struct buffer *out, const struct merged_part *part,
                       const struct source *sources, const struct selection *selection, const struct prepared *prepared)
{
    const libshm_family_view *family = merged_view(part, sources);
    const struct source *source = &sources[part->source];
    const bool all = !part->skip && (part->source != 0 || selection->n_segments == 0);
    const uint8_t *value_sizes = prepared->value_sizes;
    if (part->source != 0 && !selection_has_segment(selection, source->name))
        return true;
    struct writer writer;
    char *at = writer_start(&writer, out);
    for (size_t i = 0; i < family->n_series; value_sizes += prepared->n_labels, i++) {
        const libshm_series_view *series = &family->series[i];
        if (!all && !wanted(part, selection, family, i))
            continue;
        if (prepared->n_lines) {
            at = write_lines(text, &writer, at, prepared, source, family, series, value_sizes);
        } else if ((at = write_labels(&writer, at, prepared, source, series, value_sizes))) {
            at = end_line(at, format_value(at, family->type, series));
        }
        if (!at)
            return false;
    }
    return writer_stop(&writer, at);
}

static bool write_families(struct text_encoder *text, struct buffer *out, const struct merged *merged,
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
                if (!write_part(text, out, &family->parts[part], sources, selection, prepared[part]))
                    return false;
            if (selection->n_segments && out->size == start + text->header_sizes[i])
                out->size = start; /* it has nothing in these segments */
        }
        header += text->header_sizes[i];
        prepared += family->n_parts;
    }
    return true;
}

static bool encode(struct encoder *encoder, const struct merged *merged, const struct source *sources,
                   const struct selection *selection, struct buffer *out)
{
    struct text_encoder *text = (struct text_encoder *)encoder;
    if (!keep_up(text, merged, sources))
        return false;
    size_t estimate = text->headers.size + MARGIN;
    for (size_t i = 0; i < text->n_parts; i++)
        estimate += text->prepared[i]->estimate;
    if (!buffer_reserve(out, estimate) || !write_families(text, out, merged, sources, selection))
        return false;
    buffer_append_string(out, text->dialect.end);
    return !out->failed;
}

static void free_encoder(struct encoder *encoder)
{
    struct text_encoder *text = (struct text_encoder *)encoder;
    forget_parts(text);
    buffer_free(&text->headers);
    buffer_free(&text->pairs);
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
