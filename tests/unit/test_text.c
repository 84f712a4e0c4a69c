/* SPDX-License-Identifier: Apache-2.0
 *
 * libshm/text.h and libshm/error.h: UTF-8 against a second decoder, over every sequence of up to three bytes; names;
 * CRC; the text of an error stays one line of valid UTF-8. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libshm/format.h>

#include "libshm/error.h"
#include "libshm/text.h"

/* Decodes and asks afterwards whether the code point may be there and was written in its shortest form. */
static bool reference_valid(const unsigned char *s, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t n = s[i] < 0x80             ? 1
                   : (s[i] & 0xe0) == 0xc0 ? 2
                   : (s[i] & 0xf0) == 0xe0 ? 3
                   : (s[i] & 0xf8) == 0xf0 ? 4
                                           : 0;
        if (n == 0 || n > length - i)
            return false;
        uint32_t code = n == 1 ? s[i] : s[i] & (0xffu >> (n + 1));
        for (size_t k = 1; k < n; k++) {
            if ((s[i + k] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (s[i + k] & 0x3f);
        }
        size_t shortest = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        if (n != shortest || code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return false;
        i += n;
    }
    return true;
}

static void check(const unsigned char *s, size_t length)
{
    if (libshm_utf8_valid((const char *)s, length) == reference_valid(s, length))
        return;
    for (size_t i = 0; i < length; i++)
        print_error("%02x ", s[i]);
    fail_msg("libshm_utf8_valid says %d", !reference_valid(s, length));
}

static void utf8_sequences(void **state)
{
    (void)state;
    unsigned char s[4];
    assert_true(libshm_utf8_valid("", 0));
    uint32_t step = getenv("UNDER_VALGRIND") ? 17 : 1;
    for (uint32_t code = 0; code < 1u << 24; code += step) {
        s[0] = (unsigned char)code, s[1] = (unsigned char)(code >> 8), s[2] = (unsigned char)(code >> 16);
        check(s, 3);
        if (code < 1u << 16)
            check(s, 2);
        if (code < 1u << 8)
            check(s, 1);
    }
    static const unsigned char edges[] = {0x00, 0x01, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    for (uint32_t lead = 0xe0; lead < 0x100; lead++)
        for (uint32_t i = 0; i < sizeof edges * sizeof edges * sizeof edges; i++) {
            s[0] = (unsigned char)lead;
            s[1] = edges[i % sizeof edges];
            s[2] = edges[i / sizeof edges % sizeof edges];
            s[3] = edges[i / sizeof edges / sizeof edges];
            check(s, 4);
        }
}

/* Each byte value at each place among ASCII: the eight-at-once step. */
static void utf8_long(void **state)
{
    (void)state;
    unsigned char s[41];
    for (size_t length = 1; length <= sizeof s; length++)
        for (size_t at = 0; at < length; at++)
            for (uint32_t byte = 0; byte < 256; byte++) {
                memset(s, 'a', sizeof s);
                s[at] = (unsigned char)byte;
                check(s, length);
                if (at + 1 < length) {
                    s[at + 1] = 0xa4;
                    check(s, length);
                }
            }
}

static void names(void **state)
{
    (void)state;
    char longest[LIBSHM_MAX_NAME + 2];
    memset(longest, 'x', sizeof longest);
#define METRIC(name) libshm_metric_name_valid(name, sizeof name - 1)
#define LABEL(name)  libshm_label_name_valid(name, sizeof name - 1)
    assert_true(METRIC("a") && METRIC("_") && METRIC(":") && METRIC("http:requests_total") && METRIC("Z9"));
    assert_false(METRIC("") || METRIC("9a") || METRIC("a-b") || METRIC("a b") || METRIC("a\n") || METRIC("\xc3\xa4"));
    assert_false(METRIC("a\0b"));
    assert_true(libshm_metric_name_valid(longest, LIBSHM_MAX_NAME));
    assert_false(libshm_metric_name_valid(longest, LIBSHM_MAX_NAME + 1));
    assert_true(LABEL("a") && LABEL("_a") && LABEL("code") && LABEL("lE") && LABEL("les") && LABEL("quantiles") &&
                LABEL("_"));
    assert_false(LABEL("") || LABEL("le") || LABEL("quantile") || LABEL("__name__") || LABEL("__") || LABEL("a:b"));
    assert_false(LABEL("0a") || LABEL("a\"b") || LABEL("a=") || LABEL("a\0"));
    assert_true(libshm_label_name_valid(longest, LIBSHM_MAX_LABEL_NAME));
    assert_false(libshm_label_name_valid(longest, LIBSHM_MAX_LABEL_NAME + 1));
    for (int c = 1; c < 256; c++) { /* every character, first and later */
        char first[1] = {(char)c}, later[2] = {'a', (char)c};
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_', digit = c >= '0' && c <= '9';
        assert_int_equal(libshm_metric_name_valid(first, 1), letter || c == ':');
        assert_int_equal(libshm_metric_name_valid(later, 2), letter || digit || c == ':');
        assert_int_equal(libshm_label_name_valid(first, 1), letter);
        assert_int_equal(libshm_label_name_valid(later, 2), letter || digit);
    }
}

/* Vectors of RFC 3720, B.4. */
static void crc(void **state)
{
    (void)state;
    unsigned char bytes[32] = {0};
    assert_int_equal(libshm_crc32c("123456789", 9), 0xe3069283);
    assert_int_equal(libshm_crc32c("", 0), 0);
    assert_int_equal(libshm_crc32c(bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(libshm_crc32c(bytes, 32), 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    assert_int_equal(libshm_crc32c(bytes, 32), 0x46dd794e);
}

static void errors(void **state)
{
    (void)state;
    errno = EPERM;
    assert_int_equal(libshm_error_set(LIBSHM_E_FULL, "%s has %d\nlines\x7f\x1b[0m", "x", 2), LIBSHM_E_FULL);
    assert_int_equal(errno, EPERM);
    assert_string_equal(libshm_error_detail(), "x has 2?lines??[0m");
    char text[600];
    for (size_t shift = 0; shift < 4; shift++) { /* cut anywhere in a character */
        memset(text, 'a', shift);
        for (size_t i = 0; i < 140; i++)
            memcpy(text + shift + i * 4, "\xf0\x9f\x98\x80", 4);
        text[shift + 560] = '\0';
        libshm_error_set(LIBSHM_E_FULL, "%s", text);
        size_t length = strlen(libshm_error_detail());
        assert_true(length >= 507 && length <= 511);
        assert_true(libshm_utf8_valid(libshm_error_detail(), length));
    }
    for (int code = LIBSHM_E_MEMORY; code <= 0; code++) {
        assert_non_null(libshm_strerror(code));
        assert_string_not_equal(libshm_strerror(code), "unknown error");
        for (int other = LIBSHM_E_MEMORY; other < code; other++)
            assert_string_not_equal(libshm_strerror(code), libshm_strerror(other));
    }
    assert_string_equal(libshm_strerror(1), "unknown error");
    assert_string_equal(libshm_strerror(LIBSHM_E_MEMORY - 1), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_sequences), cmocka_unit_test(utf8_long), cmocka_unit_test(names), cmocka_unit_test(crc),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
