/* SPDX-License-Identifier: Apache-2.0
 *
 * The orchestrator's price table: what it reads, what it refuses and how it says so, and what tokens cost. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../examples/orchestrator/prices.h"

/* Reads a table from a file with these bytes; `why` gets the error without the file's name. */
static int read_bytes(const void *bytes, size_t length, struct prices *prices, char *why, size_t why_size)
{
    char path[] = "/tmp/test-prices-XXXXXX", full[512] = "";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    close(fd);
    int status = prices_read(path, prices, full, sizeof(full));
    unlink(path);
    if (status != 0)
        assert_memory_equal(full, path, strlen(path));
    snprintf(why, why_size, "%s", status == 0 ? "" : full + strlen(path));
    return status;
}

static void refused(const char *text, const char *says)
{
    struct prices prices;
    char why[256];
    assert_int_equal(read_bytes(text, strlen(text), &prices, why, sizeof(why)), -1);
    if (!strstr(why, says))
        fail_msg("for '%s': '%s' does not say '%s'", text, why, says);
    assert_null(prices.price);
    assert_int_equal(prices.n, 0);
}

static void reads_a_table(void **state)
{
    (void)state;
    static const char text[] = "# comment\n\nb-model\t2.50\t10\na-model\t0\t.5\r\nlast\t1\t2";
    struct prices prices;
    char why[256];
    double dollars;
    assert_int_equal(read_bytes(text, strlen(text), &prices, why, sizeof(why)), 0);
    assert_int_equal(prices.n, 3);
    assert_true(prices_cost(&prices, "b-model", 1000000, 2000000, &dollars));
    assert_true(dollars == 22.5);
    assert_true(prices_cost(&prices, "a-model", 4000000, 4000000, &dollars));
    assert_true(dollars == 2);
    assert_true(prices_cost(&prices, "last", 0, 0, &dollars));
    assert_true(dollars == 0);
    prices_free(&prices);
    assert_int_equal(prices.n, 0);
}

static void unknown_models_cost_nothing(void **state)
{
    (void)state;
    struct prices none = {0}, prices;
    char why[256];
    double dollars = 7;
    assert_false(prices_cost(&none, "m", 1, 1, &dollars));
    assert_true(dollars == 0);
    assert_int_equal(read_bytes("m\t1\t2\n", 6, &prices, why, sizeof(why)), 0);
    static const char *const unknown[] = {"", "M", "m ", "mm", "model-that-is-not-there"};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        dollars = 7;
        assert_false(prices_cost(&prices, unknown[i], 1, 1, &dollars));
        assert_true(dollars == 0);
    }
    prices_free(&prices);
}

static void refuses_what_is_no_table(void **state)
{
    (void)state;
    static const char fields[] = ":1: expected 3 fields separated by tabs";
    static const char price[] = "a price must be a plain number";
    refused("", "no prices in it");
    refused("# only comments\n\n", "no prices in it");
    refused("m\n", fields);
    refused("m\t1\n", fields);
    refused("m\t1\t2\t3\n", fields);
    refused("m\t1\t2\t3\t4\t5\n", fields);
    refused("m 1 2\n", fields);
    refused("\t1\t2\n", ":1: the model's name is empty");
    refused("ok\t1\t2\nm\t\t2\n", ":2: a price must");
    static const char *const wrong[] = {"-1", "+1", " 1", "1 ", "1x", "nan", "inf", "1e7", "1e999", "", "one", "$1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char line[64];
        snprintf(line, sizeof(line), "m\t%s\t2\n", wrong[i]);
        refused(line, price);
        snprintf(line, sizeof(line), "m\t2\t%s\n", wrong[i]);
        refused(line, price);
    }
    refused("m\t1\t2\nn\t1\t2\nm\t3\t4\n", "two prices for m");
}

static void refuses_binary_files(void **state)
{
    (void)state;
    static const char bytes[] = "m\t1\t2\n\0\0\0\n";
    struct prices prices;
    char why[256];
    assert_int_equal(read_bytes(bytes, sizeof(bytes), &prices, why, sizeof(why)), -1);
    assert_non_null(strstr(why, ":2: a NUL byte"));
}

static void says_which_file_cannot_be_read(void **state)
{
    (void)state;
    struct prices prices;
    char why[256];
    assert_int_equal(prices_read("/nonexistent/prices.tsv", &prices, why, sizeof(why)), -1);
    assert_string_equal(why, "/nonexistent/prices.tsv: No such file or directory");
    assert_int_equal(prices_read("/", &prices, why, sizeof(why)), -1);
    assert_string_equal(why, "/: Is a directory");
}

static void the_file_that_comes_with_it_is_good(void **state)
{
    (void)state;
    struct prices prices;
    char why[256] = "";
    double dollars;
    if (prices_read("examples/orchestrator/prices.tsv", &prices, why, sizeof(why)) != 0)
        fail_msg("%s", why);
    assert_true(prices_cost(&prices, "gpt-4", 1000, 500, &dollars));
    assert_true(dollars > 0.0599999 && dollars < 0.0600001);
    prices_free(&prices);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_table),
        cmocka_unit_test(unknown_models_cost_nothing),
        cmocka_unit_test(refuses_what_is_no_table),
        cmocka_unit_test(refuses_binary_files),
        cmocka_unit_test(says_which_file_cannot_be_read),
        cmocka_unit_test(the_file_that_comes_with_it_is_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
