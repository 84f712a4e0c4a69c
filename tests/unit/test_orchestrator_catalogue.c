/* SPDX-License-Identifier: Apache-2.0
 *
 * The orchestrator's catalogue: its definitions against catalogue.tsv, what its trackers record on every way out. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <libshm/reader.h>

#include "../../examples/orchestrator/catalogue.h"

static struct fixture {
    char directory[32];
    libshm_segment *segment;
    libshm_reader *reader;
    struct prices prices;
} fixture;

static int set_up(void **state)
{
    (void)state;
    libshm_open_options options = {.size = sizeof(options), .directory = fixture.directory};
    strcpy(fixture.directory, "/tmp/test-catalogue-XXXXXX");
    assert_non_null(mkdtemp(fixture.directory));
    assert_int_equal(libshm_open("catalogue", &options, &fixture.segment), 0);
    static struct price price = {.model = (char *)"priced", .prompt = 1e6, .completion = 2e6};
    fixture.prices = (struct prices){.price = &price, .n = 1};
    assert_int_equal(catalogue_define(fixture.segment, &fixture.prices), 0);
    assert_int_equal(libshm_reader_open(libshm_segment_path(fixture.segment), &fixture.reader), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    libshm_reader_close(fixture.reader);
    libshm_close(fixture.segment);
    libshm_unlink(fixture.directory, "catalogue", 1);
    return rmdir(fixture.directory);
}

static const libshm_family_view *find_family(const char *name)
{
    const libshm_snapshot *snapshot;
    assert_int_equal(libshm_reader_snapshot(fixture.reader, &snapshot), 0);
    for (size_t i = 0; i < snapshot->n_families; i++) {
        if (strcmp(snapshot->families[i].name, name) == 0)
            return &snapshot->families[i];
    }
    fail_msg("no family %s", name);
    return NULL;
}

/* The series with these label values; NULL if there is none. */
static const libshm_series_view *find(const char *name, const char *const *values)
{
    const libshm_family_view *family = find_family(name);
    for (size_t s = 0; s < family->n_series; s++) {
        uint32_t same = 0;
        while (same < family->n_labels && strcmp(family->series[s].label_values[same], values[same]) == 0)
            same++;
        if (same == family->n_labels)
            return &family->series[s];
    }
    return NULL;
}

/* Counter or gauge; -1: no such series. */
static double value(const char *name, const char *const *values)
{
    const libshm_series_view *series = find(name, values);
    return series ? (double)series->integer + series->fractional : -1;
}

static uint64_t count(const char *name, const char *const *values)
{
    const libshm_series_view *series = find(name, values);
    return series ? series->count : 0;
}

/* ---- definitions ---------------------------------------------------------------------------------------------- */
enum { ATTRIBUTE, NAME, TYPE, MODE, LABELS, UNIT, BOUNDS, MAX_SERIES, TTL, HELP, FIELDS };

static void check_type(const libshm_family_view *family, const char *type, const char *mode)
{
    static const char *const types[] = {"-", "counter", "gauge", "histogram"};
    static const char *const modes[] = {"shared", "sum", "min", "max", "all"};
    assert_in_range(family->type, 1, 3);
    assert_string_equal(types[family->type], type);
    assert_string_equal(family->type == LIBSHM_TYPE_GAUGE ? modes[family->gauge_mode] : "-", mode);
}

static void check_labels(const libshm_family_view *family, const char *labels)
{
    char joined[256] = "";
    for (uint32_t i = 0; i < family->n_labels; i++) {
        size_t used = strlen(joined);
        snprintf(joined + used, sizeof(joined) - used, "%s%s", i ? " " : "", family->label_names[i]);
    }
    assert_string_equal(family->n_labels ? joined : "-", labels);
}

static void check_bounds(const libshm_family_view *family, char *bounds)
{
    uint32_t n = 0;
    for (char *word; strcmp(bounds, "-") != 0 && (word = strsep(&bounds, " ")) != NULL; n++) {
        assert_true(n < family->n_bounds);
        assert_true(family->bounds[n] == strtod(word, NULL));
        if (!bounds) {
            n++;
            break;
        }
    }
    assert_int_equal(n, family->n_bounds);
}

static void definitions_are_the_files(void **state)
{
    (void)state;
    FILE *file = fopen("examples/orchestrator/catalogue.tsv", "re");
    assert_non_null(file);
    char *line = NULL;
    size_t size = 0, families = 0;
    while (getline(&line, &size, file) >= 0) {
        char *field[FIELDS], *rest = line;
        line[strcspn(line, "\n")] = '\0';
        if (*line == '#')
            continue;
        for (int i = 0; i < FIELDS; i++)
            assert_non_null(field[i] = strsep(&rest, "\t"));
        assert_null(rest);
        const libshm_family_view *family = find_family(field[NAME]);
        check_type(family, field[TYPE], field[MODE]);
        check_labels(family, field[LABELS]);
        check_bounds(family, field[BOUNDS]);
        assert_string_equal(*family->unit ? family->unit : "-", field[UNIT]);
        assert_string_equal(family->help, field[HELP]);
        assert_int_equal(family->max_series, strcmp(field[MAX_SERIES], "-") ? strtoul(field[MAX_SERIES], NULL, 10)
                                                                            : LIBSHM_DEFAULT_MAX_SERIES);
        assert_int_equal(family->ttl_ns / 1000000000, strcmp(field[TTL], "-") ? strtoul(field[TTL], NULL, 10) : 0);
        families++;
    }
    free(line);
    fclose(file);
    const libshm_snapshot *snapshot;
    assert_int_equal(libshm_reader_snapshot(fixture.reader, &snapshot), 0);
    assert_int_equal(snapshot->n_families, families);
}

/* ---- merges --------------------------------------------------------------------------------------------------- */
enum way { FALL_OFF, RETURN, BREAK, GOTO };

static int leave_a_merge(enum way way, const char *result, int files, uint64_t conflicts)
{
    do {
        TRACK_MERGE(metadata);
        assert_true(value("git_active_merges", NULL) == 1);
        assert_int_equal(count("git_merge_duration_seconds", NULL), 0);
        metadata.result = result;
        if (files >= 0)
            metadata.files_modified = files;
        metadata.conflict_count = conflicts;
        if (way == RETURN)
            return 1;
        if (way == BREAK)
            break;
        if (way == GOTO)
            goto out;
    } while (0);
out:
    return 0;
}

static void check_merge(enum way way)
{
    leave_a_merge(way, "conflict", 7, 3);
    assert_true(value("git_active_merges", NULL) == 0);
    assert_int_equal(count("git_merge_duration_seconds", NULL), 1);
    assert_true(value("git_merge_total", LIBSHM_VALUES("conflict")) == 1);
    assert_true(value("git_merge_conflicted_files_total", NULL) == 3);
    assert_int_equal(count("git_merge_files_modified", NULL), 1);
    assert_true(find("git_merge_files_modified", NULL)->sum == 7);
    assert_int_equal(count("git_conflicts_per_merge", NULL), 0);
}

static void merge_recorded_at_the_end_of_its_block(void **state)
{
    (void)state;
    check_merge(FALL_OFF);
}

static void merge_recorded_on_return(void **state)
{
    (void)state;
    check_merge(RETURN);
}

static void merge_recorded_on_break(void **state)
{
    (void)state;
    check_merge(BREAK);
}

static void merge_recorded_on_goto(void **state)
{
    (void)state;
    check_merge(GOTO);
}

static void merge_without_metadata_is_a_success(void **state)
{
    (void)state;
    leave_a_merge(RETURN, NULL, -1, 0);
    assert_true(value("git_merge_total", LIBSHM_VALUES("success")) == 1);
    assert_int_equal(count("git_merge_duration_seconds", NULL), 1);
    assert_int_equal(count("git_merge_files_modified", NULL), 0);
    assert_true(value("git_merge_conflicted_files_total", NULL) == 0);
}

static void merge_of_no_files_is_observed(void **state)
{
    (void)state;
    leave_a_merge(FALL_OFF, "success", 0, 0);
    assert_int_equal(count("git_merge_files_modified", NULL), 1);
    assert_int_equal(find("git_merge_files_modified", NULL)->buckets[0].integer, 1);
}

static void trackers_nest_in_any_order(void **state)
{
    (void)state;
    struct merge_metadata first = track_merge_enter(), second = track_merge_enter();
    struct request_metadata request = track_request_enter("priced", "p");
    assert_true(value("git_active_merges", NULL) == 2);
    first.result = "error";
    track_merge_leave(&first);
    assert_true(value("git_active_merges", NULL) == 1);
    track_request_leave(&request);
    track_merge_leave(&second);
    assert_true(value("git_active_merges", NULL) == 0);
    assert_true(value("git_merge_total", LIBSHM_VALUES("error")) == 1);
    assert_true(value("git_merge_total", LIBSHM_VALUES("success")) == 1);
    assert_int_equal(count("git_merge_duration_seconds", NULL), 2);
}

static void killed_inside_a_merge_leaves_no_active_one(void **state)
{
    (void)state;
    int inside[2];
    char byte;
    assert_int_equal(pipe(inside), 0);
    pid_t pid = fork();
    if (pid == 0) {
        TRACK_MERGE(metadata);
        metadata.result = "success";
        TRACK_REQUEST(request, "priced", "p");
        request.result = "success";
        if (write(inside[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    assert_true(pid > 0);
    assert_int_equal(read(inside[0], &byte, 1), 1);
    assert_true(value("git_active_merges", NULL) == 1);
    assert_true(value("llm_active_requests", LIBSHM_VALUES("priced", "p")) == 1);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(value("git_active_merges", NULL) == 0);
    assert_true(value("llm_active_requests", LIBSHM_VALUES("priced", "p")) <= 0);
    assert_int_equal(count("git_merge_duration_seconds", NULL), 0);
    close(inside[0]);
    close(inside[1]);
}

/* ---- requests ------------------------------------------------------------------------------------------------- */
static void request_recorded_with_tokens_and_cost(void **state)
{
    (void)state;
    {
        TRACK_REQUEST(metadata, "priced", "p");
        assert_true(value("llm_active_requests", LIBSHM_VALUES("priced", "p")) == 1);
        metadata.prompt_tokens = 10;
        metadata.completion_tokens = 20;
        metadata.cost = estimate_llm_cost("priced", 10, 20);
        assert_true(metadata.cost == 50);
    }
    assert_true(value("llm_active_requests", LIBSHM_VALUES("priced", "p")) == 0);
    assert_int_equal(count("llm_request_duration_seconds", LIBSHM_VALUES("priced", "p")), 1);
    assert_true(value("llm_requests_total", LIBSHM_VALUES("priced", "p", "success")) == 1);
    assert_true(value("llm_tokens_total", LIBSHM_VALUES("priced", "p", "prompt")) == 10);
    assert_true(value("llm_tokens_total", LIBSHM_VALUES("priced", "p", "completion")) == 20);
    assert_true(value("llm_cost_dollars_total", LIBSHM_VALUES("priced", "p")) == 50);
    assert_int_equal(find_family("llm_unpriced_requests_total")->n_series, 0);
}

static int rate_limited(void)
{
    TRACK_REQUEST(metadata, "priced", "p");
    metadata.result = "rate_limit";
    return -1;
}

static void request_that_failed_has_no_tokens(void **state)
{
    (void)state;
    rate_limited();
    assert_int_equal(count("llm_request_duration_seconds", LIBSHM_VALUES("priced", "p")), 1);
    assert_true(value("llm_requests_total", LIBSHM_VALUES("priced", "p", "rate_limit")) == 1);
    assert_int_equal(find_family("llm_tokens_total")->n_series, 0);
    assert_int_equal(find_family("llm_cost_dollars_total")->n_series, 0);
    assert_int_equal(find_family("llm_rate_limit_events_total")->n_series, 0); /* the caller's to count */
}

static void models_without_a_price_are_counted(void **state)
{
    (void)state;
    assert_true(estimate_llm_cost("unpriced", 1000, 1000) == 0);
    assert_true(value("llm_unpriced_requests_total", LIBSHM_VALUES("unpriced")) == 1);
}

/* ---- tasks ---------------------------------------------------------------------------------------------------- */
static void states_that_have_gone_read_zero(void **state)
{
    (void)state;
    struct task tasks[3] = {{.status = TASK_ACTIVE}, {.status = TASK_ACTIVE}, {.status = TASK_READY}};
    libshm_gauge_set_with(task_metrics.tasks_by_state, LIBSHM_VALUES("of another version"), 9);
    update_task_state_gauges(tasks, 3);
    assert_true(value("tasks_by_state", LIBSHM_VALUES("active")) == 2);
    assert_true(value("tasks_by_state", LIBSHM_VALUES("ready")) == 1);
    assert_true(value("tasks_by_state", LIBSHM_VALUES("complete")) == -1);
    assert_true(value("tasks_by_state", LIBSHM_VALUES("of another version")) == 0);
    tasks[2].status = TASK_COMPLETE;
    update_task_state_gauges(tasks + 1, 2);
    assert_true(value("tasks_by_state", LIBSHM_VALUES("active")) == 1);
    assert_true(value("tasks_by_state", LIBSHM_VALUES("ready")) == 0);
    assert_true(value("tasks_by_state", LIBSHM_VALUES("complete")) == 1);
    update_task_state_gauges(NULL, 0);
    assert_true(value("tasks_by_state", LIBSHM_VALUES("active")) == 0);
    assert_true(value("tasks_by_state", LIBSHM_VALUES("complete")) == 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(definitions_are_the_files),
        TEST(merge_recorded_at_the_end_of_its_block),
        TEST(merge_recorded_on_return),
        TEST(merge_recorded_on_break),
        TEST(merge_recorded_on_goto),
        TEST(merge_without_metadata_is_a_success),
        TEST(merge_of_no_files_is_observed),
        TEST(trackers_nest_in_any_order),
        TEST(killed_inside_a_merge_leaves_no_active_one),
        TEST(request_recorded_with_tokens_and_cost),
        TEST(request_that_failed_has_no_tokens),
        TEST(models_without_a_price_are_counted),
        TEST(states_that_have_gone_read_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
