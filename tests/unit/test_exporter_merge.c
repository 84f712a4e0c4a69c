/* SPDX-License-Identifier: Apache-2.0
 *
 * Merging families of several segments: who wins, what is left out, which series are the same; and the labels that tell
 * segments and processes apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "exporter/labels.h"
#include "exporter/merge.h"
#include "tests/unit/exporter_views.h"

static const libshm_series_view one[] = {{.number = 0, .generation = 1, .label_values = STRINGS("v", "w")}};
static const libshm_family_view none[] = {{0}};
#define OWN SOURCE("shm-exporter", 1000, none, .n_families = 0)

static const struct merged *merge(struct merger *merger, const struct source *sources, size_t n)
{
    const struct merged *merged = merger_merge(merger, sources, n);
    assert_non_null(merged);
    return merged;
}

static void expect_family(const struct merged *merged, size_t i, const struct source *sources, const char *name,
                          size_t n_parts)
{
    assert_true(i < merged->n_families);
    assert_string_equal(merged_view(&merged->families[i].parts[0], sources)->name, name);
    assert_int_equal(merged->families[i].n_parts, n_parts);
}

static void families_of_one_name_become_one(void **state)
{
    (void)state;
    const libshm_family_view a[] = {FAMILY(0, "x_total", COUNTER, one), FAMILY(1, "y_total", COUNTER, one)};
    const libshm_family_view b[] = {FAMILY(0, "a_total", COUNTER, one), FAMILY(1, "x_total", COUNTER, one)};
    const struct source sources[] = {OWN, SOURCE("a", 2, a, .segment = "a"), SOURCE("b", 1, b, .segment = "b")};
    struct merger *merger = merger_new();
    const struct merged *merged = merge(merger, sources, 3);
    assert_int_equal(merged->n_families, 3);
    expect_family(merged, 0, sources, "a_total", 1);
    expect_family(merged, 1, sources, "x_total", 2);
    expect_family(merged, 2, sources, "y_total", 1);
    /* in the order of the sources, though b is older and its definition counts */
    assert_int_equal(merged->families[1].parts[0].source, 1);
    assert_int_equal(merged->families[1].parts[1].source, 2);
    assert_int_equal(merged->families[1].first, 1);
    assert_int_equal(merged->n_conflicts, 0);
    merger_free(merger);
}

static void expect_conflict(const libshm_family_view *older, const libshm_family_view *newer, bool conflict)
{
    const struct source sources[] = {
        OWN,
        {.name = "a", .segment = "a", .identity = 2, .created_ns = 20, .families = newer, .n_families = 1},
        {.name = "b", .segment = "b", .identity = 1, .created_ns = 10, .families = older, .n_families = 1},
    };
    struct merger *merger = merger_new();
    const struct merged *merged = merge(merger, sources, 3);
    assert_int_equal(merged->n_conflicts, conflict);
    if (conflict) {
        assert_int_equal(merged->n_families, 1);
        assert_int_equal(merged->families[0].n_parts, 1);
        assert_int_equal(merged->families[0].parts[0].source, 2);
        assert_int_equal(merged->conflicts[0].source, 1);
        assert_int_equal(merged->conflicts[0].with_source, 2);
    }
    merger_free(merger);
}

static void the_older_definition_counts(void **state)
{
    (void)state;
    static const double bounds[] = {1, 2}, other_bounds[] = {1, 3};
    const libshm_family_view gauge = FAMILY(0, "x", GAUGE, one);
    const libshm_family_view counter = FAMILY(0, "x", COUNTER, one);
    const libshm_family_view all = FAMILY(0, "x", GAUGE, one, .gauge_mode = LIBSHM_GAUGE_ALL);
    const libshm_family_view sum = FAMILY(0, "x", GAUGE, one, .gauge_mode = LIBSHM_GAUGE_SUM);
    const libshm_family_view helped = FAMILY(0, "x", GAUGE, one, .help = "Other help.");
    const libshm_family_view ab = FAMILY(0, "x", GAUGE, one, .n_labels = 2, .label_names = STRINGS("a", "b"));
    const libshm_family_view ba = FAMILY(0, "x", GAUGE, one, .n_labels = 2, .label_names = STRINGS("b", "a"));
    const libshm_family_view ac = FAMILY(0, "x", GAUGE, one, .n_labels = 2, .label_names = STRINGS("a", "c"));
    const libshm_family_view histogram = FAMILY(0, "x", HISTOGRAM, one, .n_bounds = 2, .bounds = bounds);
    const libshm_family_view shorter = FAMILY(0, "x", HISTOGRAM, one, .n_bounds = 1, .bounds = bounds);
    const libshm_family_view other = FAMILY(0, "x", HISTOGRAM, one, .n_bounds = 2, .bounds = other_bounds);
    expect_conflict(&gauge, &gauge, false);
    expect_conflict(&gauge, &counter, true);
    expect_conflict(&gauge, &all, true);
    expect_conflict(&gauge, &sum, false);
    expect_conflict(&gauge, &helped, false);
    expect_conflict(&gauge, &ab, true);
    expect_conflict(&ab, &ba, false);
    expect_conflict(&ab, &ac, true);
    expect_conflict(&histogram, &histogram, false);
    expect_conflict(&histogram, &shorter, true);
    expect_conflict(&histogram, &other, true);
}

static void sample_names_do_not_collide(void **state)
{
    (void)state;
    static const double bounds[] = {1};
    const libshm_family_view a[] = {FAMILY(0, "foo_bucket", GAUGE, one), FAMILY(1, "foo_count", COUNTER, one),
                                    FAMILY(2, "foo_counts", GAUGE, one), FAMILY(3, "sum_sum", GAUGE, one)};
    const libshm_family_view b[] = {FAMILY(0, "foo", HISTOGRAM, one, .n_bounds = 1, .bounds = bounds),
                                    FAMILY(1, "sum", SUMMARY, one)};
    const struct source sources[] = {OWN, SOURCE("a", 2, a, .segment = "a"), SOURCE("b", 1, b, .segment = "b")};
    struct merger *merger = merger_new();
    const struct merged *merged = merge(merger, sources, 3);
    assert_int_equal(merged->n_families, 3);
    expect_family(merged, 0, sources, "foo", 1);
    expect_family(merged, 1, sources, "foo_counts", 1);
    expect_family(merged, 2, sources, "sum", 1);
    assert_int_equal(merged->n_conflicts, 3);
    merger_free(merger);
    /* and the other way round: the histogram is the newer one */
    const struct source turned[] = {OWN, SOURCE("a", 1, a, .segment = "a"), SOURCE("b", 2, b, .segment = "b")};
    merger = merger_new();
    merged = merge(merger, turned, 3);
    assert_int_equal(merged->n_families, 4);
    assert_int_equal(merged->n_conflicts, 2);
    merger_free(merger);
}

static void own_metrics_cannot_be_forged(void **state)
{
    (void)state;
    const libshm_family_view own[] = {FAMILY(0, "shm_segment_up", GAUGE, one)};
    const libshm_family_view forged[] = {FAMILY(0, "shm_segment_up", COUNTER, one)};
    const struct source sources[] = {SOURCE("shm-exporter", 1000, own), SOURCE("a", 1, forged, .segment = "a")};
    struct merger *merger = merger_new();
    const struct merged *merged = merge(merger, sources, 2);
    assert_int_equal(merged->n_families, 1);
    assert_int_equal(merged->families[0].parts[0].source, 0);
    assert_int_equal(merged->n_conflicts, 1);
    merger_free(merger);
}

static void a_series_is_shown_once(void **state)
{
    (void)state;
    const libshm_series_view first[] = {{.number = 0, .label_values = STRINGS("v", "w")},
                                        {.number = 1, .label_values = STRINGS("v", "x")}};
    const libshm_series_view second[] = {{.number = 0, .label_values = STRINGS("x", "v")},
                                         {.number = 1, .label_values = STRINGS("y", "v")},
                                         {.number = 2, .label_values = STRINGS("v", "x")}};
    const libshm_family_view a[] = {FAMILY(0, "x", GAUGE, second, .n_labels = 2, .label_names = STRINGS("b", "a"))};
    const libshm_family_view b[] = {FAMILY(0, "x", GAUGE, first, .n_labels = 2, .label_names = STRINGS("a", "b"))};
    const struct source sources[] = {OWN, SOURCE("a", 2, a), SOURCE("b", 1, b)};
    struct merger *merger = merger_new();
    const struct merged *merged = merge(merger, sources, 3);
    assert_int_equal(merged->n_families, 1);
    assert_int_equal(merged->duplicate_series, 1);
    const bool *skip = merged->families[0].parts[0].skip;
    assert_non_null(skip);
    assert_true(skip[0]); /* b="x", a="v", and the older segment has a="v", b="x" */
    assert_false(skip[1]);
    assert_false(skip[2]);
    assert_null(merged->families[0].parts[1].skip);
    merger_free(merger);
}

static void merges_anew_only_after_a_change(void **state)
{
    (void)state;
    const libshm_family_view a[] = {FAMILY(0, "x_total", COUNTER, one)};
    struct source sources[] = {OWN, SOURCE("a", 1, a, .segment = "a")};
    struct merger *merger = merger_new();
    const uint64_t version = merge(merger, sources, 2)->version;
    assert_int_equal(merge(merger, sources, 2)->version, version);
    sources[1].layout++;
    assert_int_equal(merge(merger, sources, 2)->version, version + 1);
    sources[1].identity++;
    assert_int_equal(merge(merger, sources, 2)->version, version + 2);
    assert_int_equal(merge(merger, sources, 1)->version, version + 3);
    assert_int_equal(merge(merger, sources, 1)->n_families, 0);
    merger_free(merger);
}

/* ---- labels -------------------------------------------------------------------------------------------------------
 */

static void expect_names(const libshm_family_view *family, bool segment, const char *const *names, size_t n)
{
    struct labels labels;
    labels_plan(&labels, family, segment);
    assert_int_equal(labels.n, n);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(labels.label[i].name, names[i]);
}

static void labels_are_sorted_and_renamed(void **state)
{
    (void)state;
    const libshm_family_view plain = FAMILY(0, "x", GAUGE, one, .n_labels = 2, .label_names = STRINGS("z", "a"));
    const libshm_family_view taken =
        FAMILY(0, "x", GAUGE, one, .n_labels = 3, .label_names = STRINGS("segment", "exported_segment", "pid"),
               .gauge_mode = LIBSHM_GAUGE_ALL);
    expect_names(&plain, false, STRINGS("a", "z"), 2);
    expect_names(&plain, true, STRINGS("a", "segment", "z"), 3);
    expect_names(&taken, false, STRINGS("exported_pid", "exported_segment", "pid", "pid_ns", "segment"), 5);
    expect_names(&taken, true,
                 STRINGS("exported_exported_segment", "exported_pid", "exported_segment", "pid", "pid_ns", "segment"),
                 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_of_one_name_become_one), cmocka_unit_test(the_older_definition_counts),
        cmocka_unit_test(sample_names_do_not_collide),     cmocka_unit_test(own_metrics_cannot_be_forged),
        cmocka_unit_test(a_series_is_shown_once),          cmocka_unit_test(merges_anew_only_after_a_change),
        cmocka_unit_test(labels_are_sorted_and_renamed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
