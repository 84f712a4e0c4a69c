/* SPDX-License-Identifier: Apache-2.0
 *
 * The numbers of a snapshot: sums over lanes, baselines, what is not finite, every shape of a page group. */
#define _GNU_SOURCE
#include <math.h>
#include <stdbool.h>

#include "reader_common.h"

static const double bounds[] = {0.5, 1, 2.5};

static void counter(void **state)
{
    (void)state;
    uint32_t s = sb_series(&b, sb_family(&b, &(struct sb_family){.name = "a_total"}), NULL);
    *sb_cell(&b, s, 0, 1) = (struct libshm_cell){5, 0.25};                /* atomic */
    *sb_cell(&b, s, 0, 2) = (struct libshm_cell){UINT64_C(1) << 60, 0.5}; /* CPU 0 */
    *sb_cell(&b, s, 0, 3) = (struct libshm_cell){7, 1e-3};                /* CPU 1 */
    take();
    assert_int_equal(only("a_total")->integer, (UINT64_C(1) << 60) + 12);
    assert_true(only("a_total")->fractional == 0.25 + 0.5 + 1e-3);
    assert_int_equal(snapshot->atomic_total, 5);
    *sb_cell(&b, s, 0, 0) = (struct libshm_cell){10, 0.5}; /* a reset in between */
    take();
    assert_int_equal(only("a_total")->integer, (UINT64_C(1) << 60) + 2);
    assert_true(only("a_total")->fractional == 0.25 + 0.5 + 1e-3 - 0.5);
    *sb_cell(&b, s, 0, 0) = (struct libshm_cell){UINT64_MAX, 1e9}; /* only half of a reset is there */
    take();
    assert_int_equal(only("a_total")->integer, 0);
    assert_true(only("a_total")->fractional == 0);
    *sb_cell(&b, s, 0, 0) = (struct libshm_cell){0, INFINITY};
    take();
    assert_true(only("a_total")->fractional == 0.25 + 0.5 + 1e-3);
    sb_cell(&b, s, 0, 3)->fractional = INFINITY;
    take();
    assert_true(only("a_total")->fractional == INFINITY);
    sb_cell(&b, s, 0, 3)->fractional = NAN;
    take();
    assert_true(only("a_total")->fractional == 0);
    sb_cell(&b, s, 0, 3)->fractional = -5;
    take();
    assert_true(only("a_total")->fractional == 0);
}

static void gauge(void **state)
{
    (void)state;
    b.cpu_lanes = 0;
    static const struct {
        const char *name;
        uint32_t type;
    } types[] = {{"gauge", LIBSHM_TYPE_GAUGE}, {"x_info", LIBSHM_TYPE_INFO}, {"unknown", LIBSHM_TYPE_UNKNOWN}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        uint32_t s =
            sb_series(&b, sb_family(&b, &(struct sb_family){.name = types[i].name, .type = types[i].type}), NULL);
        sb_cell(&b, s, 0, 0)->fractional = 100; /* a reset keeps gauges: the baseline does not count */
        double values[] = {0, 1.5, -3, -INFINITY, 1e308, INFINITY};
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            sb_cell(&b, s, 0, 1)->fractional = values[v];
            take();
            assert_true(only(types[i].name)->fractional == values[v]);
            assert_int_equal(only(types[i].name)->integer, 0);
            assert_null(only(types[i].name)->buckets);
        }
    }
    assert_int_equal(snapshot->atomic_total, 0);
}

static void histogram(void **state)
{
    (void)state;
    uint32_t f = sb_family(
        &b, &(struct sb_family){
                .name = "h", .type = LIBSHM_TYPE_HISTOGRAM, .labels = LIST("l"), .bounds = bounds, .n_bounds = 3});
    for (int i = 0; i < 130; i++) { /* over more than two groups */
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        uint32_t s = sb_series(&b, f, LIST(value));
        for (uint32_t k = 0; k < 4; k++)
            for (uint32_t page = 1; page < 4; page++)
                *sb_cell(&b, s, k, page) = (struct libshm_cell){(uint64_t)i + k + page, i + 0.5 * k + page};
    }
    take();
    assert_int_equal(family("h")->n_bounds, 3);
    assert_memory_equal(family("h")->bounds, bounds, sizeof bounds);
    assert_int_equal(family("h")->n_series, 130);
    assert_int_equal(snapshot->cells_used, 130 * 4);
    for (int i = 0; i < 130; i++) {
        const libshm_series_view *s = &family("h")->series[i];
        uint64_t count = 0;
        double sum = 0;
        for (unsigned k = 0; k < 4; k++) {
            assert_int_equal(s->buckets[k].integer, 3 * (unsigned)i + 3 * k + 6);
            assert_true(s->buckets[k].fractional == 3 * i + 1.5 * k + 6);
            count += s->buckets[k].integer;
            sum += s->buckets[k].fractional;
        }
        assert_int_equal(s->count, count);
        assert_true(s->sum == sum);
    }
    /* after a reset: what came since, for count and sum of each bucket; a bucket without any has no sum */
    for (uint32_t k = 0; k < 4; k++)
        *sb_cell(&b, 0, k, 0) = (struct libshm_cell){3 * k + 6 - (k == 1), 1.5 * k + 6 - (k == 1 ? 0.75 : 0)};
    sb_cell(&b, 1, 0, 0)->fractional = -INFINITY; /* there was one in the sum when it was reset: it stays */
    sb_cell(&b, 1, 0, 1)->fractional = -INFINITY;
    sb_cell(&b, 2, 0, 0)->integer = 1000;
    take();
    const libshm_series_view *s = &family("h")->series[0];
    assert_int_equal(s->count, 1);
    assert_true(s->sum == 0.75);
    assert_int_equal(s->buckets[1].integer, 1);
    assert_true(s->buckets[1].fractional == 0.75 && s->buckets[0].fractional == 0);
    s = &family("h")->series[1];
    assert_true(s->buckets[0].fractional == -INFINITY && s->sum == -INFINITY);
    s = &family("h")->series[2];
    assert_int_equal(s->buckets[0].integer, 0);
    assert_true(s->buckets[0].fractional == 0);
}

static void summary(void **state)
{
    (void)state;
    uint32_t s = sb_series(&b, sb_family(&b, &(struct sb_family){.name = "s", .type = LIBSHM_TYPE_SUMMARY}), NULL);
    *sb_cell(&b, s, 0, 3) = (struct libshm_cell){3, -4.5};
    take();
    assert_int_equal(only("s")->count, 3);
    assert_true(only("s")->sum == -4.5);
    assert_int_equal(only("s")->buckets[0].integer, 3);
}

/* A histogram with all the cells of a group. */
static void most_bounds(void **state)
{
    (void)state;
    double many[LIBSHM_MAX_BOUNDS];
    for (unsigned i = 0; i < LIBSHM_MAX_BOUNDS; i++)
        many[i] = i;
    uint32_t s = sb_series(&b,
                           sb_family(&b, &(struct sb_family){.name = "h",
                                                             .type = LIBSHM_TYPE_HISTOGRAM,
                                                             .bounds = many,
                                                             .n_bounds = LIBSHM_MAX_BOUNDS}),
                           NULL);
    for (uint32_t i = 0; i < 256; i++)
        sb_cell(&b, s, i, 2)->integer = i;
    take();
    assert_int_equal(only("h")->count, 255 * 128);
    for (uint32_t i = 0; i < 256; i++)
        assert_int_equal(only("h")->buckets[i].integer, i);
}

/* Random values in groups of every shape against a sum made here. Integers are exact in any order; the doubles are
 * multiples of 1/8, so they are too. */
static void lanes(void **state)
{
    (void)state;
    static const uint16_t shapes[][2] = {{1, 0}, {1, 1}, {1, 2}, {2, 3}, {4, 0}, {16, 0}, {1, 64}, {16, 7}, {1, 1024}};
    uint32_t f = sb_family(&b, &(struct sb_family){.name = "a_total", .labels = LIST("l")}), n = 0;
    uint64_t random = 88172645463325252u, integers[1000] = {0};
    double fractions[1000] = {0};
    for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++) {
        b.atomic_lanes = shapes[shape][0];
        b.cpu_lanes = shapes[shape][1];
        b.group = 0;
        uint32_t in_group = shape % 2 ? 3 : 90; /* odd numbers, too */
        for (uint32_t i = 0; i < in_group; i++, n++) {
            char value[16];
            snprintf(value, sizeof value, "%u", n);
            sb_series(&b, f, LIST(value));
            for (uint32_t page = 0; page < 1u + b.atomic_lanes + b.cpu_lanes; page++) {
                random ^= random << 13, random ^= random >> 7, random ^= random << 17;
                uint64_t integer = random % 1000000 + (page == 0 ? 0 : 1000000);
                double fraction = (double)(random >> 40 & 0xff) / 8 + (page == 0 ? 0 : 32);
                *sb_cell(&b, n, 0, page) = (struct libshm_cell){integer, fraction};
                integers[n] += page ? integer : -integer;
                fractions[n] += page ? fraction : -fraction;
            }
        }
    }
    take();
    assert_int_equal(snapshot->n_series, n);
    for (uint32_t i = 0; i < n; i++) {
        const libshm_series_view *s = &family("a_total")->series[i];
        assert_int_equal(s->integer, integers[i]);
        assert_true(s->fractional == fractions[i]);
    }
}

/* The sum of doubles is made in the order of the pages, always. */
static void order(void **state)
{
    (void)state;
    b.cpu_lanes = 3;
    uint32_t s = sb_series(&b, sb_family(&b, &(struct sb_family){.name = "a_total"}), NULL);
    const double parts[] = {0.1, 1e16, 1.0, 3.0};
    for (uint32_t page = 1; page < 5; page++)
        sb_cell(&b, s, 0, page)->fractional = parts[page - 1];
    take();
    volatile double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += parts[i];
    assert_true(only("a_total")->fractional == sum);
}

static void reset_time(void **state)
{
    (void)state;
    sb_series(&b, sb_family(&b, &(struct sb_family){.name = "a_total"}), NULL);
    sb_series(&b, sb_family(&b, &(struct sb_family){.name = "g", .type = LIBSHM_TYPE_GAUGE}), NULL);
    sb_series(&b, sb_family(&b, &(struct sb_family){.name = "t_total", .ttl_ns = UINT64_MAX / 2}), NULL);
    take();
    uint64_t layout = snapshot->layout_version;
    assert_int_equal(only("a_total")->created_ns, 3000);
    b.header->incarnation_ns = 9000;
    take();
    assert_int_equal(only("a_total")->created_ns, 9000);
    assert_int_equal(only("t_total")->created_ns, 9000);
    assert_int_equal(only("g")->created_ns, 3000);
    assert_int_equal(snapshot->layout_version, layout);
    sb_changed(&b);
    take();
    assert_int_equal(only("a_total")->created_ns, 9000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(counter),     TEST(gauge), TEST(histogram), TEST(summary),
        TEST(most_bounds), TEST(lanes), TEST(order),     TEST(reset_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
