/* SPDX-License-Identifier: Apache-2.0
 *
 * The process slot (C4): one slot, taken by one process after the other under the insert lock, which the kernel frees
 * when its holder dies. A process pins a lock on its serial for as long as its address space lives; it zeroes the cells,
 * stores its serial, and from then on its gauge. Each may be killed at any step, in the middle of taking, too; a child
 * that it forked may outlive it. A reader counts a cell only if its owner lives, and looks at the serial before and
 * after: what it counts was written by that owner, and that owner lived when the reader began.
 *
 * Broken: NO_ZERO, SERIAL_FIRST (before the cells are zeroed), NO_SECOND_LOOK, NO_ALIVE, CHILD_PINS (fork copies the
 * pin). That the dead owner's serial goes before its cells do is not needed for this
 * (-DKEEP holds, too) as long as memory is sequentially consistent; slot_order.pml says why it is needed. */
#define PROCESSES 3 /* serials 1 to 3 */

byte serial;                /* of the slot */
byte cell;                  /* who wrote it; 0: zero */
byte lock;                  /* insert lock: who has it */
bool alive[PROCESSES + 1];
bool pinned[PROCESSES + 1]; /* the lock on the serial's byte */
bool mine[PROCESSES + 1];   /* who thinks that the slot is its own */

#define ALONE(me) (!((me != 1 && mine[1] && alive[1]) || (me != 2 && mine[2] && alive[2]) || \
                     (me != 3 && mine[3] && alive[3])))

proctype process(byte me)
{
    {
        atomic { lock == 0 -> lock = me };
        if
        :: serial == 0 || !pinned[serial] ->
            pinned[me] = true;
#ifdef SERIAL_FIRST
            serial = me;
#endif
#if !defined(KEEP) && !defined(SERIAL_FIRST)
            serial = 0;
#endif
#ifndef NO_ZERO
            cell = 0;
#endif
            atomic { serial = me; mine[me] = true; assert(ALONE(me)) }
        :: else -> skip
        fi;
        lock = 0;
        if
        :: mine[me] -> cell = me
        :: else -> skip
        fi;
        false /* lives until it is killed */
    } unless {
        !alive[me]
    }
}

/* The kernel: memory, locks and pins of a process go together. */
proctype killer()
{
    byte victim;
    do
    :: atomic {
            select(victim : 1 .. PROCESSES);
            if
            :: alive[victim] ->
                alive[victim] = false;
#ifdef CHILD_PINS
                if
                :: true -> skip /* a child lives on, with the pin */
                :: pinned[victim] = false
                fi;
#else
                pinned[victim] = false;
#endif
                if
                :: lock == victim -> lock = 0
                :: else -> skip
                fi
            :: else -> skip
            fi;
            victim = 0
        }
    :: break
    od
}

proctype reader()
{
    byte before, value, after;
    bool living;
    bool lived[PROCESSES + 1];
    byte i;
    atomic {
        for (i : 1 .. PROCESSES) {
            lived[i] = alive[i]
        }
        i = 0
    }
    before = serial;
#ifdef NO_ALIVE
    living = true;
#else
    living = before != 0 && pinned[before];
#endif
    value = cell;
#ifdef NO_SECOND_LOOK
    after = before;
#else
    after = serial;
#endif
    if
    :: before != 0 && living && after == before && value != 0 ->
        assert(value == before);
        assert(lived[before])
    :: else -> skip
    fi
}

init {
    atomic {
        byte n;
        for (n : 1 .. PROCESSES) {
            alive[n] = true;
            run process(n)
        }
        run killer();
        run reader()
    }
}
