/* SPDX-License-Identifier: Apache-2.0
 *
 * The text formats, from families made by hand: against the files in tests/golden, what is kept from one scrape to the
 * next, and what a selection leaves. GOLDEN_WRITE=1 in the environment writes the golden files instead. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "exporter/dialect.h"
#include "exporter/encoder.h"
#include "tests/unit/exporter_views.h"

static const struct dialect text_dialect = {.header = dialect_text_header, .end = ""};
static const struct dialect dots_dialect = {.header = dialect_text_header, .end = "", .dots = true};
static const struct dialect openmetrics_dialect = {
    .header = dialect_openmetrics_header, .end = "# EOF\n", .openmetrics = true};
static const struct dialect created_dialect = {
    .header = dialect_openmetrics_header, .end = "# EOF\n", .openmetrics = true, .dots = true, .created = true};
static const struct selection everything;

/* A fresh encoder's text, or that of `encoder`. The caller frees it. */
static char *encode(struct merger *merger, struct encoder *encoder, const struct dialect *dialect,
                    const struct selection *selection, const struct source *sources, size_t n)
{
    struct encoder *fresh = encoder ? NULL : encoder_new_text(dialect);
    struct buffer out = {0};
    const struct merged *merged = merger_merge(merger, sources, n);
    assert_non_null(merged);
    struct encoder *used = encoder ? encoder : fresh;
    assert_true(used->encode(used, merged, sources, selection, &out));
    if (fresh)
        fresh->free(fresh);
    assert_non_null(buffer_string(&out));
    return out.data;
}

static char *encode_once(const struct dialect *dialect, const struct selection *selection, const struct source *sources,
                         size_t n)
{
    struct merger *merger = merger_new();
    char *text = encode(merger, NULL, dialect, selection, sources, n);
    merger_free(merger);
    return text;
}

/* ---- every type and what is special about it ----------------------------------------------------------------------
 */

static const double bounds[] = {-1, 0, .1, 1, 2.5, 1e6};
static const struct libshm_cell buckets[] = {{1, -5}, {0, 0}, {2, .15}, {0, 0}, {3, 6.5}, {1, 1000}, {4, 1e9}};
static const struct libshm_cell one_bucket[] = {{7, 10.5}};

static const libshm_series_view builds[] = {
    {.label_values = STRINGS("1.2.3", "a\\b\"c\nd"), .fractional = 1, .generation = 1},
};
static const libshm_series_view seconds[] = {
    {.label_values = STRINGS("GET"), .buckets = buckets, .count = 11, .sum = 1000001001.65, .generation = 1},
};
static const libshm_series_view requests[] = {
    {.number = 0, .generation = 1, .label_values = STRINGS("z\xc3\xbc", ""), .integer = 5},
    {.number = 1, .generation = 1, .label_values = STRINGS("b", "x"), .integer = 18446744073709551615u},
    {.number = 4, .generation = 7, .label_values = STRINGS("a", "x"), .integer = 1, .fractional = .5},
};
static const libshm_series_view in_progress[] = {
    {.number = 0, .process = 3, .pid = 17, .label_values = STRINGS("own"), .fractional = -2},
    {.number = 0,
     .process = 4,
     .pid = 17,
     .pid_ns = 4026531999,
     .label_values = STRINGS("own"),
     .fractional = INFINITY},
};
static const libshm_series_view summary[] = {{.buckets = one_bucket, .count = 7, .sum = 10.5}};
static const libshm_series_view states[] = {
    {.number = 0, .label_values = STRINGS("on"), .fractional = 1},
    {.number = 1, .label_values = STRINGS("off"), .fractional = 0},
};
static const libshm_series_view waits[] = {
    {.buckets = buckets, .count = 3, .sum = -4.85, .created_ns = 1700000000123456789u}};
static const libshm_series_view unknown[] = {{.fractional = NAN}};

static void set_own_namespace(libshm_series_view *series)
{
    struct stat status;
    assert_int_equal(stat("/proc/self/ns/pid", &status), 0);
    series->pid_ns = status.st_ino;
}

static void expect_golden(const char *path, char *text)
{
    if (getenv("GOLDEN_WRITE")) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(text, file);
        fclose(file);
    }
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char expected[16384];
    expected[fread(expected, 1, sizeof expected - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
    free(text);
}

static void matches_the_golden_files(void **state)
{
    (void)state;
    libshm_series_view live[2] = {in_progress[0], in_progress[1]};
    set_own_namespace(&live[0]);
    static const libshm_series_view none[1];
    static const double positive[] = {.1, 1};
    const libshm_family_view families[] = {
        FAMILY(0, "app_build_info", INFO, builds, .n_labels = 2, .label_names = STRINGS("version", "branch")),
        FAMILY(1, "app_duration_seconds", HISTOGRAM, seconds, .n_labels = 1, .label_names = STRINGS("method"),
               .bounds = bounds, .n_bounds = 6, .unit = "seconds"),
        FAMILY(2, "app_empty_total", COUNTER, none, .n_series = 0),
        FAMILY(3, "app_in_progress", GAUGE, live, .n_labels = 1, .label_names = STRINGS("pid"),
               .gauge_mode = LIBSHM_GAUGE_ALL),
        FAMILY(4, "app_requests_total", COUNTER, requests, .n_labels = 2, .label_names = STRINGS("user", "segment"),
               .help = "Two\nlines, a \\ and a \"."),
        FAMILY(5, "app_size_bytes", SUMMARY, summary, .unit = "bytes"),
        FAMILY(6, "app_state", STATESET, states, .n_labels = 1, .label_names = STRINGS("app_state")),
        FAMILY(7, "app_state_without_label", STATESET, states, .n_labels = 1, .label_names = STRINGS("state")),
        FAMILY(8, "app_total", COUNTER, unknown, .unit = "wrong"),
        FAMILY(9, "app_wait_seconds", HISTOGRAM, waits, .bounds = positive, .n_bounds = 2, .unit = "seconds"),
        FAMILY(10, "app_waited_seconds_total", COUNTER, unknown, .unit = "seconds"),
        FAMILY(11, "app_what", UNKNOWN, unknown),
    };
    const struct source sources[] = {SOURCE("own", 9, families, .n_families = 0),
                                     SOURCE("shop", 1, families, .segment = "shop")};
    expect_golden("tests/golden/text-0.0.4.txt", encode_once(&text_dialect, &everything, sources, 2));
    expect_golden("tests/golden/text-dots.txt", encode_once(&dots_dialect, &everything, sources, 2));
    expect_golden("tests/golden/openmetrics-1.0.0.txt", encode_once(&openmetrics_dialect, &everything, sources, 2));
    expect_golden("tests/golden/openmetrics-dots-created.txt", encode_once(&created_dialect, &everything, sources, 2));
}

/* ---- selections ---------------------------------------------------------------------------------------------------
 */

static void expect_selected(const struct source *sources, const char *name, const char *segment, const char *expected)
{
    struct selection selection = {0};
    assert_true(!name || selection_add_name(&selection, name));
    assert_true(!segment || selection_add_segment(&selection, segment));
    char *text = encode_once(&text_dialect, &selection, sources, 3), *sample = text;
    char samples[512] = "";
    for (; *sample; sample += strcspn(sample, "\n") + 1)
        if (*sample != '#')
            strncat(samples, sample, strcspn(sample, "\n") + 1);
        else
            assert_true(strlen(expected) > 0); /* no header without a sample */
    assert_string_equal(samples, expected);
    free(text);
    selection_clear(&selection);
}

static void selections_leave_what_was_asked_for(void **state)
{
    (void)state;
    static const double bound[] = {1};
    static const libshm_series_view one[] = {{.number = 0, .integer = 1, .fractional = 0}};
    const libshm_series_view own[] = {{.number = 0, .label_values = STRINGS("a"), .fractional = 1},
                                      {.number = 1, .label_values = STRINGS("b"), .fractional = 1}};
    static const libshm_series_view wait[] = {{.buckets = buckets, .count = 1, .sum = 5}};
    const libshm_family_view own_families[] = {
        FAMILY(0, "shm_exporter_x", GAUGE, one),
        FAMILY(1, "shm_segment_up", GAUGE, own, .n_labels = 1, .label_names = STRINGS("segment"))};
    const libshm_family_view a[] = {FAMILY(0, "x_total", COUNTER, one)};
    const libshm_family_view b[] = {FAMILY(0, "wait", HISTOGRAM, wait, .bounds = bound, .n_bounds = 1),
                                    FAMILY(1, "x_total", COUNTER, one)};
    const struct source sources[] = {SOURCE("shm-exporter", 99, own_families), SOURCE("a", 1, a, .segment = "a"),
                                     SOURCE("b", 2, b, .segment = "b")};
#define WAIT                                                                                                           \
    "wait_bucket{segment=\"b\",le=\"1.0\"} 1\nwait_bucket{segment=\"b\",le=\"+Inf\"} 1\n"                              \
    "wait_sum{segment=\"b\"} 5\nwait_count{segment=\"b\"} 1\n"
#define BOTH_X "x_total{segment=\"a\"} 1\nx_total{segment=\"b\"} 1\n"
    expect_selected(sources, NULL, NULL,
                    "shm_exporter_x 0\nshm_segment_up{segment=\"a\"} 1\nshm_segment_up{segment=\"b\"} 1\n" WAIT BOTH_X);
    expect_selected(sources, "x_total", NULL, BOTH_X);
    expect_selected(sources, "x", NULL, BOTH_X);
    expect_selected(sources, "x_tot", NULL, "");
    expect_selected(sources, "wait", NULL, WAIT);
    expect_selected(sources, "wait_bucket", NULL, WAIT);
    expect_selected(sources, "wait_bucke", NULL, "");
    expect_selected(sources, "wait_total", NULL, "");
    expect_selected(sources, "shm_exporter_x", NULL, "shm_exporter_x 0\n");
    expect_selected(sources, "", NULL, "");
    expect_selected(sources, NULL, "a", "shm_segment_up{segment=\"a\"} 1\nx_total{segment=\"a\"} 1\n");
    expect_selected(sources, NULL, "c", "");
    expect_selected(sources, "x_total", "b", "x_total{segment=\"b\"} 1\n");
    expect_selected(sources, "wait", "a", "");
}

/* ---- from scrape to scrape ----------------------------------------------------------------------------------------
 */

#define MANY 50u

struct many {
    libshm_series_view series[MANY];
    const char *values[MANY];
    char names[MANY][16];
};

/* Some of the numbers 0..MANY, each in one of two generations: what a family's series are at some time. */
static size_t fill(struct many *many, uint64_t *random)
{
    size_t n = 0;
    for (uint32_t number = 0; number < MANY; number++) {
        *random = *random * 6364136223846793005u + 1442695040888963407u;
        if (*random >> 62 == 0)
            continue;
        const uint64_t generation = 1 + (*random >> 59 & 7) / 7;
        snprintf(many->names[n], sizeof many->names[n], "%u/%u", number, (unsigned)generation);
        many->values[n] = many->names[n];
        many->series[n] = (libshm_series_view){
            .number = number, .generation = generation, .label_values = &many->values[n], .integer = *random >> 40};
        n++;
    }
    return n;
}

/* Whatever was kept, the text is that of an encoder that has seen nothing yet. */
static void what_is_kept_is_right(void **state)
{
    (void)state;
    struct merger *merger = merger_new();
    struct encoder *encoder = encoder_new_text(&text_dialect);
    uint64_t random = 1;
    for (uint64_t round = 1; round <= 500; round++) {
        struct many a, b;
        libshm_family_view families[] = {
            FAMILY(0, "a_total", COUNTER, a.series, .n_labels = 1, .label_names = STRINGS("x")),
            FAMILY(1, "b_total", COUNTER, b.series, .n_labels = 1, .label_names = STRINGS("y")),
        };
        families[0].n_series = fill(&a, &random);
        families[1].n_series = fill(&b, &random);
        families[1].generation = random >> 60;
        struct source sources[] = {SOURCE("s", 1 + (random >> 50 & 15) / 15, families, .segment = "s")};
        sources[0].layout = round;
        sources[0].n_families = 1 + (random >> 45 & 1);
        char *kept = encode(merger, encoder, &text_dialect, &everything, sources, 1);
        char *fresh = encode_once(&text_dialect, &everything, sources, 1);
        assert_string_equal(kept, fresh);
        free(kept);
        free(fresh);
    }
    encoder->free(encoder);
    merger_free(merger);
}

/* With the layout unchanged, only numbers change. */
static void values_change_without_a_new_layout(void **state)
{
    (void)state;
    libshm_series_view series[] = {{.number = 3, .generation = 1, .label_values = STRINGS("value"), .integer = 9}};
    const libshm_family_view families[] = {
        FAMILY(0, "a_total", COUNTER, series, .n_labels = 1, .label_names = STRINGS("x"))};
    const struct source sources[] = {SOURCE("s", 1, families)};
    struct merger *merger = merger_new();
    struct encoder *encoder = encoder_new_text(&text_dialect);
    free(encode(merger, encoder, &text_dialect, &everything, sources, 1));
    series[0].integer = 10;
    char *text = encode(merger, encoder, &text_dialect, &everything, sources, 1);
    assert_string_equal(text, "# HELP a_total Help of a_total.\n# TYPE a_total counter\na_total{x=\"value\"} 10\n");
    free(text);
    encoder->free(encoder);
    merger_free(merger);
}

static char *value_of_length(size_t n, bool special)
{
    char *value = malloc(n + 1);
    assert_non_null(value);
    for (size_t i = 0; i < n; i++)
        value[i] = (char)('a' + i % 26);
    if (special && n)
        value[n - 1] = '"';
    value[n] = '\0';
    return value;
}

/* Label values of every length around the steps in which they are copied, with and without something to escape. */
static void label_values_of_every_length(void **state)
{
    (void)state;
    enum { LENGTHS = 600 };
    for (size_t n = 0; n < LENGTHS; n++) {
        for (int special = 0; special < 2; special++) {
            char *value = value_of_length(n, special); /* exactly as long as it is: ASan sees whoever reads on */
            const char *values[] = {value, "b"};
            const libshm_series_view series[] = {{.generation = 1, .label_values = values, .integer = n}};
            const libshm_family_view families[] = {
                FAMILY(0, "a_total", COUNTER, series, .n_labels = 2, .label_names = STRINGS("x", "y"))};
            const struct source sources[] = {SOURCE("s", 1, families)};
            char *text = encode_once(&text_dialect, &everything, sources, 1), *expected = NULL;
            assert_true(asprintf(&expected,
                                 "# HELP a_total Help of a_total.\n# TYPE a_total counter\n"
                                 "a_total{x=\"%.*s%s\",y=\"b\"} %zu\n",
                                 (int)(special && n ? n - 1 : n), value, special && n ? "\\\"" : "", n) > 0);
            assert_string_equal(text, expected);
            free(expected);
            free(text);
            free(value);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_the_golden_files),     cmocka_unit_test(selections_leave_what_was_asked_for),
        cmocka_unit_test(what_is_kept_is_right),        cmocka_unit_test(values_change_without_a_new_layout),
        cmocka_unit_test(label_values_of_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
