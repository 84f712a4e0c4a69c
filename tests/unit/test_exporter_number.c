/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers as text: what they look like, and that every one of them reads back as itself. Seed: first argument. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "exporter/number.h"

static uint64_t seed;

static uint64_t random_u64(void)
{
    seed += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    uint64_t z = seed;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

typedef size_t format_double(char *out, double value);

static void expect(format_double *format, double value, const char *text)
{
    char out[NUMBER_MAX + 1];
    out[format(out, value)] = '\0';
    assert_string_equal(out, text);
}

static void spells_numbers_as_prometheus_does(void **state)
{
    (void)state;
    expect(number_format_double, 0, "0");
    expect(number_format_double, -0.0, "-0");
    expect(number_format_double, 5, "5");
    expect(number_format_double, -7, "-7");
    expect(number_format_double, 0.1, "0.1");
    expect(number_format_double, -2.25, "-2.25");
    expect(number_format_double, 0.1 + 0.2, "0.30000000000000004");
    expect(number_format_double, 1.0 / 3, "0.3333333333333333");
    expect(number_format_double, 0.000001, "0.000001");
    expect(number_format_double, 1e-7, "1e-07");
    expect(number_format_double, 123456789.125, "123456789.125");
    expect(number_format_double, 2251799813685248.5, "2251799813685248.5");
    expect(number_format_double, 0x1p53, "9007199254740992");
    expect(number_format_double, 1e15, "1000000000000000");
    expect(number_format_double, 1e22, "1e+22");
    expect(number_format_double, INFINITY, "+Inf");
    expect(number_format_double, -INFINITY, "-Inf");
    expect(number_format_double, NAN, "NaN");
    expect(number_format_double, -NAN, "NaN");
}

static void bounds_are_spelled_as_client_libraries_do(void **state)
{
    (void)state;
    expect(number_format_bound, 0.1, "0.1");
    expect(number_format_bound, 1, "1.0");
    expect(number_format_bound, 0, "0.0");
    expect(number_format_bound, -10, "-10.0");
    expect(number_format_bound, 1800, "1800.0");
    expect(number_format_bound, 100000, "100000.0");
    expect(number_format_bound, 999999.5, "999999.5");
    expect(number_format_bound, 1e6, "1e+06");
    expect(number_format_bound, -1234567, "-1.234567e+06");
    expect(number_format_bound, 0x1p40, "1.099511627776e+12");
    expect(number_format_bound, 12345678.5, "1.23456785e+07");
    expect(number_format_bound, 1e22, "1e+22");
    expect(number_format_bound, 0.0001, "0.0001");
    expect(number_format_bound, 0.00001, "1e-05");
    expect(number_format_bound, 0.0000125, "1.25e-05");
    expect(number_format_bound, 1.5e-9, "1.5e-09");
    expect(number_format_bound, INFINITY, "+Inf");
}

static void expect_counter(uint64_t integer, double fractional, const char *text)
{
    char out[NUMBER_MAX + 1];
    out[number_format_counter(out, integer, fractional)] = '\0';
    assert_string_equal(out, text);
}

static void counters_are_exact_integers(void **state)
{
    (void)state;
    expect_counter(0, 0, "0");
    expect_counter(UINT64_MAX, 0, "18446744073709551615");
    expect_counter((UINT64_C(1) << 53) + 1, 0, "9007199254740993");
    expect_counter(3, 0.25, "3.25");
    expect_counter(3, 1e300, "1e+300");
    expect_counter(3, INFINITY, "+Inf");
}

static void expect_integer(uint64_t value)
{
    char out[NUMBER_MAX + 1], expected[NUMBER_MAX + 1];
    out[number_format_u64(out, value)] = '\0';
    snprintf(expected, sizeof expected, "%llu", (unsigned long long)value);
    assert_string_equal(out, expected);
}

static void every_integer_length(void **state)
{
    (void)state;
    for (uint64_t power = 1;; power *= 10) {
        for (uint64_t value = power - 1; value <= power + 1; value++)
            expect_integer(value);
        if (power == UINT64_C(10000000000000000000))
            break;
    }
}

/* All fours of digits in every place of eight, and of more. */
static void every_digit(void **state)
{
    (void)state;
    for (uint64_t value = 0; value < 10000; value++) {
        expect_integer(value);
        expect_integer(value * 10000 + 9999 - value);
        expect_integer(UINT64_C(100000000) * (value + 1) + value);
        expect_integer(UINT64_C(1000000000000) * value + value);
    }
}

/* How many digits the shortest decimal that reads back as `value` has. */
static int shortest_digits(double value)
{
    char text[64];
    int digits = 1;
    do
        snprintf(text, sizeof text, "%.*e", digits - 1, value);
    while (strtod(text, NULL) != value && ++digits < 17);
    return digits;
}

static int significant_digits(const char *text)
{
    int digits = 0, zeros = 0;
    for (; *text && *text != 'e'; text++) {
        if (*text < '0' || *text > '9' || (*text == '0' && digits == 0))
            continue;
        digits++;
        zeros = *text == '0' ? zeros + 1 : 0;
    }
    return digits - zeros;
}

static double random_double(unsigned kind)
{
    double value;
    const uint64_t bits = random_u64();
    switch (kind % 5) {
    case 0:
        memcpy(&value, &bits, sizeof value);
        return value;
    case 1: /* like a sum of durations */
        return (double)(bits >> 11) * 0x1p-53 * pow(10, (double)(random_u64() % 20) - 4);
    case 2: /* a short decimal */
        return (double)(bits % 10000000) / 1000;
    case 3: /* a short decimal, a step off */
        return (double)(bits % 100000) * 0.1 + 0.2;
    default: /* around powers of two */
        return ldexp(1 + ((double)(bits % 3) - 1) * 0x1p-53, (int)(bits >> 32 & 127) - 40);
    }
}

static void every_number_reads_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 300000; i++) {
        const double value = random_double(i);
        char out[NUMBER_MAX + 1];
        if (value != value)
            continue;
        const size_t n = number_format_double(out, value);
        assert_true(n <= NUMBER_MAX);
        out[n] = '\0';
        const double back = strtod(out, NULL);
        if (memcmp(&back, &value, sizeof back) != 0)
            fail_msg("%a was written as %s", value, out);
        if (fabs(value) >= 1e-300 && fabs(value) < 0x1p53 && significant_digits(out) > shortest_digits(value))
            fail_msg("%a was written as %s, which is not the shortest", value, out);
    }
}

int main(int argc, char **argv)
{
    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spells_numbers_as_prometheus_does),
        cmocka_unit_test(bounds_are_spelled_as_client_libraries_do),
        cmocka_unit_test(counters_are_exact_integers),
        cmocka_unit_test(every_integer_length),
        cmocka_unit_test(every_digit),
        cmocka_unit_test(every_number_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
