/* SPDX-License-Identifier: Apache-2.0
 *
 * libshm/view.h: no offset leads out of the bytes, whatever it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "libshm/view.h"

enum { PAGES = 16 };
static _Alignas(LIBSHM_PAGE) unsigned char bytes[PAGES * LIBSHM_PAGE];
static const struct libshm_view view = {bytes, sizeof bytes};

static void places(void **state)
{
    (void)state;
    const uint64_t end = sizeof bytes;
    assert_ptr_equal(libshm_view_at(&view, 8, 8, 8), bytes + 8);
    assert_ptr_equal(libshm_view_at(&view, end - 8, 8, 8), bytes + end - 8);
    assert_ptr_equal(libshm_view_at(&view, end, 0, 1), bytes + end);
    assert_null(libshm_view_at(&view, 0, 8, 8)); /* none */
    assert_null(libshm_view_at(&view, end - 8, 9, 8));
    assert_null(libshm_view_at(&view, end, 1, 1));
    assert_null(libshm_view_at(&view, end + 8, 0, 8));
    assert_null(libshm_view_at(&view, 12, 8, 8));
    assert_null(libshm_view_at(&view, 8, UINT64_MAX, 8)); /* offset + size wraps */
    assert_null(libshm_view_at(&view, UINT64_MAX - 7, 16, 8));
    assert_null(libshm_view_at(&view, UINT64_C(1) << 63, UINT64_C(1) << 63, 8));
    assert_ptr_equal(libshm_view_pages(&view, 15, 1), bytes + 15 * LIBSHM_PAGE);
    assert_null(libshm_view_pages(&view, 15, 2));
    assert_null(libshm_view_pages(&view, 0, 1));
    assert_null(libshm_view_pages(&view, UINT32_MAX, 4));
}

static void entries(void **state)
{
    (void)state;
    static const uint32_t sizes[LIBSHM_TABLES] = LIBSHM_TABLE_ENTRY_SIZES,
                          leaves[LIBSHM_TABLES] = LIBSHM_TABLE_LEAF_PAGES,
                          roots[LIBSHM_TABLES] = LIBSHM_TABLE_ROOT_PAGES;
    for (uint32_t t = 0; t < LIBSHM_TABLES; t++) {
        memset(bytes, 0, sizeof bytes);
        struct libshm_table table = {.root = 1, .count = UINT32_MAX};
        uint32_t per_leaf = leaves[t] * LIBSHM_PAGE / sizes[t];
        uint32_t *root = (uint32_t *)(void *)(bytes + LIBSHM_PAGE), last = roots[t] * 1024 - 1;
        root[0] = 6;
        root[1] = PAGES - leaves[t];
        root[2] = PAGES - leaves[t] + 1; /* one page too far */
        root[3] = UINT32_MAX;
        root[last] = 7;
        const void *entry = libshm_view_entry(&view, t, &table, 0);
        assert_ptr_equal(entry, bytes + 6 * LIBSHM_PAGE);
        assert_ptr_equal(libshm_view_entry(&view, t, &table, per_leaf - 1),
                         bytes + 6 * LIBSHM_PAGE + (per_leaf - 1) * sizes[t]);
        assert_ptr_equal(libshm_view_entry(&view, t, &table, 2 * per_leaf - 1), bytes + sizeof bytes - sizes[t]);
        assert_null(libshm_view_entry(&view, t, &table, 2 * per_leaf));
        assert_null(libshm_view_entry(&view, t, &table, 3 * per_leaf));
        assert_null(libshm_view_entry(&view, t, &table, 4 * per_leaf)); /* no leaf */
        assert_ptr_equal(libshm_view_entry(&view, t, &table, last * per_leaf), bytes + 7 * LIBSHM_PAGE);
        assert_null(libshm_view_entry(&view, t, &table, (last + 1) * per_leaf)); /* no root page */
        assert_null(libshm_view_entry(&view, t, &table, UINT32_MAX));
        table.count = 5;
        assert_non_null(libshm_view_entry(&view, t, &table, 4));
        assert_null(libshm_view_entry(&view, t, &table, 5));
        table.count = UINT32_MAX;
        const uint32_t wrong[] = {0, PAGES, PAGES - roots[t] + 1, UINT32_MAX};
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            table.root = wrong[i];
            assert_null(libshm_view_entry(&view, t, &table, 0));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(places), cmocka_unit_test(entries)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
