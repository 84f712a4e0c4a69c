/* SPDX-License-Identifier: Apache-2.0
 *
 * A process is ended at every store and system call of open, define, look-up, removal and reuse, in turn, again and
 * again on one segment while another process goes on using it; and by SIGKILL at random times. After each death the
 * segment is sound, the change can be made by another process, and in the end as much is in use as after a few rounds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "common_changes.h"
#include "common_sound.h"
#include "libshm/internal.h"
#include "torture.h"

static unsigned long points, die_at;
static struct shared {
    volatile uint64_t acknowledged, rounds;
} * shared;

void libshm_test_point(const char *function, int line);
void libshm_test_point(const char *function, int line)
{
    (void)function, (void)line;
    if (++points == die_at)
        _exit(42);
}

#define COUNTER METRIC_("witness_total")
#define METRIC_(n)                                                                                                     \
    (&(libshm_metric){.type = LIBSHM_TYPE_COUNTER, .name = (n), .help = "A test.", .labels = LIBSHM_LABELS("a")})

/* Goes on counting all along, and makes series of its own. */
static pid_t bystander(const char *name)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    libshm_segment *segment;
    libshm_family *family;
    TORTURE_DO(libshm_open(name, NULL, &segment));
    TORTURE_DO(libshm_family_define(segment, COUNTER, &family));
    for (;;) {
        libshm_counter_add_with(family, LIBSHM_VALUES("a"), 1);
        shared->acknowledged++;
        if (shared->acknowledged % 64 == 0)
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
}

/* One change in a process that ends at point `at`, or is killed after `kill_after` ns. */
static int run(struct torture *t, const struct change *change, const char *name, unsigned long at, long kill_after)
{
    int status;
    pid_t child = fork();
    t->forks++;
    if (child == 0) {
        libshm_segment *segment;
        points = 0;
        die_at = at;
        int error = libshm_open(name, NULL, &segment);
        for (int tries = 0; !error && tries < 20; tries++) {
            error = change->make(segment);
            if (error != LIBSHM_E_BUSY) /* the machine may be slow */
                break;
        }
        if (error)
            fprintf(stderr, "%s: %s (%s)\n", change->name, libshm_strerror(error), libshm_error_detail());
        _exit(error ? 1 : 0);
    }
    if (kill_after > 0) {
        nanosleep(&(struct timespec){.tv_nsec = kill_after}, NULL);
        kill(child, SIGKILL);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    t->kills += WIFSIGNALED(status) || WEXITSTATUS(status) == 42;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 42;
}

static void look(struct torture *t, const char *name, const char *what, unsigned long at,
                 struct segment_account *account)
{
    libshm_segment *segment;
    TORTURE_DO(libshm_open(name, NULL, &segment));
    const char *problem = segment_unsound(segment);
    TORTURE_CHECK(t, !problem, "%s, dead at point %lu: %s", what, at, problem);
    if (account)
        segment_account(segment, account);
    libshm_close(segment);
}

/* Definitions that make the same again and again; the others need a preparation of their own, in test_journal. */
static bool repeats(const struct change *change)
{
    return strcmp(change->name, "replace a definition") != 0 && strcmp(change->name, "make the overflow series") != 0 &&
           strcmp(change->name, "take an idle series") != 0 && strcmp(change->name, "reset") != 0;
}

int main(int argc, char **argv)
{
    struct torture t = torture_begin("registration", argc, argv);
    uint64_t random = t.seed;
    libshm_segment *segment;
    shared = torture_shared(sizeof *shared);
    TORTURE_DO(libshm_open("r", NULL, &segment));
    TORTURE_DO(changes_witness(segment));
    libshm_close(segment);
    pid_t other = bystander("r");
    struct segment_account early = {0}, late = {0};
    double end = torture_now() + t.seconds;
    size_t n = 0;
    while (changes[n].name)
        n++;
    unsigned long at[32] = {0};
    for (uint64_t round = 0; torture_now() < end && t.wrong < 10; round++) {
        const struct change *change = &changes[torture_random(&random) % n];
        unsigned long *point = &at[change - changes];
        if (!repeats(change))
            continue;
        long kill_after = torture_random(&random) % 4 == 0 ? 1 + (long)(torture_random(&random) % 3000000) : 0;
        int result = run(&t, change, "r", kill_after ? 0 : ++*point, kill_after);
        TORTURE_CHECK(&t, result == 42 || result == 0, "%s, to die at point %lu: %d", change->name, *point, result);
        if (!kill_after && result == 0)
            *point = 0; /* all of it; from the beginning again */
        look(&t, "r", change->name, *point, NULL);
        t.operations++;
        if (round % 64 == 63) { /* all of it complete, what was removed given back */
            for (size_t i = 0; i < n; i++)
                if (repeats(&changes[i]))
                    run(&t, &changes[i], "r", 0, 0);
            look(&t, "r", "complete", 0, &late);
            if (early.page_next == 0)
                early = late;
            TORTURE_CHECK(&t, late.page_next <= early.page_next + 64 * LIBSHM_PAGE, "%llu pages, %llu at first",
                          (unsigned long long)late.page_next / LIBSHM_PAGE,
                          (unsigned long long)early.page_next / LIBSHM_PAGE);
        }
    }
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    TORTURE_DO(libshm_open("r", NULL, &segment));
    double counted = changes_witness_value(segment);
    torture_compare(&t, "bystander", shared->acknowledged, (uint64_t)counted - 5, 1);
    printf("registration: %llu bytes after the first rounds, %llu at the end; %llu series free, %llu repaired\n",
           (unsigned long long)early.page_next, (unsigned long long)late.page_next, (unsigned long long)late.free,
           (unsigned long long)segment->header->statistics.repaired);
    return torture_end(&t);
}
