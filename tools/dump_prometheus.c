/* SPDX-License-Identifier: Apache-2.0
 *
 * shm-dump --format=prometheus: the text exposition format 0.0.4. */
#include "dump.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *exposition_type(uint32_t type)
{
    switch (type) {
    case LIBSHM_TYPE_COUNTER:
        return "counter";
    case LIBSHM_TYPE_HISTOGRAM:
        return "histogram";
    case LIBSHM_TYPE_SUMMARY:
        return "summary";
    case LIBSHM_TYPE_UNKNOWN:
        return "untyped";
    default:
        return "gauge"; /* info and stateset have no type of their own in this format */
    }
}

/* Help texts escape backslash and line end, label values the double quote too. */
static void escape(FILE *out, const char *text, int quote)
{
    for (; *text; text++) {
        if (*text == '\n') {
            fputs("\\n", out);
        } else {
            if (*text == '\\' || (quote && *text == '"'))
                fputc('\\', out);
            fputc(*text, out);
        }
    }
}

/* The inode of this process's pid namespace; 0: unknown. */
static uint64_t own_namespace(void)
{
    static uint64_t inode;
    struct stat status;
    if (inode == 0 && stat("/proc/self/ns/pid", &status) == 0)
        inode = status.st_ino;
    return inode;
}

static int one_per_process(const libshm_family_view *family)
{
    return family->type == LIBSHM_TYPE_GAUGE && family->gauge_mode == LIBSHM_GAUGE_ALL;
}

/* A label of the family that has the name of one that is added is renamed, as Prometheus does it. */
static const char *prefix_of(const libshm_family_view *family, uint32_t label)
{
    const char *name = family->label_names[label];
    return one_per_process(family) && (strcmp(name, "pid") == 0 || strcmp(name, "pid_ns") == 0) ? "exported_" : "";
}

/* name{labels,le="..."}, followed by a space. */
static void sample(FILE *out, const libshm_family_view *family, const libshm_series_view *series, const char *suffix,
                   const char *le)
{
    const char *separator = "{";
    fprintf(out, "%s%s", family->name, suffix);
    for (uint32_t i = 0; i < family->n_labels; i++) {
        fprintf(out, "%s%s%s=\"", separator, prefix_of(family, i), family->label_names[i]);
        escape(out, series->label_values[i], 1);
        fputc('"', out);
        separator = ",";
    }
    if (one_per_process(family)) {
        fprintf(out, "%spid=\"%" PRIu32 "\"", separator, series->pid);
        if (series->pid_ns != own_namespace()) /* a pid of another namespace says nothing alone */
            fprintf(out, ",pid_ns=\"%" PRIu64 "\"", series->pid_ns);
        separator = ",";
    }
    if (le) {
        fprintf(out, "%sle=\"%s\"", separator, le);
        separator = ",";
    }
    fputs(*separator == ',' ? "} " : " ", out);
}

/* As shm-exporter spells bounds, or the series would not be the same ones: 0.1, 1.0, 1e+06, +Inf. */
static const char *format_bound(double bound, char text[NUMBER_SIZE])
{
    double size = fabs(bound);
    format_double(bound, text);
    if (isinf(bound))
        return text;
    if (size >= 1e6 || (size < 1e-4 && size > 0)) {
        for (int digits = 0; digits <= 16; digits++) {
            snprintf(text, NUMBER_SIZE, "%.*e", digits, bound);
            if (strtod(text, NULL) == bound)
                break;
        }
    } else if (!strchr(text, '.')) {
        strcat(text, ".0");
    }
    return text;
}

static void histogram(FILE *out, const libshm_family_view *family, const libshm_series_view *series)
{
    char text[NUMBER_SIZE];
    uint64_t cumulative = 0;
    if (family->type == LIBSHM_TYPE_HISTOGRAM) {
        for (uint32_t i = 0; i <= family->n_bounds; i++) {
            cumulative += series->buckets[i].integer;
            sample(out, family, series, "_bucket", format_bound(dump_bound(family, i), text));
            fprintf(out, "%" PRIu64 "\n", cumulative);
        }
    }
    sample(out, family, series, "_sum", NULL);
    fprintf(out, "%s\n", format_double(series->sum, text));
    sample(out, family, series, "_count", NULL);
    fprintf(out, "%" PRIu64 "\n", series->count);
}

void dump_prometheus(const struct dump *dump, FILE *out)
{
    for (size_t f = 0; f < dump->snapshot->n_families; f++) {
        const libshm_family_view *family = &dump->snapshot->families[f];
        fprintf(out, "# HELP %s ", family->name);
        escape(out, family->help, 0);
        fprintf(out, "\n# TYPE %s %s\n", family->name, exposition_type(family->type));
        for (size_t s = 0; s < family->n_series; s++) {
            const libshm_series_view *series = &family->series[s];
            if (family->type == LIBSHM_TYPE_HISTOGRAM || family->type == LIBSHM_TYPE_SUMMARY) {
                histogram(out, family, series);
            } else {
                char text[NUMBER_SIZE];
                sample(out, family, series, "", NULL);
                fprintf(out, "%s\n", dump_value(family, series, text));
            }
        }
    }
}
