/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker that does what it is told: exporter_writer SEGMENT, then commands on standard input, one a line, words
 * separated by tabs. Each is answered with "ok" or with the error.
 *
 *     define TYPE NAME [LABELS [BOUNDS [MODE]]]   LABELS and BOUNDS separated by commas, "-" for none
 *     add NAME VALUE [LABEL VALUES...]            counters
 *     set NAME VALUE [LABEL VALUES...]            gauges and the like
 *     observe NAME VALUE [LABEL VALUES...]        histograms, summaries
 *     many NAME FROM TO                           add 1 to each series FROM..TO of a counter with one label */
#include <libshm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX    24
#define FAMILIES_MAX 64

static struct {
    char name[LIBSHM_MAX_NAME + 1];
    libshm_family *family;
} families[FAMILIES_MAX];
static size_t n_families;

static libshm_family *find(const char *name)
{
    for (size_t i = 0; i < n_families; i++)
        if (strcmp(families[i].name, name) == 0)
            return families[i].family;
    return NULL;
}

static size_t split(char *text, const char *separator, char **words, size_t max)
{
    size_t n = 0;
    while (text && n < max)
        words[n++] = strsep(&text, separator);
    return n;
}

static uint32_t index_of(const char *word, const char *const *names)
{
    for (uint32_t i = 0; names[i]; i++)
        if (strcmp(word, names[i]) == 0)
            return i;
    fprintf(stderr, "unknown word %s\n", word);
    exit(2);
}

static int define(libshm_segment *segment, char **words, size_t n)
{
    static const char *const types[] = {"",     "counter",  "gauge",   "histogram", "summary",
                                        "info", "stateset", "unknown", NULL};
    static const char *const modes[] = {"shared", "sum", "min", "max", "all", NULL};
    char help[300], *labels[LIBSHM_MAX_LABELS + 1] = {NULL}, *texts[32];
    double bounds[32];
    libshm_metric metric = {.name = words[2], .help = help, .max_series = 1000000};
    snprintf(help, sizeof help, "Help of %s.", words[2]);
    metric.type = index_of(words[1], types);
    if (n > 3 && strcmp(words[3], "-") != 0) {
        split(words[3], ",", labels, LIBSHM_MAX_LABELS);
        metric.labels = (const char *const *)labels;
    }
    if (n > 4 && strcmp(words[4], "-") != 0) {
        metric.n_bounds = split(words[4], ",", texts, 32);
        for (size_t i = 0; i < metric.n_bounds; i++)
            bounds[i] = strtod(texts[i], NULL);
        metric.bounds = bounds;
    }
    if (n > 5)
        metric.gauge_mode = index_of(words[5], modes);
    libshm_family *family;
    int error = libshm_family_define(segment, &metric, &family);
    if (!error) {
        snprintf(families[n_families].name, sizeof families[n_families].name, "%s", words[2]);
        families[n_families++].family = family;
    }
    return error;
}

static int many(char **words)
{
    for (long i = atol(words[2]); i < atol(words[3]); i++) {
        char text[32];
        snprintf(text, sizeof text, "value-%ld", i);
        libshm_counter counter;
        int error = libshm_counter_get(find(words[1]), LIBSHM_VALUES(text), &counter);
        if (error)
            return error;
        libshm_counter_inc(&counter);
        libshm_counter_put(&counter);
    }
    return 0;
}

static int update(char **words)
{
    libshm_family *family = find(words[1]);
    const char *const *values = (const char *const *)words + 3;
    const double value = strtod(words[2], NULL);
    if (strcmp(words[0], "observe") == 0)
        libshm_histogram_observe_with(family, values, value);
    else if (strcmp(words[0], "set") == 0)
        libshm_gauge_set_with(family, values, value);
    else if (strchr(words[2], '.'))
        libshm_counter_add_double_with(family, values, value);
    else
        libshm_counter_add_with(family, values, strtoull(words[2], NULL, 10));
    return 0;
}

int main(int argc, char **argv)
{
    libshm_segment *segment;
    libshm_open_options options = {.size = sizeof options, .max_bytes = UINT64_C(1) << 30};
    if (argc != 2 || libshm_open(argv[1], &options, &segment) != 0) {
        fprintf(stderr, "%s\n", libshm_error_detail());
        return 1;
    }
    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        char *words[WORDS_MAX + 1] = {NULL};
        line[strcspn(line, "\n")] = '\0';
        size_t n = split(line, "\t", words, WORDS_MAX);
        int error;
        if (strcmp(words[0], "define") == 0 && n >= 3)
            error = define(segment, words, n);
        else if (strcmp(words[0], "many") == 0 && n == 4)
            error = many(words);
        else if (n >= 3)
            error = update(words);
        else
            return 2;
        printf("%s\n", error ? libshm_error_detail() : "ok");
        fflush(stdout);
    }
    return 0;
}
