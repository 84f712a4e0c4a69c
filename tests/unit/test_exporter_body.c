/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies of scrapes: one that is put back is used again, and given back to the kernel when nobody has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "exporter/body.h"

static void a_body_is_used_again(void **state)
{
    (void)state;
    struct body_pool pool;
    body_pool_init(&pool);
    struct body *body = body_new(&pool);
    assert_non_null(body);
    buffer_append_string(&body->bytes, "text");
    const size_t capacity = body->bytes.capacity;
    body_put(body_get(body));
    assert_int_equal(pool.n_free, 0); /* one reference is left */
    body_put(body);
    assert_int_equal(pool.n_free, 1);
    struct body *again = body_new(&pool);
    assert_ptr_equal(again, body);
    assert_int_equal(again->bytes.size, 0);
    assert_int_equal(again->bytes.capacity, capacity);
    body_put(again);
    body_pool_destroy(&pool);
}

static void trimming_leaves_what_somebody_has(void **state)
{
    (void)state;
    struct body_pool pool;
    body_pool_init(&pool);
    struct body *bodies[BODY_POOL_MAX + 2];
    for (size_t i = 0; i < BODY_POOL_MAX + 2; i++)
        assert_non_null(bodies[i] = body_new(&pool));
    for (size_t i = 1; i < BODY_POOL_MAX + 2; i++)
        body_put(bodies[i]);
    assert_int_equal(pool.n_free, BODY_POOL_MAX);
    assert_false(body_pool_trim(&pool));
    assert_int_equal(pool.n_free, 0);
    buffer_append_string(&bodies[0]->bytes, "it is whole");
    assert_string_equal(buffer_string(&bodies[0]->bytes), "it is whole");
    body_put(bodies[0]);
    assert_true(body_pool_trim(&pool));
    assert_int_equal(pool.n_free, 0);
    body_pool_destroy(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_is_used_again),
        cmocka_unit_test(trimming_leaves_what_somebody_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
