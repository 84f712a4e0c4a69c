/* SPDX-License-Identifier: Apache-2.0
 *
 * Families and series as a snapshot shows them: what is kept while the directory changes, what is passed over because
 * it does not hold together, what a TTL hides. */
#define _GNU_SOURCE
#include <math.h>
#include <stdbool.h>
#include <time.h>

#include "reader_common.h"

#include "libshm/reader_internal.h"

static const double bounds[] = {0.5, 1, 2.5};

static void set_status(uint64_t *status, uint64_t generation, uint32_t state)
{
    __atomic_store_n(status, LIBSHM_STATUS(generation, state), __ATOMIC_RELEASE);
    sb_changed(&b);
}

static void contents(void **state)
{
    (void)state;
    uint32_t z = sb_family(&b, &(struct sb_family){.name = "z_seconds",
                                                   .help = "Line\nbreak \\ \"quote\" \xc3\xa4",
                                                   .unit = "seconds",
                                                   .type = LIBSHM_TYPE_HISTOGRAM,
                                                   .labels = LIST("method", "code"),
                                                   .bounds = bounds,
                                                   .n_bounds = 3});
    uint32_t a = sb_family(&b, &(struct sb_family){.name = "a:b_total", .help = ""});
    sb_family(&b, &(struct sb_family){.name = "m", .type = LIBSHM_TYPE_UNKNOWN, .labels = LIST("x")});
    sb_series(&b, z, LIST("GET", "200"));
    sb_series(&b, a, NULL);
    sb_series(&b, z, LIST("", "\n\"\\\xf0\x9f\x98\x80"));
    b.header->incarnation_ns = 0;
    sb_family_entry(&b, a)->overflowed = 5;
    take();
    assert_int_equal(snapshot->n_families, 3);
    assert_int_equal(snapshot->n_series, 3);
    const libshm_family_view *f = &snapshot->families[0];
    assert_string_equal(f->name, "a:b_total");
    assert_string_equal(f->help, "");
    assert_string_equal(f->unit, "");
    assert_int_equal(f->type, LIBSHM_TYPE_COUNTER);
    assert_int_equal(f->number, a);
    assert_int_equal(f->generation, 1);
    assert_int_equal(f->max_series, 1000);
    assert_int_equal(f->created_ns, 2000);
    assert_int_equal(f->overflowed, 5);
    assert_int_equal(f->n_series, 1);
    assert_non_null(f->series[0].label_values);
    assert_string_equal(snapshot->families[1].name, "m");
    assert_int_equal(snapshot->families[1].n_series, 0);
    f = &snapshot->families[2];
    assert_string_equal(f->name, "z_seconds");
    assert_string_equal(f->help, "Line\nbreak \\ \"quote\" \xc3\xa4");
    assert_string_equal(f->unit, "seconds");
    assert_int_equal(f->n_labels, 2);
    assert_string_equal(f->label_names[0], "method");
    assert_string_equal(f->label_names[1], "code");
    assert_memory_equal(f->bounds, bounds, sizeof bounds);
    assert_int_equal(f->n_series, 2);
    assert_int_equal(f->series[0].number, 0);
    assert_int_equal(f->series[0].created_ns, 3000);
    assert_string_equal(f->series[0].label_values[0], "GET");
    assert_string_equal(f->series[0].label_values[1], "200");
    assert_int_equal(f->series[1].number, 2);
    assert_string_equal(f->series[1].label_values[0], "");
    assert_string_equal(f->series[1].label_values[1], "\n\"\\\xf0\x9f\x98\x80");
    sb_family_entry(&b, a)->overflowed = 6; /* without a change of the directory */
    take();
    assert_int_equal(snapshot->families[0].overflowed, 6);
}

/* What did not change keeps its place in memory, and layout_version says so. */
static void stability(void **state)
{
    (void)state;
    uint32_t f = sb_family(&b, &(struct sb_family){.name = "a_total", .labels = LIST("l")});
    uint32_t one = sb_series(&b, f, LIST("one"));
    sb_series(&b, f, LIST("two"));
    take();
    uint64_t layout = snapshot->layout_version;
    const libshm_series_view *series = family("a_total")->series;
    const char *name = family("a_total")->name, *two = series[1].label_values[0];
    sb_cell(&b, one, 0, 2)->integer = 9;
    take();
    assert_int_equal(snapshot->layout_version, layout);
    assert_ptr_equal(family("a_total")->series, series);
    assert_int_equal(series[0].integer, 9);
    for (int i = 0; i < 2000; i++) { /* much more of everything */
        char value[16];
        snprintf(value, sizeof value, "n%d", i);
        sb_series(&b, f, LIST(value));
        if (i % 100 == 0)
            take();
    }
    set_status(&sb_series_entry(&b, one)->status, 1, LIBSHM_STATE_REMOVED);
    take();
    assert_true(snapshot->layout_version > layout);
    assert_ptr_equal(family("a_total")->name, name);
    assert_ptr_equal(family("a_total")->series[0].label_values[0], two);
    assert_string_equal(two, "two");
    assert_int_equal(family("a_total")->n_series, 2001);
}

/* A number is given to another series: never the one's value under the other's labels. */
static void reuse(void **state)
{
    (void)state;
    uint32_t f = sb_family(&b, &(struct sb_family){.name = "a_total", .labels = LIST("l")});
    uint32_t s = sb_series(&b, f, LIST("old"));
    sb_cell(&b, s, 0, 2)->integer = 1;
    take();
    assert_int_equal(find_series("a_total", "old")->integer, 1);
    set_status(&sb_series_entry(&b, s)->status, 1, LIBSHM_STATE_REMOVED);
    take();
    assert_int_equal(family("a_total")->n_series, 0);
    set_status(&sb_series_entry(&b, s)->status, 2, LIBSHM_STATE_FREE);
    take();
    set_status(&sb_series_entry(&b, s)->status, 2, LIBSHM_STATE_BUILDING);
    take();
    assert_int_equal(family("a_total")->n_series, 0);
    sb_cell(&b, s, 0, 2)->integer = 2;
    sb_series_fill(&b, s, f, LIST("new"), 2);
    take();
    assert_null(find_series("a_total", "old"));
    assert_int_equal(find_series("a_total", "new")->integer, 2);
    assert_int_equal(find_series("a_total", "new")->generation, 2);
    assert_int_equal(snapshot->skipped_series, 0);
    /* both steps between two snapshots */
    sb_cell(&b, s, 0, 2)->integer = 3;
    sb_series_fill(&b, s, f, LIST("newer"), 3);
    take();
    assert_null(find_series("a_total", "new"));
    assert_int_equal(find_series("a_total", "newer")->integer, 3);
}

/* A redeploy: another definition under the same name, in the same entry and in another one. */
static void replaced_family(void **state)
{
    (void)state;
    uint32_t f = sb_family(&b, &(struct sb_family){.name = "x_total", .labels = LIST("l")});
    uint32_t s = sb_series(&b, f, LIST("1"));
    take();
    set_status(&sb_family_entry(&b, f)->status, 1, LIBSHM_STATE_REMOVED);
    take(); /* its series is still there: that is no damage */
    assert_int_equal(snapshot->n_families, 0);
    assert_int_equal(snapshot->n_series, 0);
    assert_int_equal(snapshot->skipped_series, 0);
    uint32_t g = sb_family(&b, &(struct sb_family){.name = "x_total", .labels = LIST("l", "m")});
    sb_series(&b, g, LIST("1", "2"));
    set_status(&sb_series_entry(&b, s)->status, 1, LIBSHM_STATE_REMOVED);
    take();
    assert_int_equal(family("x_total")->n_labels, 2);
    assert_string_equal(only("x_total")->label_values[1], "2");
    /* the entry anew, without labels, while the series of before is still live */
    uint32_t spare = sb_family(&b, &(struct sb_family){.name = "x_total"});
    set_status(&sb_family_entry(&b, spare)->status, 1, LIBSHM_STATE_REMOVED);
    struct libshm_family_entry *e = sb_family_entry(&b, g), with_labels = *e;
    e->text = sb_family_entry(&b, spare)->text;
    e->text_size = sb_family_entry(&b, spare)->text_size;
    e->n_labels = 0;
    set_status(&e->status, 2, LIBSHM_STATE_LIVE);
    take();
    assert_int_equal(family("x_total")->generation, 2);
    assert_int_equal(family("x_total")->n_labels, 0);
    assert_int_equal(family("x_total")->n_series, 1); /* its text is not looked at without labels */
    assert_non_null(only("x_total")->label_values);
    e->text = with_labels.text;
    e->text_size = with_labels.text_size;
    e->n_labels = 2;
    e->max_series = 77;
    set_status(&e->status, 3, LIBSHM_STATE_LIVE);
    take();
    assert_string_equal(only("x_total")->label_values[1], "2");
    assert_int_equal(family("x_total")->max_series, 77);
    e->max_series = 78; /* a definition may raise it */
    sb_changed(&b);
    take();
    assert_int_equal(family("x_total")->max_series, 78);
}

/* What was copied between two looks at a status counts only if there was one generation, shown all the while. */
static void unchanged(void **state)
{
    (void)state;
    const uint64_t live = LIBSHM_STATUS(5, LIBSHM_STATE_LIVE);
    const struct {
        uint64_t now;
        bool same;
    } cases[] = {
        {live, true},
        {LIBSHM_STATUS(5, LIBSHM_STATE_HIDDEN), true},
        {LIBSHM_STATUS(5, LIBSHM_STATE_REMOVED), false},
        {LIBSHM_STATUS(6, LIBSHM_STATE_FREE), false},
        {LIBSHM_STATUS(6, LIBSHM_STATE_BUILDING), false},
        {LIBSHM_STATUS(6, LIBSHM_STATE_LIVE), false},
        {LIBSHM_STATUS(4, LIBSHM_STATE_LIVE), false},
        {live + (UINT64_C(1) << 63), false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(libshm_reader_unchanged(&cases[i].now, live), cases[i].same);
}

/* ---- what is passed over --------------------------------------------------------------------------------------- */

#define FAMILY(field) offsetof(struct libshm_family_entry, field), sizeof(((struct libshm_family_entry *)0)->field)
#define SERIES(field) offsetof(struct libshm_series_entry, field), sizeof(((struct libshm_series_entry *)0)->field)

struct damage {
    size_t offset, size;
    uint64_t value;
    const char *problem;
};

/* Sets a word of an entry, expects that only this entry is missing, and sets it back. */
static void try_damage(void *entry, const struct damage *damage, bool is_family)
{
    uint64_t old = 0;
    unsigned char *word = (unsigned char *)entry + damage->offset;
    memcpy(&old, word, damage->size);
    memcpy(word, &damage->value, damage->size);
    /* a reader that knew it before, and a fresh one; for the first it must be a new generation */
    uint64_t *status = entry;
    *status += 256;
    sb_changed(&b);
    for (int fresh = 0; fresh < 2; fresh++) {
        take();
        assert_int_equal(snapshot->skipped_families, is_family);
        assert_int_equal(snapshot->skipped_series, 1); /* its own, or itself */
        expect_problem(damage->problem);
        expect_problem(is_family ? "family 1 at offset" : "series 1 at offset");
        assert_int_equal(family("sound_total")->n_series, 1);
        assert_int_equal(only("sound_total")->integer, 4);
        assert_true(is_family ? find("h") == NULL : family("h")->n_series == 0);
        sb_changed(&b);
        take(); /* looked at again, said again */
        assert_int_equal(snapshot->skipped_series, 1);
        expect_problem(damage->problem);
        libshm_reader_close(reader);
        reader = NULL;
    }
    memcpy(word, &old, damage->size);
    *status += 256;
    sb_changed(&b);
    take();
    assert_int_equal(snapshot->skipped_families + snapshot->skipped_series, 0);
    assert_string_equal(snapshot->first_problem, "");
    assert_int_equal(family("h")->n_series, 1);
}

static uint32_t sound_and_other(void)
{
    uint32_t sound = sb_family(&b, &(struct sb_family){.name = "sound_total"});
    uint32_t s = sb_series(&b, sound, NULL);
    sb_cell(&b, s, 0, 1)->integer = 4;
    uint32_t other = sb_family(&b, &(struct sb_family){.name = "h",
                                                       .help = "Help.",
                                                       .unit = "seconds",
                                                       .type = LIBSHM_TYPE_HISTOGRAM,
                                                       .labels = LIST("method", "code"),
                                                       .bounds = bounds,
                                                       .n_bounds = 3});
    sb_series(&b, other, LIST("GET", "200"));
    take();
    assert_int_equal(snapshot->n_series, 2);
    return other;
}

static void bad_family(void **state)
{
    (void)state;
    uint32_t f = sound_and_other();
    uint64_t end = b.header->file_end;
    const struct damage damages[] = {
        {FAMILY(type), 0, "type 0"},
        {FAMILY(type), 8, "type 8"},
        {FAMILY(type), UINT32_MAX, "type 4294967295"},
        {FAMILY(type), LIBSHM_TYPE_COUNTER, "3 bounds with type 1"},
        {FAMILY(gauge_mode), 1, "gauge mode 1 with type 3"},
        {FAMILY(gauge_mode), UINT32_MAX, "gauge mode"},
        {FAMILY(n_labels), 17, "17 labels"},
        {FAMILY(n_labels), UINT16_MAX, "65535 labels"},
        {FAMILY(n_labels), 3, "strings of"},
        {FAMILY(n_bounds), 256, "256 bounds"},
        {FAMILY(n_bounds), 4, "4 bounds do not fit"},
        {FAMILY(text), 0, "not in the file"},
        {FAMILY(text), end / 16, "not in the file"},
        {FAMILY(text), UINT32_MAX, "not in the file"},
        {FAMILY(text_size), 0, "0 bytes of text"},
        {FAMILY(text_size), 9, "9 bytes of text"},
        {FAMILY(text_size), 10, "in a text of 10"},
        {FAMILY(text_size), LIBSHM_MAX_TEXT + 1, "8193 bytes of text"},
        {FAMILY(text_size), UINT32_MAX, "bytes of text"},
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++)
        try_damage(sb_family_entry(&b, f), &damages[i], true);
}

static void bad_family_text(void **state)
{
    (void)state;
    uint32_t f = sound_and_other();
    struct libshm_family_entry *e = sb_family_entry(&b, f);
    size_t text = (size_t)e->text * 16, names = text + 10;
    size_t at_bounds = text + ((10 + strlen("hHelp.secondsmethodcode") + 7) & ~7u);
    const struct {
        size_t at, size;
        const char *bytes, *problem;
    } damages[] = {
        {names, 1, "9", "its name"},
        {names, 1, "\n", "its name"},
        {names + 1, 1, "\xff", "its help"},
        {names + 3, 1, "\0", "its help"},
        {names + 6, 1, "\"", "its unit"},
        {names + 13, 1, "-", "label name 0"},
        {names + 13, 6, "__name", "label name 0"},
        {names + 19, 1, "\0", "label name 1"},
        {text, 2, "\0\0", "its name"},
        {text, 2, "\xff\xff", "strings of"},
        {text + 4, 2, "\x41\x00", "strings of"},
        {text + 6, 2, "\x04\x00", "label name 1 is invalid"}, /* "meth", "odco" is fine, length[1] follows */
        {at_bounds, 8, "\0\0\0\0\0\0\xf8\x7f", "bound 0"},
        {at_bounds, 8, "\0\0\0\0\0\0\xf0\xff", "bound 0"},
        {at_bounds + 8, 8, "\0\0\0\0\0\0\xe0\x3f", "bound 1"}, /* 0.5 again */
        {at_bounds + 16, 8, "\0\0\0\0\0\0\xf0\x7f", "bound 2"},
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        unsigned char old[8];
        memcpy(old, b.base + damages[i].at, damages[i].size);
        memcpy(b.base + damages[i].at, damages[i].bytes, damages[i].size);
        if (damages[i].at == text + 6) { /* "meth" and "od" + "\0c": */
            memcpy(b.base + text + 8, "\x02\x00", 2);
            b.base[names + 17] = 0;
        }
        e->status += 256;
        sb_changed(&b);
        take();
        assert_int_equal(snapshot->skipped_families, 1);
        expect_problem(damages[i].problem);
        assert_null(find("h"));
        assert_int_equal(only("sound_total")->integer, 4);
        memcpy(b.base + damages[i].at, old, damages[i].size);
        if (damages[i].at == text + 6) {
            memcpy(b.base + text + 8, "\x04\x00", 2);
            b.base[names + 17] = 'o';
        }
        e->status += 256;
        sb_changed(&b);
        take();
        assert_int_equal(snapshot->skipped_families, 0);
        assert_int_equal(family("h")->n_series, 1);
    }
    memcpy(b.base + names + 13, "codecode", 8); /* the same name twice */
    memcpy(b.base + text + 6, "\x04\x00\x04\x00", 4);
    e->status += 256;
    sb_changed(&b);
    take();
    expect_problem("label names 0 and 1 are the same");
}

static void bad_series(void **state)
{
    (void)state;
    sound_and_other();
    struct libshm_series_entry *e = sb_series_entry(&b, 1);
    uint64_t lane0 = sb_group_lane0(&b, 0), end = b.header->file_end;
    const struct damage damages[] = {
        {SERIES(family), 2, "family 2, and there are 2"},
        {SERIES(family), UINT32_MAX, "family 4294967295"},
        {SERIES(family), 0, "4 cells, should be 1"},
        {SERIES(n_cells), 0, "0 cells"},
        {SERIES(n_cells), 5, "5 cells"},
        {SERIES(n_cells), UINT16_MAX, "65535 cells"},
        {SERIES(group), LIBSHM_NO_GROUP, "should not be none"},
        {SERIES(group), 1, "page group 1 is not one of the 1"},
        {SERIES(group), UINT32_MAX - 1, "page group"},
        {SERIES(cells), 0, "not in lane 0"},
        {SERIES(cells), lane0 + 8, "not in lane 0"},
        {SERIES(cells), lane0 - 16, "not in lane 0"},
        {SERIES(cells), lane0 + LIBSHM_PAGE, "not in lane 0"},
        {SERIES(cells), lane0 + LIBSHM_PAGE - 48, "4 cells at offset"},
        {SERIES(cells), UINT64_MAX - 15, "not in lane 0"},
        {SERIES(text), 0, "not in the file"},
        {SERIES(text), end / 16, "not in the file"},
        {SERIES(text), UINT32_MAX, "not in the file"},
        {SERIES(text_size), 0, "0 bytes of text"},
        {SERIES(text_size), 3, "3 bytes of text"},
        {SERIES(text_size), 9, "strings of 10 bytes in a text of 9"},
        {SERIES(text_size), UINT16_MAX, "65535 bytes of text"},
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++)
        try_damage(e, &damages[i], false);
    static const char *const invalid[] = {"\xff", "\xc0\x80", "\xed\xa0\x80", "a\xe2\x82"};
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
        sb_series_fill(&b, 1, 1, LIST("GET", invalid[i]), 1000 + i);
        take();
        assert_int_equal(snapshot->skipped_series, 1);
        expect_problem("label value 1 is not UTF-8");
    }
    sb_series_fill(&b, 1, 1, LIST("GET", "a b"), 2000);
    b.base[(uint64_t)e->text * 16 + 8] = 0; /* "a\0b" */
    take();
    expect_problem("label value 1 is not UTF-8");
    char longest[LIBSHM_MAX_LABEL_VALUE + 2];
    memset(longest, 'x', sizeof longest);
    longest[LIBSHM_MAX_LABEL_VALUE + 1] = '\0';
    sb_series_fill(&b, 1, 1, LIST("GET", longest), 2001);
    take();
    expect_problem("label value 1 is not UTF-8 of up to 1024 bytes");
    sb_series_fill(&b, 1, 1, LIST("GET", longest + 1), 2002);
    take();
    assert_string_equal(only("h")->label_values[1], longest + 1);
}

static void bad_group(void **state)
{
    (void)state;
    sound_and_other();
    struct libshm_group *g = sb_entry(&b, LIBSHM_TABLE_GROUPS, 0), good = *g;
    const struct libshm_group bad[] = {
        {0, 2, 1, 0},
        {good.base + 16, 2, 1, 0},
        {b.header->file_end, 2, 1, 0},
        {UINT64_MAX - 4095, 2, 1, 0},
        {good.base, 1025, 1, 0},
        {good.base, UINT16_MAX, 1, 0},
        {good.base, 2, 0, 0},
        {good.base, 2, 3, 0},
        {good.base, 2, 32, 0},
        {good.base, 2, UINT16_MAX, 0},
        {good.base, 100, 1, 0},
        {good.base, 0, 3, 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        *g = bad[i];
        sb_changed(&b);
        take();
        assert_int_equal(snapshot->n_series, 0);
        assert_int_equal(snapshot->skipped_series, 2);
        assert_int_equal(snapshot->n_families, 2);
        expect_problem("page group 0 is not");
        *g = good;
        sb_changed(&b);
        take();
        assert_int_equal(snapshot->n_series, 2);
        assert_int_equal(only("sound_total")->integer, 4);
    }
}

/* More lanes than the format allows, and all of them there. */
static void too_many_lanes(void **state)
{
    (void)state;
    uint32_t f = sb_family(&b, &(struct sb_family){.name = "a_total"});
    b.cpu_lanes = LIBSHM_MAX_CPU_LANES + 1;
    uint32_t s = sb_series(&b, f, NULL);
    take();
    assert_int_equal(snapshot->skipped_series, 1);
    expect_problem("page group 0 is not");
    ((struct libshm_group *)sb_entry(&b, LIBSHM_TABLE_GROUPS, 0))->cpu_lanes = LIBSHM_MAX_CPU_LANES;
    sb_cell(&b, s, 0, 1 + LIBSHM_MAX_CPU_LANES)->integer = 6;
    sb_changed(&b);
    take();
    assert_int_equal(only("a_total")->integer, 6);
}

static void long_texts(void **state)
{
    (void)state;
    char help[LIBSHM_MAX_HELP + 2], unit[LIBSHM_MAX_UNIT + 2];
    memset(help, 'h', sizeof help);
    memset(unit, 'u', sizeof unit);
    help[LIBSHM_MAX_HELP] = unit[LIBSHM_MAX_UNIT] = '\0';
    sb_family(&b, &(struct sb_family){.name = "a_total", .help = help, .unit = unit});
    take();
    assert_string_equal(family("a_total")->help, help);
    assert_string_equal(family("a_total")->unit, unit);
    help[LIBSHM_MAX_HELP] = 'h';
    help[LIBSHM_MAX_HELP + 1] = '\0';
    sb_family(&b, &(struct sb_family){.name = "b_total", .help = help});
    take();
    expect_problem("its help");
    unit[LIBSHM_MAX_UNIT] = 'u';
    unit[LIBSHM_MAX_UNIT + 1] = '\0';
    sb_family(&b, &(struct sb_family){.name = "c_total", .unit = unit});
    take();
    assert_int_equal(snapshot->skipped_families, 2);
    assert_int_equal(snapshot->n_families, 1);
    sb_family_entry(&b, 1)->status = 0;
    sb_changed(&b);
    take();
    expect_problem("its unit");
}

static void bad_tables(void **state)
{
    (void)state;
    sound_and_other();
    static const uint32_t tables[] = {LIBSHM_TABLE_GROUPS, LIBSHM_TABLE_FAMILIES, LIBSHM_TABLE_SERIES};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        uint32_t *leaf = (uint32_t *)(void *)(b.base + (uint64_t)b.header->tables[tables[t]].root * LIBSHM_PAGE);
        uint32_t good = *leaf, wrong[] = {0, UINT32_MAX, (uint32_t)(b.header->file_end / LIBSHM_PAGE)};
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            *leaf = wrong[i];
            sb_changed(&b);
            take();
            assert_int_equal(snapshot->n_series, 0);
            assert_int_equal(snapshot->skipped_series, 2);
            assert_int_equal(snapshot->skipped_families, tables[t] == LIBSHM_TABLE_FAMILIES ? 2 : 0);
            assert_true(snapshot->first_problem[0] != '\0');
            *leaf = good;
            sb_changed(&b);
            take();
            assert_int_equal(snapshot->n_series, 2);
            assert_string_equal(snapshot->first_problem, "");
        }
    }
}

/* ---- duplicates ------------------------------------------------------------------------------------------------ */

static void duplicate_series(void **state)
{
    (void)state;
    uint32_t f = sb_family(&b, &(struct sb_family){.name = "a_total", .labels = LIST("x", "y")});
    uint32_t first = sb_series(&b, f, LIST("ab", "c"));
    uint32_t other = sb_series(&b, f, LIST("a", "bc")); /* the same bytes, another series */
    uint32_t second = sb_series(&b, f, LIST("ab", "c")), third = sb_series(&b, f, LIST("ab", "c"));
    sb_cell(&b, first, 0, 1)->integer = 1;
    sb_cell(&b, other, 0, 1)->integer = 10;
    sb_cell(&b, second, 0, 1)->integer = 2;
    sb_cell(&b, third, 0, 1)->integer = 3;
    take();
    assert_int_equal(family("a_total")->n_series, 2);
    assert_int_equal(find_series("a_total", "ab")->integer, 1);
    assert_int_equal(find_series("a_total", "a")->integer, 10);
    assert_int_equal(snapshot->skipped_series, 2);
    expect_problem("series 2 at offset");
    expect_problem("the same labels");
    set_status(&sb_series_entry(&b, second)->status, 1, LIBSHM_STATE_REMOVED);
    take();
    assert_int_equal(snapshot->skipped_series, 1);
    expect_problem("series 3 at offset");
    set_status(&sb_series_entry(&b, first)->status, 1, LIBSHM_STATE_REMOVED);
    take(); /* the first one of those that are left */
    assert_int_equal(snapshot->skipped_series, 0);
    assert_int_equal(find_series("a_total", "ab")->integer, 3);
    sb_series_fill(&b, first, f, LIST("ab", "c"), 2); /* now there is one with a lower number again */
    take();
    assert_int_equal(snapshot->skipped_series, 1);
    assert_int_equal(find_series("a_total", "ab")->integer, 1);
    /* without labels */
    uint32_t g = sb_family(&b, &(struct sb_family){.name = "b_total"});
    sb_series(&b, g, NULL);
    sb_series(&b, g, NULL);
    take();
    assert_int_equal(family("b_total")->n_series, 1);
    assert_int_equal(snapshot->skipped_series, 2);
}

/* Duplicates are found also after others were removed: the table of label sets stays whole. */
/* Each reader places labels in its index elsewhere: some of these have a run that goes on from its end to its start. */
static void duplicates_after_removal(void **state)
{
    (void)state;
    enum { SERIES = 130, READERS = 50 };
    uint32_t f = sb_family(&b, &(struct sb_family){.name = "a_total", .labels = LIST("l")});
    char value[16];
    for (uint32_t i = 0; i < SERIES; i++) {
        snprintf(value, sizeof value, "%u", i);
        sb_series(&b, f, LIST(value));
    }
    for (uint32_t round = 0; round < READERS; round++) {
        const uint64_t generation = 1 + 2 * round;
        for (uint32_t i = 0; round && i < SERIES; i += 2) {
            snprintf(value, sizeof value, "%u", i);
            sb_series_fill(&b, i, f, LIST(value), generation);
        }
        take();
        assert_int_equal(family("a_total")->n_series, SERIES);
        for (uint32_t i = 0; i < SERIES; i += 2)
            set_status(&sb_series_entry(&b, i)->status, generation, LIBSHM_STATE_REMOVED);
        take();
        assert_int_equal(family("a_total")->n_series, SERIES / 2);
        for (uint32_t i = 0; i < SERIES; i += 2) { /* the others once more, in the places that became free */
            snprintf(value, sizeof value, "%u", i + 1);
            sb_series_fill(&b, i, f, LIST(value), generation + 1);
        }
        take();
        assert_int_equal(family("a_total")->n_series, SERIES / 2);
        assert_int_equal(snapshot->skipped_series, SERIES / 2);
        for (size_t i = 0; i < SERIES / 2; i++)
            assert_int_equal(family("a_total")->series[i].number, 2 * i); /* the lower number of each two */
        libshm_reader_close(reader);
        reader = NULL;
    }
}

static void duplicate_family(void **state)
{
    (void)state;
    uint32_t f = sb_family(&b, &(struct sb_family){.name = "a", .type = LIBSHM_TYPE_GAUGE});
    uint32_t g = sb_family(&b, &(struct sb_family){.name = "a", .type = LIBSHM_TYPE_UNKNOWN});
    sb_series(&b, f, NULL);
    sb_series(&b, g, NULL);
    take();
    assert_int_equal(snapshot->n_families, 1);
    assert_int_equal(family("a")->type, LIBSHM_TYPE_GAUGE);
    assert_int_equal(snapshot->skipped_families, 1);
    assert_int_equal(snapshot->skipped_series, 1);
    expect_problem("family 1 at offset");
    expect_problem("the same name as family 0, a");
    set_status(&sb_family_entry(&b, f)->status, 1, LIBSHM_STATE_REMOVED);
    set_status(&sb_series_entry(&b, 0)->status, 1, LIBSHM_STATE_REMOVED);
    take();
    assert_int_equal(family("a")->type, LIBSHM_TYPE_UNKNOWN);
    assert_int_equal(snapshot->skipped_families + snapshot->skipped_series, 0);
    assert_int_equal(only("a")->number, 1);
}

/* ---- TTL ------------------------------------------------------------------------------------------------------- */

static uint64_t monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void hidden(void **state)
{
    (void)state;
    const uint64_t ttl = monotonic() / 2; /* half of the time since the machine was started */
    uint32_t f = sb_family(&b, &(struct sb_family){.name = "a_total", .labels = LIST("l"), .ttl_ns = ttl});
    uint32_t g =
        sb_family(&b, &(struct sb_family){
                          .name = "h", .type = LIBSHM_TYPE_HISTOGRAM, .bounds = bounds, .n_bounds = 3, .ttl_ns = ttl});
    uint32_t one = sb_series(&b, f, LIST("one")), two = sb_series(&b, f, LIST("two")), h = sb_series(&b, g, NULL);
    struct libshm_series_entry *e = sb_series_entry(&b, one);
    e->moved_ns = sb_series_entry(&b, two)->moved_ns = sb_series_entry(&b, h)->moved_ns = monotonic();
    take();
    assert_int_equal(snapshot->n_series, 3);
    uint64_t layout = snapshot->layout_version, version = snapshot->directory_version;
    e->moved_ns = 1; /* idle for longer than the TTL: no writer had to notice */
    take();
    assert_int_equal(family("a_total")->n_series, 1);
    assert_null(find_series("a_total", "one"));
    assert_int_equal(snapshot->n_series, 2);
    assert_true(snapshot->layout_version > layout);
    assert_int_equal(snapshot->directory_version, version);
    layout = snapshot->layout_version;
    sb_cell(&b, two, 0, 1)->integer = 2;
    take();
    assert_int_equal(snapshot->layout_version, layout);
    assert_int_equal(find_series("a_total", "two")->integer, 2);
    sb_cell(&b, one, 0, 2)->integer = 8; /* moves */
    take();
    assert_int_equal(find_series("a_total", "one")->integer, 8);
    assert_true(snapshot->layout_version > layout);
    sb_cell(&b, one, 0, 2)->integer = 0;
    set_status(&e->status, 1, LIBSHM_STATE_HIDDEN); /* by a sweep */
    take();
    assert_null(find_series("a_total", "one"));
    e->moved_ns = monotonic();
    take();
    assert_null(find_series("a_total", "one")); /* hidden until its cells say otherwise */
    sb_cell(&b, one, 0, 0)->integer = 8;        /* a reset is no movement: raw totals count */
    take();
    assert_null(find_series("a_total", "one"));
    sb_cell(&b, one, 0, 3)->fractional = 9.5;
    take();
    assert_true(value_of(find_series("a_total", "one")) == 9.5);
    /* the same for a histogram, by the sum of any bucket */
    set_status(&sb_series_entry(&b, h)->status, 1, LIBSHM_STATE_HIDDEN);
    take();
    assert_int_equal(family("h")->n_series, 0);
    *sb_cell(&b, h, 3, 2) = (struct libshm_cell){1, 0};
    take();
    assert_int_equal(only("h")->count, 1);
    assert_int_equal(only("h")->buckets[3].integer, 1);
    /* hidden in a family without a TTL any more */
    sb_family_entry(&b, f)->ttl_ns = 0;
    sb_cell(&b, one, 0, 3)->fractional = 0;
    take();
    sb_changed(&b);
    take();
    assert_null(find_series("a_total", "one"));
    assert_non_null(find_series("a_total", "two"));
    set_status(&e->status, 1, LIBSHM_STATE_LIVE);
    take();
    assert_non_null(find_series("a_total", "one"));
    assert_int_equal(snapshot->skipped_series, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(contents),
        TEST(stability),
        TEST(reuse),
        TEST(unchanged),
        TEST(replaced_family),
        TEST(bad_family),
        TEST(bad_family_text),
        TEST(bad_series),
        TEST(bad_group),
        TEST(too_many_lanes),
        TEST(long_texts),
        TEST(bad_tables),
        TEST(duplicate_series),
        TEST(duplicates_after_removal),
        TEST(duplicate_family),
        TEST(hidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
