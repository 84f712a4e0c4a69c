/* SPDX-License-Identifier: Apache-2.0
 *
 * A reader beside writers that change everything under it. Every number that belongs to the labels "n" is n * 2^20 plus
 * something small, in counters and in buckets: whatever is shown, it is never one series' number under another's name,
 * no bucket disagrees with itself, and no counter decreases while its generation lives.
 *
 * Arguments: seed, milliseconds. */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "reader_common.h"

enum { SLOTS = 8, SERIES = 64, STEP = 1 << 20, REPEAT = 100 }; /* the label value is the number, REPEAT times over */

static uint64_t seed;
static long milliseconds = 1500;
static atomic_bool stop;
static atomic_ulong replaced;

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#if LIBSHM_RSEQ
static const bool two_stores = false;
#else
static const bool two_stores = true; /* of this test; no writer's */
#endif

/* One 16-byte store, as an update makes it. */
static void store(struct libshm_cell *at, uint64_t count, double sum)
{
#if LIBSHM_RSEQ
    __m128i value = _mm_set_epi64x(0, (int64_t)count);
    value = _mm_castpd_si128(_mm_loadh_pd(_mm_castsi128_pd(value), &sum));
    __asm__ __volatile__("movdqa %1, %0" : "=m"(*at) : "x"(value));
#else /* two stores: what lies between them shows, see store_all() */
    __atomic_store_n(&at->integer, count, __ATOMIC_RELEASE);
    __atomic_store(&at->fractional, &sum, __ATOMIC_RELEASE);
#endif
}

static void set_cells(uint32_t series, uint64_t id, uint64_t more)
{
    const struct libshm_series_entry *e = sb_series_entry(&b, series);
    for (uint32_t i = 0; i < e->n_cells; i++)
        store(sb_cell(&b, series, i, 2), id * STEP + more, (double)(id * STEP + more));
}

static const char *label(uint64_t id)
{
    static char value[10 * REPEAT + 1];
    snprintf(value, 11, "%010llu", (unsigned long long)id);
    for (int i = 1; i < REPEAT; i++)
        memcpy(value + 10 * i, value, 10);
    return value;
}

/* Labels without allocating a new text block every time: each series has two. */
static uint64_t texts[2 * SERIES][2];

static void fill(uint32_t series, uint64_t id, uint64_t generation)
{
    struct libshm_series_entry *e = sb_series_entry(&b, series);
    uint64_t text = texts[series][generation & 1];
    char value[16];
    snprintf(value, sizeof value, "%010llu", (unsigned long long)id);
    for (int i = 0; i < 10 * REPEAT; i++) /* slowly, so that a copy can be torn */
        __atomic_store_n(b.base + text + 2 + i, (unsigned char)value[i % 10], __ATOMIC_RELAXED);
    __atomic_store_n(&e->text, (uint32_t)(text / 16), __ATOMIC_RELAXED);
    __atomic_store_n(&e->created_ns, id, __ATOMIC_RELAXED);
}

/* Removes a series, gives its entry and cells to another, makes it live; the directory version grows as it does when
 * the library commits: after each change of a status. */
static void *replace(void *context)
{
    uint64_t random = seed * 2 + 1, id = SERIES * 10;
    (void)context;
    while (!atomic_load(&stop)) {
        uint32_t series = (uint32_t)(next_random(&random) % (2 * SERIES));
        struct libshm_series_entry *e = sb_series_entry(&b, series);
        uint64_t generation = LIBSHM_STATUS_GENERATION(e->status);
        __atomic_store_n(&e->status, LIBSHM_STATUS(generation, LIBSHM_STATE_REMOVED), __ATOMIC_RELEASE);
        sb_changed(&b);
        __atomic_store_n(&e->status, LIBSHM_STATUS(generation + 1, LIBSHM_STATE_FREE), __ATOMIC_RELEASE);
        sb_changed(&b);
        __atomic_store_n(&e->status, LIBSHM_STATUS(generation + 1, LIBSHM_STATE_BUILDING), __ATOMIC_RELEASE);
        set_cells(series, 0, 0);
        fill(series, ++id, generation + 1);
        set_cells(series, id, 0);
        __atomic_store_n(&e->status, LIBSHM_STATUS(generation + 1, LIBSHM_STATE_LIVE), __ATOMIC_RELEASE);
        sb_changed(&b);
        atomic_fetch_add_explicit(&replaced, 1, memory_order_relaxed);
        if (next_random(&random) % 4 == 0) { /* updates by its owner */
            for (uint64_t more = 1; more < 50; more++)
                set_cells(series, id, more);
        } else if (next_random(&random) % 8 == 0) {
            struct timespec pause = {.tv_nsec = (long)(next_random(&random) % 200000)};
            nanosleep(&pause, NULL); /* let a snapshot come through undisturbed */
        }
    }
    return NULL;
}

/* Grows the segment all the while: families, series, groups, leaves. */
static void *grow(void *context)
{
    uint32_t family = *(uint32_t *)context;
    for (uint32_t n = 0; !atomic_load(&stop) && n < 4000; n++) {
        char name[32];
        snprintf(name, sizeof name, "%010u", n);
        uint32_t s = sb_series(&b, family, LIST(name)); /* only this thread adds entries */
        (void)s;
        if (n % 128 == 0) {
            snprintf(name, sizeof name, "more_%u_total", n);
            sb_series(&b, sb_family(&b, &(struct sb_family){.name = name}), NULL);
        }
        struct timespec pause = {.tv_nsec = 100000};
        nanosleep(&pause, NULL);
    }
    return NULL;
}

/* Process slots change hands: another serial, pid, name and value, by the rules. */
static void *take_slots(void *context)
{
    uint64_t serial = 100;
    (void)context;
    while (!atomic_load(&stop)) {
        uint32_t n = (uint32_t)(serial % SLOTS);
        struct libshm_slot_entry *e = sb_entry(&b, LIBSHM_TABLE_SLOTS, n);
        struct libshm_live_page *page = (void *)(b.base + (uint64_t)e->live_page * LIBSHM_PAGE);
        __atomic_store_n(&e->serial, 0, __ATOMIC_SEQ_CST);
        store(&page->cell[0], 0, 0);
        __atomic_store_n(&e->pid, (uint32_t)serial, __ATOMIC_RELAXED);
        __atomic_store_n(&e->taken_ns, serial, __ATOMIC_RELAXED);
        __atomic_store_n(&e->serial, serial, __ATOMIC_RELEASE);
        store(&page->cell[0], 1, (double)serial);
        serial++;
    }
    return NULL;
}

static void check_processes(void)
{
    for (size_t i = 0; i < snapshot->n_processes; i++) {
        const libshm_process_view *p = &snapshot->processes[i];
        if (p->pid != (uint32_t)p->serial || p->taken_ns != p->serial || !p->alive)
            fail_msg("process %llu has pid %u, taken at %llu", (unsigned long long)p->serial, p->pid,
                     (unsigned long long)p->taken_ns);
    }
    const libshm_family_view *f = family("live");
    for (size_t i = 0; i < f->n_series; i++)
        if (f->series[i].pid != (uint32_t)f->series[i].process ||
            (f->series[i].fractional != (double)f->series[i].process && !two_stores))
            fail_msg("process %llu shows %g", (unsigned long long)f->series[i].process, f->series[i].fractional);
}

static pthread_t threads[3];
static bool running;

static void end_threads(void)
{
    atomic_store(&stop, true);
    for (int i = 0; i < 3 && running; i++)
        pthread_join(threads[i], NULL);
    running = false;
}

struct seen {
    uint64_t generation, value;
};

static void check_series(const libshm_series_view *s, bool histogram, struct seen *seen)
{
    char first[11];
    snprintf(first, sizeof first, "%.10s", s->label_values[0]);
    uint64_t id = strtoull(first, NULL, 10);
    if (strcmp(s->label_values[0], label(id)) != 0)
        fail_msg("series %u has labels of two: %s", s->number, s->label_values[0]);
    if (s->created_ns != id)
        fail_msg("series %u: created by %llu, labels of %llu", s->number, (unsigned long long)s->created_ns,
                 (unsigned long long)id);
    for (unsigned i = 0; i < (histogram ? 4 : 1); i++) {
        uint64_t value = histogram ? s->buckets[i].integer : s->integer;
        double sum = histogram ? s->buckets[i].fractional : s->fractional;
        if (value < id * STEP || value >= id * STEP + 50)
            fail_msg("series %u generation %llu %.10s shows %llu, which is %llu's", s->number,
                     (unsigned long long)s->generation, s->label_values[0], (unsigned long long)value,
                     (unsigned long long)(value / STEP));
        if (sum != (double)value && !two_stores)
            fail_msg("series %u: count %llu and sum %.17g", s->number, (unsigned long long)value, sum);
        if (i == 0 && seen->generation == s->generation && value < seen->value)
            fail_msg("series %u fell from %llu to %llu", s->number, (unsigned long long)seen->value,
                     (unsigned long long)value);
        if (i == 0) {
            seen->generation = s->generation;
            seen->value = value;
        }
    }
}

static void race(void **state)
{
    (void)state;
    static struct seen seen[2 * SERIES];
    static const double bounds[] = {1, 2, 3};
    print_message("seed %llu\n", (unsigned long long)seed);
    b.header->incarnation_ns = 0; /* created_ns is the series' own */
    uint32_t families[] = {sb_family(&b, &(struct sb_family){.name = "c_total", .labels = LIST("id")}),
                           sb_family(&b, &(struct sb_family){.name = "h",
                                                             .type = LIBSHM_TYPE_HISTOGRAM,
                                                             .labels = LIST("id"),
                                                             .bounds = bounds,
                                                             .n_bounds = 3}),
                           sb_family(&b, &(struct sb_family){.name = "growing_total", .labels = LIST("id")})};
    for (uint32_t n = 0; n < 2 * SERIES; n++) {
        assert_int_equal(sb_series(&b, families[n % 2], LIST(label(n + 1))), n);
        texts[n][0] = sb_text(&b, 2 + 10 * REPEAT);
        texts[n][1] = (uint64_t)sb_series_entry(&b, n)->text * 16;
        memcpy(b.base + texts[n][0], b.base + texts[n][1], 2);
        set_cells(n, n + 1, 0);
        sb_series_entry(&b, n)->created_ns = n + 1;
    }
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)LIBSHM_SLOT_LOCK, .l_len = 1L << 40};
    int all_alive = open(b.path, O_RDWR | O_CLOEXEC);
    assert_int_equal(fcntl(all_alive, F_OFD_SETLK, &lock), 0);
    sb_series(&b,
              sb_family(&b, &(struct sb_family){.name = "live", .type = LIBSHM_TYPE_GAUGE, .mode = LIBSHM_GAUGE_ALL}),
              NULL);
    for (uint32_t n = 0; n < SLOTS; n++)
        sb_live_set(&b, sb_slot(&b, 0, 0), 0, 0, 0);
    static uint32_t growing;
    growing = families[2];
    assert_int_equal(pthread_create(&threads[0], NULL, replace, NULL), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, grow, &growing), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, take_slots, NULL), 0);
    running = true;
    uint64_t snapshots = 0, shown = 0, retried = 0, most = 0, end = now_ms() + (uint64_t)milliseconds;
    while (now_ms() < end) {
        take();
        for (int f = 0; f < 2; f++) {
            const libshm_family_view *v = family(f ? "h" : "c_total");
            for (size_t i = 0; i < v->n_series; i++)
                check_series(&v->series[i], f, &seen[v->series[i].number]);
            shown += v->n_series;
            most = v->n_series > most ? v->n_series : most;
        }
        check_processes();
        retried += snapshot->retried_series;
        if (snapshot->skipped_series + snapshot->skipped_families != 0 || snapshot->first_problem[0])
            fail_msg("false alarm: %s", snapshot->first_problem);
        snapshots++;
    }
    end_threads();
    take();
    assert_int_equal(family("c_total")->n_series, SERIES); /* at rest everything is there */
    assert_int_equal(family("h")->n_series, SERIES);
    close(all_alive);
    print_message("%lu series replaced, %llu snapshots, %.1f of %d series shown on average, %llu copied again\n",
                  atomic_load(&replaced), (unsigned long long)snapshots, (double)shown / (double)snapshots, 2 * SERIES,
                  (unsigned long long)retried);
    assert_true(snapshots > 0 && most > SERIES / 2);
}

static int teardown_race(void **state)
{
    end_threads();
    return teardown(state);
}

int main(int argc, char **argv)
{
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    milliseconds = argc > 2 ? strtol(argv[2], NULL, 10) : milliseconds;
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(race, setup, teardown_race)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
