/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory of C11 as a machine: each place keeps every value that was stored in it, and a load may take any of them
 * that is not older than what the thread knows of. What a thread knows is its view: for each place the oldest value
 * that it may still load. A release store hands its view on with the value, an acquire load takes it over; relaxed ones
 * do so together with a fence. Sequentially consistent fences share one view.
 *
 * The including model says PLACES, DEPTH (stores to one place, the initial value included) and THREADS. */
#define OF(x, y) ((x)*PLACES + (y))

byte newest[PLACES];                 /* number of the last value */
byte value[PLACES * DEPTH];
byte handed[PLACES * DEPTH * PLACES]; /* the view that comes with a value */
byte view[THREADS * PLACES];
byte later[THREADS * PLACES];  /* taken over at the next acquire fence */
byte fenced[THREADS * PLACES]; /* the view at the last release fence */
byte common[PLACES];           /* of all sequentially consistent fences */
byte kernel[PLACES];           /* what system calls on locks hand on */
byte at, p;                    /* scratch, zero between steps */

#define LAST(l) value[(l)*DEPTH + newest[l]]
#define JOIN(a, b) a = ((a) < (b) -> (b) : (a))
#define EACH(what) p = 0; do :: p < PLACES -> what; p++ :: else -> break od; p = 0

inline put(t, l, v, release)
{
    d_step {
        newest[l]++;
        assert(newest[l] < DEPTH); /* else the model is too small */
        at = (l) * DEPTH + newest[l];
        value[at] = v;
        view[OF(t, l)] = newest[l];
        EACH(handed[OF(at, p)] = (release -> view[OF(t, p)] : fenced[OF(t, p)]));
        handed[OF(at, l)] = newest[l];
        at = 0
    }
}

/* `acquire`: at once. */
inline take(t, l, to, acquire)
{
    to = value[(l) * DEPTH + at];
    view[OF(t, l)] = at;
    at = (l) * DEPTH + at;
    EACH(JOIN(later[OF(t, p)], handed[OF(at, p)]); if :: acquire -> JOIN(view[OF(t, p)], handed[OF(at, p)]) :: else fi);
    at = 0
}

inline load(t, l, to, acquire)
{
    atomic {
        at = view[OF(t, l)];
        do :: at < newest[l] -> at++ :: break od;
        d_step { take(t, l, to, acquire) }
    }
}

/* A read-modify-write: of the newest value, whose view its own carries on. */
inline exchange(t, l, v, release)
{
    d_step {
        at = (l) * DEPTH + newest[l];
        EACH(JOIN(later[OF(t, p)], handed[OF(at, p)]));
        newest[l]++;
        assert(newest[l] < DEPTH);
        at = (l) * DEPTH + newest[l];
        value[at] = v;
        view[OF(t, l)] = newest[l];
        EACH(handed[OF(at, p)] = (release -> view[OF(t, p)] : fenced[OF(t, p)]);
             JOIN(handed[OF(at, p)], handed[OF(at - 1, p)]));
        handed[OF(at, l)] = newest[l];
        at = 0
    }
}

inline acquire_fence(t) { d_step { EACH(JOIN(view[OF(t, p)], later[OF(t, p)])) } }
inline release_fence(t) { d_step { EACH(fenced[OF(t, p)] = view[OF(t, p)]) } }
#define FULL_FENCE(t) \
    EACH(JOIN(view[OF(t, p)], later[OF(t, p)]); JOIN(view[OF(t, p)], common[p]); common[p] = view[OF(t, p)]; \
         fenced[OF(t, p)] = view[OF(t, p)])
inline full_fence(t) { d_step { FULL_FENCE(t) } }

/* To have the insert lock is a system call and an exchange with acquire before everything that follows: on machines
 * whose stores reach all others at once (x86-64, ARMv8, RISC-V) later stores are behind it, too. */
#define NOBODY 255
byte holder = NOBODY;
#define KERNEL_TELLS(t) EACH(JOIN(view[OF(t, p)], kernel[p]); fenced[OF(t, p)] = view[OF(t, p)])
#define KERNEL_LEARNS(t) EACH(JOIN(kernel[p], view[OF(t, p)]))
inline lock(t) { atomic { holder == NOBODY -> d_step { holder = t; KERNEL_TELLS(t) } } }
inline unlock(t) { d_step { KERNEL_LEARNS(t); holder = NOBODY } }
/* SIGKILL: what was stored is there, and the kernel frees the lock. */
inline end_of(t)
{
    d_step {
        KERNEL_LEARNS(t);
        if :: holder == t -> holder = NOBODY :: else fi
    }
}
