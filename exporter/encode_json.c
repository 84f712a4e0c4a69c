/* SPDX-License-Identifier: Apache-2.0
 *
 * The exporter's JSON: families and series, see encode_json.h. */
#include "encode_json.h"
#include "json.h"
#include "labels.h"

#include <inttypes.h>
#include <libshm.h>
#include <string.h>

struct totals { /* over the series of a family that are selected */
    uint64_t n;
    uint64_t integer;
    double fractional, min, max;
    uint64_t buckets[LIBSHM_MAX_BOUNDS + 1];
    uint64_t count;
    double sum;
};

static bool is_distribution(const libshm_family_view *family)
{
    return family->type == LIBSHM_TYPE_HISTOGRAM || family->type == LIBSHM_TYPE_SUMMARY;
}

static uint32_t bucket_count(const libshm_family_view *family)
{
    return family->type == LIBSHM_TYPE_HISTOGRAM ? family->n_bounds + 1 : 1;
}

/* A total is a number to look at: it stops where it would wrap. */
static uint64_t add_saturated(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* What a series that is no distribution shows; a counter's integer part apart. */
static double value_of(const libshm_family_view *family, const libshm_series_view *series)
{
    switch (family->type) {
    case LIBSHM_TYPE_INFO:
        return 1;
    case LIBSHM_TYPE_STATESET:
        return series->fractional != 0;
    default:
        return series->fractional;
    }
}

static void add_series(struct totals *totals, const libshm_family_view *family, const libshm_series_view *series)
{
    totals->n++;
    if (is_distribution(family)) {
        for (uint32_t i = 0; i < bucket_count(family); i++) {
            totals->buckets[i] = add_saturated(totals->buckets[i], series->buckets[i].integer);
            totals->count = add_saturated(totals->count, series->buckets[i].integer);
        }
        totals->sum += series->sum;
        return;
    }
    const double value = value_of(family, series);
    if (family->type == LIBSHM_TYPE_COUNTER)
        totals->integer = add_saturated(totals->integer, series->integer);
    totals->fractional += value;
    if (totals->n == 1 || value < totals->min)
        totals->min = value;
    if (totals->n == 1 || value > totals->max)
        totals->max = value;
}

static bool wanted(const struct merged_part *part, const struct selection *selection, const libshm_family_view *family,
                   size_t i)
{
    if (part->skip && part->skip[i])
        return false;
    return part->source != 0 || selection_has_own_series(selection, family, &family->series[i]);
}

static bool part_wanted(const struct merged_part *part, const struct source *sources, const struct selection *selection)
{
    return part->source == 0 || selection_has_segment(selection, sources[part->source].name);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static void append_distribution(struct buffer *out, const libshm_series_view *series, uint32_t n_buckets)
{
    uint64_t count = 0;
    json_key(out, "buckets");
    buffer_append(out, "[", 1);
    for (uint32_t i = 0; i < n_buckets; i++) {
        json_comma(out);
        json_u64(out, series->buckets[i].integer);
        count = add_saturated(count, series->buckets[i].integer);
    }
    buffer_append(out, "]", 1);
    json_key(out, "count");
    json_u64(out, count);
    json_key(out, "sum");
    json_double(out, series->sum);
}

static void append_total_distribution(struct buffer *out, const struct totals *totals, uint32_t n_buckets)
{
    json_key(out, "buckets");
    buffer_append(out, "[", 1);
    for (uint32_t i = 0; i < n_buckets; i++) {
        json_comma(out);
        json_u64(out, totals->buckets[i]);
    }
    buffer_append(out, "]", 1);
    json_key(out, "count");
    json_u64(out, totals->count);
    json_key(out, "sum");
    json_double(out, totals->sum);
}

static void append_totals(struct buffer *out, const libshm_family_view *family, const struct totals *totals)
{
    json_key(out, "total");
    buffer_append(out, "{", 1);
    if (is_distribution(family)) {
        append_total_distribution(out, totals, bucket_count(family));
    } else if (family->type == LIBSHM_TYPE_COUNTER) {
        json_key(out, "value");
        json_counter(out, totals->integer, totals->fractional);
    } else {
        json_key(out, "value");
        json_double(out, totals->fractional);
        json_key(out, "min");
        json_double(out, totals->min);
        json_key(out, "max");
        json_double(out, totals->max);
    }
    buffer_append(out, "}", 1);
}

/* ---- series ------------------------------------------------------------------------------------------------------ */

static void append_series(struct buffer *out, const struct labels *labels, const struct source *source,
                          const libshm_family_view *family, const libshm_series_view *series)
{
    char text[24];
    json_comma(out);
    /* what it is known by from one request to the next; never another series' */
    buffer_printf(out, "{\"id\":\"%" PRIu64 ".%" PRIu32 ".%" PRIu64 ".%" PRIu64 "\"", source->identity, series->number,
                  series->generation, series->process);
    json_key(out, "labels");
    buffer_append(out, "{", 1);
    for (size_t i = 0; i < labels->n; i++) {
        const char *value = labels_value(&labels->label[i].place, source, series, text);
        if (!value)
            continue;
        json_key(out, labels->label[i].name);
        json_string(out, value);
    }
    buffer_append(out, "}", 1);
    if (is_distribution(family)) {
        append_distribution(out, series, bucket_count(family));
    } else {
        json_key(out, "value");
        if (family->type == LIBSHM_TYPE_COUNTER)
            json_counter(out, series->integer, series->fractional);
        else
            json_double(out, value_of(family, series));
    }
    buffer_append(out, "}", 1);
}

static void append_all_series(struct buffer *out, const struct merged_family *merged, const struct source *sources,
                              const struct selection *selection)
{
    json_key(out, "series");
    buffer_append(out, "[", 1);
    for (size_t p = 0; p < merged->n_parts; p++) {
        const struct merged_part *part = &merged->parts[p];
        const libshm_family_view *family = merged_view(part, sources);
        const struct source *source = &sources[part->source];
        struct labels labels;
        if (!part_wanted(part, sources, selection))
            continue;
        labels_plan(&labels, family, source->segment != NULL);
        for (size_t i = 0; i < family->n_series; i++)
            if (wanted(part, selection, family, i))
                append_series(out, &labels, source, family, &family->series[i]);
    }
    buffer_append(out, "]", 1);
}

/* ---- families ---------------------------------------------------------------------------------------------------- */

static const char *type_name(uint32_t type)
{
    static const char *const names[] = {
        [LIBSHM_TYPE_COUNTER] = "counter", [LIBSHM_TYPE_GAUGE] = "gauge", [LIBSHM_TYPE_HISTOGRAM] = "histogram",
        [LIBSHM_TYPE_SUMMARY] = "summary", [LIBSHM_TYPE_INFO] = "info",   [LIBSHM_TYPE_STATESET] = "stateset",
        [LIBSHM_TYPE_UNKNOWN] = "unknown",
    };
    return type < sizeof names / sizeof *names && names[type] ? names[type] : "unknown";
}

static const char *mode_name(uint32_t mode)
{
    static const char *const names[] = {"shared", "sum", "min", "max", "all"};
    return mode < sizeof names / sizeof *names ? names[mode] : "shared";
}

static void append_definition(struct buffer *out, const libshm_family_view *family, bool own)
{
    json_key(out, "name");
    json_string(out, family->name);
    json_key(out, "type");
    json_string(out, type_name(family->type));
    if (family->type == LIBSHM_TYPE_GAUGE) {
        json_key(out, "mode");
        json_string(out, mode_name(family->gauge_mode));
    }
    json_key(out, "help");
    json_string(out, family->help);
    json_key(out, "unit");
    json_string(out, family->unit);
    json_key(out, "own"); /* the exporter's, about itself and the segments */
    buffer_append_string(out, own ? "true" : "false");
    if (family->type != LIBSHM_TYPE_HISTOGRAM)
        return;
    json_key(out, "bounds");
    buffer_append(out, "[", 1);
    for (uint32_t i = 0; i < family->n_bounds; i++) {
        json_comma(out);
        json_double(out, family->bounds[i]);
    }
    buffer_append(out, "]", 1);
}

static void append_family(struct buffer *out, enum format format, const struct merged_family *merged,
                          const struct source *sources, const struct selection *selection)
{
    const struct merged_part *first = &merged->parts[merged->first];
    struct totals totals = {0};
    uint64_t overflowed = 0;
    for (size_t p = 0; p < merged->n_parts; p++) {
        const struct merged_part *part = &merged->parts[p];
        const libshm_family_view *family = merged_view(part, sources);
        if (!part_wanted(part, sources, selection))
            continue;
        overflowed = add_saturated(overflowed, family->overflowed);
        for (size_t i = 0; i < family->n_series; i++)
            if (wanted(part, selection, family, i))
                add_series(&totals, family, &family->series[i]);
    }
    if (selection->n_segments && totals.n == 0)
        return; /* it has nothing in these segments */
    json_comma(out);
    buffer_append(out, "{", 1);
    append_definition(out, merged_view(first, sources), first->source == 0);
    json_key(out, "overflowed");
    json_u64(out, overflowed);
    json_key(out, "series_count");
    json_u64(out, totals.n);
    append_totals(out, merged_view(first, sources), &totals);
    if (format == FORMAT_JSON_SERIES)
        append_all_series(out, merged, sources, selection);
    buffer_append(out, "}", 1);
}

bool encode_json(enum format format, const struct json_input *input, const struct selection *selection,
                 struct buffer *out)
{
    const struct merged *merged = input->merged;
    buffer_append_string(out, "{\"version\":\"" LIBSHM_VERSION "\"");
    json_key(out, "now");
    json_double(out, (double)(input->now_ns / 1000000) / 1e3);
    json_key(out, "layout"); /* changes when a family or a series comes or goes */
    json_u64(out, merged->version);
    if (format == FORMAT_JSON_STATUS) {
        encode_json_status(input, selection, out);
    } else {
        json_key(out, "families");
        buffer_append(out, "[", 1);
        for (size_t i = 0; i < merged->n_families; i++) {
            const struct merged_family *family = &merged->families[i];
            if (selection_has_family(selection, merged_view(&family->parts[family->first], input->sources)))
                append_family(out, format, family, input->sources, selection);
        }
        buffer_append(out, "]", 1);
    }
    buffer_append_string(out, "}\n");
    return !out->failed;
}
