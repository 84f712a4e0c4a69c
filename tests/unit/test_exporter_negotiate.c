/* SPDX-License-Identifier: Apache-2.0
 *
 * Content negotiation: what Accept and Accept-Encoding lead to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "exporter/negotiate.h"

#define TEXT        "text/plain; version=0.0.4; charset=utf-8"
#define TEXT_1      "text/plain; version=1.0.0; charset=utf-8"
#define OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

static void chooses_the_content(void **state)
{
    (void)state;
    static const struct {
        const char *accept, *type;
    } cases[] = {
        {NULL, TEXT},
        {"", TEXT},
        {"*/*", TEXT},
        {"text/plain", TEXT},
        {"text/*", TEXT},
        {"TEXT/Plain;VERSION=1.0.0", TEXT_1},
        {"application/openmetrics-text", OPENMETRICS},
        {"application/openmetrics-text; version=1.0.0; charset=UTF-8", OPENMETRICS},
        {"application/openmetrics-text; version=\"1.0.0\"", OPENMETRICS},
        {"application/*", OPENMETRICS},
        /* Prometheus 2.42 */
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
         "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         OPENMETRICS},
        /* Prometheus 3, with and without its protobuf */
        {"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
         "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
         "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
         "text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
         OPENMETRICS "; escaping=allow-utf-8"},
        {"text/plain;version=1.0.0;escaping=underscores", TEXT_1 "; escaping=underscores"},
        {"text/plain;version=0.0.4;escaping=values", TEXT "; escaping=values"},
        {"text/plain;escaping=dots", TEXT "; escaping=dots"},
        {"text/plain;version=1.0.0;escaping=dots;q=.5", TEXT}, /* no weight: cannot be parsed */
        {"text/plain;version=1.0.0;escaping=dots;q=0.5,text/plain;version=1.0.0;escaping=values;q=0.6",
         TEXT_1 "; escaping=values"},
        {"text/plain;version=1.0.0;escaping=whatever", TEXT_1},
        /* weights and exactness */
        {"text/plain;q=0.5,application/openmetrics-text;q=0.4", TEXT},
        {"text/plain;q=0.4,application/openmetrics-text;q=0.5", OPENMETRICS},
        {"text/plain;version=1.0.0,text/plain;version=0.0.4", TEXT_1},
        {"*/*,application/openmetrics-text", TEXT},
        {"application/openmetrics-text,*/*", OPENMETRICS},
        {"*/*;q=0.1,application/openmetrics-text", OPENMETRICS},
        {"text/plain;q=0,*/*;q=0.1", OPENMETRICS},
        {"text/plain;version=0.0.4;q=0,*/*", TEXT_1},
        {"application/openmetrics-text;q=0", TEXT},
        {"text/*;q=0.3,text/plain;version=1.0.0;q=0.2,application/openmetrics-text;q=0.1", TEXT},
        {"text/plain;version=1.0.0;q=0.001,text/plain;version=0.0.4;q=0.000", TEXT_1},
        {", ,application/openmetrics-text , ;", TEXT},
        {" , application/openmetrics-text ;q = 1 , ", OPENMETRICS},
        {"application/openmetrics-text;;q=1", OPENMETRICS},
        /* what nobody here has */
        {"image/png", TEXT},
        {"application/json;q=1", TEXT},
        {"text/plain;version=2.0.0", TEXT},
        {"application/openmetrics-text;version=2.0.0,text/plain;version=1.0.0;q=0.1", TEXT_1},
        {"application/openmetrics-text;charset=latin1,text/plain;version=1.0.0;q=0.1", TEXT_1},
        {"application/openmetrics-text;foo=bar,text/plain;version=1.0.0;q=0.1", TEXT_1},
        {"application/openmetrics-text;q=1;foo=bar", OPENMETRICS},
        /* what cannot be parsed */
        {"application/openmetrics-text/x", TEXT},
        {"application", TEXT},
        {"application/", TEXT},
        {"/", TEXT},
        {"application/openmetrics-text;version=\"1.0.0", TEXT},
        {"application/openmetrics-text;q=2", TEXT},
        {"application/openmetrics-text;q=1.001", TEXT},
        {"application/openmetrics-text;q=0.1234", TEXT},
        {"application/openmetrics-text;q=-1", TEXT},
        {"application/openmetrics-text;q=nan", TEXT},
        {"application/openmetrics-text text/plain", TEXT},
        {"application/openmetrics-text\x01", TEXT},
        {"\xff\xfe", TEXT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char type[CONTENT_TYPE_MAX];
        content_type(negotiate_content(cases[i].accept), type);
        if (strcmp(type, cases[i].type) != 0)
            fail_msg("%s: %s, not %s", cases[i].accept, type, cases[i].type);
    }
}

static void endless_lists_are_no_lists(void **state)
{
    (void)state;
    char list[64 * 40] = "", type[CONTENT_TYPE_MAX];
    size_t at = 0;
    for (int i = 0; i < 60; i++)
        for (const char *c = "application/openmetrics-text,"; *c; c++)
            list[at++] = *c;
    content_type(negotiate_content(list), type);
    assert_string_equal(type, TEXT);
    for (at = 0; at < sizeof list - 1; at++)
        list[at] = 'a';
    content_type(negotiate_content(list), type);
    assert_string_equal(type, TEXT);
}

static void chooses_the_coding(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        enum coding coding;
    } cases[] = {
        {NULL, CODING_IDENTITY},
        {"", CODING_IDENTITY},
        {"gzip", CODING_GZIP},
        {"x-gzip", CODING_GZIP},
        {"GZIP", CODING_GZIP},
        {"zstd", CODING_ZSTD},
        {"gzip, deflate, br, zstd", CODING_ZSTD},
        {"gzip;q=1.0, zstd;q=0.9", CODING_GZIP},
        {"gzip;q=0.5, identity;q=0.8", CODING_IDENTITY},
        {"gzip;q=0.5, identity;q=0.5", CODING_GZIP},
        {"gzip;q=0", CODING_IDENTITY},
        {"gzip;q=0, *", CODING_IDENTITY},
        {"*", CODING_GZIP},
        {"*;q=0", CODING_IDENTITY},
        {"br", CODING_IDENTITY},
        {"identity;q=0", CODING_IDENTITY},
        {"gzip;q=7", CODING_IDENTITY},
        {"gzip zstd", CODING_IDENTITY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const enum coding coding = negotiate_coding(cases[i].accept);
        if (coding != cases[i].coding)
            fail_msg("%s: %s, not %s", cases[i].accept, coding_names[coding], coding_names[cases[i].coding]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chooses_the_content),
        cmocka_unit_test(endless_lists_are_no_lists),
        cmocka_unit_test(chooses_the_coding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
