/* SPDX-License-Identifier: Apache-2.0
 *
 * The orchestrator's tallies: names of series, totals that outlive their writer, values that read back exactly. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../examples/orchestrator/tally.h"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static int printed(struct tally *const *tallies, size_t n, const char *expected)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    int status = tally_print(out, tallies, n);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
    return status;
}

static void sorts_labels_and_series(void **state)
{
    (void)state;
    struct tally *tally = tally_new();
    tally_add(tally, "b_total", LIST("z", "a", "m"), LIST("1", "2", "3"), 1);
    tally_add(tally, "b_total", LIST("a", "m", "z"), LIST("2", "3", "1"), 2);
    tally_add(tally, "a_total", NULL, NULL, 5);
    assert_int_equal(printed(&tally, 1, "a_total 5\nb_total{a=\"2\",m=\"3\",z=\"1\"} 3\n"), 0);
    tally_free(tally);
}

static void escapes_values(void **state)
{
    (void)state;
    struct tally *tally = tally_new();
    tally_add(tally, "a_total", LIST("l"), LIST("q\" b\\ n\n"), 1);
    assert_int_equal(printed(&tally, 1, "a_total{l=\"q\\\" b\\\\ n\\n\"} 1\n"), 0);
    tally_free(tally);
}

static void adds_tallies_up(void **state)
{
    (void)state;
    struct tally *tallies[3] = {tally_new(), tally_new(), tally_new()};
    tally_add(tallies[0], "a_total", LIST("l"), LIST("x"), 1);
    tally_add(tallies[2], "a_total", LIST("l"), LIST("x"), 2);
    tally_add(tallies[1], "a_total", LIST("l"), LIST("y"), 4);
    tally_add(tallies[1], "a_totality", NULL, NULL, 8);
    assert_int_equal(printed(tallies, 3, "a_totality 8\na_total{l=\"x\"} 3\na_total{l=\"y\"} 4\n"), 0);
    assert_true(tally_total(tallies, 3, "a_total{") == 7);
    assert_true(tally_total(tallies, 3, "b") == 0);
    for (int i = 0; i < 3; i++)
        tally_free(tallies[i]);
}

static void prints_values_that_read_back(void **state)
{
    (void)state;
    struct tally *tally = tally_new();
    tally_add(tally, "a", NULL, NULL, 0.1);
    tally_add(tally, "b", NULL, NULL, 1.0 / 3);
    tally_add(tally, "c", NULL, NULL, 123456789012345);
    tally_add(tally, "d", NULL, NULL, 0.1);
    tally_add(tally, "d", NULL, NULL, 0.2); /* not 0.3 */
    assert_int_equal(printed(&tally, 1, "a 0.1\nb 0.3333333333333333\nc 123456789012345\nd 0.30000000000000004\n"), 0);
    tally_free(tally);
}

static void a_dead_writers_total_stays_and_goes_on(void **state)
{
    (void)state;
    struct tally *tally = tally_new();
    for (int life = 0; life < 3; life++) {
        tally_before_fork(tally);
        pid_t pid = fork();
        if (pid == 0) {
            tally_add(tally, "a_total", NULL, NULL, 1);
            abort();
        }
        tally_after_fork(tally);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
    assert_int_equal(printed(&tally, 1, "a_total 3\n"), 0);
    tally_free(tally);
}

static void says_when_it_was_full(void **state)
{
    (void)state;
    struct tally *tally = tally_new();
    char value[32], long_value[400];
    for (int i = 0; i < 511; i++) {
        snprintf(value, sizeof(value), "%d", i);
        tally_add(tally, "a_total", LIST("l"), LIST(value), 1);
    }
    assert_true(tally_total(&tally, 1, "a_total{") == 511);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(tally_print(out, &tally, 1), 0);
    tally_add(tally, "a_total", LIST("l"), LIST("one more"), 1);
    assert_int_equal(tally_print(out, &tally, 1), -1);
    fclose(out);
    free(text);
    tally_free(tally);

    tally = tally_new();
    memset(long_value, 'x', sizeof(long_value));
    long_value[sizeof(long_value) - 1] = '\0';
    tally_add(tally, "a_total", LIST("l"), LIST(long_value), 1);
    assert_int_equal(printed(&tally, 1, ""), -1);
    tally_free(tally);

    tally = tally_new(); /* fewer values than labels */
    tally_add(tally, "a_total", LIST("l", "m"), LIST("1"), 1);
    assert_int_equal(printed(&tally, 1, ""), -1);
    tally_free(tally);
}

/* Sums of what tally_exact() gives do not depend on the order. */
static void exact_values_add_up_in_any_order(void **state)
{
    (void)state;
    uint64_t seed = 1;
    double forwards = 0, backwards = 0, values[10000];
    for (int i = 0; i < 10000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        double v = (double)(seed >> 11) * 0x1p-53 * (i % 2 ? 1e-3 : 100);
        values[i] = tally_exact(v);
        assert_true(values[i] - v <= 0x1p-31 && v - values[i] <= 0x1p-31);
        forwards += values[i];
    }
    for (int i = 9999; i >= 0; i--)
        backwards += values[i];
    assert_true(forwards == backwards);
    assert_true(tally_exact(0) == 0);
    assert_true(tally_exact(200) == 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts_labels_and_series),
        cmocka_unit_test(escapes_values),
        cmocka_unit_test(adds_tallies_up),
        cmocka_unit_test(prints_values_that_read_back),
        cmocka_unit_test(a_dead_writers_total_stays_and_goes_on),
        cmocka_unit_test(says_when_it_was_full),
        cmocka_unit_test(exact_values_add_up_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
