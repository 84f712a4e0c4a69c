/* SPDX-License-Identifier: Apache-2.0
 *
 * libshm_validate(): every way in which a header can be wrong has its code, and the text says what and where. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "segment_builder.h"

static struct sb b;
static char why[256];

static int setup(void **state)
{
    (void)state;
    sb_open(&b);
    uint32_t family = sb_family(&b, &(struct sb_family){.name = "a_total"});
    sb_series(&b, family, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sb_close(&b);
    return 0;
}

static int validate(void)
{
    memset(why, 'x', sizeof why);
    return libshm_validate(b.base, b.header->file_end, why, sizeof why);
}

static void expect(int code, const char *text)
{
    assert_int_equal(validate(), code);
    assert_non_null(memchr(why, 0, sizeof why));
    if (!strstr(why, text))
        fail_msg("\"%s\" does not say \"%s\"", why, text);
}

static void sound(void **state)
{
    (void)state;
    assert_int_equal(validate(), 0);
    assert_string_equal(why, "");
    assert_int_equal(libshm_validate(b.base, b.header->file_end, NULL, 0), 0);
    unsigned char *copy = malloc(b.header->file_end + 1); /* at an odd address */
    memcpy(copy + 1, b.base, b.header->file_end);
    assert_int_equal(libshm_validate(copy + 1, b.header->file_end, why, sizeof why), 0);
    free(copy);
    b.header->compat = UINT32_MAX; /* go on whatever it is */
    b.header->ro_compat = UINT32_MAX;
    sb_checksum(&b);
    assert_int_equal(validate(), 0);
}

/* In memory of exactly that size, for the address sanitizer. */
static void every_length(void **state)
{
    (void)state;
    for (size_t length = 0; length <= b.header->file_end; length += length < 5000 ? 1 : 997) {
        unsigned char *copy = malloc(length + !length);
        memcpy(copy, b.base, length);
        int code = libshm_validate(copy, length, why, sizeof why);
        assert_int_equal(code, length < 8 ? LIBSHM_E_NOT_SEGMENT : length < b.header->file_end ? LIBSHM_E_DAMAGED : 0);
        assert_true(code == 0 || strlen(why) > 10);
        free(copy);
    }
    char small[8];
    libshm_validate(b.base, 5000, small, sizeof small); /* the text is cut, not the memory behind it */
    assert_int_equal(strlen(small), sizeof small - 1);
}

static void magic(void **state)
{
    (void)state;
    for (size_t i = 0; i < 8; i++) {
        b.header->magic[i] ^= 1;
        expect(LIBSHM_E_NOT_SEGMENT, i < 6 ? "first 8 bytes" : "copied as text");
        b.header->magic[i] ^= 1;
    }
    memcpy(b.header->magic, "LIBSHM\n\0", 8);
    expect(LIBSHM_E_NOT_SEGMENT, "copied as text");
    assert_int_equal(libshm_validate("#!/bin/sh", 10, why, sizeof why), LIBSHM_E_NOT_SEGMENT);
}

static void version(void **state)
{
    (void)state;
    b.header->format_version = LIBSHM_FORMAT_VERSION + 1;
    expect(LIBSHM_E_VERSION, "use a newer libshm"); /* also with a checksum that is somewhere else */
    b.header->format_version = 0;
    expect(LIBSHM_E_VERSION, "use an older libshm");
    b.header->format_version = LIBSHM_FORMAT_VERSION;
    for (unsigned bit = 0; bit < 32; bit++) {
        b.header->incompat = 1u << bit;
        sb_checksum(&b);
        char text[64];
        snprintf(text, sizeof text, "features %#x at offset 24", 1u << bit);
        expect(LIBSHM_E_VERSION, text);
        assert_non_null(strstr(why, "(test)"));
    }
    memset(b.header->creator, '\xff', sizeof b.header->creator);
    sb_checksum(&b);
    expect(LIBSHM_E_VERSION, "made it (?)");
}

static void checksum(void **state)
{
    (void)state;
    for (size_t i = 12; i < 128; i++) { /* behind magic and version, each byte */
        b.base[i] ^= 0x10;
        expect(LIBSHM_E_DAMAGED, "checksum");
        b.base[i] ^= 0x10;
    }
    assert_int_equal(validate(), 0);
}

struct wrong {
    size_t offset;
    unsigned size;
    uint64_t value;
    const char *text;
};

static void try_wrong(const struct wrong *wrong, size_t n)
{
    uint64_t length = b.header->file_end;
    for (size_t i = 0; i < n; i++) {
        uint64_t old = 0;
        memcpy(&old, b.base + wrong[i].offset, wrong[i].size);
        memcpy(b.base + wrong[i].offset, &wrong[i].value, wrong[i].size);
        sb_checksum(&b);
        int code = libshm_validate(b.base, length, why, sizeof why);
        if (code != LIBSHM_E_DAMAGED || !strstr(why, wrong[i].text))
            fail_msg("%zu: code %d, \"%s\", should say \"%s\"", i, code, why, wrong[i].text);
        memcpy(b.base + wrong[i].offset, &old, wrong[i].size);
        sb_checksum(&b);
    }
    assert_int_equal(validate(), 0);
}

#define HEADER(field) offsetof(struct libshm_header, field)

static void identity(void **state)
{
    (void)state;
    const struct wrong wrong[] = {
        {HEADER(header_size), 4, 4095, "header_size"},
        {HEADER(header_size), 4, 0, "header_size"},
        {HEADER(max_bytes), 8, 0, "max_bytes"},
        {HEADER(max_bytes), 8, LIBSHM_PAGE + 1, "max_bytes"},
        {HEADER(max_bytes), 8, LIBSHM_MAX_BYTES + LIBSHM_PAGE, "max_bytes"},
        {HEADER(max_bytes), 8, UINT64_MAX, "max_bytes"},
        {HEADER(max_bytes), 8, LIBSHM_PAGE, "file_end"},
        {HEADER(cpu_lanes), 4, LIBSHM_MAX_CPU_LANES + 1, "lanes"},
        {HEADER(atomic_lanes_only), 4, LIBSHM_MAX_ATOMIC_LANES + 1, "lanes"},
    };
    try_wrong(wrong, sizeof wrong / sizeof *wrong);
}

static void words(void **state)
{
    (void)state;
    uint64_t end = b.header->file_end;
    const struct wrong wrong[] = {
        {HEADER(file_end), 8, 0, "file_end"},
        {HEADER(file_end), 8, end + 1, "file_end"},
        {HEADER(file_end), 8, SB_MAX_BYTES + LIBSHM_PAGE, "file_end"},
        {HEADER(file_end), 8, UINT64_MAX, "file_end"},
        {HEADER(page_next), 8, 0, "page_next"},
        {HEADER(page_next), 8, 8191, "page_next"},
        {HEADER(page_next), 8, end + LIBSHM_PAGE, "page_next"},
        {HEADER(tables[LIBSHM_TABLE_FAMILIES].count), 4, UINT32_MAX, "families"},
        {HEADER(tables[LIBSHM_TABLE_FAMILIES].count), 4, (uint32_t)(end / 128) + 1, "families"},
        {HEADER(tables[LIBSHM_TABLE_SERIES].count), 4, UINT32_MAX, "series"},
        {HEADER(tables[LIBSHM_TABLE_SERIES].root), 4, 0, "root"},
        {HEADER(tables[LIBSHM_TABLE_SERIES].root), 4, (uint32_t)(end / LIBSHM_PAGE) - 3, "root"},
        {HEADER(tables[LIBSHM_TABLE_GROUPS].root), 4, UINT32_MAX, "root"},
        {HEADER(tables[LIBSHM_TABLE_SLOTS].count), 4, UINT32_MAX, "process slots"},
        {HEADER(tables[LIBSHM_TABLE_ATTACHES].count), 4, UINT32_MAX, "attaches"},
    };
    try_wrong(wrong, sizeof wrong / sizeof *wrong);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sound, setup, teardown),
        cmocka_unit_test_setup_teardown(every_length, setup, teardown),
        cmocka_unit_test_setup_teardown(magic, setup, teardown),
        cmocka_unit_test_setup_teardown(version, setup, teardown),
        cmocka_unit_test_setup_teardown(checksum, setup, teardown),
        cmocka_unit_test_setup_teardown(identity, setup, teardown),
        cmocka_unit_test_setup_teardown(words, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
