/* SPDX-License-Identifier: Apache-2.0
 *
 * A reader of segments that others have damaged: at random, word by word, and cut off under it. Whatever it shows keeps
 * the promises of reader.h, and it can always be closed.
 *
 * Arguments: seed, rounds. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>

#include "reader_common.h"

#include "libshm/reader_internal.h"

static const double bounds[] = {0.5, 1, 2.5};
static uint64_t seed, random_state;
static long rounds = 3000;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static uint64_t below(uint64_t n)
{
    return next_random() % n;
}

static int locks[3];

static struct {
    uint64_t family[8], text[8], series[160], slot[3];
} places; /* before anything is damaged */

static uint64_t place_of(uint32_t table, uint32_t number)
{
    return (uint64_t)((unsigned char *)sb_entry(&b, table, number) - b.base);
}

/* Some of everything. */
static void build(void)
{
    static const char *const names[] = {"a_total", "b", "c", "d", "e", "f_info", "g", "h_total"};
    static const uint32_t types[] = {1, 2, 2, 3, 4, 5, 2, 1}, modes[] = {0, 0, 1, 0, 0, 0, 4, 0};
    char value[16];
    for (uint32_t i = 0; i < 8; i++) {
        uint32_t f = sb_family(&b, &(struct sb_family){.name = names[i],
                                                       .type = types[i],
                                                       .mode = modes[i],
                                                       .labels = i % 2 ? LIST("x", "y") : LIST("x"),
                                                       .bounds = bounds,
                                                       .n_bounds = types[i] == LIBSHM_TYPE_HISTOGRAM ? 3 : 0,
                                                       .ttl_ns = i == 7});
        for (uint32_t n = 0; n < 20; n++) {
            snprintf(value, sizeof value, "%u", n);
            uint32_t s = sb_series(&b, f, i % 2 ? LIST(value, "\xc3\xa4") : LIST(value));
            if (modes[i] == 0)
                sb_cell(&b, s, 0, 2)->integer = n;
        }
    }
    for (uint32_t p = 0; p < 3; p++) {
        uint32_t slot = sb_slot(&b, p + 1, p);
        locks[p] = sb_live_lock(&b, p + 1);
        for (uint32_t n = 0; n < 40; n += p + 1)
            sb_live_set(&b, slot, n, 1, n);
        places.slot[p] = place_of(LIBSHM_TABLE_SLOTS, p);
    }
    for (uint32_t n = 0; n < 8; n++) {
        places.family[n] = place_of(LIBSHM_TABLE_FAMILIES, n);
        places.text[n] = (uint64_t)sb_family_entry(&b, n)->text * 16;
    }
    for (uint32_t n = 0; n < 160; n++)
        places.series[n] = place_of(LIBSHM_TABLE_SERIES, n);
}

static void check_text(const char *text, size_t most)
{
    size_t length = strlen(text);
    assert_true(length <= most && libshm_utf8_valid(text, length));
}

static void check_snapshot(void)
{
    const libshm_snapshot *s = snapshot;
    size_t n_series = 0, alive = 0;
    assert_non_null(memchr(s->first_problem, 0, sizeof s->first_problem));
    assert_int_equal(s->skipped_families + s->skipped_series == 0 || s->first_problem[0] != '\0', 1);
    for (size_t i = 0; i < s->n_families; i++) {
        const libshm_family_view *f = &s->families[i];
        assert_true(i == 0 || strcmp(s->families[i - 1].name, f->name) < 0);
        assert_true(libshm_metric_name_valid(f->name, strlen(f->name)));
        check_text(f->help, LIBSHM_MAX_HELP);
        check_text(f->unit, LIBSHM_MAX_UNIT);
        assert_true(f->type >= LIBSHM_TYPE_COUNTER && f->type <= LIBSHM_TYPE_UNKNOWN);
        assert_true(f->gauge_mode <= LIBSHM_GAUGE_ALL && f->n_labels <= LIBSHM_MAX_LABELS);
        assert_true(f->n_bounds <= (f->type == LIBSHM_TYPE_HISTOGRAM ? LIBSHM_MAX_BOUNDS : 0));
        for (uint32_t n = 0; n < f->n_labels; n++)
            assert_true(libshm_label_name_valid(f->label_names[n], strlen(f->label_names[n])));
        for (uint32_t n = 0; n < f->n_bounds; n++)
            assert_true(isfinite(f->bounds[n]) && (n == 0 || f->bounds[n] > f->bounds[n - 1]));
        for (size_t n = 0; n < f->n_series; n++) {
            const libshm_series_view *v = &f->series[n];
            uint64_t count = 0;
            assert_true(n == 0 || v[-1].number < v->number ||
                        (v[-1].number == v->number && v[-1].process <= v->process && v->process));
            for (uint32_t l = 0; l < f->n_labels; l++)
                check_text(v->label_values[l], LIBSHM_MAX_LABEL_VALUE);
            if (f->type == LIBSHM_TYPE_COUNTER)
                assert_true(v->fractional >= 0);
            if (f->type == LIBSHM_TYPE_HISTOGRAM || f->type == LIBSHM_TYPE_SUMMARY) {
                for (uint32_t k = 0; k <= f->n_bounds; k++)
                    count += v->buckets[k].integer;
                assert_int_equal(count, v->count);
            }
        }
        n_series += f->n_series;
    }
    assert_int_equal(n_series, s->n_series);
    for (size_t i = 0; i < s->n_processes; i++) {
        check_text(s->processes[i].name, 16);
        alive += s->processes[i].alive != 0;
    }
    assert_int_equal(alive, s->n_alive);
}

/* A number that somebody might write there. */
static uint64_t odd_number(uint64_t old)
{
    switch (below(12)) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return UINT64_MAX;
    case 3:
        return old + 1;
    case 4:
        return old - 1;
    case 5:
        return UINT64_C(1) << below(64);
    case 6:
        return old ^ UINT64_C(1) << below(64);
    case 7:
        return b.header->file_end - below(3) * 8;
    case 8:
        return b.header->file_end / LIBSHM_PAGE - below(2);
    case 9:
        return below(b.header->file_end / LIBSHM_PAGE + 4); /* a page number */
    case 10:
        return below(b.header->file_end / 16 + 16); /* a place of texts */
    default:
        return next_random();
    }
}

static void damage(uint64_t end)
{
    uint64_t at, old = 0, value;
    switch (below(6)) { /* where it counts, mostly */
    case 0:
        at = 128 + below(LIBSHM_PAGE - 128);
        break;
    case 1:
        at = places.family[below(8)] + below(128);
        break;
    case 2:
        at = places.series[below(160)] + below(64);
        break;
    case 3:
        at = places.text[below(8)] + below(64);
        break;
    case 4:
        at = places.slot[below(3)] + below(64);
        break;
    default:
        at = LIBSHM_PAGE + below(end - LIBSHM_PAGE);
    }
    unsigned size = 1u << below(4);
    at &= ~(uint64_t)(size - 1);
    if (at + size > end)
        return;
    memcpy(&old, b.base + at, size);
    value = odd_number(old);
    memcpy(b.base + at, &value, size);
}

static void random_damage(void **state)
{
    (void)state;
    uint64_t shots = 0, refused = 0, shown = 0, skipped = 0;
    print_message("seed %llu\n", (unsigned long long)seed);
    random_state = seed * 2 + 1;
    build();
    uint64_t end = b.header->file_end;
    unsigned char *pristine = malloc(end);
    assert_non_null(pristine);
    memcpy(pristine, b.base, end);
    libshm_reader *old = NULL; /* one that sees it all, and a fresh one every time */
    assert_int_equal(libshm_reader_open(b.path, &old), 0);
    for (long round = 0; round < rounds; round++) {
        for (uint64_t n = below(8) + 1; n > 0; n--)
            damage(end);
        if (below(4) == 0 && ftruncate(b.fd, (off_t)(LIBSHM_PAGE + below(end - LIBSHM_PAGE))) != 0)
            SB_DIE("ftruncate");
        if (below(8) != 0)
            b.header->directory_version = (uint64_t)round + 100000;
        for (int fresh = 0; fresh < 2; fresh++) {
            libshm_reader *r = old;
            int error = fresh ? libshm_reader_open(b.path, &r) : 0;
            if (!error)
                error = libshm_reader_snapshot(r, &snapshot);
            shots++;
            if (error) {
                assert_true(error == LIBSHM_E_DAMAGED || error == LIBSHM_E_VERSION || error == LIBSHM_E_NOT_SEGMENT);
                assert_true(strlen(libshm_error_detail()) > 0);
                refused++;
            } else {
                check_snapshot();
                shown += snapshot->n_series;
                skipped += snapshot->skipped_series;
            }
            if (fresh)
                libshm_reader_close(r);
        }
        if (ftruncate(b.fd, (off_t)end) != 0)
            SB_DIE("ftruncate");
        memcpy(b.base, pristine, end);
        b.header->directory_version = (uint64_t)round + 100000000; /* something changed again */
    }
    /* sound again, in new generations (no writer changes an entry within one): all of it is there */
    for (uint32_t n = 0; n < 8; n++)
        sb_family_entry(&b, n)->status += 256;
    for (uint32_t n = 0; n < 160; n++)
        sb_series_entry(&b, n)->status += 256;
    assert_int_equal(libshm_reader_snapshot(old, &snapshot), 0);
    assert_string_equal(snapshot->first_problem, "");
    assert_int_equal(snapshot->skipped_families + snapshot->skipped_series, 0);
    assert_int_equal(snapshot->n_families, 8);
    libshm_reader_close(old);
    free(pristine);
    for (int i = 0; i < 3; i++)
        close(locks[i]);
    print_message("%llu snapshots, %llu refused, %.1f series shown and %.1f skipped on average\n",
                  (unsigned long long)shots, (unsigned long long)refused, (double)shown / (double)shots,
                  (double)skipped / (double)shots);
    assert_true(rounds < 1000 || (shown > 0 && skipped > 0 && refused > 0));
}

/* ---- a load that fails, wherever ------------------------------------------------------------------------------- */

static sigjmp_buf out;

static void jump(int signal)
{
    siglongjmp(out, signal);
}

/* A signal at any page's first load, in the first snapshot and in a later one. After the jump the reader is closed;
 * that nothing is lost or freed twice is the sanitizer's and valgrind's to see. */
static void jump_out(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = jump}, before[2];
    build();
    uint64_t pages = b.header->file_end / LIBSHM_PAGE;
    volatile unsigned jumps = 0;
    sigaction(SIGSEGV, &action, &before[0]);
    sigaction(SIGBUS, &action, &before[1]);
    for (volatile uint64_t page = 0; page < pages; page++)
        for (volatile int later = 0; later < 2; later++) {
            assert_int_equal(libshm_reader_open(b.path, &reader), 0);
            if (later) {
                assert_int_equal(libshm_reader_snapshot(reader, &snapshot), 0);
                sb_series_entry(&b, (uint32_t)below(160))->status += 256; /* something to copy again */
                sb_changed(&b);
            }
            if (sigsetjmp(out, 1) == 0) {
                assert_int_equal(mprotect((char *)reader->map + page * LIBSHM_PAGE, LIBSHM_PAGE, PROT_NONE), 0);
                libshm_reader_snapshot(reader, &snapshot);
            } else {
                jumps++;
            }
            libshm_reader_close(reader);
            reader = NULL;
        }
    sigaction(SIGSEGV, &before[0], NULL);
    sigaction(SIGBUS, &before[1], NULL);
    assert_true(jumps > pages); /* most pages are looked at */
    for (int i = 0; i < 3; i++)
        close(locks[i]);
}

int main(int argc, char **argv)
{
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    rounds = argc > 2 ? strtol(argv[2], NULL, 10) : getenv("UNDER_VALGRIND") ? 300 : rounds;
    random_state = seed * 2 + 1;
    const struct CMUnitTest tests[] = {TEST(random_damage), TEST(jump_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
