/* SPDX-License-Identifier: Apache-2.0
 *
 * In-progress scopes: the process that entered is the one that leaves. */
#include <stdatomic.h>
#include <sys/mman.h>

#include "libshm/internal.h"

/* This process's mark: in memory that every child finds zero, however it was forked. */
static uint64_t *mark;

__attribute__((constructor)) static void make_mark(void)
{
    void *p = mmap(NULL, LIBSHM_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return;
    madvise(p, LIBSHM_PAGE, MADV_WIPEONFORK);
    mark = p;
}

static uint64_t this_process(void)
{
    if (!mark)
        return 1;
    uint64_t seen = __atomic_load_n(mark, __ATOMIC_RELAXED);
    if (seen)
        return seen;
    uint64_t mine = libshm_now_ns(CLOCK_MONOTONIC) | 1; /* the parent's mark is older */
    return __atomic_compare_exchange_n(mark, &seen, mine, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED) ? mine : seen;
}

libshm_progress libshm_progress_enter(const libshm_gauge *gauge)
{
    libshm_progress progress = {.gauge = *gauge, .process = this_process()};
    if (gauge->cell)
        libshm_gauge_add(gauge, 1);
    else if (!libshm_live_add(gauge, 1))
        progress.process = 0; /* the entry was dropped: so is the leaving, or the gauge would go below zero */
    return progress;
}

void libshm_progress_leave(libshm_progress *progress)
{
    if (progress->process == this_process())
        libshm_gauge_add(&progress->gauge, -1);
}
