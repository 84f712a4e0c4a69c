/* SPDX-License-Identifier: Apache-2.0
 *
 * A small file cannot make a reader use much memory or time: what claims more entries, texts, cells or pages than the
 * file has room for is passed over, whatever it overlaps with. */
#define _GNU_SOURCE
#include <stdbool.h>
#include <sys/resource.h>

#include "reader_common.h"

#include "libshm/reader_internal.h"

static uint32_t *root_of(uint32_t table)
{
    return (uint32_t *)(void *)(b.base + (uint64_t)b.header->tables[table].root * LIBSHM_PAGE);
}

/* Every leaf of the series table is the same one: as many series as there is room for, and all the same 256. */
static void one_leaf(void **state)
{
    (void)state;
    uint32_t f = sb_family(&b, &(struct sb_family){.name = "a_total", .labels = LIST("l")});
    for (uint32_t i = 0; i < 256; i++) {
        char value[16];
        snprintf(value, sizeof value, "%u", i);
        sb_series(&b, f, LIST(value));
    }
    sb_pages(&b, getenv("UNDER_VALGRIND") ? 1000 : 15000);
    for (uint32_t leaf = 1; leaf < 4096; leaf++)
        root_of(LIBSHM_TABLE_SERIES)[leaf] = root_of(LIBSHM_TABLE_SERIES)[0];
    b.header->tables[LIBSHM_TABLE_SERIES].count = (uint32_t)(b.header->file_end / sizeof(struct libshm_series_entry));
    sb_changed(&b);
    take();
    assert_int_equal(family("a_total")->n_series, 256);
    assert_int_equal(snapshot->skipped_series, b.header->tables[LIBSHM_TABLE_SERIES].count - 256);
    expect_problem("series 256 at offset");
    expect_problem("series 0 has the same labels");
    b.header->tables[LIBSHM_TABLE_SERIES].count++;
    assert_int_equal(libshm_reader_snapshot(reader, &snapshot), LIBSHM_E_DAMAGED);
}

/* Long texts that differ and lie one inside the other: each 16 bytes begin one, with a length of "a\x03" = 865. */
static void overlapping_texts(void **state)
{
    (void)state;
    enum { SERIES = 2000, LENGTH = 0x0361 };
    uint32_t f = sb_family(&b, &(struct sb_family){.name = "a_total", .labels = LIST("l")});
    uint64_t text = sb_pages(&b, SERIES * 16 / LIBSHM_PAGE + 2);
    for (uint32_t i = 0; i < SERIES + LENGTH / 16 + 1; i++) {
        char unit[17];
        snprintf(unit, sizeof unit, "a\x03%014u", i);
        memcpy(b.base + text + i * 16, unit, 16);
    }
    for (uint32_t i = 0; i < SERIES; i++) {
        struct libshm_series_entry *e = sb_series_entry(&b, sb_series(&b, f, LIST("x")));
        e->text = (uint32_t)(text / 16) + i;
        e->text_size = LENGTH + 2;
    }
    take();
    uint64_t shown = family("a_total")->n_series;
    assert_true(shown * (LENGTH + 2) <= b.header->file_end);
    assert_true(shown > SERIES / 10);
    assert_int_equal(shown + snapshot->skipped_series, SERIES);
    expect_problem("the texts together are longer than the file");
}

/* Families that claim the same long text, and one that was made anew very often. */
static void family_texts(void **state)
{
    (void)state;
    char help[LIBSHM_MAX_HELP];
    memset(help, 'h', sizeof help);
    help[sizeof help - 1] = '\0';
    uint32_t first = sb_family(&b, &(struct sb_family){.name = "a_total", .help = help});
    sb_text(&b, LIBSHM_MAX_TEXT); /* so that as much can be read there */
    struct libshm_family_entry *e = sb_family_entry(&b, first);
    for (int i = 0; i < 1000; i++) {
        e->status += 256;
        sb_changed(&b);
        take();
        assert_int_equal(snapshot->n_families, 1);
    }
    e->text_size = LIBSHM_MAX_TEXT;
    for (uint32_t i = 0; i < 300; i++)
        *sb_family_entry(&b, sb_add_entry(&b, LIBSHM_TABLE_FAMILIES)) = *e;
    e->status += 256;
    sb_changed(&b);
    take();
    assert_int_equal(snapshot->n_families, 1);
    assert_int_equal(snapshot->skipped_families, 300);
    assert_true(b.header->file_end < 200 * LIBSHM_MAX_TEXT);
    expect_problem("the texts together are longer than the file");
}

/* The file end that a hostile writer stores after the header was checked. */
static void far_end(void **state)
{
    (void)state;
    take();
    uint64_t old = b.header->file_end;
    assert_int_equal(ftruncate(b.fd, (off_t)(SB_MAX_BYTES + 16 * LIBSHM_PAGE)), 0);
    b.header->file_end = SB_MAX_BYTES + 8 * LIBSHM_PAGE;
    assert_true(libshm_reader_grown(reader));
    assert_int_equal(reader->view.length, SB_MAX_BYTES); /* what is mapped, and no more */
    b.header->file_end = old;
    take();
}

/* Groups that share pages: as many as their pages fit into the file. */
static void overlapping_groups(void **state)
{
    (void)state;
    uint32_t f = sb_family(&b, &(struct sb_family){.name = "a_total", .labels = LIST("l")});
    uint32_t first = sb_group(&b, 1, 200);
    struct libshm_group *g = sb_entry(&b, LIBSHM_TABLE_GROUPS, first);
    uint32_t n = 0;
    for (; n < 200; n++) {
        struct libshm_group *other = sb_entry(&b, LIBSHM_TABLE_GROUPS, sb_add_entry(&b, LIBSHM_TABLE_GROUPS));
        *other = *g;
        char value[16];
        snprintf(value, sizeof value, "%u", n);
        struct libshm_series_entry *e = sb_series_entry(&b, sb_series(&b, f, LIST(value)));
        e->group = first + n + (n >= 1); /* the builder made one in between */
        e->cells = sb_group_lane0(&b, first);
        e->status += 256;
    }
    sb_changed(&b);
    take();
    uint64_t pages = b.header->file_end / LIBSHM_PAGE, fit = pages / 202;
    assert_true(family("a_total")->n_series <= fit + 1);
    assert_true(family("a_total")->n_series >= 1);
    assert_int_equal(family("a_total")->n_series + snapshot->skipped_series, n);
    expect_problem("page group");
}

/* Histograms that share their cells. */
static void overlapping_cells(void **state)
{
    (void)state;
    enum { SERIES = 3000 };
    double bounds[LIBSHM_MAX_BOUNDS];
    for (unsigned i = 0; i < LIBSHM_MAX_BOUNDS; i++)
        bounds[i] = i;
    uint32_t f = sb_family(&b, &(struct sb_family){.name = "h",
                                                   .type = LIBSHM_TYPE_HISTOGRAM,
                                                   .labels = LIST("l"),
                                                   .bounds = bounds,
                                                   .n_bounds = LIBSHM_MAX_BOUNDS});
    uint32_t c = sb_family(&b, &(struct sb_family){.name = "c_total", .labels = LIST("l")});
    uint64_t cells = 0;
    for (uint32_t n = 0; n < SERIES; n++) {
        char value[16];
        snprintf(value, sizeof value, "%u", n);
        struct libshm_series_entry *e = sb_series_entry(&b, sb_series(&b, n == 0 ? f : c, LIST(value)));
        if (n == 0)
            cells = e->cells;
        e->family = f;
        e->cells = cells;
        e->group = 0;
        e->n_cells = 256;
        e->status += 256;
    }
    sb_cell(&b, 0, 3, 1)->integer = 5;
    sb_changed(&b);
    take();
    assert_true(snapshot->cells_used * 32 <= b.header->file_end);
    assert_int_equal(family("h")->n_series, b.header->file_end / 32 / 256);
    assert_int_equal(family("h")->n_series + snapshot->skipped_series, SERIES);
    expect_problem("the cells together are longer than the file");
    for (size_t i = 0; i < family("h")->n_series; i++) /* what is shown of them is what is there */
        assert_int_equal(family("h")->series[i].count, 5);
}

/* A reader asks for no more memory than some multiple of the file, whatever the numbers in it say. */
static void memory(void **state)
{
    (void)state;
    uint32_t f = sb_family(&b, &(struct sb_family){.name = "a_total", .labels = LIST("l")});
    sb_series(&b, f, LIST("1"));
    for (uint32_t t = 0; t < LIBSHM_TABLES; t++) {
        uint32_t old = b.header->tables[t].count;
        uint64_t most = b.header->file_end / (t == LIBSHM_TABLE_GROUPS ? 16 : t == LIBSHM_TABLE_FAMILIES ? 128 : 64);
        b.header->tables[t].count = (uint32_t)most;
        sb_changed(&b);
        take();
        b.header->tables[t].count = (uint32_t)most + 1;
        assert_int_equal(libshm_reader_snapshot(reader, &snapshot), LIBSHM_E_DAMAGED);
        b.header->tables[t].count = old;
        sb_changed(&b);
    }
    take();
    assert_int_equal(snapshot->n_series, 1);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    print_message("at most %ld MB\n", usage.ru_maxrss / 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_leaf),           TEST(overlapping_texts), TEST(family_texts), TEST(far_end),
        TEST(overlapping_groups), TEST(overlapping_cells), TEST(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
