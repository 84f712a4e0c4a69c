/* SPDX-License-Identifier: Apache-2.0
 *
 * What the orchestrator's stand-in for a language model answers. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../examples/orchestrator/llm.h"

static const char conflict[] = "one\n<<<<<<< HEAD\nours\n=======\ntheirs\n>>>>>>> branch\ntwo\n"
                               "<<<<<<< HEAD\n=======\ntheirs 2\n>>>>>>> branch\n";

static void changes_one_line(void **state)
{
    (void)state;
    char completion[LLM_TEXT_MAX];
    llm_edit("line 1: x\nline 2: y\n", (UINT64_C(0xabcd) << 32) | 1, completion);
    assert_string_equal(completion, "line 1: x\nline 2: as changed by 0000abcd\n");
    llm_edit("line 1: x\nline 2: y", UINT64_C(0xabcd) << 32, completion);
    assert_string_equal(completion, "line 1: as changed by 0000abcd\nline 2: y\n");
    llm_edit("no colon\n", 0, completion);
    assert_string_equal(completion, "no colon: as changed by 00000000\n");
    llm_edit("", 0, completion);
    assert_string_equal(completion, "");
    llm_edit("\n", 0, completion);
    assert_string_equal(completion, ": as changed by 00000000\n");
}

static void takes_one_side(void **state)
{
    (void)state;
    char completion[LLM_TEXT_MAX];
    llm_resolve(conflict, 0, 0, completion);
    assert_string_equal(completion, "one\nours\ntwo\n");
    assert_false(llm_has_conflict(completion));
    llm_resolve(conflict, 1, 0, completion);
    assert_string_equal(completion, "one\ntheirs\ntwo\ntheirs 2\n");
    assert_false(llm_has_conflict(completion));
    llm_resolve("no conflict\n=======\n", 0, 0, completion);
    assert_string_equal(completion, "no conflict\n=======\n");
}

static void can_be_careless(void **state)
{
    (void)state;
    char completion[LLM_TEXT_MAX];
    llm_resolve(conflict, 0, 1, completion);
    assert_string_equal(completion, "one\nours\ntwo\n<<<<<<< HEAD\n=======\ntheirs 2\n>>>>>>> branch\n");
    assert_true(llm_has_conflict(completion));
}

static void survives_what_is_too_long_or_torn(void **state)
{
    (void)state;
    static char prompt[3 * LLM_TEXT_MAX], completion[LLM_TEXT_MAX];
    memset(prompt, 'x', sizeof(prompt) - 1);
    llm_edit(prompt, 0, completion);
    assert_true(strlen(completion) < sizeof(completion));
    for (size_t i = 0; i < sizeof(prompt) - 1; i += 2)
        prompt[i] = '\n';
    llm_edit(prompt, 5, completion);
    assert_true(strlen(completion) < sizeof(completion));
    llm_resolve(prompt, 0, 0, completion);
    assert_true(strlen(completion) < sizeof(completion));
    for (size_t cut = 0; cut < sizeof(conflict); cut++) {
        snprintf(prompt, sizeof(prompt), "%.*s", (int)cut, conflict);
        llm_resolve(prompt, cut, (int)(cut / 2 % 2), completion);
        assert_true(strlen(completion) <= cut + 1);
    }
}

static void counts_tokens(void **state)
{
    (void)state;
    assert_int_equal(llm_tokens(""), 0);
    assert_int_equal(llm_tokens("a"), 1);
    assert_int_equal(llm_tokens("abcd"), 1);
    assert_int_equal(llm_tokens("abcde"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_one_line), cmocka_unit_test(takes_one_side),
        cmocka_unit_test(can_be_careless),  cmocka_unit_test(survives_what_is_too_long_or_torn),
        cmocka_unit_test(counts_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
