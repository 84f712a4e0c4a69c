/* SPDX-License-Identifier: Apache-2.0
 *
 * The exporter's JSON: what numbers and strings become, and totals over sources and selections. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "exporter/encode_json.h"
#include "exporter/json.h"
#include "exporter_views.h"

static void assert_text(struct buffer *out, const char *expected)
{
    assert_string_equal(buffer_string(out), expected);
    buffer_free(out);
    *out = (struct buffer){0};
}

static void test_strings(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", "\"\""},
        {"plain", "\"plain\""},
        {"\"\\/", "\"\\\"\\\\/\""},
        {"</script>", "\"\\u003c/script>\""},
        {"\x01\n\x1f\x7f", "\"\\u0001\\u000a\\u001f\\u007f\""},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
        /* a lone continuation, an overlong form, a surrogate, beyond U+10FFFF, cut short */
        {"\x80", "\"\xef\xbf\xbd\""},
        {"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xc3\"", "\"\xef\xbf\xbd\\\"\""},
    };
    struct buffer out = {0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_string(&out, cases[i].text);
        assert_text(&out, cases[i].expected);
    }
}

static void test_numbers(void **state)
{
    struct buffer out = {0};
    (void)state;
    json_u64(&out, UINT64_C(1) << 53);
    assert_text(&out, "9007199254740992");
    json_u64(&out, (UINT64_C(1) << 53) + 1);
    assert_text(&out, "\"9007199254740993\"");
    json_u64(&out, UINT64_MAX);
    assert_text(&out, "\"18446744073709551615\"");
    json_double(&out, 0.1);
    assert_text(&out, "0.1");
    json_double(&out, (double)NAN);
    assert_text(&out, "\"NaN\"");
    json_double(&out, (double)INFINITY);
    assert_text(&out, "\"+Inf\"");
    json_double(&out, -(double)INFINITY);
    assert_text(&out, "\"-Inf\"");
    json_counter(&out, 2, 0.5);
    assert_text(&out, "2.5");
    json_counter(&out, UINT64_MAX, 0);
    assert_text(&out, "\"18446744073709551615\"");
    json_counter(&out, 1, (double)INFINITY);
    assert_text(&out, "\"+Inf\"");
}

static const struct {
    libshm_series_view first[2], second[1];
} orders = {
    .first = {{.number = 1, .generation = 1, .integer = UINT64_MAX - 1, .label_values = STRINGS("a")},
              {.number = 2, .generation = 1, .integer = 1, .label_values = STRINGS("b")}},
    .second = {{.number = 1, .generation = 7, .integer = 5, .label_values = STRINGS("a")}},
};
static const struct libshm_cell cells[] = {{.integer = 3, .fractional = 1.5}, {.integer = 1, .fractional = 7}};
static const libshm_series_view waits[] = {{.number = 3, .generation = 1, .buckets = cells, .count = 4, .sum = 8.5}};
static const libshm_series_view levels[] = {{.number = 4, .generation = 1, .fractional = -1}};

static const libshm_family_view none[] = {{.name = "", .help = "", .unit = ""}};
static const libshm_family_view one_families[] = {
    FAMILY(2, "level", GAUGE, levels, .gauge_mode = LIBSHM_GAUGE_SUM),
    FAMILY(1, "orders_total", COUNTER, orders.first, .n_labels = 1, .label_names = STRINGS("kind")),
    FAMILY(3, "wait_seconds", HISTOGRAM, waits, .n_bounds = 1, .bounds = (const double[]){0.5}, .unit = "seconds"),
};
static const libshm_family_view two_families[] = {
    FAMILY(1, "orders_total", COUNTER, orders.second, .n_labels = 1, .label_names = STRINGS("kind")),
};

/* The families as the encoder has them, of segments `one` and `two`. */
static void encode(struct buffer *out, enum format format, const char *name, const char *segment)
{
    const struct source sources[] = {
        {.name = "own", .identity = 1, .layout = 1, .families = none, .n_families = 0},
        SOURCE("one", 2, one_families, .segment = "one"),
        SOURCE("two", 3, two_families, .segment = "two"),
    };
    struct merger *merger = merger_new();
    const struct merged *merged = merger_merge(merger, sources, 3);
    const struct json_input input = {.merged = merged, .sources = sources, .now_ns = UINT64_C(1500000000)};
    struct selection selection = {0};
    assert_non_null(merged);
    if (name)
        assert_true(selection_add_name(&selection, name));
    if (segment)
        assert_true(selection_add_segment(&selection, segment));
    assert_true(encode_json(format, &input, &selection, out));
    selection_clear(&selection);
    merger_free(merger);
}

static void assert_has(const struct buffer *out, const char *text)
{
    if (!memmem(out->data, out->size, text, strlen(text)))
        fail_msg("no %s in %.*s", text, (int)out->size, out->data);
}

static void test_families(void **state)
{
    struct buffer out = {0};
    (void)state;
    encode(&out, FORMAT_JSON_FAMILIES, NULL, NULL);
    assert_has(&out, "\"now\":1.5,\"layout\":1,\"families\":[{\"name\":\"level\",\"type\":\"gauge\",\"mode\":\"sum\","
                     "\"help\":\"Help of level.\",\"unit\":\"\",\"own\":false,\"overflowed\":0,\"series_count\":1,"
                     "\"total\":{\"value\":-1,\"min\":-1,\"max\":-1}},");
    /* a total stops where it would wrap */
    assert_has(&out, "\"series_count\":3,\"total\":{\"value\":\"18446744073709551615\"}}");
    assert_has(&out, "\"bounds\":[0.5],\"overflowed\":0,\"series_count\":1,"
                     "\"total\":{\"buckets\":[3,1],\"count\":4,\"sum\":8.5}}]}\n");
    buffer_free(&out);
}

static void test_series(void **state)
{
    struct buffer out = {0};
    (void)state;
    encode(&out, FORMAT_JSON_SERIES, "orders_total", NULL);
    assert_has(&out, "\"series\":[{\"id\":\"2.1.1.0\",\"labels\":{\"kind\":\"a\",\"segment\":\"one\"},"
                     "\"value\":\"18446744073709551614\"},"
                     "{\"id\":\"2.2.1.0\",\"labels\":{\"kind\":\"b\",\"segment\":\"one\"},\"value\":1},"
                     "{\"id\":\"3.1.7.0\",\"labels\":{\"kind\":\"a\",\"segment\":\"two\"},\"value\":5}]}]}\n");
    assert_null(memmem(out.data, out.size, "level", 5));
    buffer_free(&out);
    out = (struct buffer){0};
    encode(&out, FORMAT_JSON_SERIES, NULL, "two"); /* what has nothing there is left out */
    assert_has(&out, "\"total\":{\"value\":5},\"series\":[{\"id\":\"3.1.7.0\",");
    assert_null(memmem(out.data, out.size, "wait_seconds", 12));
    buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
