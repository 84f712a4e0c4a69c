/* SPDX-License-Identifier: Apache-2.0
 *
 * Prepared text, see prepared.h. */
#include "prepared.h"
#include "labels.h"
#include "number.h"

#include <stdlib.h>
#include <string.h>

struct maker {
    const struct dialect *dialect;
    const struct source *source;
    const libshm_family_view *family;
    struct labels labels;
    struct buffer pairs; /* the labels of the series at hand: a="x",b="y" */
    struct buffer text;
    uint32_t *lengths;
    size_t n_lines;
};

static uint32_t lines_of(const struct dialect *dialect, const libshm_family_view *family)
{
    const struct dialect_samples samples = dialect_samples(dialect, family);
    return samples.value + (samples.buckets ? family->n_bounds + 1 : 0) + 2u * samples.sum_and_count + samples.created;
}

static struct prepared_series key_of(const libshm_series_view *series)
{
    return (struct prepared_series){series->generation, series->process, series->number};
}

static bool same_key(const struct prepared_series *key, const libshm_series_view *series)
{
    return key->number == series->number && key->generation == series->generation && key->process == series->process;
}

static bool key_before(const struct prepared_series *key, const libshm_series_view *series)
{
    return key->number != series->number ? key->number < series->number : key->process < series->process;
}

/* ---- one series ------------------------------------------------------------------------------------------------ */

/* A line of the sample `name` + `suffix`, NULL for that without a suffix. `le` stands last, as everybody writes it. */
static void append_line(struct maker *maker, const char *suffix, const char *le, size_t le_size)
{
    const size_t start = maker->text.size;
    if (suffix) {
        if (maker->dialect->openmetrics)
            dialect_append_base_name(maker->dialect, &maker->text, maker->family);
        else
            dialect_append_name(maker->dialect, &maker->text, maker->family->name);
        buffer_append_string(&maker->text, suffix);
    } else {
        dialect_append_value_name(maker->dialect, &maker->text, maker->family);
    }
    if (maker->pairs.size || le) {
        buffer_append(&maker->text, "{", 1);
        buffer_append(&maker->text, maker->pairs.data, maker->pairs.size);
        if (le) {
            buffer_append_string(&maker->text, maker->pairs.size ? ",le=\"" : "le=\"");
            buffer_append(&maker->text, le, le_size);
            buffer_append(&maker->text, "\"", 1);
        }
        buffer_append(&maker->text, "}", 1);
    }
    buffer_append(&maker->text, " ", 1);
    maker->lengths[maker->n_lines++] = (uint32_t)(maker->text.size - start);
}

static void append_series(struct maker *maker, const libshm_series_view *series)
{
    maker->pairs.size = 0;
    for (size_t i = 0; i < maker->labels.n; i++) {
        char text[24];
        const char *value = labels_value(&maker->labels.label[i], maker->source, series, text);
        if (!value)
            continue;
        if (maker->pairs.size)
            buffer_append(&maker->pairs, ",", 1);
        dialect_append_name(maker->dialect, &maker->pairs, maker->labels.label[i].name);
        buffer_append(&maker->pairs, "=\"", 2);
        dialect_append_label_value(&maker->pairs, value);
        buffer_append(&maker->pairs, "\"", 1);
    }
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

/* ---- a part ---------------------------------------------------------------------------------------------------- */

static bool all_in(const struct prepared *old, const libshm_family_view *family)
{
    if (old->n_series != family->n_series)
        return false;
    for (size_t i = 0; i < old->n_series; i++)
        if (!same_key(&old->series[i], &family->series[i]))
            return false;
    return true;
}

static size_t text_size(const struct prepared *prepared, size_t series)
{
    size_t size = 0;
    if (prepared && series < prepared->n_series)
        for (uint32_t line = 0; line < prepared->lines_per_series; line++)
            size += prepared->lengths[series * prepared->lines_per_series + line];
    return size;
}

/* Series come sorted by number and process, so old and new are walked side by side. */
static void append_all(struct maker *maker, struct prepared *made, const struct prepared *old)
{
    const uint32_t lines = made->lines_per_series;
    size_t o = 0, from = 0, size = text_size(old, 0); /* in the old text: a series, where its text is, how long */
    const size_t n_old = old ? old->n_series : 0;
    for (size_t i = 0; i < made->n_series; i++) {
        const libshm_series_view *series = &maker->family->series[i];
        made->series[i] = key_of(series);
        while (o < n_old && key_before(&old->series[o], series)) {
            from += size;
            size = text_size(old, ++o);
        }
        if (o < n_old && same_key(&old->series[o], series)) {
            buffer_append(&maker->text, old->text + from, size);
            memcpy(maker->lengths + maker->n_lines, old->lengths + o * lines, lines * sizeof *maker->lengths);
            maker->n_lines += lines;
        } else {
            append_series(maker, series);
        }
    }
}

struct prepared *prepared_make(const struct dialect *dialect, const struct source *source,
                               const libshm_family_view *family, struct prepared *old)
{
    if (old && all_in(old, family)) {
        old->references++;
        return old;
    }
    const uint32_t lines = lines_of(dialect, family);
    struct prepared *made = calloc(1, sizeof *made);
    struct maker *maker = calloc(1, sizeof *maker);
    bool whole = made && maker;
    if (whole) {
        *made = (struct prepared){
            .references = 1,
            .identity = source->identity,
            .generation = family->generation,
            .number = family->number,
            .lines_per_series = lines,
            .n_series = family->n_series,
            .series = calloc(family->n_series + 1, sizeof *made->series),
            .lengths = calloc(family->n_series * lines + 1, sizeof *made->lengths),
        };
        maker->dialect = dialect;
        maker->source = source;
        maker->family = family;
        maker->lengths = made->lengths;
        labels_plan(&maker->labels, family, source->segment != NULL);
        whole = made->series && made->lengths;
    }
    if (whole) {
        append_all(maker, made, old);
        whole = buffer_reserve(&maker->text, PREPARED_SLACK) && !maker->pairs.failed;
        made->text = maker->text.data;
        made->size = maker->text.size;
        maker->text = (struct buffer){0};
    }
    if (maker) {
        buffer_free(&maker->pairs);
        buffer_free(&maker->text);
    }
    free(maker);
    if (!whole) {
        prepared_release(made);
        return NULL;
    }
    return made;
}

void prepared_release(struct prepared *prepared)
{
    if (!prepared || --prepared->references)
        return;
    free(prepared->series);
    free(prepared->lengths);
    free(prepared->text);
    free(prepared);
}
