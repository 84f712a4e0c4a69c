/* SPDX-License-Identifier: Apache-2.0
 *
 * The grace period of the look-up cache (D4): grace.c, grace.h, lookup_table.c free_unreachable() and forget(), against
 * look-ups that count themselves in and out on one of two CPUs each, and one that is a restartable sequence (hit.h).
 * Two entries are taken out, one after the other.
 *
 * Sound: WITH_FENCE (look-ups carry the fence, without membarrier()), IN_SEQUENCE (the other form of look-up).
 * Broken: NO_ENTER_FENCE, NO_LEAVE_FENCE, NO_LOOK_BEFORE_START, NO_SUM_FENCE, FREED_IN_THE_TABLE, NO_RESTART,
 * IN_BEFORE_OUT (which takes two look-ups to be seen). */
#ifdef NO_ENTER_FENCE
#define WITH_FENCE
#endif
#ifdef NO_RESTART
#define IN_SEQUENCE
#endif
#ifdef IN_BEFORE_OUT
#define TWO_LOOK_UPS
#endif

#define PLACES 11
#define DEPTH 3
#define THREADS 4
#include "views.pml"

#define TABLE(e) (e) /* does it lead to the entry? */
#define PHASE 2
#define IN(phase, cpu) (3 + 2 * (phase) + (cpu))
#define OUT(phase, cpu) (7 + 2 * (phase) + (cpu))
#define SEQUENCE 2
#define TRIM 3
#define ONE_MORE (value[at - 1] + 1)

bool freed[2];
bool in_sequence, restart;

proctype look_up(byte me)
{
    byte phase, found, cpu, entry;
    if :: entry = 0 :: entry = 1 fi;
    load(me, PHASE, phase, false);
    exchange(me, IN(phase, me), ONE_MORE, false);
#if defined(WITH_FENCE) && !defined(NO_ENTER_FENCE)
    full_fence(me);
#endif
    load(me, TABLE(entry), found, true);
    if :: cpu = 0 :: cpu = 1 fi; /* it migrates */
#ifdef NO_LEAVE_FENCE /* then leaving can be seen before the use */
    if
    :: exchange(me, OUT(phase, cpu), ONE_MORE, false); assert(!(found && freed[entry]))
    :: assert(!(found && freed[entry])); exchange(me, OUT(phase, cpu), ONE_MORE, false)
    fi
#else
    assert(!(found && freed[entry]));
    release_fence(me);
    exchange(me, OUT(phase, cpu), ONE_MORE, false)
#endif
}

proctype sequence()
{
    byte found, entry;
#define OR_AGAIN if :: restart -> goto again :: else fi
    if :: entry = 0 :: entry = 1 fi;
again:
    skip;
    d_step { in_sequence = true; restart = false }
    atomic { OR_AGAIN; load(SEQUENCE, TABLE(entry), found, true) }
    atomic { OR_AGAIN; assert(!(found && freed[entry])) } /* is it what is wanted? */
    atomic { OR_AGAIN; assert(!(found && freed[entry])); in_sequence = false } /* update */
}

/* membarrier(): each other thread at a moment of its own, if the look-ups do not carry the fence. */
inline heavy_fence()
{
    full_fence(TRIM);
#ifndef WITH_FENCE
    full_fence(0);
    full_fence(1);
    full_fence(TRIM)
#endif
}

inline restart_sequences()
{
    full_fence(TRIM);
    d_step { FULL_FENCE(SEQUENCE); restart = in_sequence }
    full_fence(TRIM)
}

inline sum(first, total)
{
    load(TRIM, first + 2 * before, n, true);
    total = n;
    load(TRIM, first + 2 * before + 1, n, true);
    total = total + n
}

inline over()
{
    d_step { before = 1 - phase; n = 0 }
#ifdef IN_BEFORE_OUT
    sum(IN(0, 0), in);
    heavy_fence();
    sum(OUT(0, 0), out);
#else
    sum(OUT(0, 0), out);
#ifndef NO_SUM_FENCE
    heavy_fence();
#endif
    sum(IN(0, 0), in);
#endif
    n = 0
}

/* Sets of entries: those that wait for this grace period, those for the next. */
inline free_unreachable()
{
    tries = 0;
    do
    :: tries == 2 || (now == 0 && next == 0) -> break
    :: else ->
       tries++;
#ifdef NO_LOOK_BEFORE_START
       if :: now == 0 -> in = 0; out = 0 :: else -> over() fi;
#else
       over();
#endif
       if :: in != out -> break :: else fi;
       d_step {
           if :: now & 1 -> freed[0] = true :: else fi;
           if :: now & 2 -> freed[1] = true :: else fi;
           now = 0
       }
       if :: next == 0 -> break :: else fi;
#ifndef NO_START_FENCE
       heavy_fence();
#endif
#ifndef NO_RESTART
       restart_sequences();
#endif
       phase = 1 - phase;
       put(TRIM, PHASE, phase, true);
#ifndef NO_PHASE_FENCE
       heavy_fence();
#endif
       d_step { now = next; next = 0 }
    od
}

proctype trim()
{
    byte now, next, phase, before, in, out, n, tries;
#ifdef FREED_IN_THE_TABLE
    next = 1; free_unreachable(); put(TRIM, TABLE(0), 0, true);
#else
    put(TRIM, TABLE(0), 0, true);
    next = next | 1;
#endif
    free_unreachable();
    put(TRIM, TABLE(1), 0, true);
    next = next | 2;
    free_unreachable();
    free_unreachable()
}

init
{
    atomic {
        d_step {
            value[TABLE(0) * DEPTH] = 1;
            value[TABLE(1) * DEPTH] = 1
        }
#ifdef IN_SEQUENCE
        run sequence();
#else
        run look_up(0);
#ifdef TWO_LOOK_UPS
        run look_up(1);
#endif
#endif
        run trim()
    }
}
