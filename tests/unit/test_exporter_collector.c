/* SPDX-License-Identifier: Apache-2.0
 *
 * Which scrapes share a look, a text and a compressed body. The pipeline is this test's: at each step of a render it
 * does what the test wants to happen just then. */
#include "exporter/collector.h"
#include "exporter/pipeline.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ASKED_MAX = 8, PATIENCE = 60 /* seconds */ };

struct asked {
    struct scrape scrape; /* first: a scrape is what asked for it */
    sem_t done;
};

struct pipeline { /* of the test */
    struct body_pool pool;
    int looks, texts, compressions; /* the first look is that of the start */
    void (*looking)(int look), (*encoding)(int text);
    int looks_at_first_answer;
};

static struct pipeline pipeline;
static struct collector *collector;
static struct asked asked[ASKED_MAX];
static size_t n_asked;

struct pipeline *pipeline_new(const struct options *options, const struct statistics *statistics)
{
    (void)options, (void)statistics;
    pipeline = (struct pipeline){0};
    body_pool_init(&pipeline.pool);
    return &pipeline;
}

void pipeline_free(struct pipeline *unused)
{
    (void)unused;
    body_pool_destroy(&pipeline.pool);
}

int pipeline_fd(const struct pipeline *unused)
{
    (void)unused;
    return -1;
}

bool pipeline_look(struct pipeline *unused)
{
    (void)unused;
    const int look = pipeline.looks++;
    if (look > 0 && pipeline.looking)
        pipeline.looking(look);
    return true;
}

struct body *pipeline_encode(struct pipeline *unused, enum format format, const struct selection *selection)
{
    (void)unused, (void)selection;
    pipeline.texts++;
    struct body *body = body_new(&pipeline.pool);
    buffer_printf(&body->bytes, "format %d, look %d", (int)format, pipeline.looks - 1);
    if (pipeline.encoding)
        pipeline.encoding(pipeline.texts);
    return body;
}

struct body *pipeline_compress(struct pipeline *unused, enum coding coding, const struct body *plain)
{
    (void)unused;
    pipeline.compressions++;
    struct body *body = body_new(&pipeline.pool);
    buffer_printf(&body->bytes, "coding %d of ", (int)coding);
    buffer_append(&body->bytes, plain->bytes.data, plain->bytes.size);
    return body;
}

void pipeline_took(struct pipeline *unused, double seconds)
{
    (void)unused, (void)seconds;
    if (!pipeline.looks_at_first_answer)
        pipeline.looks_at_first_answer = pipeline.looks;
}

bool pipeline_trim(struct pipeline *unused)
{
    (void)unused;
    return body_pool_trim(&pipeline.pool);
}

/* ---- asking ---------------------------------------------------------------------------------------------------- */

static void is_done(struct scrape *scrape)
{
    sem_post(&((struct asked *)scrape)->done);
}

static void ask(enum format format, enum coding coding)
{
    struct asked *one = &asked[n_asked++];
    one->scrape = (struct scrape){.format = format, .coding = coding, .done = is_done};
    assert_true(collector_submit(collector, &one->scrape));
}

/* What the i-th one got: until it has it. */
static const char *answer(size_t i)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE;
    if (sem_timedwait(&asked[i].done, &until) != 0)
        fail_msg("scrape %zu got no answer within %d s", i, PATIENCE);
    sem_post(&asked[i].done);
    return asked[i].scrape.body ? buffer_string(&asked[i].scrape.body->bytes) : NULL;
}

static int start(void **state)
{
    (void)state;
    collector = collector_new(NULL, NULL);
    n_asked = 0;
    for (size_t i = 0; i < ASKED_MAX; i++)
        sem_init(&asked[i].done, 0, 0);
    return collector && collector_start(collector) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    collector_stop(collector);
    for (size_t i = 0; i < n_asked; i++)
        body_put(asked[i].scrape.body);
    const size_t left = pipeline.pool.n_out;
    collector_free(collector);
    return left ? -1 : 0;
}

/* ---- tests ----------------------------------------------------------------------------------------------------- */

static void one_scrape_is_one_look(void **state)
{
    (void)state;
    ask(FORMAT_TEXT, CODING_GZIP);
    assert_string_equal(answer(0), "coding 1 of format 0, look 1");
    assert_int_equal(pipeline.looks, 2);
    assert_int_equal(pipeline.texts, 1);
    assert_int_equal(pipeline.compressions, 1);
}

static void ask_in_first_look(int look)
{
    if (look == 1)
        ask(FORMAT_TEXT, CODING_IDENTITY);
}

static void who_comes_during_a_look_joins(void **state)
{
    (void)state;
    pipeline.looking = ask_in_first_look;
    ask(FORMAT_TEXT, CODING_IDENTITY);
    assert_string_equal(answer(0), "format 0, look 2"); /* asked after look 1 began */
    answer(1);
    assert_ptr_equal(asked[0].scrape.body, asked[1].scrape.body);
    assert_int_equal(pipeline.texts, 1);
}

static void ask_in_first_text(int text)
{
    if (text == 1)
        ask(FORMAT_TEXT, asked[0].scrape.coding);
}

static void a_text_is_not_made_anew_for_who_comes_late(void **state)
{
    (void)state;
    pipeline.encoding = ask_in_first_text;
    ask(FORMAT_TEXT, CODING_IDENTITY);
    assert_string_equal(answer(0), "format 0, look 1");
    assert_string_equal(answer(1), "format 0, look 2");
}

static void but_if_it_is_to_be_compressed(void **state)
{
    (void)state;
    pipeline.encoding = ask_in_first_text;
    ask(FORMAT_TEXT, CODING_ZSTD);
    assert_string_equal(answer(0), "coding 2 of format 0, look 2");
    answer(1);
    assert_ptr_equal(asked[0].scrape.body, asked[1].scrape.body);
    assert_int_equal(pipeline.texts, 2);
    assert_int_equal(pipeline.compressions, 1);
}

static void ask_in_each_look(int look)
{
    (void)look;
    if (n_asked < ASKED_MAX)
        ask(FORMAT_TEXT, CODING_GZIP);
}

/* Scrapes that come and come do not keep the first one waiting. */
static void looks_are_bounded(void **state)
{
    (void)state;
    pipeline.looking = ask_in_each_look;
    ask(FORMAT_TEXT, CODING_GZIP);
    assert_string_equal(answer(0), "coding 1 of format 0, look 3");
    for (size_t i = 1; i < ASKED_MAX; i++)
        assert_non_null(answer(i));
    assert_int_equal(pipeline.looks_at_first_answer, 1 + 3);
}

static void ask_for_others(int look)
{
    if (look == 1) {
        ask(FORMAT_OPENMETRICS, CODING_GZIP);
        ask(FORMAT_TEXT, CODING_GZIP);
        ask(FORMAT_TEXT, CODING_GZIP);
        ask(FORMAT_TEXT, CODING_ZSTD);
    }
}

static void each_text_and_coding_is_made_once(void **state)
{
    (void)state;
    pipeline.looking = ask_for_others;
    ask(FORMAT_TEXT, CODING_IDENTITY);
    const char *const expected[] = {"format 0, look 2", NULL, "coding 1 of format 0, look 2",
                                    "coding 1 of format 0, look 2", "coding 2 of format 0, look 2"};
    for (size_t i = 0; i < 5; i++)
        if (expected[i])
            assert_string_equal(answer(i), expected[i]);
    char openmetrics[64];
    snprintf(openmetrics, sizeof openmetrics, "coding 1 of format %d, look 2", (int)FORMAT_OPENMETRICS);
    assert_string_equal(answer(1), openmetrics);
    assert_ptr_equal(asked[2].scrape.body, asked[3].scrape.body);
    assert_int_equal(pipeline.texts, 2);
    assert_int_equal(pipeline.compressions, 3);
}

static void who_is_too_late_gets_nothing(void **state)
{
    (void)state;
    asked[0].scrape = (struct scrape){.done = is_done, .deadline = {.tv_sec = 1}}; /* since the machine started */
    n_asked = 1;
    assert_true(collector_submit(collector, &asked[0].scrape));
    assert_null(answer(0));
    assert_int_equal(pipeline.texts, 0);
}

static pthread_t stopper;

static void *stop_it(void *unused)
{
    (void)unused;
    collector_stop(collector);
    return NULL;
}

static void ask_and_stop(int look)
{
    if (look == 1) {
        ask(FORMAT_TEXT, CODING_IDENTITY);
        pthread_create(&stopper, NULL, stop_it, NULL);
    }
}

static void the_end_answers_who_waits(void **state)
{
    (void)state;
    pipeline.looking = ask_and_stop;
    ask(FORMAT_TEXT, CODING_IDENTITY);
    assert_non_null(answer(0));
    assert_non_null(answer(1));
    pthread_join(stopper, NULL);
    struct scrape refused = {.done = is_done};
    assert_false(collector_submit(collector, &refused));
}

static int has_stopped(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_asked; i++)
        body_put(asked[i].scrape.body);
    collector_free(collector);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_scrape_is_one_look, start, stop),
        cmocka_unit_test_setup_teardown(who_comes_during_a_look_joins, start, stop),
        cmocka_unit_test_setup_teardown(a_text_is_not_made_anew_for_who_comes_late, start, stop),
        cmocka_unit_test_setup_teardown(but_if_it_is_to_be_compressed, start, stop),
        cmocka_unit_test_setup_teardown(looks_are_bounded, start, stop),
        cmocka_unit_test_setup_teardown(each_text_and_coding_is_made_once, start, stop),
        cmocka_unit_test_setup_teardown(who_is_too_late_gets_nothing, start, stop),
        cmocka_unit_test_setup_teardown(the_end_answers_who_waits, start, has_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
