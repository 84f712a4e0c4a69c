/* SPDX-License-Identifier: Apache-2.0
 *
 * Something changes in the middle of a snapshot, at a place that is chosen: a page of the reader's mapping is made
 * unreadable, and the handler of the fault that its first load raises makes the change, then lets it go on. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdbool.h>

#include "reader_common.h"

#include "libshm/reader_internal.h"

static void (*change)(void);
static unsigned char *trap;
static struct sigaction before;

/* `what` happens just before the next load from the page at `offset` of the reader's mapping. */
static void arm(uint64_t offset, void (*what)(void))
{
    change = what;
    trap = (unsigned char *)reader->map + (offset & ~(uint64_t)(LIBSHM_PAGE - 1));
    if (mprotect(trap, LIBSHM_PAGE, PROT_NONE) != 0)
        SB_DIE("mprotect");
}

static void disarm(void)
{
    if (trap && mprotect(trap, LIBSHM_PAGE, PROT_READ) != 0)
        SB_DIE("mprotect");
    trap = NULL;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    unsigned char *at = info->si_addr;
    (void)context;
    if (!trap || at < trap || at >= trap + LIBSHM_PAGE) {
        sigaction(signal, &before, NULL); /* not ours: die of it */
        return;
    }
    disarm();
    change();
}

static void catch_faults(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    if (!reader)
        assert_int_equal(libshm_reader_open(b.path, &reader), 0);
    sigaction(SIGSEGV, &action, &before);
}

static void take_and(uint64_t offset, void (*what)(void))
{
    catch_faults();
    arm(offset, what);
    take();
    sigaction(SIGSEGV, &before, NULL);
    assert_null(trap); /* it was looked at */
}

static uint64_t offset_of(const void *place)
{
    return (uint64_t)((const unsigned char *)place - b.base);
}

static void set_status(uint64_t *status, uint64_t generation, uint32_t state)
{
    __atomic_store_n(status, LIBSHM_STATUS(generation, state), __ATOMIC_RELEASE);
    sb_changed(&b);
}

static uint32_t f, s;

/* Series s becomes another's, as the library does it. */
static void give_away(void)
{
    set_status(&sb_series_entry(&b, s)->status, 1, LIBSHM_STATE_REMOVED);
    set_status(&sb_series_entry(&b, s)->status, 2, LIBSHM_STATE_FREE);
    sb_cell(&b, s, 0, 1)->integer = 0;
    sb_cell(&b, s, 0, 2)->integer = 222;
    sb_series_fill(&b, s, f, LIST("new"), 2);
}

static void setup_two(void)
{
    f = sb_family(&b, &(struct sb_family){.name = "a_total", .labels = LIST("l")});
    sb_cell(&b, sb_series(&b, f, LIST("other")), 0, 2)->integer = 5;
    s = sb_series(&b, f, LIST("old"));
    sb_cell(&b, s, 0, 2)->integer = 111;
}

/* While the cells are read, with a directory that had not changed: it is noticed, and read again. */
static void cells_given_away(void **state)
{
    (void)state;
    setup_two();
    take();
    assert_int_equal(find_series("a_total", "old")->integer, 111);
    take_and(offset_of(sb_cell(&b, s, 0, 2)), give_away);
    assert_null(find_series("a_total", "old"));
    assert_int_equal(find_series("a_total", "new")->integer, 222);
    assert_int_equal(find_series("a_total", "other")->integer, 5);
    assert_string_equal(snapshot->first_problem, "");
}

/* While labels are copied. */
static void text_given_away(void **state)
{
    (void)state;
    setup_two();
    sb_pages(&b, 1);
    b.text_next = b.text_end; /* a text block in a page of its own */
    uint32_t t = sb_series(&b, f, LIST("third"));
    uint64_t text = (uint64_t)sb_series_entry(&b, t)->text * 16;
    take_and(text, give_away);
    assert_null(find_series("a_total", "old"));
    assert_int_equal(find_series("a_total", "new")->integer, 222);
    assert_int_equal(family("a_total")->n_series, 3);
    s = t;
    set_status(&sb_series_entry(&b, t)->status, 1, LIBSHM_STATE_REMOVED);
    take();
    set_status(&sb_series_entry(&b, t)->status, 1, LIBSHM_STATE_LIVE); /* copied again, and changes meanwhile */
    take_and(text, give_away);
    assert_null(find_series("a_total", "third"));
    assert_int_equal(snapshot->retried_series, 1);
    assert_int_equal(snapshot->skipped_series, 1); /* "new" is there twice by now */
}

static void grow_file(void)
{
    for (int i = 0; i < 600; i++) { /* new leaves, groups and texts, and a new family for some */
        char value[16];
        snprintf(value, sizeof value, "n%d", i);
        if (i == 300)
            f = sb_family(&b, &(struct sb_family){.name = "b_total", .labels = LIST("l")});
        sb_series(&b, f, LIST(value));
    }
}

/* The file grows while the directory is copied: no false alarm, and all is there in the next snapshot at the latest. */
static void growth(void **state)
{
    (void)state;
    setup_two();
    take_and(offset_of(sb_series_entry(&b, 0)), grow_file);
    assert_int_equal(snapshot->skipped_series + snapshot->skipped_families, 0);
    assert_string_equal(snapshot->first_problem, "");
    take();
    assert_int_equal(snapshot->n_series, 602);
    assert_string_equal(snapshot->first_problem, "");
}

static void refer_to_new(void)
{
    uint32_t late = sb_family(&b, &(struct sb_family){.name = "late_total", .labels = LIST("l")});
    struct libshm_series_entry *e = sb_series_entry(&b, 2);
    e->group = sb_group(&b, 1, 2);
    e->cells = sb_group_lane0(&b, e->group) + 16;
    e->n_cells = 1;
    b.text_next = b.text_end; /* the text in new pages */
    sb_series_fill(&b, 2, late, LIST("late"), 1);
    sb_cell(&b, 2, 0, 1)->integer = 9;
}

/* A series that lives when it is looked at, with family, text and group that were not there when the header was: it is
 * no problem, but shown. */
static void newer_than_the_header(void **state)
{
    (void)state;
    setup_two();
    sb_add_entry(&b, LIBSHM_TABLE_SERIES);
    take_and(offset_of(sb_series_entry(&b, 0)), refer_to_new);
    assert_string_equal(snapshot->first_problem, "");
    assert_int_equal(snapshot->n_series, 3);
    assert_int_equal(find_series("late_total", "late")->integer, 9);
}

static void move_labels(void)
{
    set_status(&sb_series_entry(&b, s)->status, 1, LIBSHM_STATE_REMOVED);
    sb_cell(&b, 299, 0, 2)->integer = 333;
    sb_series_fill(&b, 299, f, LIST("old"), 2);
}

/* The same labels under another number, after the first one was copied: no duplicate. */
static void moved(void **state)
{
    (void)state;
    setup_two();
    for (int i = 2; i < 300; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        sb_series(&b, f, LIST(value));
    }
    sb_series_entry(&b, 299)->status = 0;
    take_and(offset_of(sb_series_entry(&b, 256)), move_labels); /* between the two leaves */
    assert_int_equal(find_series("a_total", "old")->integer, 333);
    assert_int_equal(find_series("a_total", "old")->number, 299);
    assert_int_equal(snapshot->skipped_series, 0);
    assert_int_equal(snapshot->n_series, 299);
}

static void replace_family(void)
{
    set_status(&sb_family_entry(&b, f)->status, 1, LIBSHM_STATE_REMOVED);
}

/* A definition is replaced while the families are copied: no duplicate name. */
static void redeployed(void **state)
{
    (void)state;
    f = sb_family(&b, &(struct sb_family){.name = "a_total"});
    sb_series(&b, f, NULL);
    b.text_next = b.text_end; /* the text of the second one in pages of its own */
    uint32_t g = sb_family(&b, &(struct sb_family){.name = "a_total"});
    take_and((uint64_t)sb_family_entry(&b, g)->text * 16, replace_family);
    assert_int_equal(snapshot->n_families, 1);
    assert_int_equal(family("a_total")->number, g);
    assert_int_equal(snapshot->skipped_families + snapshot->skipped_series, 0);
    assert_string_equal(snapshot->first_problem, "");
}

static unsigned changes;
static void replace_again(void);
static void look_again(void);
static void (*header_looked_at)(void) = look_again;

static void look_again(void) /* at the end of the cells: the header */
{
    arm(offset_of(sb_cell(&b, s, 0, 2)), replace_again);
}

static void replace_again(void) /* in the middle of the cells */
{
    struct libshm_series_entry *e = sb_series_entry(&b, s);
    set_status(&e->status, LIBSHM_STATUS_GENERATION(e->status), LIBSHM_STATE_REMOVED);
    sb_cell(&b, s, 0, 2)->integer += 1000;
    set_status(&e->status, LIBSHM_STATUS_GENERATION(e->status) + 1, LIBSHM_STATE_LIVE);
    changes++;
    arm(0, header_looked_at);
}

/* It does not come to rest: the snapshot ends all the same, and what changed every time is not in it. */
static void never_at_rest(void **state)
{
    (void)state;
    setup_two();
    uint32_t own = sb_group(&b, 1, 2); /* of this series alone */
    sb_series_entry(&b, s)->group = own;
    sb_series_entry(&b, s)->cells = sb_group_lane0(&b, own);
    take();
    assert_int_equal(snapshot->n_series, 2);
    changes = 0;
    catch_faults();
    arm(offset_of(sb_cell(&b, s, 0, 2)), replace_again);
    take();
    sigaction(SIGSEGV, &before, NULL);
    disarm();
    assert_int_equal(changes, LIBSHM_COPY_TRIES);
    assert_int_equal(family("a_total")->n_series, 1);
    assert_int_equal(find_series("a_total", "other")->integer, 5);
    assert_string_equal(snapshot->first_problem, "");
    uint64_t layout = snapshot->layout_version;
    take();
    assert_int_equal(family("a_total")->n_series, 2);
    assert_int_equal(find_series("a_total", "old")->integer, LIBSHM_COPY_TRIES * 1000);
    assert_true(snapshot->layout_version > layout);
}

static void look_again_then_move(void)
{
    if (changes < LIBSHM_COPY_TRIES - 1)
        arm(offset_of(sb_cell(&b, s, 0, 2)), replace_again);
    else
        arm(offset_of(sb_series_entry(&b, 256)), move_labels);
}

/* The same as moved(), in the last one of the tries. */
static void moved_at_last(void **state)
{
    (void)state;
    setup_two();
    uint32_t own = sb_group(&b, 1, 2);
    sb_series_entry(&b, s)->group = own;
    sb_series_entry(&b, s)->cells = sb_group_lane0(&b, own);
    for (int i = 2; i < 300; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        sb_series(&b, f, LIST(value));
    }
    sb_series_entry(&b, 299)->status = 0;
    take();
    changes = 0;
    header_looked_at = look_again_then_move;
    catch_faults();
    arm(offset_of(sb_cell(&b, s, 0, 2)), replace_again);
    take();
    sigaction(SIGSEGV, &before, NULL);
    assert_null(trap);
    header_looked_at = look_again;
    assert_int_equal(changes, LIBSHM_COPY_TRIES - 1);
    assert_int_equal(snapshot->skipped_series, 0);
    assert_string_equal(snapshot->first_problem, "");
    take();
    assert_int_equal(find_series("a_total", "old")->number, 299);
    assert_int_equal(snapshot->n_series, 299);
}

static void other_process(void)
{
    struct libshm_slot_entry *e = sb_entry(&b, LIBSHM_TABLE_SLOTS, 0);
    __atomic_store_n(&e->serial, 0, __ATOMIC_RELEASE);
    e->pid = 2;
    __atomic_store_n(&e->serial, 6, __ATOMIC_RELEASE);
    sb_live_set(&b, 0, 0, 1, 1000);
}

/* A slot changes hands while its cells are read: the new process's value is not the old one's. */
static void slot_given_away(void **state)
{
    (void)state;
    sb_series(&b, sb_family(&b, &(struct sb_family){.name = "g", .type = LIBSHM_TYPE_GAUGE, .mode = LIBSHM_GAUGE_SUM}),
              NULL);
    sb_slot(&b, 5, 1);
    sb_live_set(&b, 0, 0, 1, 4);
    int locks[] = {sb_live_lock(&b, 5), sb_live_lock(&b, 6)};
    take();
    assert_true(only("g")->fractional == 4);
    uint32_t page = ((struct libshm_slot_entry *)sb_entry(&b, LIBSHM_TABLE_SLOTS, 0))->live_page;
    take_and((uint64_t)page * LIBSHM_PAGE, other_process);
    assert_true(only("g")->fractional == 0);
    take();
    assert_true(only("g")->fractional == 1000);
    assert_int_equal(snapshot->processes[0].pid, 2);
    close(locks[0]);
    close(locks[1]);
}

int main(void)
{
    if (getenv("UNDER_VALGRIND")) {
        puts("skipped: valgrind does not keep all registers over a fault that is returned from");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        TEST(cells_given_away), TEST(text_given_away), TEST(growth),        TEST(newer_than_the_header), TEST(moved),
        TEST(redeployed),       TEST(never_at_rest),   TEST(moved_at_last), TEST(slot_given_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
