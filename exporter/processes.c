/* SPDX-License-Identifier: Apache-2.0
 *
 * The living processes of the segments, see processes.h. A slot's lock says that the process lives, so its pid is still
 * its own; but it means something only in the pid namespace in which it was written. */
#include "processes.h"
#include "labels.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STAT_MAX 1024u

static double boot_seconds(void) /* CLOCK_REALTIME when the machine was started */
{
    struct timespec real, boot;
    clock_gettime(CLOCK_REALTIME, &real);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    return (double)(real.tv_sec - boot.tv_sec) + (double)(real.tv_nsec - boot.tv_nsec) * 1e-9;
}

/* proc(5): what follows the command's name, which may hold anything but ends with the last ')'. */
static bool parse_stat(char *text, struct process *process)
{
    unsigned long long user, system, start;
    long pages;
    const char *rest = strrchr(text, ')');
    if (!rest ||
        sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu %*u %ld",
               &user, &system, &start, &pages) != 4)
        return false;
    const double ticks = (double)sysconf(_SC_CLK_TCK);
    process->cpu_seconds = (double)(user + system) / ticks;
    process->start_seconds = boot_seconds() + (double)start / ticks;
    process->resident_bytes = (uint64_t)(pages > 0 ? pages : 0) * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

static bool read_stat(int directory, struct process *process)
{
    char text[STAT_MAX];
    int fd = openat(directory, "stat", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    return parse_stat(text, process);
}

static bool count_files(int directory, struct process *process)
{
    int fd = openat(directory, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    if (!list) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    process->open_files = 0;
    for (const struct dirent *entry; (entry = readdir(list));)
        process->open_files += entry->d_name[0] != '.';
    closedir(list);
    return true;
}

static bool read_process(struct process *process)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%u", process->pid);
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return false;
    const bool well = read_stat(directory, process);
    process->files_known = well && count_files(directory, process);
    close(directory);
    return well;
}

static bool reserve(struct processes *processes, size_t more)
{
    if (processes->capacity - processes->n >= more)
        return true;
    const size_t capacity = processes->n + more + processes->capacity / 2;
    struct process *list = realloc(processes->list, capacity * sizeof *list);
    if (!list)
        return false;
    processes->list = list;
    processes->capacity = capacity;
    return true;
}

bool processes_read(struct processes *processes, const struct segment *const *segments, size_t n)
{
    processes->n = processes->unreadable = 0;
    for (size_t i = 0; i < n; i++) {
        const libshm_snapshot *snapshot = segments[i]->snapshot;
        if (!snapshot)
            continue;
        if (!reserve(processes, snapshot->n_processes))
            return false;
        for (size_t p = 0; p < snapshot->n_processes; p++) {
            const libshm_process_view *view = &snapshot->processes[p];
            if (!view->alive)
                continue;
            struct process *process = &processes->list[processes->n];
            *process = (struct process){.segment = i, .serial = view->serial, .pid = view->pid};
            snprintf(process->pid_text, sizeof process->pid_text, "%u", view->pid);
            if (view->pid_ns == labels_own_pid_namespace() && read_process(process)) {
                processes->n++;
                processes->unreadable += !process->files_known;
            } else {
                processes->unreadable++;
            }
        }
    }
    return true;
}

void processes_free(struct processes *processes)
{
    free(processes->list);
    *processes = (struct processes){0};
}
