/* SPDX-License-Identifier: Apache-2.0
 *
 * Process slots and live gauges: only living processes count, a reused slot shows no ghost, chains of live pages end.
 */
#define _GNU_SOURCE
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "reader_common.h"

static uint32_t gauge(const char *name, uint32_t mode)
{
    return sb_series(&b, sb_family(&b, &(struct sb_family){.name = name, .type = LIBSHM_TYPE_GAUGE, .mode = mode}),
                     NULL);
}

static void slots(void **state)
{
    (void)state;
    sb_slot(&b, 0, 1);
    uint32_t two = sb_slot(&b, 12, 4711), dead = sb_slot(&b, 13, 4712);
    int lock = sb_live_lock(&b, 12);
    struct libshm_slot_entry *e = sb_entry(&b, LIBSHM_TABLE_SLOTS, dead);
    memcpy(e->name, "sixteen \n\x1b\xff bytes", 16);
    take();
    assert_int_equal(snapshot->n_processes, 2);
    assert_int_equal(snapshot->n_alive, 1);
    const libshm_process_view *p = snapshot->processes;
    assert_int_equal(p[0].slot, two);
    assert_int_equal(p[0].serial, 12);
    assert_int_equal(p[0].pid, 4711);
    assert_int_equal(p[0].pid_ns, 4026531836);
    assert_int_equal(p[0].taken_ns, 5000);
    assert_int_equal(p[0].alive, 1);
    assert_string_equal(p[0].name, "worker");
    assert_int_equal(p[1].alive, 0);
    assert_string_equal(p[1].name, "sixteen ??? byte");
    memcpy(e->name, "K\xc3\xb6ln\0\xff", 8);
    take();
    assert_string_equal(snapshot->processes[1].name, "K\xc3\xb6ln");
    e->serial = UINT64_C(1) << 60; /* would be another kind of lock */
    take();
    assert_int_equal(snapshot->processes[1].alive, 0);
    expect_problem("process slot 2 at offset");
    expect_problem("serial 1152921504606846976");
    e->serial = UINT64_MAX;
    take();
    assert_int_equal(snapshot->n_alive, 1);
    e->serial = 0;
    close(lock);
    take();
    assert_int_equal(snapshot->n_processes, 1);
    assert_int_equal(snapshot->n_alive, 0);
    assert_string_equal(snapshot->first_problem, "");
}

static void merged(void **state)
{
    (void)state;
    uint32_t s[] = {gauge("sum", LIBSHM_GAUGE_SUM), gauge("min", LIBSHM_GAUGE_MIN), gauge("max", LIBSHM_GAUGE_MAX),
                    gauge("all", LIBSHM_GAUGE_ALL)};
    take();
    assert_true(only("sum")->fractional == 0); /* defined, and nobody lives */
    assert_int_equal(family("min")->n_series + family("max")->n_series + family("all")->n_series, 0);
    assert_int_equal(snapshot->n_series, 1);
    static const double values[] = {3, -1.5, 10};
    int locks[3];
    for (uint32_t p = 0; p < 3; p++) {
        uint32_t slot = sb_slot(&b, 20 - p, 100 + p); /* the serials fall while the slots rise */
        locks[p] = sb_live_lock(&b, 20 - p);
        for (uint32_t i = 0; i < 4; i++)
            sb_live_set(&b, slot, i, 1, values[p]);
    }
    sb_live_set(&b, sb_slot(&b, 30, 1), 0, 1, 1000); /* dead */
    sb_live_set(&b, sb_slot(&b, 0, 1), 0, 1, 1000);  /* not in use */
    uint32_t fourth = sb_slot(&b, 31, 2);            /* lives, and never wrote */
    int lock = sb_live_lock(&b, 31);
    sb_live_set(&b, fourth, 0, 2, 1000); /* of another owner of the number */
    take();
    uint64_t layout = snapshot->layout_version;
    assert_true(only("sum")->fractional == 11.5);
    assert_true(only("min")->fractional == -1.5);
    assert_true(only("max")->fractional == 10);
    const libshm_family_view *all = family("all");
    assert_int_equal(all->n_series, 3);
    for (uint32_t p = 0; p < 3; p++) { /* by process */
        assert_int_equal(all->series[p].process, 18 + p);
        assert_int_equal(all->series[p].pid, 102 - p);
        assert_int_equal(all->series[p].pid_ns, 4026531836);
        assert_true(all->series[p].fractional == values[2 - p]);
        assert_int_equal(all->series[p].number, s[3]);
    }
    assert_int_equal(snapshot->n_series, 6);
    sb_live_set(&b, 0, 3, 1, 77);
    take();
    assert_int_equal(snapshot->layout_version, layout);
    assert_true(family("all")->series[2].fractional == 77);
    close(locks[2]); /* the process with the maximum ends */
    take();
    assert_true(only("sum")->fractional == 1.5);
    assert_true(only("max")->fractional == 3);
    assert_int_equal(family("all")->n_series, 2);
    assert_true(snapshot->layout_version > layout);
    close(locks[0]);
    close(locks[1]);
    take();
    assert_true(only("sum")->fractional == 0);
    assert_int_equal(family("min")->n_series + family("max")->n_series + family("all")->n_series, 0);
    assert_int_equal(snapshot->n_alive, 1);
    close(lock);
}

/* SIGKILL, and the next snapshot is right. */
static void killed(void **state)
{
    (void)state;
    gauge("sum", LIBSHM_GAUGE_SUM);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    sb_live_set(&b, sb_slot(&b, 5, 1), 0, 1, 4);
    pid_t child = fork();
    if (child == 0) {
        sb_live_lock(&b, 5);
        if (write(ready[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    take();
    assert_true(only("sum")->fractional == 4);
    kill(child, SIGSTOP); /* stopped is not dead */
    take();
    assert_true(only("sum")->fractional == 4);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    take();
    assert_true(only("sum")->fractional == 0);
    close(ready[0]);
    close(ready[1]);
}

/* A slot changes hands: its cells are zeroed, then it has a new serial. Stale stamps are not values. */
static void reused_slot(void **state)
{
    (void)state;
    uint32_t s = gauge("sum", LIBSHM_GAUGE_SUM), slot = sb_slot(&b, 5, 1);
    int lock = sb_live_lock(&b, 5);
    sb_live_set(&b, slot, 0, 1, 4);
    take();
    assert_true(only("sum")->fractional == 4);
    close(lock);
    struct libshm_slot_entry *e = sb_entry(&b, LIBSHM_TABLE_SLOTS, slot);
    e->serial = 0;
    sb_live_set(&b, slot, 0, 0, 0);
    e->serial = 6;
    lock = sb_live_lock(&b, 6);
    take();
    assert_true(only("sum")->fractional == 0);
    assert_int_equal(snapshot->n_alive, 1);
    sb_live_set(&b, slot, 0, 1, 5);
    /* the series is removed and its number becomes another's */
    sb_series_entry(&b, s)->status = LIBSHM_STATUS(1, LIBSHM_STATE_REMOVED);
    sb_series_fill(&b, s, 0, NULL, 2);
    take();
    assert_true(only("sum")->fractional == 0);
    sb_live_set(&b, slot, 0, 2, 6);
    take();
    assert_true(only("sum")->fractional == 6);
    close(lock);
}

/* The same number of series, another process: the layout is another one. */
static void another_process(void **state)
{
    (void)state;
    gauge("all", LIBSHM_GAUGE_ALL);
    uint32_t slot = sb_slot(&b, 5, 1);
    sb_live_set(&b, slot, 0, 1, 4);
    int locks[] = {sb_live_lock(&b, 5), sb_live_lock(&b, 6)};
    take();
    uint64_t layout = snapshot->layout_version;
    take();
    assert_int_equal(snapshot->layout_version, layout);
    ((struct libshm_slot_entry *)sb_entry(&b, LIBSHM_TABLE_SLOTS, slot))->serial = 6;
    take();
    assert_int_equal(only("all")->process, 6);
    assert_true(snapshot->layout_version > layout);
    close(locks[0]);
    close(locks[1]);
}

/* More live gauges than a page has cells, chains of pages that grow while they are known. */
static void chains(void **state)
{
    (void)state;
    enum { SERIES = 700, PROCESSES = 3 };
    uint32_t f = sb_family(
        &b, &(struct sb_family){.name = "g", .type = LIBSHM_TYPE_GAUGE, .mode = LIBSHM_GAUGE_SUM, .labels = LIST("l")});
    int locks[PROCESSES];
    for (uint32_t p = 0; p < PROCESSES; p++) {
        sb_slot(&b, p + 1, p);
        locks[p] = sb_live_lock(&b, p + 1);
    }
    for (uint32_t i = 0; i < SERIES; i++) {
        char value[16];
        snprintf(value, sizeof value, "%u", i);
        sb_series(&b, f, LIST(value));
        for (uint32_t p = 0; p < PROCESSES; p++)
            if (i % (p + 1) == 0) /* not everybody has every one */
                sb_live_set(&b, p, i, 1, i + (p + 1) * 1000);
        if (i % 100 == 0)
            take();
    }
    take();
    assert_int_equal(family("g")->n_series, SERIES);
    for (uint32_t i = 0; i < SERIES; i++) {
        double sum = 0;
        for (uint32_t p = 0; p < PROCESSES; p++)
            sum += i % (p + 1) == 0 ? i + (p + 1) * 1000 : 0;
        assert_true(family("g")->series[i].fractional == sum);
    }
    /* hostile chains: the pages that do not fit are left out, with a reason; everything ends */
    struct libshm_slot_entry *e = sb_entry(&b, LIBSHM_TABLE_SLOTS, 0);
    struct libshm_live_page *first = (void *)(b.base + (uint64_t)e->live_page * LIBSHM_PAGE);
    const uint32_t wrong[] = {e->live_page, UINT32_MAX, (uint32_t)(b.header->file_end / LIBSHM_PAGE), 1, 0};
    uint32_t good = first->next;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        first->next = wrong[i];
        libshm_reader_close(reader); /* known pages stay known */
        reader = NULL;
        take();
        assert_true(family("g")->series[0].fractional == 6000);
        assert_true(family("g")->series[257].fractional == 0);
        if (wrong[i] != 0)
            expect_problem("process slot 0 at offset");
        else
            assert_string_equal(snapshot->first_problem, "");
    }
    first->next = good;
    first->order = 7;
    take();
    assert_true(family("g")->series[0].fractional == 5000);
    assert_int_equal(family("g")->n_series, SERIES);
    first->order = 0;
    e->live_page = UINT32_MAX;
    take();
    expect_problem("process slot 0 at offset");
    e->live_page = ((struct libshm_slot_entry *)sb_entry(&b, LIBSHM_TABLE_SLOTS, 1))->live_page; /* another slot's */
    take();
    assert_true(family("g")->series[1].fractional == 0);
    for (uint32_t p = 0; p < PROCESSES; p++)
        close(locks[p]);
}

/* Many slots that claim the same chain cannot make the reader walk it for each of them. */
static void shared_chain(void **state)
{
    (void)state;
    gauge("sum", LIBSHM_GAUGE_SUM);
    uint32_t first = sb_slot(&b, 1, 1);
    sb_live_set(&b, first, 0, 1, 1);
    int locks[200];
    locks[0] = sb_live_lock(&b, 1);
    uint32_t page = ((struct libshm_slot_entry *)sb_entry(&b, LIBSHM_TABLE_SLOTS, first))->live_page;
    for (uint32_t i = 1; i < 200; i++) {
        uint32_t slot = sb_slot(&b, i + 1, i);
        ((struct libshm_slot_entry *)sb_entry(&b, LIBSHM_TABLE_SLOTS, slot))->live_page = page;
        locks[i] = sb_live_lock(&b, i + 1);
    }
    take();
    assert_int_equal(snapshot->n_alive, 200);
    expect_problem("live pages are shared");
    assert_true(only("sum")->fractional == (double)(b.header->file_end / LIBSHM_PAGE));
    for (uint32_t i = 0; i < 200; i++)
        close(locks[i]);
}

static void bad_live_series(void **state)
{
    (void)state;
    uint32_t f = sb_family(
        &b, &(struct sb_family){.name = "g", .type = LIBSHM_TYPE_GAUGE, .mode = LIBSHM_GAUGE_SUM, .labels = LIST("l")});
    sb_series(&b, f, LIST("a"));
    uint32_t s = sb_series(&b, f, LIST("b"));
    sb_series(&b, f, LIST("c"));
    const uint64_t wrong[] = {0, (1u << 20) + 1, UINT64_MAX, UINT64_C(1) << 32, 1};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        sb_series_entry(&b, s)->cells = wrong[i];
        sb_series_fill(&b, s, f, LIST("b"), 2 + i);
        take();
        assert_int_equal(snapshot->skipped_series, 1);
        assert_int_equal(family("g")->n_series, 2);
        assert_null(find_series("g", "b"));
        expect_problem("series 1 at offset");
        expect_problem(i < 4 ? "live cell" : "its live cell 1 is that of another series");
    }
    sb_series_entry(&b, s)->cells = 2;
    sb_series_entry(&b, s)->group = 0;
    sb_series_fill(&b, s, f, LIST("b"), 20);
    take();
    expect_problem("page group 0, should be none");
}

static void bad_slot_table(void **state)
{
    (void)state;
    gauge("sum", LIBSHM_GAUGE_SUM);
    sb_slot(&b, 1, 1);
    uint32_t *leaf = (uint32_t *)(void *)(b.base + (uint64_t)b.header->tables[LIBSHM_TABLE_SLOTS].root * LIBSHM_PAGE);
    *leaf = UINT32_MAX;
    take();
    assert_int_equal(snapshot->n_processes, 0);
    assert_int_equal(snapshot->n_series, 1);
    expect_problem("process slot 0: its part of the table is not in the file");
}

/* A live gauge goes with its processes, whatever the TTL of its family. */
static void ttl(void **state)
{
    (void)state;
    uint32_t f = sb_family(
        &b, &(struct sb_family){.name = "g", .type = LIBSHM_TYPE_GAUGE, .mode = LIBSHM_GAUGE_SUM, .ttl_ns = 1});
    uint32_t s = sb_series(&b, f, NULL);
    sb_series_entry(&b, s)->moved_ns = 1;
    take();
    assert_int_equal(family("g")->n_series, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(slots),  TEST(merged),       TEST(killed),          TEST(reused_slot),    TEST(another_process),
        TEST(chains), TEST(shared_chain), TEST(bad_live_series), TEST(bad_slot_table), TEST(ttl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
