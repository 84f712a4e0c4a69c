/* SPDX-License-Identifier: Apache-2.0
 *
 * What a definition may say: names, labels, bounds, texts, and that no two families write samples of one name. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "libshm/internal.h"

const char *libshm_type_name(uint32_t type)
{
    static const char *const names[] = {"?", "counter", "gauge", "histogram", "summary", "info", "stateset", "unknown"};
    return names[type <= LIBSHM_TYPE_UNKNOWN ? type : 0];
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), s = strlen(suffix);
    return n > s && strcmp(name + n - s, suffix) == 0;
}

/* ---- checks of a definition ---- */

static int check_labels(const libshm_metric *metric, uint32_t *n_labels)
{
    uint32_t n = 0;
    for (; metric->labels && metric->labels[n]; n++) {
        const char *label = metric->labels[n];
        if (n == LIBSHM_MAX_LABELS)
            return libshm_error_set(LIBSHM_E_INVALID, "%s has more than %u labels", metric->name, LIBSHM_MAX_LABELS);
        if (!libshm_label_name_valid(label, strlen(label)))
            return libshm_error_set(
                LIBSHM_E_INVALID,
                "%s: \"%.140s\" cannot be a label name: [a-zA-Z_][a-zA-Z0-9_]*, at most %u bytes, not "
                "le, quantile or __*",
                metric->name, label, LIBSHM_MAX_LABEL_NAME);
        for (uint32_t i = 0; i < n; i++)
            if (strcmp(metric->labels[i], label) == 0)
                return libshm_error_set(LIBSHM_E_INVALID, "%s has the label %s twice", metric->name, label);
    }
    *n_labels = n;
    return 0;
}

static int check_bounds(const libshm_metric *metric, uint32_t type)
{
    if (type != LIBSHM_TYPE_HISTOGRAM)
        return metric->n_bounds == 0
                   ? 0
                   : libshm_error_set(LIBSHM_E_INVALID, "%s is no histogram and cannot have bounds", metric->name);
    if (metric->n_bounds == 0 || metric->n_bounds > LIBSHM_MAX_BOUNDS || !metric->bounds)
        return libshm_error_set(LIBSHM_E_INVALID, "histogram %s has %zu bounds; 1 to %u are possible", metric->name,
                                metric->n_bounds, LIBSHM_MAX_BOUNDS);
    for (size_t i = 0; i < metric->n_bounds; i++)
        if (!isfinite(metric->bounds[i]) || (i > 0 && !(metric->bounds[i] > metric->bounds[i - 1])))
            return libshm_error_set(LIBSHM_E_INVALID,
                                    "bound %zu of histogram %s is %g; bounds are finite (+Inf is implied) and each is "
                                    "above the one before",
                                    i + 1, metric->name, metric->bounds[i]);
    return 0;
}

int libshm_metric_check(const libshm_metric *metric, uint32_t type, uint32_t *n_labels)
{
    if (!metric || !metric->name)
        return libshm_error_set(LIBSHM_E_INVALID, "a definition needs a name");
    if (metric->size != 0 && metric->size != sizeof *metric)
        return libshm_error_set(LIBSHM_E_VERSION, "%.200s: libshm_metric has %zu bytes, this library knows %zu",
                                metric->name, metric->size, sizeof *metric);
    const char *name = metric->name;
    if (!libshm_metric_name_valid(name, strlen(name)))
        return libshm_error_set(LIBSHM_E_INVALID,
                                "\"%.210s\" cannot be a metric name: [a-zA-Z_:][a-zA-Z0-9_:]*, at most %u bytes", name,
                                LIBSHM_MAX_NAME);
    if (type < LIBSHM_TYPE_COUNTER || type > LIBSHM_TYPE_UNKNOWN)
        return libshm_error_set(LIBSHM_E_INVALID, "%s: there is no type %u", name, type);
    if (type == LIBSHM_TYPE_COUNTER && !ends_with(name, "_total"))
        return libshm_error_set(LIBSHM_E_INVALID, "the name of counter %s must end with _total", name);
    if (type == LIBSHM_TYPE_INFO && !ends_with(name, "_info"))
        return libshm_error_set(LIBSHM_E_INVALID, "the name of info %s must end with _info", name);
    if (!metric->help || !libshm_utf8_valid(metric->help, strlen(metric->help)) ||
        strlen(metric->help) > LIBSHM_MAX_HELP)
        return libshm_error_set(LIBSHM_E_INVALID, "%s needs a help text of valid UTF-8, at most %u bytes", name,
                                LIBSHM_MAX_HELP);
    if (metric->unit && *metric->unit) {
        const char *unit = metric->unit;
        char suffix[LIBSHM_MAX_UNIT + 16];
        if (strlen(unit) > LIBSHM_MAX_UNIT || !libshm_metric_name_valid(unit, strlen(unit)))
            return libshm_error_set(LIBSHM_E_INVALID, "%s: \"%.70s\" cannot be a unit", name, unit);
        snprintf(suffix, sizeof suffix, "_%s%s", unit, type == LIBSHM_TYPE_COUNTER ? "_total" : "");
        if (!ends_with(name, suffix))
            return libshm_error_set(LIBSHM_E_INVALID, "%s has the unit %s, so its name must end with %s", name, unit,
                                    suffix);
    }
    if (metric->gauge_mode > LIBSHM_GAUGE_ALL ||
        (metric->gauge_mode != LIBSHM_GAUGE_SHARED && type != LIBSHM_TYPE_GAUGE))
        return libshm_error_set(LIBSHM_E_INVALID, "%s: a %s cannot have gauge mode %u", name, libshm_type_name(type),
                                metric->gauge_mode);
    int error = check_labels(metric, n_labels);
    return error ? error : check_bounds(metric, type);
}

/* ---- sample names ---- */

static const char *const suffixes[] = {"_bucket", "_sum", "_count", "_created"};

/* Does a family of this name and type write a sample, or own an OpenMetrics name, called `sample`? */
static bool occupies(const char *name, uint32_t type, const char *sample)
{
    size_t n = strlen(name);
    if (strcmp(name, sample) == 0)
        return true;
    if (type == LIBSHM_TYPE_COUNTER || type == LIBSHM_TYPE_INFO) /* OpenMetrics: family x, sample x_total, x_info */
        n -= type == LIBSHM_TYPE_COUNTER ? 6 : 5;
    if (strncmp(name, sample, n) != 0)
        return false;
    if (sample[n] == 0)
        return true;
    if (strcmp(sample + n, "_created") == 0)
        return type == LIBSHM_TYPE_COUNTER || type == LIBSHM_TYPE_HISTOGRAM || type == LIBSHM_TYPE_SUMMARY;
    for (int i = type == LIBSHM_TYPE_HISTOGRAM ? 0 : 1; i < 3; i++)
        if (strcmp(sample + n, suffixes[i]) == 0)
            return type == LIBSHM_TYPE_HISTOGRAM || type == LIBSHM_TYPE_SUMMARY;
    return false;
}

static int collision_with(const struct libshm_segment *segment, const char *other, const char *sample, const char *name,
                          uint32_t type)
{
    uint32_t number;
    if (strcmp(other, name) == 0)
        return 0;
    const struct libshm_family_entry *entry = libshm_index_find_family(segment, other, &number);
    if (!entry || !occupies(other, entry->type, sample))
        return 0;
    return libshm_error_set(LIBSHM_E_COLLISION, "%s %s and %s %s would both write %s", libshm_type_name(type), name,
                            libshm_type_name(entry->type), other, sample);
}

/* `sample` is one that the new family occupies: is there a family that does so, too? */
static int check_sample(const struct libshm_segment *segment, const char *sample, const char *name, uint32_t type)
{
    char other[LIBSHM_MAX_NAME + 32];
    static const char *const ends[] = {"", "_total", "_info"};
    int error = 0;
    for (size_t e = 0; e < 3 && !error; e++) {
        snprintf(other, sizeof other, "%s%s", sample, ends[e]);
        error = collision_with(segment, other, sample, name, type);
    }
    for (size_t s = 0; s < 4 && !error; s++) {
        if (!ends_with(sample, suffixes[s]))
            continue;
        int base = (int)(strlen(sample) - strlen(suffixes[s]));
        for (size_t e = 0; e < 2 && !error; e++) {
            snprintf(other, sizeof other, "%.*s%s", base, sample, ends[e]);
            error = collision_with(segment, other, sample, name, type);
        }
    }
    return error;
}

int libshm_sample_names_check(const struct libshm_segment *segment, const char *name, uint32_t type)
{
    char sample[LIBSHM_MAX_NAME + 16];
    int base = (int)strlen(name);
    int error = check_sample(segment, name, name, type);
    if (type == LIBSHM_TYPE_COUNTER || type == LIBSHM_TYPE_INFO) {
        base -= type == LIBSHM_TYPE_COUNTER ? 6 : 5;
        snprintf(sample, sizeof sample, "%.*s", base, name);
        error = error ? error : check_sample(segment, sample, name, type);
    }
    for (size_t s = 0; s < 4 && !error; s++) {
        snprintf(sample, sizeof sample, "%.*s%s", base, name, suffixes[s]);
        if (occupies(name, type, sample))
            error = check_sample(segment, sample, name, type);
    }
    return error;
}
