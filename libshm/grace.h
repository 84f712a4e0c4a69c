/* SPDX-License-Identifier: Apache-2.0
 *
 * Grace periods: when may what look-ups could reach be freed? Threads do not register, and wait for nobody.
 *
 * A look-up is in one of two forms. Either it is a restartable sequence from its first load to its update (hit.h): then
 * the membarrier() of libshm_grace_start() ends it. Or it counts itself in and out, on per-CPU cells of private memory
 * with the same sequences that update metrics (the scheme of SRCU):
 *
 *      look-up:  in[phase] += 1;  find, check, update;                   out[phase] += 1
 *      trim:     take the entry out of the table; fence; phase ^= 1;  sum out[old], fence, sum in[old]: equal -> free
 *
 * A look-up that is counted in after the sum was taken finds the table without the entry. "Counted in before it looks"
 * needs a fence on the look-up's side (store, then load); membarrier() moves it to the side of the trim, and where that
 * system call is not to be had, look-ups carry the fence themselves. */
#ifndef LIBSHM_GRACE_H
#define LIBSHM_GRACE_H

#include "libshm/internal.h"

struct libshm_grace {
    uint32_t phase; /* atomic */
    bool sequences; /* look-ups may be restartable sequences: membarrier() restarts them */
    bool fence;     /* no membarrier: look-ups carry the fence */
    libshm_counter in[2], out[2];
    char *lanes; /* baseline page (unused), one atomic lane, CPU lanes; wiped on fork */
    size_t lanes_size;
};

/* `lanes`: CPUs that count in cells of their own. False: out of memory. */
LIBSHM_HIDDEN bool libshm_grace_init(struct libshm_grace *grace, uint32_t lanes);
LIBSHM_HIDDEN void libshm_grace_destroy(struct libshm_grace *grace);

/* Both under the mutex. Between two starts, _over must have said true: nobody is in the phase before the current one.
 * True of start: what was out of reach before it may be freed when _over says true. False: cannot be done now. */
LIBSHM_HIDDEN bool libshm_grace_over(const struct libshm_grace *grace);
LIBSHM_HIDDEN bool libshm_grace_start(struct libshm_grace *grace);

static inline uint32_t libshm_grace_enter(struct libshm_grace *grace)
{
    uint32_t phase = __atomic_load_n(&grace->phase, __ATOMIC_RELAXED) & 1;
    libshm_counter_add(&grace->in[phase], 1);
    if (grace->fence)
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* counted in before the table is looked at */
    else
        __atomic_signal_fence(__ATOMIC_SEQ_CST); /* the same: membarrier makes it hold across CPUs */
    return phase;
}

static inline void libshm_grace_leave(struct libshm_grace *grace, uint32_t phase)
{
#ifdef LIBSHM_THREAD_SANITIZER /* does not know fences */
    __atomic_fetch_add(&libshm_atomic_cell(grace->out[phase].cell, 0)->integer, 1, __ATOMIC_RELEASE);
#else
    __atomic_thread_fence(__ATOMIC_RELEASE); /* the entry was used before this is counted out */
    libshm_counter_add(&grace->out[phase], 1);
#endif
}

#endif
