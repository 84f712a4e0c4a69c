/* SPDX-License-Identifier: Apache-2.0
 *
 * Definitions: every bad input is refused with a message that says what and where, is counted, and leaves everything
 * else as it was. */
#include "common_segment.h"

#include <math.h>

/* A definition that must be refused. */
static void refused(struct fixture *fixture, const libshm_metric *metric, int code, const char *word)
{
    libshm_segment *segment = fixture->segment;
    libshm_family *family = (void *)1;
    uint64_t rejected = STATISTIC(segment, rejected), version = segment->header->directory_version;
    uint32_t families = libshm_table_count(segment, LIBSHM_TABLE_FAMILIES);
    assert_refused(libshm_family_define(segment, metric, &family), code, word);
    assert_null(family);
    assert_int_equal(STATISTIC(segment, rejected), rejected + 1);
    assert_int_equal(segment->header->directory_version, version);
    assert_int_equal(libshm_table_count(segment, LIBSHM_TABLE_FAMILIES), families);
    assert_int_equal(segment->header->journal.count, 0);
}

static void bad_names(void **state)
{
    static const char *const names[] = {"",     "9lives",   "a-b",    "a b", "a.b", "a\n",
                                        "a\"b", "\xc3\xa4", "{le=1}", "a{",  "#x",  NULL};
    for (int i = 0; names[i]; i++)
        refused(*state, METRIC(LIBSHM_TYPE_GAUGE, names[i]), LIBSHM_E_INVALID, "[a-zA-Z_:][a-zA-Z0-9_:]*");
    refused(*state, METRIC(LIBSHM_TYPE_GAUGE, NULL), LIBSHM_E_INVALID, "name");
    refused(*state, NULL, LIBSHM_E_INVALID, "name");
    char longest[LIBSHM_MAX_NAME + 2];
    memset(longest, 'n', sizeof longest);
    longest[sizeof longest - 1] = 0;
    refused(*state, METRIC(LIBSHM_TYPE_GAUGE, longest), LIBSHM_E_INVALID, "200 bytes");
    longest[sizeof longest - 2] = 0;
    family_of(((struct fixture *)*state)->segment, METRIC(LIBSHM_TYPE_GAUGE, longest));
}

static void bad_parts(void **state)
{
    char help[LIBSHM_MAX_HELP + 2];
    memset(help, 'h', sizeof help);
    help[sizeof help - 1] = 0;
    refused(*state, METRIC(LIBSHM_TYPE_COUNTER, "jobs"), LIBSHM_E_INVALID, "_total");
    refused(*state, METRIC(LIBSHM_TYPE_COUNTER, "foo_count"), LIBSHM_E_INVALID, "_total");
    refused(*state, METRIC(LIBSHM_TYPE_COUNTER, "_total"), LIBSHM_E_INVALID, "_total");
    refused(*state, METRIC(LIBSHM_TYPE_INFO, "build"), LIBSHM_E_INVALID, "_info");
    refused(*state, METRIC(0, "x"), LIBSHM_E_INVALID, "type 0");
    refused(*state, METRIC(8, "x"), LIBSHM_E_INVALID, "type 8");
    refused(*state, &(libshm_metric){.type = LIBSHM_TYPE_GAUGE, .name = "x"}, LIBSHM_E_INVALID, "help");
    refused(*state, &(libshm_metric){.type = LIBSHM_TYPE_GAUGE, .name = "x", .help = "\xff"}, LIBSHM_E_INVALID,
            "UTF-8");
    refused(*state, &(libshm_metric){.type = LIBSHM_TYPE_GAUGE, .name = "x", .help = "\xed\xa0\x80"}, LIBSHM_E_INVALID,
            "UTF-8");
    refused(*state, &(libshm_metric){.type = LIBSHM_TYPE_GAUGE, .name = "x", .help = help}, LIBSHM_E_INVALID, "1024");
    refused(*state, METRIC(LIBSHM_TYPE_GAUGE, "x_seconds", .unit = "bytes"), LIBSHM_E_INVALID, "_bytes");
    refused(*state, METRIC(LIBSHM_TYPE_GAUGE, "x_b", .unit = "b-"), LIBSHM_E_INVALID, "unit");
    refused(*state, METRIC(LIBSHM_TYPE_COUNTER, "x_total", .unit = "total"), LIBSHM_E_INVALID, "_total_total");
    refused(*state, METRIC(LIBSHM_TYPE_GAUGE, "x", .gauge_mode = 5), LIBSHM_E_INVALID, "mode 5");
    refused(*state, METRIC(LIBSHM_TYPE_COUNTER, "x_total", .gauge_mode = LIBSHM_GAUGE_SUM), LIBSHM_E_INVALID, "mode");
    refused(*state, METRIC(LIBSHM_TYPE_GAUGE, "x", .size = 8), LIBSHM_E_VERSION, "libshm_metric");
}

static void bad_labels(void **state)
{
    static const char *const names[] = {"le",  "quantile", "__name__", "__x", "9a",  "a-b",
                                        "a:b", "",         "\xc3\xa4", "a b", "a\n", NULL};
    for (int i = 0; names[i]; i++)
        refused(*state, METRIC(LIBSHM_TYPE_GAUGE, "x", .labels = LIBSHM_LABELS("fine", names[i])), LIBSHM_E_INVALID,
                "label name");
    refused(*state, METRIC(LIBSHM_TYPE_GAUGE, "x", .labels = LIBSHM_LABELS("a", "b", "a")), LIBSHM_E_INVALID, "twice");
    char longest[LIBSHM_MAX_LABEL_NAME + 2];
    memset(longest, 'l', sizeof longest);
    longest[sizeof longest - 1] = 0;
    refused(*state, METRIC(LIBSHM_TYPE_GAUGE, "x", .labels = LIBSHM_LABELS(longest)), LIBSHM_E_INVALID, "128 bytes");
    static const char *const many[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i",
                                       "j", "k", "l", "m", "n", "o", "p", "q", NULL};
    refused(*state, METRIC(LIBSHM_TYPE_GAUGE, "x", .labels = many), LIBSHM_E_INVALID, "more than 16 labels");
    family_of(((struct fixture *)*state)->segment, METRIC(LIBSHM_TYPE_GAUGE, "x", .labels = many + 1));
}

static void bad_bounds(void **state)
{
    double many[LIBSHM_MAX_BOUNDS + 1];
    for (int i = 0; i <= (int)LIBSHM_MAX_BOUNDS; i++)
        many[i] = i;
    refused(*state, METRIC(LIBSHM_TYPE_HISTOGRAM, "h"), LIBSHM_E_INVALID, "0 bounds");
    refused(*state, METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .n_bounds = 2), LIBSHM_E_INVALID, "bounds");
    refused(*state, METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .bounds = many, .n_bounds = LIBSHM_MAX_BOUNDS + 1),
            LIBSHM_E_INVALID, "1 to 255");
    refused(*state, METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .LIBSHM_BOUNDS(1, 1)), LIBSHM_E_INVALID, "bound 2");
    refused(*state, METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .LIBSHM_BOUNDS(2, 1)), LIBSHM_E_INVALID, "bound 2");
    refused(*state, METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .LIBSHM_BOUNDS(1, INFINITY)), LIBSHM_E_INVALID, "+Inf");
    refused(*state, METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .LIBSHM_BOUNDS(NAN)), LIBSHM_E_INVALID, "finite");
    refused(*state, METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .LIBSHM_BOUNDS(-0.0, 0.0)), LIBSHM_E_INVALID, "bound 2");
    refused(*state, METRIC(LIBSHM_TYPE_GAUGE, "h", .LIBSHM_BOUNDS(1)), LIBSHM_E_INVALID, "no histogram");
    family_of(((struct fixture *)*state)->segment,
              METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .bounds = many, .n_bounds = LIBSHM_MAX_BOUNDS));
}

/* Too long together: 16 labels of 128 bytes, name, help and 255 bounds fit in no block. */
static void too_much_text(void **state)
{
    struct fixture *fixture = *state;
    char help[LIBSHM_MAX_HELP + 1], label[16][LIBSHM_MAX_LABEL_NAME + 1];
    const char *labels[17] = {NULL};
    double bounds[LIBSHM_MAX_BOUNDS];
    memset(help, 'h', sizeof help);
    help[sizeof help - 1] = 0;
    for (size_t i = 0; i < 16; i++) {
        memset(label[i], 'a' + (int)i, LIBSHM_MAX_LABEL_NAME);
        label[i][LIBSHM_MAX_LABEL_NAME] = 0;
        labels[i] = label[i];
    }
    for (int i = 0; i < (int)LIBSHM_MAX_BOUNDS; i++)
        bounds[i] = i;
    /* the largest definition there can be */
    libshm_metric metric = {.type = LIBSHM_TYPE_HISTOGRAM,
                            .name = "largest",
                            .help = help,
                            .labels = labels,
                            .bounds = bounds,
                            .n_bounds = LIBSHM_MAX_BOUNDS};
    libshm_family *family = family_of(fixture->segment, &metric);
    assert_ptr_equal(family_of(fixture->segment, &metric), family);
    char value[LIBSHM_MAX_LABEL_VALUE + 2];
    memset(value, 'v', sizeof value);
    value[LIBSHM_MAX_LABEL_VALUE / 2] = 0;
    const char *values[17] = {NULL};
    for (size_t i = 0; i < 16; i++)
        values[i] = value;
    libshm_histogram histogram;
    assert_refused(libshm_histogram_get(family, values, &histogram), LIBSHM_E_INVALID, "at most 8192");
    value[LIBSHM_MAX_LABEL_VALUE / 2 - 2] = 0; /* 16 * (510 + 2) */
    assert_done(libshm_histogram_get(family, values, &histogram));
    libshm_histogram_observe(&histogram, 3);
}

static void bad_values(void **state)
{
    struct fixture *fixture = *state;
    libshm_segment *segment = fixture->segment;
    libshm_family *family =
        family_of(segment, METRIC(LIBSHM_TYPE_COUNTER, "x_total", .labels = LIBSHM_LABELS("a", "b")));
    libshm_counter counter;
    uint64_t rejected = STATISTIC(segment, rejected), dropped = STATISTIC(segment, dropped_updates);
    char longest[LIBSHM_MAX_LABEL_VALUE + 2];
    memset(longest, 'v', sizeof longest);
    longest[sizeof longest - 1] = 0;
    const char *const *const bad[] = {NULL,
                                      LIBSHM_VALUES(NULL),
                                      LIBSHM_VALUES("1"),
                                      LIBSHM_VALUES("1", "2", "3"),
                                      LIBSHM_VALUES("1", longest),
                                      LIBSHM_VALUES("1", "\xc0\x80"),
                                      LIBSHM_VALUES("\x80", "2"),
                                      LIBSHM_VALUES("1", "\xf4\x90\x80\x80")};
    static const char *const words[] = {"0 values",     "0 values", "1 values", "more values",
                                        "at most 1024", "value 2",  "value 1",  "UTF-8"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_refused(libshm_counter_get(family, bad[i], &counter), LIBSHM_E_INVALID, words[i]);
        assert_null(counter.cell);
        libshm_counter_add_with(family, bad[i], 1);
        assert_int_equal(STATISTIC(segment, rejected), rejected += 2);
        assert_int_equal(STATISTIC(segment, dropped_updates), ++dropped);
        assert_int_not_equal(libshm_series_remove(family, bad[i]), 0);
        rejected = STATISTIC(segment, rejected);
        libshm_counter_inc(&counter); /* a no-op of this segment */
        assert_int_equal(STATISTIC(segment, dropped_updates), ++dropped);
    }
    longest[sizeof longest - 2] = 0;
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("", longest), &counter)); /* empty, and the longest */
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("\n\"\\", "\xf4\x8f\xbf\xbf"), &counter));
    libshm_counter_inc(&counter);
    assert_value(libshm_counter_value(&counter), 1);
}

static void mismatch(void **state)
{
    struct fixture *fixture = *state;
    libshm_family *family = family_of(
        fixture->segment, METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .LIBSHM_BOUNDS(1, 2), .labels = LIBSHM_LABELS("a", "b")));
    libshm_histogram histogram;
    assert_done(libshm_histogram_get(family, LIBSHM_VALUES("1", "2"), &histogram));
    libshm_histogram_observe(&histogram, 1);
    refused(fixture, METRIC(LIBSHM_TYPE_GAUGE, "h", .labels = LIBSHM_LABELS("a", "b")), LIBSHM_E_MISMATCH,
            "histogram{a,b} with 2 bounds");
    assert_non_null(strstr(libshm_error_detail(), "shared gauge{a,b}"));
    refused(fixture, METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .LIBSHM_BOUNDS(1, 2)), LIBSHM_E_MISMATCH, "histogram{}");
    refused(fixture, METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .LIBSHM_BOUNDS(1, 2), .labels = LIBSHM_LABELS("b", "a")),
            LIBSHM_E_MISMATCH, "{b,a}");
    refused(fixture, METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .LIBSHM_BOUNDS(1, 2, 3), .labels = LIBSHM_LABELS("a", "b")),
            LIBSHM_E_MISMATCH, "3 bounds");
    refused(fixture, METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .LIBSHM_BOUNDS(1, 3), .labels = LIBSHM_LABELS("a", "b")),
            LIBSHM_E_MISMATCH, "other places");
    libshm_gauge gauge;
    assert_refused(libshm_gauge_define(fixture->segment, METRIC(0, "h"), &gauge), LIBSHM_E_MISMATCH, "gauge");
    uint64_t dropped = STATISTIC(fixture->segment, dropped_updates);
    libshm_gauge_set(&gauge, 7); /* the worker goes on */
    assert_int_equal(STATISTIC(fixture->segment, dropped_updates), dropped + 1);
    family_of(fixture->segment, METRIC(LIBSHM_TYPE_GAUGE, "g", .gauge_mode = LIBSHM_GAUGE_SUM));
    refused(fixture, METRIC(LIBSHM_TYPE_GAUGE, "g", .gauge_mode = LIBSHM_GAUGE_MAX), LIBSHM_E_MISMATCH, "max gauge");
    /* help, unit, cap and TTL may differ: the first one's count */
    libshm_metric other = *METRIC(LIBSHM_TYPE_HISTOGRAM, "h", .LIBSHM_BOUNDS(1, 2), .labels = LIBSHM_LABELS("a", "b"));
    other.help = "Another text.";
    other.max_series = 7;
    assert_ptr_equal(family_of(fixture->segment, &other), family);
    uint64_t count;
    double sum;
    libshm_histogram_value(&histogram, &count, &sum); /* nothing lost */
    assert_int_equal(count, 1);
}

/* A handle of another kind than the family. */
static void wrong_handle(void **state)
{
    struct fixture *fixture = *state;
    libshm_family *counters = family_of(fixture->segment, METRIC(LIBSHM_TYPE_COUNTER, "c_total"));
    libshm_family *gauges = family_of(fixture->segment, METRIC(LIBSHM_TYPE_GAUGE, "g"));
    libshm_family *summaries = family_of(fixture->segment, METRIC(LIBSHM_TYPE_SUMMARY, "s"));
    libshm_counter counter;
    libshm_gauge gauge;
    libshm_histogram histogram;
    assert_refused(libshm_counter_get(gauges, NULL, &counter), LIBSHM_E_MISMATCH, "g");
    assert_refused(libshm_gauge_get(summaries, NULL, &gauge), LIBSHM_E_MISMATCH, "s");
    assert_refused(libshm_histogram_get(counters, NULL, &histogram), LIBSHM_E_MISMATCH, "c_total");
    uint64_t dropped = STATISTIC(fixture->segment, dropped_updates);
    libshm_counter_add_with(gauges, NULL, 1);
    libshm_counter_add_double_with(summaries, NULL, 1);
    libshm_gauge_set_with(counters, NULL, 1);
    libshm_gauge_add_with(summaries, NULL, 1);
    libshm_histogram_observe_with(gauges, NULL, 1);
    assert_int_equal(STATISTIC(fixture->segment, dropped_updates), dropped + 5);
    assert_refused(
        libshm_counter_define(fixture->segment, METRIC(0, "l_total", .labels = LIBSHM_LABELS("a")), &counter),
        LIBSHM_E_INVALID, "libshm_family_define");
}

static void collisions(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        uint32_t type;
        const char *name, *others[6]; /* gauges that cannot be beside it */
    } rows[] = {
        {LIBSHM_TYPE_HISTOGRAM, "foo", {"foo_count", "foo_sum", "foo_bucket", "foo_created"}},
        {LIBSHM_TYPE_SUMMARY, "bar", {"bar_count", "bar_sum", "bar_created"}},
        {LIBSHM_TYPE_COUNTER, "jobs_total", {"jobs", "jobs_created"}},
        {LIBSHM_TYPE_INFO, "build_info", {"build"}},
    };
    libshm_family *family;
    double bound = 1;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        libshm_metric metric = {.type = rows[i].type, .name = rows[i].name, .help = "A test.", .bounds = &bound};
        metric.n_bounds = rows[i].type == LIBSHM_TYPE_HISTOGRAM;
        for (int o = 0; rows[i].others[o]; o++) { /* in both orders, in segments of their own */
            libshm_segment *segment;
            char name[16];
            snprintf(name, sizeof name, "s%zu_%d", i, o);
            assert_done(libshm_open(name, NULL, &segment));
            family_of(segment, METRIC(LIBSHM_TYPE_GAUGE, rows[i].others[o]));
            assert_refused(libshm_family_define(segment, &metric, &family), LIBSHM_E_COLLISION, rows[i].others[o]);
            assert_null(family);
            libshm_close(segment);
        }
        family_of(fixture->segment, &metric);
        for (int o = 0; rows[i].others[o]; o++)
            refused(fixture, METRIC(LIBSHM_TYPE_GAUGE, rows[i].others[o]), LIBSHM_E_COLLISION, rows[i].name);
    }
    /* what only looks alike */
    family_of(fixture->segment, METRIC(LIBSHM_TYPE_GAUGE, "foo_total"));
    family_of(fixture->segment, METRIC(LIBSHM_TYPE_GAUGE, "bar_bucket"));
    family_of(fixture->segment, METRIC(LIBSHM_TYPE_GAUGE, "jobs_count"));
    family_of(fixture->segment, METRIC(LIBSHM_TYPE_COUNTER, "foo_counts_total"));
    family_of(fixture->segment, METRIC(LIBSHM_TYPE_GAUGE, "fo"));
    /* a histogram whose sample is another histogram's sample */
    refused(fixture, METRIC(LIBSHM_TYPE_HISTOGRAM, "foo_sum", .LIBSHM_BOUNDS(1)), LIBSHM_E_COLLISION, "foo_sum");
    refused(fixture, METRIC(LIBSHM_TYPE_COUNTER, "foo_count_total"), LIBSHM_E_COLLISION, "foo_count");
}

static void without_a_segment(void **state)
{
    (void)state;
    libshm_family *family;
    libshm_counter counter;
    libshm_gauge gauge;
    libshm_histogram histogram;
    libshm_histogram untouched = {.cell = NULL};
    assert_refused(libshm_family_define(NULL, METRIC(1, "x_total"), &family), LIBSHM_E_INVALID, "NULL");
    assert_refused(libshm_counter_define(NULL, METRIC(0, "x_total"), &counter), LIBSHM_E_INVALID, "NULL");
    assert_refused(libshm_gauge_define(NULL, METRIC(0, "g"), &gauge), LIBSHM_E_INVALID, "NULL");
    assert_refused(libshm_histogram_define(NULL, METRIC(0, "h", .LIBSHM_BOUNDS(1)), &histogram), LIBSHM_E_INVALID,
                   "NULL");
    assert_refused(libshm_counter_get(NULL, NULL, &counter), LIBSHM_E_INVALID, "NULL");
    assert_refused(libshm_series_remove(NULL, NULL), LIBSHM_E_INVALID, "NULL");
    assert_refused(libshm_family_clear(NULL), LIBSHM_E_INVALID, "NULL");
    assert_refused(libshm_sweep(NULL), LIBSHM_E_INVALID, "NULL");
    assert_refused(libshm_reset(NULL), LIBSHM_E_INVALID, "NULL");
    uint64_t lost = libshm_lost_updates();
    libshm_counter_inc(&counter);
    libshm_counter_add_double(&counter, 1);
    libshm_gauge_set(&gauge, 1);
    libshm_gauge_add(&gauge, 1);
    libshm_histogram_observe(&histogram, 1);
    libshm_histogram_observe(&untouched, 1);
    libshm_counter_add_with(NULL, NULL, 1);
    libshm_gauge_set_with(NULL, NULL, 1);
    libshm_histogram_observe_with(NULL, NULL, 1);
    libshm_counter_add_call(&counter, 1);
    assert_int_equal(libshm_lost_updates(), lost + 10);
    assert_true(isnan(libshm_counter_value(&counter)));
    assert_true(isnan(libshm_gauge_value(&gauge)));
    libshm_counter_put(&counter);
    libshm_gauge_put(&gauge);
    libshm_histogram_put(&histogram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bad_names, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(bad_parts, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(bad_labels, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(bad_bounds, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(too_much_text, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(bad_values, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(mismatch, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(wrong_handle, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(collisions, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(without_a_segment, directory_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
