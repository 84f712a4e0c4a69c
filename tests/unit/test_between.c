/* SPDX-License-Identifier: Apache-2.0
 *
 * What others do between two steps of a change: at each point in turn, before a store to shared memory or a system
 * call, a reader looks, or another process removes, holds, updates or dies. */
#define _GNU_SOURCE
#include "common_segment.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <libshm/reader.h>

#include "libshm/labels.h"

static void (*between)(void);
static unsigned long points, act_at; /* act_at 0: at each of them */

void libshm_test_point(const char *function, int line);
void libshm_test_point(const char *function, int line)
{
    (void)function, (void)line;
    void (*act)(void) = between;
    if (!act || (++points != act_at && act_at != 0))
        return;
    between = NULL; /* what it calls has points, too */
    act();
    between = act;
}

/* Calls with a point `at` at which `act` is called; false: there are fewer points. */
#define WITH_ACT(at, act, call)                                                                                        \
    __extension__({                                                                                                    \
        points = 0;                                                                                                    \
        act_at = (at);                                                                                                 \
        between = (act);                                                                                               \
        call;                                                                                                          \
        between = NULL;                                                                                                \
        points > 0 && points >= act_at;                                                                                \
    })

/* ---- another process, which does what it is told ---- */

enum command { HELLO = 1, REMOVE_AND_GET, GET, ADD, ADD_AND_DIE, DEFINE, COUNT, USE };

static struct {
    pid_t process;
    int to, from;
    unsigned long number; /* of the series, or family, that it is about */
} other;

static libshm_family *family; /* of whoever runs */
static libshm_segment *others_segment;

#define COUNTERS(...) METRIC(LIBSHM_TYPE_COUNTER, "c_total", .labels = LIBSHM_LABELS("l"), __VA_ARGS__)

/* A definition of a redeploy's subject, by labels: nobody alive but the one who is told so has the old one. */
static int define_subject(libshm_segment *segment, const char *const *labels, libshm_family **defined)
{
    char name[32];
    snprintf(name, sizeof name, "subject%lu_total", other.number);
    return libshm_family_define(segment, METRIC(LIBSHM_TYPE_COUNTER, name, .labels = labels), defined);
}

#define OLD_LABELS LIBSHM_LABELS("a", "b")
#define NEW_LABELS LIBSHM_LABELS("c")

static const char *label(const char *kind, unsigned long number)
{
    static char text[8][32];
    static unsigned next;
    char *to = text[next++ % 8];
    snprintf(to, sizeof text[0], "%s%lu", kind, number);
    return to;
}

static int serve(enum command command, unsigned long number)
{
    static libshm_counter counter;
    static libshm_family *subject;
    int error = 0;
    other.number = number;
    switch (command) {
    case HELLO:
        break;
    case REMOVE_AND_GET: /* of who removes the cells may be given away */
        error = libshm_series_remove(family, LIBSHM_VALUES(label("old", number)));
        if (libshm_counter_get(family, LIBSHM_VALUES(label("new", number)), &counter) == 0)
            libshm_counter_add(&counter, 100);
        break;
    case GET:
        error = libshm_counter_get(family, LIBSHM_VALUES(label("old", number)), &counter);
        break;
    case ADD:
        libshm_counter_add(&counter, 100);
        break;
    case ADD_AND_DIE:
        error = libshm_counter_get(family, LIBSHM_VALUES(label("old", number)), &counter);
        libshm_counter_add(&counter, 100);
        break;
    case DEFINE:
        error = define_subject(others_segment, OLD_LABELS, &subject);
        break;
    case COUNT: /* in the series that is there, or in the overflow series; without the lock, there may be none */
        (void)libshm_counter_get(subject, LIBSHM_VALUES("1", "1"), &counter);
        error = counter.cell ? 0 : LIBSHM_E_NOT_FOUND;
        libshm_counter_add(&counter, 7);
        break;
    case USE: /* makes a series; the lock is free */
        others_segment->process.wiped->stuck_until_ns = 0;
        error = libshm_counter_get(subject, LIBSHM_VALUES("1", "2"), &counter);
        break;
    }
    return error;
}

static void other_start(const libshm_metric *metric)
{
    int to[2], from[2];
    fflush(NULL);
    assert_int_equal(pipe2(to, O_CLOEXEC) | pipe2(from, O_CLOEXEC), 0);
    other.process = fork();
    assert_true(other.process >= 0);
    other.to = to[1];
    other.from = from[0];
    if (other.process != 0) {
        close(to[0]);
        close(from[1]);
        return;
    }
    libshm_counter first;
    struct {
        enum command command;
        unsigned long number;
    } told;
    close(to[1]);
    if (libshm_open("t", NULL, &others_segment) != 0 || libshm_family_define(others_segment, metric, &family) != 0 ||
        libshm_counter_get(family, LIBSHM_VALUES("theirs"), &first) != 0)
        _exit(1);
    while (read(to[0], &told, sizeof told) == sizeof told) {
        others_segment->process.wiped->stuck_until_ns =
            UINT64_MAX; /* who tells it may have the lock: nothing to wait for */
        int answer = serve(told.command, told.number);
        if (write(from[1], &answer, sizeof answer) != sizeof answer || told.command == ADD_AND_DIE)
            break;
    }
    _exit(0);
}

static int tell(enum command command)
{
    struct {
        enum command command;
        unsigned long number;
    } told;
    int answer;
    memset(&told, 0, sizeof told);
    told.command = command;
    told.number = other.number;
    if (write(other.to, &told, sizeof told) != sizeof told ||
        read(other.from, &answer, sizeof answer) != sizeof answer) {
        fprintf(stderr, "the other process is gone\n");
        abort();
    }
    if (command == ADD_AND_DIE)
        waitpid(other.process, NULL, 0);
    return answer;
}

static void other_end(void)
{
    close(other.to);
    close(other.from);
    kill(other.process, SIGKILL);
    waitpid(other.process, NULL, 0);
}

/* A series that nobody holds: its maker is gone. */
static int make_old(struct fixture *fixture)
{
    libshm_counter counter;
    (void)fixture;
    CHILD_CHECK(libshm_counter_get(family, LIBSHM_VALUES(label("old", other.number)), &counter) == 0);
    libshm_counter_add(&counter, 5);
    return 0;
}

/* ---- what a reader sees ---- */

static libshm_reader *reader;

static const libshm_snapshot *snapshot(const struct fixture *fixture)
{
    const libshm_snapshot *taken;
    if (!reader)
        assert_done(libshm_reader_open(path_in(fixture, "t"), &reader));
    assert_done(libshm_reader_snapshot(reader, &taken));
    return taken;
}

static double shown(const struct fixture *fixture, const char *value)
{
    const libshm_snapshot *taken = snapshot(fixture);
    double sum = 0;
    for (size_t f = 0; f < taken->n_families; f++)
        for (size_t s = 0; strcmp(taken->families[f].name, "c_total") == 0 && s < taken->families[f].n_series; s++)
            if (strcmp(taken->families[f].series[s].label_values[0], value) == 0)
                sum += (double)taken->families[f].series[s].integer;
    return sum;
}

static int teardown(void **state)
{
    libshm_reader_close(reader);
    reader = NULL;
    between = NULL;
    return fixture_teardown(state);
}

static struct fixture *seen_by;
static const char *being_made;

static void look(void)
{
    libshm_reader_close(reader); /* a new one looks at everything */
    reader = NULL;
    const libshm_snapshot *taken = snapshot(seen_by);
    if (taken->skipped_series || taken->skipped_families)
        fail_msg("point %lu, %s: %s", points, being_made, taken->first_problem);
    for (size_t f = 0; f < taken->n_families; f++)
        for (size_t s = 0; s < taken->families[f].n_series; s++) {
            const libshm_series_view *view = &taken->families[f].series[s];
            if (strcmp(view->label_values[0], "always") == 0 ? view->integer != 7
                                                             : strcmp(view->label_values[0], being_made) != 0)
                fail_msg("point %lu, %s: a reader sees %s, %llu", points, being_made, view->label_values[0],
                         (unsigned long long)view->integer);
        }
}

/* A reader sees what was before or what is afterwards, in a new place and in one that is used again. */
static void published_whole(void **state)
{
    struct fixture *fixture = seen_by = *state;
    libshm_counter counter;
    family = family_of(fixture->segment, COUNTERS(0));
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("always"), &counter));
    libshm_counter_add(&counter, 7);
    for (unsigned long n = 0; n < 6; n++) {
        being_made = label("made", n);
        bool any = WITH_ACT(0, look, assert_done(libshm_counter_get(family, LIBSHM_VALUES(being_made), &counter)));
        assert_true(any && points > 5);
        libshm_counter_add(&counter, 9);
        libshm_counter_put(&counter);
        assert_value(shown(fixture, being_made), 9);
        if (n % 2)
            libshm_attach_renew(fixture->segment, false);
        (void)WITH_ACT(0, look, assert_done(libshm_series_remove(family, LIBSHM_VALUES(being_made))));
        assert_value(shown(fixture, being_made), 0);
    }
}

static void find_always(void)
{
    struct libshm_labels labels;
    struct libshm_found found;
    const char *const *values = LIBSHM_VALUES("always"); /* labels point to it */
    assert_done(libshm_labels_set(family, values, &labels));
    if (!libshm_index_find_series(seen_by->segment, family->number, &labels, &found))
        fail_msg("point %lu, %s: a series that is there is not found", points, being_made);
}

/* The index is replaced by a larger one: what is in it is found all along, also after a death. */
static void found_all_along(void **state)
{
    struct fixture *fixture = seen_by = *state;
    libshm_counter counter;
    family = family_of(fixture->segment, COUNTERS(.max_series = 10000));
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("always"), &counter));
    uint64_t word = fixture->segment->header->index_word;
    for (unsigned long n = 0; n < 1000; n++) {
        being_made = label("made", n);
        (void)WITH_ACT(0, find_always, assert_done(libshm_counter_get(family, LIBSHM_VALUES(being_made), &counter)));
        libshm_counter_put(&counter);
    }
    assert_true(fixture->segment->header->index_word != word);
}

/* ---- removal ---- */

static void remove_and_get(void)
{
    (void)tell(REMOVE_AND_GET);
}

/* Somebody takes a handle while another process removes the series and uses its cells for the next one. */
static void removed_while_taken(void **state)
{
    struct fixture *fixture = *state;
    libshm_counter mine, counter;
    family = family_of(fixture->segment, COUNTERS(0));
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("mine"), &mine));
    other_start(COUNTERS(0));
    unsigned long n = 1;
    for (bool acted = true; acted; n++) {
        other.number = n;
        in_child(make_old, fixture);
        acted = WITH_ACT(n, remove_and_get,
                         assert_done(libshm_counter_get(family, LIBSHM_VALUES(label("old", n)), &counter)));
        libshm_counter_inc(&counter);
        double theirs = shown(fixture, label("new", n));
        if (theirs != (acted ? 100 : 0))
            fail_msg("removed at point %lu: the next series is %g", n, theirs);
    }
    assert_true(n > 2);
    other_end();
}

/* A redeploy whose old definition nobody knows any more. */
static int make_subject(struct fixture *fixture)
{
    libshm_segment *segment;
    libshm_family *subject;
    libshm_counter counter;
    (void)fixture;
    CHILD_CHECK(libshm_open("t", NULL, &segment) == 0 && define_subject(segment, OLD_LABELS, &subject) == 0 &&
                libshm_counter_get(subject, LIBSHM_VALUES("1", "1"), &counter) == 0);
    libshm_counter_add(&counter, 5);
    return 0;
}

static int defined_by_other, counted_by_other;

static void define_in_other(void)
{
    defined_by_other = tell(DEFINE);
    counted_by_other = defined_by_other ? defined_by_other : tell(COUNT);
}

/* What the subject's series have together. */
static double count_of_subject(const struct fixture *fixture)
{
    char name[32];
    double count = 0;
    const libshm_snapshot *taken = snapshot(fixture);
    snprintf(name, sizeof name, "subject%lu_total", other.number);
    for (size_t f = 0; f < taken->n_families; f++)
        for (size_t i = 0; strcmp(taken->families[f].name, name) == 0 && i < taken->families[f].n_series; i++)
            count += (double)taken->families[f].series[i].integer;
    return count;
}

static size_t labels_of_subject(const struct fixture *fixture)
{
    char name[32];
    const libshm_snapshot *taken = snapshot(fixture);
    snprintf(name, sizeof name, "subject%lu_total", other.number);
    assert_int_equal(taken->skipped_families + taken->skipped_series, 0);
    for (size_t f = 0; f < taken->n_families; f++)
        if (strcmp(taken->families[f].name, name) == 0)
            return taken->families[f].n_labels;
    return 0;
}

/* Somebody with the old definition comes back while it is being replaced: one of the two has the family, whole. */
static void defined_while_replaced(void **state)
{
    struct fixture *fixture = *state;
    family = family_of(fixture->segment, COUNTERS(0));
    other_start(COUNTERS(0));
    unsigned long n = 1, theirs = 0, ours = 0, counted = 0;
    for (bool acted = true; acted; n++) {
        libshm_family *subject;
        libshm_counter counter;
        int error = 0;
        other.number = n;
        in_child(make_subject, fixture);
        acted = WITH_ACT(n, define_in_other, error = define_subject(fixture->segment, NEW_LABELS, &subject));
        if (!acted)
            break;
        const int used_by_other = defined_by_other ? defined_by_other : tell(USE);
        if (!error)
            error = libshm_counter_get(subject, LIBSHM_VALUES("1"), &counter);
        if ((error == 0) == (used_by_other == 0) || (error == 0 && defined_by_other == 0))
            fail_msg("at point %lu: defined anew: %s; by the other: %s, and then used: %s", n, libshm_strerror(error),
                     libshm_strerror(defined_by_other), libshm_strerror(used_by_other));
        assert_int_equal(labels_of_subject(fixture), error ? 2 : 1);
        if (error && counted_by_other == 0 && count_of_subject(fixture) < 7)
            fail_msg("at point %lu: counted by the other and lost", n);
        counted += error && counted_by_other == 0;
        theirs += error != 0;
        ours += error == 0;
    }
    assert_true(theirs > 0 && ours > 0 && counted > 0);
    other_end();
}

static void make_hidden(struct fixture *fixture)
{
    struct libshm_labels labels;
    struct libshm_found found;
    in_child(make_old, fixture);
    assert_done(libshm_sweep(fixture->segment)); /* it has moved: remembered */
    const char *const *values = LIBSHM_VALUES(label("old", other.number));
    assert_done(libshm_labels_set(family, values, &labels));
    assert_true(libshm_index_find_series(fixture->segment, family->number, &labels, &found));
    found.entry->moved_ns = 1;
    assert_done(libshm_sweep(fixture->segment));
    assert_int_equal(LIBSHM_STATUS_STATE(libshm_status(&found.entry->status)), LIBSHM_STATE_HIDDEN);
    family->entry->last_sweep_ns = 0;
}

static void get(void)
{
    (void)tell(GET);
}

static void add_and_die(void)
{
    (void)tell(ADD_AND_DIE);
}

/* A segment with nothing but "mine" and, held by the other process, "theirs". */
static void begin_anew(struct fixture *fixture, const libshm_metric *metric, unsigned long number)
{
    libshm_counter mine;
    libshm_reader_close(reader);
    reader = NULL;
    libshm_close(fixture->segment);
    fixture->segment = NULL;
    unlink(path_in(fixture, "t"));
    assert_done(libshm_open("t", NULL, &fixture->segment));
    family = family_of(fixture->segment, metric);
    assert_done(libshm_counter_get(family, LIBSHM_VALUES("mine"), &mine));
    other.number = number;
    other_start(metric);
    assert_done(tell(HELLO));
}

/* At the cap, a hidden series makes room for a new one while somebody comes back to it: what was added is shown. */
static void taken_while_hidden(struct fixture *fixture, void (*act)(void), bool dies)
{
    const libshm_metric *metric = COUNTERS(.max_series = 3, .ttl_seconds = 3600);
    libshm_counter counter;
    unsigned long n = 1;
    for (bool acted = true; acted; n++) {
        int error = 0;
        begin_anew(fixture, metric, n);
        make_hidden(fixture);
        acted = WITH_ACT(n, act, error = libshm_counter_get(family, LIBSHM_VALUES(label("new", n)), &counter));
        assert_true(error == 0 || error == LIBSHM_E_OVERFLOW);
        libshm_counter_inc(&counter);
        if (acted && !dies)
            (void)tell(ADD);
        double mine = shown(fixture, label("new", n)), overflow = shown(fixture, "overflow");
        double old = shown(fixture, label("old", n));
        if (error == 0 && mine != 1)
            fail_msg("point %lu: the new series is %g", n, mine);
        if (acted && old + overflow < 100)
            fail_msg("point %lu: of 100 added %g are in the series, %g in the overflow series", n, old, overflow);
        other_end();
    }
    assert_true(n > 10);
}

static void held_while_taken(void **state)
{
    taken_while_hidden(*state, get, false);
}

static void moved_while_taken(void **state)
{
    taken_while_hidden(*state, add_and_die, true);
}

/* ---- the dead ---- */

static int takes_x(struct fixture *fixture)
{
    libshm_counter counter;
    (void)fixture;
    CHILD_CHECK(libshm_counter_get(family, LIBSHM_VALUES("x"), &counter) == 0);
    return 0;
}

static uint64_t state_of_x(const struct fixture *fixture)
{
    struct libshm_series_entry *entry;
    for (uint32_t n = 0; (entry = libshm_table_at(fixture->segment, LIBSHM_TABLE_SERIES, n)); n++)
        if (entry->family == family->number && libshm_status_shown(libshm_status(&entry->status)) &&
            memcmp(libshm_at(fixture->segment, (uint64_t)entry->text * 16, 3), "\1\0x", 3) == 0)
            break;
    assert_non_null(entry);
    assert_done(libshm_series_remove(family, LIBSHM_VALUES("x")));
    return LIBSHM_STATUS_STATE(libshm_status(&entry->status));
}

/* What a forked child held is free when it ends, though its parent lives. */
static void child_holds_alone(void **state)
{
    struct fixture *fixture = *state;
    family = family_of(fixture->segment, COUNTERS(0));
    in_child(takes_x, fixture);
    assert_int_equal(state_of_x(fixture), LIBSHM_STATE_FREE);
}

/* The attach of a dead process goes to another, without what the dead one held. */
static void attach_from_the_dead(void **state)
{
    struct fixture *fixture = *state;
    family = family_of(fixture->segment, COUNTERS(0));
    libshm_family *mine = family;
    in_child(takes_x, fixture);
    uint32_t attaches = libshm_table_count(fixture->segment, LIBSHM_TABLE_ATTACHES);
    other_start(COUNTERS(0));
    other.number = 1;
    (void)tell(GET);
    assert_int_equal(libshm_table_count(fixture->segment, LIBSHM_TABLE_ATTACHES), attaches);
    family = mine;
    assert_int_equal(state_of_x(fixture), LIBSHM_STATE_FREE);
    other_end();
}

static pid_t orphan;

/* In the child that ends: says which process it leaves behind. */
static bool leave_orphan(const struct fixture *fixture, pid_t child)
{
    FILE *file = fopen(path_in(fixture, "pid"), "w");
    return file && fprintf(file, "%d", (int)child) > 0 && fclose(file) == 0;
}

static int parent_of_orphan(struct fixture *fixture)
{
    libshm_segment *segment;
    libshm_gauge gauge;
    CHILD_CHECK(libshm_open("t", NULL, &segment) == 0);
    CHILD_CHECK(
        libshm_gauge_define(segment, METRIC(LIBSHM_TYPE_GAUGE, "live", .gauge_mode = LIBSHM_GAUGE_SUM), &gauge) == 0);
    libshm_gauge_set(&gauge, 5);
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    CHILD_CHECK(leave_orphan(fixture, child));
    return 0;
}

static pid_t read_orphan(const struct fixture *fixture)
{
    char pid[16] = "";
    FILE *file = fopen(path_in(fixture, "pid"), "r");
    assert_non_null(file);
    assert_non_null(fgets(pid, sizeof pid, file));
    fclose(file);
    unlink(path_in(fixture, "pid"));
    return (pid_t)strtol(pid, NULL, 10);
}

/* A process is dead when it is dead, whoever it has forked. */
static void orphans(void **state)
{
    struct fixture *fixture = *state;
    in_child(parent_of_orphan, fixture);
    orphan = read_orphan(fixture);
    assert_int_equal(kill(orphan, 0), 0);
    const libshm_snapshot *taken = snapshot(fixture);
    double live = -1;
    for (size_t f = 0; f < taken->n_families; f++)
        if (strcmp(taken->families[f].name, "live") == 0)
            live = taken->families[f].n_series ? taken->families[f].series[0].fractional : 0;
    kill(orphan, SIGKILL);
    assert_value(live, 0);
}

static int locks_and_forks(struct fixture *fixture)
{
    libshm_segment *segment;
    CHILD_CHECK(libshm_open("t", NULL, &segment) == 0);
    libshm_mutex_lock(segment);
    CHILD_CHECK(libshm_insert_lock(segment, 1000) == 0);
    CHILD_CHECK(libshm_slot_take(segment) == 0);
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        for (;;)
            pause();
    CHILD_CHECK(leave_orphan(fixture, child));
    _exit(0);
}

/* The insert lock of a dead process is free, though a child that it made without fork() keeps its description. */
static void lock_kept_by_child(void **state)
{
    struct fixture *fixture = *state;
    in_child(locks_and_forks, fixture);
    orphan = read_orphan(fixture);
    assert_int_equal(kill(orphan, 0), 0);
    family = family_of(fixture->segment, COUNTERS(0));
    assert_int_equal(STATISTIC(fixture->segment, lock_passed), 1);
    kill(orphan, SIGKILL);
}

static int passed_by_fd = -1;

/* As if another process had just passed by the byte that we are about to lock, and had the next one. */
static void pass_by(void)
{
    struct libshm_header *header = seen_by->segment->header;
    uint64_t byte = (header->lock_epoch + 1) & 0xffff;
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)(LIBSHM_INSERT_LOCK + byte), .l_len = 1};
    passed_by_fd = open(seen_by->segment->path, O_RDWR | O_CLOEXEC);
    if (passed_by_fd < 0 || fcntl(passed_by_fd, F_OFD_SETLK, &lock) != 0)
        abort();
    header->lock_epoch = seen_by->segment->process.wiped->slot_serial << 16 | byte;
}

static void lock_passed_meanwhile(void **state)
{
    struct fixture *fixture = seen_by = *state;
    libshm_gauge gauge;
    assert_done(libshm_gauge_define(fixture->segment, METRIC(LIBSHM_TYPE_GAUGE, "live", .gauge_mode = LIBSHM_GAUGE_SUM),
                                    &gauge));
    libshm_gauge_set(&gauge, 1); /* takes a slot: the lock's holder is alive */
    assert_int_not_equal(fixture->segment->process.wiped->slot_serial, 0);
    for (unsigned long at = 1; at < 3; at++) { /* before the open, and before the fcntl */
        int error = 0;
        libshm_mutex_lock(fixture->segment);
        assert_true(WITH_ACT(at, pass_by, error = libshm_insert_lock(fixture->segment, 10)));
        libshm_mutex_unlock(fixture->segment);
        assert_int_equal(error, LIBSHM_E_BUSY);
        close(passed_by_fd);
        fixture->segment->process.wiped->stuck_until_ns = 0;
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, segment_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(published_whole),    TEST(found_all_along),       TEST(removed_while_taken),    TEST(held_while_taken),
        TEST(moved_while_taken),  TEST(child_holds_alone),     TEST(attach_from_the_dead),   TEST(orphans),
        TEST(lock_kept_by_child), TEST(lock_passed_meanwhile), TEST(defined_while_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
