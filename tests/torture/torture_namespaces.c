/* SPDX-License-Identifier: Apache-2.0
 *
 * Writers in pid, mount and user namespaces of their own, on one segment that each sees under another path (a bind
 * mount). Each is process 1 of its namespace. Totals are exact, no slot is taken from a living process, and the share
 * of a killed one goes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "torture.h"

enum { WORKERS = 4, UNSUPPORTED = 77 };

static struct tally {
    volatile uint64_t updates, pid, ready;
} __attribute__((aligned(128))) * tallies;

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return done;
}

static libshm_segment *segment;
static libshm_counter counter;
static libshm_gauge live;

static void define(void)
{
    TORTURE_DO(libshm_open("namespaces", NULL, &segment));
    TORTURE_DO(libshm_counter_define(segment, &(libshm_metric){.name = "x_total", .help = "A test."}, &counter));
    TORTURE_DO(libshm_gauge_define(
        segment, &(libshm_metric){.name = "live", .help = "A test.", .gauge_mode = LIBSHM_GAUGE_SUM}, &live));
}

/* In new namespaces; its child is their process 1. */
static void enter_and_work(int index, const char *directory)
{
    char mapped[64], place[] = "/tmp/libshm-namespace-XXXXXX";
    int flags = CLONE_NEWPID | CLONE_NEWNS | (index % 2 ? CLONE_NEWUSER : 0);
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (!mkdtemp(place) || unshare(flags) != 0)
        _exit(UNSUPPORTED);
    if (flags & CLONE_NEWUSER) {
        (void)write_file("/proc/self/setgroups", "deny");
        snprintf(mapped, sizeof mapped, "0 %u 1", (unsigned)uid);
        if (!write_file("/proc/self/uid_map", mapped))
            _exit(UNSUPPORTED);
        snprintf(mapped, sizeof mapped, "0 %u 1", (unsigned)gid);
        if (!write_file("/proc/self/gid_map", mapped))
            _exit(UNSUPPORTED);
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || mount(directory, place, NULL, MS_BIND, NULL) != 0)
        _exit(UNSUPPORTED);
    setenv("LIBSHM_DIR", place, 1);
    pid_t child = fork();
    if (child == 0) {
        struct tally *tally = &tallies[index];
        define();
        libshm_gauge_inc(&live);
        tally->pid = (uint64_t)getpid();
        tally->ready = 1;
        for (;;) {
            libshm_counter_inc(&counter);
            tally->updates++;
        }
    }
    int status;
    signal(SIGTERM, SIG_IGN);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    umount2(place, MNT_DETACH);
    rmdir(place);
    _exit(0);
}

/* The process 1 of a namespace ends with SIGKILL from outside: by the pid that we see it under. */
static pid_t grandchild_of(pid_t parent)
{
    char path[64];
    int found = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%d", &found) != 1)
        found = 0;
    if (file)
        fclose(file);
    return found;
}

int main(int argc, char **argv)
{
    struct torture t = torture_begin("namespaces", argc, argv);
    uint64_t acknowledged = 0;
    tallies = torture_shared(sizeof *tallies * WORKERS);
    double end = torture_now() + t.seconds;
    const char *directory = getenv("LIBSHM_DIR");
    define();
    do {
        pid_t parents[WORKERS];
        for (int i = 0; i < WORKERS; i++, t.forks++) {
            tallies[i].ready = 0;
            fflush(stdout);
            parents[i] = fork();
            if (parents[i] == 0) {
                libshm_close(segment);
                enter_and_work(i, directory);
            }
        }
        int ready = 0, status;
        while (ready < WORKERS) {
            ready = 0;
            for (int i = 0; i < WORKERS; i++) {
                ready += tallies[i].ready != 0;
                if (waitpid(parents[i], &status, WNOHANG) > 0) {
                    printf("namespaces cannot be made here (status %#x)\n", (unsigned)status);
                    for (int k = 0; k < WORKERS; k++)
                        if (k != i) {
                            pid_t one = grandchild_of(parents[k]);
                            if (one > 0)
                                kill(one, SIGKILL);
                            kill(parents[k], SIGKILL);
                        }
                    return WIFEXITED(status) && WEXITSTATUS(status) == UNSUPPORTED ? 77 : 1;
                }
            }
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
        for (int i = 0; i < WORKERS; i++)
            TORTURE_CHECK(&t, tallies[i].pid == 1, "pid %llu", (unsigned long long)tallies[i].pid);
        TORTURE_CHECK(&t, libshm_gauge_value(&live) == WORKERS, "live gauge %g", libshm_gauge_value(&live));
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        for (int i = 0; i < WORKERS; i++) { /* one by one: only its own share goes */
            pid_t one = grandchild_of(parents[i]);
            TORTURE_CHECK(&t, one > 0 && kill(one, SIGKILL) == 0, "worker %d", i);
            waitpid(parents[i], NULL, 0);
            t.kills++;
            TORTURE_CHECK(&t, libshm_gauge_value(&live) == WORKERS - 1 - i, "live gauge %g", libshm_gauge_value(&live));
        }
    } while (torture_now() < end && !t.wrong);
    for (int i = 0; i < WORKERS; i++)
        acknowledged += tallies[i].updates;
    t.operations = acknowledged;
    torture_compare(&t, "counter", acknowledged, (uint64_t)libshm_counter_value(&counter), t.kills);
    libshm_close(segment);
    return torture_end(&t);
}
