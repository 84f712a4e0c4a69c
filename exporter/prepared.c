/* SPDX-License-Identifier: Apache-2.0
 *
 * Prepared text, see prepared.h. */
#include "prepared.h"
#include "number.h"

#include <stdlib.h>
#include <string.h>

struct maker {
    const struct dialect *dialect;
    const libshm_family_view *family;
    struct labels labels;
    struct buffer text;
    struct prepared *made;
    size_t n_sizes;
    size_t start; /* of the piece at hand */
};

static uint32_t lines_of(const struct dialect *dialect, const libshm_family_view *family)
{
    const struct dialect_samples samples = dialect_samples(dialect, family);
    return samples.value + (samples.buckets ? family->n_bounds + 1 : 0) + 2u * samples.sum_and_count + samples.created;
}

/* ---- pieces of text ------------------------------------------------------------------------------------------- */

static void append(struct maker *maker, const char *text)
{
    buffer_append_string(&maker->text, text);
}

static void end_piece(struct maker *maker)
{
    maker->made->sizes[maker->n_sizes++] = (uint32_t)(maker->text.size - maker->start);
    maker->start = maker->text.size;
}

static void append_name(struct maker *maker, const char *suffix)
{
    if (!suffix) {
        dialect_append_value_name(maker->dialect, &maker->text, maker->family);
        return;
    }
    if (maker->dialect->openmetrics)
        dialect_append_base_name(maker->dialect, &maker->text, maker->family);
    else
        dialect_append_name(maker->dialect, &maker->text, maker->family->name);
    append(maker, suffix);
}

/* The pieces around the values. A piece closes the value before it, so one that is left out takes its piece along. */
static void append_pairs(struct maker *maker, const struct source *source)
{
    struct prepared *made = maker->made;
    for (size_t i = 0; i < maker->labels.n; i++) {
        const struct label *label = &maker->labels.label[i];
        if (i)
            append(maker, "\",");
        dialect_append_name(maker->dialect, &maker->text, label->name);
        append(maker, "=\"");
        if (label->place.origin == LABEL_SEGMENT) {
            dialect_append_label_value(&maker->text, source->segment);
            continue;
        }
        made->labels[made->n_labels++] = label->place;
        end_piece(maker);
    }
    if (maker->labels.n)
        append(maker, "\"");
}

/* The pieces of a line of the sample `name` + `suffix`. `le` stands last, as everybody writes it. */
static void append_line(struct maker *maker, const char *suffix, const char *le, size_t le_size)
{
    append_name(maker, suffix);
    if (maker->labels.n || le)
        append(maker, "{");
    end_piece(maker);
    if (le) {
        append(maker, maker->labels.n ? ",le=\"" : "le=\"");
        buffer_append(&maker->text, le, le_size);
        append(maker, "\"");
    }
    append(maker, maker->labels.n || le ? "} " : " ");
    end_piece(maker);
}

static void append_lines(struct maker *maker)
{
    const struct dialect_samples samples = dialect_samples(maker->dialect, maker->family);
    if (samples.value)
        append_line(maker, NULL, NULL, 0);
    for (uint32_t i = 0; samples.buckets && i < maker->family->n_bounds; i++) {
        char le[NUMBER_MAX];
        append_line(maker, "_bucket", le, number_format_bound(le, maker->family->bounds[i]));
    }
    if (samples.buckets)
        append_line(maker, "_bucket", "+Inf", 4);
    if (samples.sum_and_count) {
        append_line(maker, "_sum", NULL, 0);
        append_line(maker, "_count", NULL, 0);
    }
    if (samples.created)
        append_line(maker, "_created", NULL, 0);
}

static void append_pieces(struct maker *maker, const struct source *source)
{
    const uint32_t lines = lines_of(maker->dialect, maker->family);
    struct prepared *made = maker->made;
    made->n_lines = lines == 1 && dialect_samples(maker->dialect, maker->family).value ? 0 : lines;
    if (made->n_lines == 0) {
        append_name(maker, NULL);
        if (maker->labels.n)
            append(maker, "{");
    }
    append_pairs(maker, source);
    if (made->n_lines == 0)
        append(maker, maker->labels.n ? "} " : " ");
    end_piece(maker);
    made->most = maker->text.size + made->n_labels * (PREPARED_SLOW - 1);
    if (made->n_lines)
        append_lines(maker);
    made->most_lines = maker->text.size;
    buffer_reserve(&maker->text, PREPARED_SLACK);
    made->text = maker->text.data;
}

/* ---- values --------------------------------------------------------------------------------------------------- */

static uint8_t size_of(const char *value)
{
    uint8_t n = 0;
    for (; value[n]; n++)
        if (value[n] == '"' || value[n] == '\\' || value[n] == '\n' || n == PREPARED_SLOW - 1)
            return PREPARED_SLOW;
    return n;
}

static void measure_values(struct prepared *made, const libshm_family_view *family)
{
    const size_t fixed = made->most - made->n_labels * (PREPARED_SLOW - 1), lines = made->n_lines ? made->n_lines : 1;
    uint8_t *size = made->value_sizes;
    size_t values = 0;
    for (size_t i = 0; i < family->n_series; i++)
        for (uint32_t label = 0; label < made->n_labels; label++)
            values += *size++ = made->labels[label].origin == LABEL_OWN
                                    ? size_of(family->series[i].label_values[made->labels[label].index])
                                    : PREPARED_SLOW;
    made->estimate = family->n_series * (lines * (fixed + NUMBER_MAX) + made->most_lines) + lines * values;
}

struct prepared *prepared_make(const struct dialect *dialect, const struct source *source,
                               const libshm_family_view *family)
{
    struct prepared *made = calloc(1, sizeof *made);
    struct maker *maker = calloc(1, sizeof *maker);
    bool whole = made && maker;
    if (whole) {
        *maker = (struct maker){.dialect = dialect, .family = family, .made = made};
        labels_plan(&maker->labels, family, source->segment != NULL);
        made->labels = calloc(maker->labels.n + 1, sizeof *made->labels);
        made->sizes = calloc(maker->labels.n + 1 + 2 * (size_t)lines_of(dialect, family), sizeof *made->sizes);
        whole = made->labels && made->sizes;
    }
    if (whole) {
        append_pieces(maker, source);
        made->value_sizes = malloc(family->n_series * made->n_labels + 1);
        whole = !maker->text.failed && made->value_sizes;
    }
    if (whole)
        measure_values(made, family);
    free(maker);
    if (!whole) {
        prepared_free(made);
        return NULL;
    }
    return made;
}

void prepared_free(struct prepared *prepared)
{
    if (!prepared)
        return;
    free(prepared->labels);
    free(prepared->sizes);
    free(prepared->text);
    free(prepared->value_sizes);
    free(prepared);
}
