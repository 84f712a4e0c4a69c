/* SPDX-License-Identifier: Apache-2.0
 *
 * The exporter's command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "exporter/buffer.h"
#include "exporter/options.h"

#define ARGUMENTS_MAX 16

static enum options_result parse(struct options *options, char error[OPTIONS_ERROR_MAX], const char *const *arguments)
{
    char *argv[ARGUMENTS_MAX] = {(char *)"shm-exporter"};
    int argc = 1;
    while (*arguments)
        argv[argc++] = (char *)(uintptr_t)*arguments++;
    return options_parse(argc, argv, options, error);
}

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void has_the_defaults_of_the_manual(void **state)
{
    (void)state;
    struct options options;
    char error[OPTIONS_ERROR_MAX];
    assert_int_equal(parse(&options, error, ARGUMENTS(NULL)), OPTIONS_RUN);
    assert_int_equal(options.n_listen_addresses, 1);
    assert_string_equal(options.listen_addresses[0], "127.0.0.1:9464");
    assert_int_equal(options.request_seconds, 60);
    assert_string_equal(options.telemetry_path, "/metrics");
    assert_int_equal(options.scope.n_directories, 0);
    assert_int_equal(options.scope.n_names, 0);
    assert_int_equal(options.max_requests, 40);
    assert_false(options.openmetrics_created);
    assert_int_equal(options.log_level, LOG_INFO);
    assert_true(options_add_segment_label(&options));
    options_free(&options);
}

static void takes_both_ways_to_write_a_value(void **state)
{
    (void)state;
    struct options options;
    char error[OPTIONS_ERROR_MAX];
    assert_int_equal(parse(&options, error,
                           ARGUMENTS("--web.listen-address=[::1]:0", "shop", "--shm.dir", "/run/x", "--log.level=debug",
                                     "--web.telemetry-path", "/m", "--", "-x")),
                     OPTIONS_ERROR);
    assert_non_null(strstr(error, "'-x' is no name of a segment"));
    options_free(&options);
    assert_int_equal(
        parse(&options, error,
              ARGUMENTS("--web.listen-address=[::1]:0", "shop", "--shm.dir", "/run/x", "--log.level=debug",
                        "--web.telemetry-path", "/m", "--web.listen-address", "unix:/run/x/socket", "--", "shop")),
        OPTIONS_RUN);
    assert_int_equal(options.n_listen_addresses, 2);
    assert_string_equal(options.listen_addresses[0], "[::1]:0");
    assert_string_equal(options.listen_addresses[1], "unix:/run/x/socket");
    assert_int_equal(options.scope.n_directories, 1);
    assert_string_equal(options.scope.directories[0], "/run/x");
    assert_string_equal(options.telemetry_path, "/m");
    assert_int_equal(options.log_level, LOG_DEBUG);
    assert_int_equal(options.scope.n_names, 1);
    assert_string_equal(options.scope.names[0], "shop");
    options_free(&options);
}

static void labels_segments_when_there_can_be_several(void **state)
{
    (void)state;
    static const struct {
        const char *arguments[4];
        bool label;
    } cases[] = {
        {{NULL}, true},
        {{"a", NULL}, false},
        {{"a", "b", NULL}, true},
        {{"a", "--shm.segment-label=always", NULL}, true},
        {{"--shm.segment-label=never", NULL}, false},
        {{"a", "b", "--shm.segment-label=never", NULL}, false},
        {{"a", "--shm.segment-label=auto", NULL}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct options options;
        char error[OPTIONS_ERROR_MAX];
        assert_int_equal(parse(&options, error, cases[i].arguments), OPTIONS_RUN);
        assert_int_equal(options_add_segment_label(&options), cases[i].label);
        options_free(&options);
    }
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *argument, *error;
    } cases[] = {
        {"--nonsense", "unknown flag --nonsense (see --help)"},
        {"--web.listen", "unknown flag --web.listen (see --help)"},
        {"-h", "unknown flag -h (see --help)"},
        {"--shm.dir", "--shm.dir needs a value: --shm.dir=DIR"},
        {"--shm.dir=", "--shm.dir: needs a directory"},
        {"--version=1", "--version takes no value"},
        {"--web.listen-address=1.2.3.4",
         "--web.listen-address: '1.2.3.4' must be HOST:PORT, [IPV6]:PORT, :PORT or unix:/PATH, with PORT 0 to 65535"},
        {"--web.listen-address=::1:80",
         "--web.listen-address: '::1:80' must be HOST:PORT, [IPV6]:PORT, :PORT or unix:/PATH, with PORT 0 to 65535"},
        {"--web.listen-address=localhost:65536", "--web.listen-address: 'localhost:65536' must be HOST:PORT, "
                                                 "[IPV6]:PORT, :PORT or unix:/PATH, with PORT 0 to 65535"},
        {"--web.max-requests=many", "--web.max-requests: 'many' must be a number from 0 to 999999"},
        {"--web.openmetrics-created=1", "--web.openmetrics-created takes no value"},
        {"--web.listen-address=unix:relative",
         "--web.listen-address: 'unix:relative' must be HOST:PORT, [IPV6]:PORT, :PORT or unix:/PATH, with PORT 0 to "
         "65535"},
        {"--web.request-timeout=0", "--web.request-timeout: '0' must be a number from 1 to 3600"},
        {"--log.format=xml", "--log.format: 'xml' must be logfmt or json"},
        {"--shm.include=", "--shm.include: needs a pattern, at most 32 of them"},
        {"--log.level=loud", "--log.level: 'loud' must be debug, info, warn or error"},
        {"--shm.segment-label=maybe", "--shm.segment-label: 'maybe' must be auto, always or never"},
        {"--web.telemetry-path=metrics",
         "--web.telemetry-path: 'metrics' must begin with '/' and be printable ASCII without spaces or ?#%\"<>"},
        {"--web.telemetry-path=/-/ready", "--web.telemetry-path: /-/ready has another use"},
        {"-", "'-' is no name of a segment: letters, digits, '_', '.', '-', at most 64, not '.' or '-' first"},
        {"", "'' is no name of a segment: letters, digits, '_', '.', '-', at most 64, not '.' or '-' first"},
        {"/run/shop", "'/run/shop' is no name of a segment: letters, digits, '_', '.', '-', at most 64, not '.' or '-' "
                      "first; the directory goes into --shm.dir"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct options options;
        char error[OPTIONS_ERROR_MAX] = "";
        assert_int_equal(parse(&options, error, ARGUMENTS(cases[i].argument)), OPTIONS_ERROR);
        assert_string_equal(error, cases[i].error);
        options_free(&options);
    }
}

static void knows_a_segments_name(void **state)
{
    (void)state;
    assert_true(segment_name_valid("a"));
    assert_true(segment_name_valid("_shop.1-2"));
    assert_true(segment_name_valid("0123456789012345678901234567890123456789012345678901234567890123"));
    assert_false(segment_name_valid("01234567890123456789012345678901234567890123456789012345678901234"));
    assert_false(segment_name_valid(""));
    assert_false(segment_name_valid(".hidden"));
    assert_false(segment_name_valid("-x"));
    assert_false(segment_name_valid("a b"));
    assert_false(segment_name_valid("\xc3\xa4"));
}

static void help_names_every_flag(void **state)
{
    (void)state;
    struct options options;
    char error[OPTIONS_ERROR_MAX];
    assert_int_equal(parse(&options, error, ARGUMENTS("--help")), OPTIONS_HELP);
    options_free(&options);
    assert_int_equal(parse(&options, error, ARGUMENTS("--version", "--nonsense")), OPTIONS_VERSION);
    options_free(&options);
    struct buffer text = {0};
    options_help(&text);
    const char *help = buffer_string(&text);
    static const char *const flags[] = {"--web.listen-address=ADDRESS",
                                        "--web.telemetry-path=PATH",
                                        "--shm.dir=DIR",
                                        "--shm.include=PATTERN",
                                        "--shm.exclude=PATTERN",
                                        "--shm.segment-label=WHEN",
                                        "--collector.processes",
                                        "--no-sandbox",
                                        "--log.level=LEVEL",
                                        "--log.format=FORMAT",
                                        "--version",
                                        "--help"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        assert_non_null(strstr(help, flags[i]));
    for (const char *line = help; *line; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 80);
    buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_the_defaults_of_the_manual),
        cmocka_unit_test(takes_both_ways_to_write_a_value),
        cmocka_unit_test(labels_segments_when_there_can_be_several),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(knows_a_segments_name),
        cmocka_unit_test(help_names_every_flag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
