/* SPDX-License-Identifier: Apache-2.0
 *
 * The log: what its lines look like, and that there are not too many of them. Also what is UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "exporter/log.h"
#include "exporter/utf8.h"

static int saved, reading;

static int set_up(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    reading = ends[0];
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(reading);
    log_set(LOG_INFO, LOG_LOGFMT);
    return 0;
}

/* What was written since, without the time that each line begins with. */
static const char *written(void)
{
    static char text[65536];
    (void)!write(STDERR_FILENO, "", 1); /* so that reading does not wait */
    ssize_t n = read(reading, text, sizeof text - 1);
    assert_true(n > 0);
    text[n] = '\0';
    const char *rest = strchr(text, 'Z');
    return rest ? rest + 1 : text;
}

static void writes_logfmt(void **state)
{
    (void)state;
    log_event(LOG_INFO, "listening", "address", "127.0.0.1:1", "empty", "", "null", (char *)NULL, NULL);
    assert_string_equal(written(), " level=info msg=\"listening\" address=127.0.0.1:1 empty=\"\" null=\"\"\n");
    log_event(LOG_WARN, "a \"b\"", "n", LOG_NUMBER(5), "evil", "x y=\"z\"\\\n\x01\xff\xc3\xa4", NULL);
    assert_string_equal(
        written(), " level=warn msg=\"a \\\"b\\\"\" n=5 evil=\"x y=\\\"z\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa4\"\n");
}

static void writes_json(void **state)
{
    (void)state;
    log_set(LOG_INFO, LOG_JSON);
    log_event(LOG_ERROR, "m", "evil", "x\"\\\n\x7f\xff", NULL);
    assert_string_equal(written(),
                        "\",\"level\":\"error\",\"msg\":\"m\",\"evil\":\"x\\\"\\\\\\n\\u007f\xef\xbf\xbd\"}\n");
}

static void leaves_out_what_is_less_important(void **state)
{
    (void)state;
    log_set(LOG_WARN, LOG_LOGFMT);
    log_event(LOG_INFO, "quiet", NULL);
    assert_string_equal(written(), "");
    enum log_level level;
    assert_true(log_level_parse("debug", &level));
    assert_int_equal(level, LOG_DEBUG);
    assert_false(log_level_parse("Debug", &level));
}

static void writes_no_flood(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10 * LOG_BURST; i++)
        log_event(LOG_INFO, "flood", NULL);
    log_event(LOG_INFO, "another", NULL);
    const char *text = written();
    unsigned floods = 0;
    for (const char *at = text; (at = strstr(at, "flood")); at++)
        floods++;
    assert_int_equal(floods, LOG_BURST);
    assert_non_null(strstr(text, "another"));
}

static void knows_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length;
    } cases[] = {
        {"", 0},
        {"a", 1},
        {"\x7f", 1},
        {"\x80", 0},
        {"\xc3\xa4", 2},
        {"\xc0\x80", 0},
        {"\xc3", 0},
        {"\xe2\x82\xac", 3},
        {"\xe0\x80\x80", 0},
        {"\xed\xa0\x80", 0},
        {"\xe2\x82", 0},
        {"\xf0\x9f\x98\x80", 4},
        {"\xf4\x90\x80\x80", 0},
        {"\xf5\x80\x80\x80", 0},
        {"\xff", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(utf8_length(cases[i].text), cases[i].length);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_logfmt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writes_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(leaves_out_what_is_less_important, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writes_no_flood, set_up, tear_down),
        cmocka_unit_test(knows_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
