/* SPDX-License-Identifier: Apache-2.0
 *
 * A process ends at each store and system call of each kind of change, in turn. Afterwards the segment is sound,
 * another process can do the same change, and in the end as much is in use as if nobody had died. */
#define _GNU_SOURCE
#include "common_segment.h"

#include <fcntl.h>
#include <libshm/reader.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "common_changes.h"
#include "common_sound.h"

static unsigned long points, die_at;
static uint64_t *most_entries; /* shared with the children */

void libshm_test_point(const char *function, int line);
void libshm_test_point(const char *function, int line)
{
    (void)function, (void)line;
    const libshm_segment *segment = libshm_segments[1];
    if (segment && segment->header->journal.count > *most_entries)
        *most_entries = segment->header->journal.count;
    if (++points == die_at)
        _exit(42);
}

static int child_status(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

/* Does part of a change in a process of its own, which ends at point `at`: 42 if it came to it, 0 if all was done. */
static int run(int (*part)(libshm_segment *segment), const char *name, unsigned long at)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        libshm_segment *segment;
        points = 0;
        die_at = at;
        int error = libshm_open(name, NULL, &segment);
        error = error ? error : part(segment);
        if (error)
            fprintf(stderr, "in the child: %s (%s)\n", libshm_strerror(error), libshm_error_detail());
        _exit(error ? 1 : 0);
    }
    return child_status(child);
}

static struct segment_account account[1]; /* of the last complete change */

static void look(const struct change *change, const char *name, unsigned long at, bool complete)
{
    libshm_segment *segment;
    assert_done(libshm_open(name, NULL, &segment));
    const char *problem = segment_unsound(segment);
    if (problem)
        fail_msg("%s, dead at point %lu: %s", change->name, at, problem);
    if (complete)
        segment_account(segment, account);
    double witness = change->prepare ? changes_witness_value(segment) : 5;
    if (change->make != libshm_reset && witness != 5)
        fail_msg("%s, dead at point %lu: the witness is %g", change->name, at, witness);
    libshm_close(segment);
}

/* A reader that had a snapshot before the change sees the same afterwards as one that comes new. */
static void follow(libshm_reader *reader, const char *path, const struct change *change, unsigned long at)
{
    libshm_reader *new;
    const libshm_snapshot *a, *b;
    assert_done(libshm_reader_open(path, &new));
    assert_done(libshm_reader_snapshot(reader, &a));
    assert_done(libshm_reader_snapshot(new, &b));
    bool same = a->n_families == b->n_families && a->n_series == b->n_series;
    for (size_t f = 0; same && f < a->n_families; f++) {
        const libshm_family_view *x = &a->families[f], *y = &b->families[f];
        same = x->number == y->number && x->generation == y->generation && x->n_series == y->n_series;
        for (size_t s = 0; same && s < x->n_series; s++)
            same = x->series[s].number == y->series[s].number && x->series[s].generation == y->series[s].generation;
    }
    if (!same)
        fail_msg("%s, dead at point %lu: a reader was not told: %zu series in %zu families, there are %zu in %zu",
                 change->name, at, a->n_series, a->n_families, b->n_series, b->n_families);
    libshm_reader_close(new);
}

static bool one_death(struct fixture *fixture, const struct change *change, unsigned long at)
{
    char name[32];
    snprintf(name, sizeof name, "s%lu", at);
    libshm_reader *reader = NULL;
    const libshm_snapshot *before;
    if (change->prepare) {
        assert_int_equal(run(change->prepare, name, 0), 0);
        assert_done(libshm_reader_open(path_in(fixture, name), &reader));
        assert_done(libshm_reader_snapshot(reader, &before));
    }
    int result = run(change->make, name, at); /* at 0 nobody dies */
    if (result != 42 && result != 0)
        fail_msg("%s, to die at point %lu: %d", change->name, at, result);
    look(change, name, at, false);
    if (reader)
        follow(reader, path_in(fixture, name), change, at);
    libshm_reader_close(reader);
    assert_int_equal(run(change->make, name, 0), 0);
    look(change, name, at, true);
    assert_int_equal(unlink(path_in(fixture, name)), 0);
    return result == 42;
}

#define SHOW(word) (unsigned long long)account->word, (unsigned long long)complete.word

static void one_change(struct fixture *fixture, const struct change *change, unsigned long step)
{
    one_death(fixture, change, 0);
    struct segment_account complete = *account;            /* what is in use when nobody dies */
    unsigned long at = 1 + (unsigned long)getpid() % step; /* with a step: not always the same points */
    for (; one_death(fixture, change, at); at += step)
        if (memcmp(&complete, account, sizeof complete) != 0)
            fail_msg(
                "%s, dead at point %lu: bytes %llu (%llu), text units %llu (%llu), shown %llu (%llu), removed %llu "
                "(%llu), free %llu (%llu), groups %llu (%llu), attaches %llu (%llu), slots %llu (%llu)",
                change->name, at, SHOW(page_next), SHOW(text_units), SHOW(shown), SHOW(removed), SHOW(free),
                SHOW(tables[LIBSHM_TABLE_GROUPS]), SHOW(tables[LIBSHM_TABLE_ATTACHES]),
                SHOW(tables[LIBSHM_TABLE_SLOTS]));
    print_message("%-30s %lu points\n", change->name, at - 1);
}

static void each_change(void **state)
{
    *most_entries = 0;
    for (const struct change *change = changes; change->name; change++)
        one_change(*state, change, 500 / (unsigned long)rounds(100)); /* torture_registration takes every point */
    /* the journal has room for twice of what is ever noted */
    print_message("at most %llu journal entries\n", (unsigned long long)*most_entries);
    assert_in_range(*most_entries, 5, LIBSHM_JOURNAL_ENTRIES / 2);
}

/* ---- the journal by itself ---- */

static void undo_in_reverse(void **state)
{
    struct fixture *fixture = *state;
    libshm_segment *segment = fixture->segment;
    uint64_t *word = &segment->header->reserved2[0];
    libshm_mutex_lock(segment);
    assert_done(libshm_insert_lock(segment, 0));
    word[0] = 1;
    libshm_journal_store(segment, word, 2);
    libshm_journal_store(segment, word, 3); /* the same word twice: the first note counts */
    libshm_journal_store32(segment, (uint32_t *)&word[1] + 1, 7);
    assert_int_equal(segment->header->journal.count, 3);
    libshm_journal_abort(segment);
    assert_int_equal(word[0], 1);
    assert_int_equal(word[1], 0);
    assert_int_equal(segment->header->journal.count, 0);
    /* a change whose commit store was made is complete */
    libshm_journal_store(segment, word, 4);
    segment->header->journal.commit_value = 9;
    segment->header->journal.commit_at = libshm_offset(segment, &word[1]);
    word[1] = 9;
    uint64_t version = segment->header->directory_version;
    libshm_journal_recover(segment);
    assert_int_equal(word[0], 4);
    assert_true(segment->header->directory_version > version); /* readers must look again */
    assert_int_equal(STATISTIC(segment, repaired), 1);
    /* one whose commit store was not is undone */
    libshm_journal_store(segment, word, 5);
    segment->header->journal.commit_value = 10;
    segment->header->journal.commit_at = libshm_offset(segment, &word[1]);
    libshm_journal_recover(segment);
    assert_int_equal(word[0], 4);
    assert_int_equal(STATISTIC(segment, repaired), 2);
    libshm_journal_recover(segment); /* nothing to do */
    assert_int_equal(STATISTIC(segment, repaired), 2);
    libshm_insert_unlock(segment);
    libshm_mutex_unlock(segment);
}

/* A journal that somebody spoiled leads nowhere. */
static void spoiled(void **state)
{
    struct fixture *fixture = *state;
    libshm_segment *segment = fixture->segment;
    static const uint64_t places[] = {0, 1, 7, UINT64_MAX, UINT64_MAX - 7, UINT64_C(1) << 62, LIBSHM_MAX_BYTES};
    libshm_mutex_lock(segment);
    assert_done(libshm_insert_lock(segment, 0));
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct libshm_journal *journal = &segment->header->journal;
        journal->count = i % 2 ? UINT64_MAX : 1;
        journal->commit_at = places[i];
        for (size_t e = 0; e < LIBSHM_JOURNAL_ENTRIES; e++) {
            journal->entry[e].at = places[i];
            journal->entry[e].old = UINT64_MAX;
        }
        libshm_journal_recover(segment);
        assert_int_equal(journal->count, 0);
        assert_memory_equal(segment->header->magic, LIBSHM_MAGIC, 8);
    }
    libshm_insert_unlock(segment);
    libshm_mutex_unlock(segment);
}

int main(void)
{
    most_entries = mmap(NULL, LIBSHM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (most_entries == MAP_FAILED)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(undo_in_reverse, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(spoiled, segment_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(each_change, directory_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
