/* SPDX-License-Identifier: Apache-2.0
 *
 * The order of stores to process slots (C4), on weak memory: slots.c libshm_slot_take() and live.c update(), against
 * reader_processes.c. Two slots; one process that has the first, its forked child and a stranger, who want one; each
 * may be killed at any step.
 *
 * Broken: NO_SLOT_FENCE, SERIAL_RELAXED, SERIAL_STAYS (the dead owner's, until the new one's is stored), NOT_ZEROED,
 * TAKES_THE_LIVING, COPIED_BY_FORK (the pin), NOT_WIPED, NO_LOOK_AT_LIFE, NO_READER_FENCE, NO_SECOND_LOOK. */
#define PLACES 4
#define DEPTH 7
#define THREADS 4
#include "views.pml"

#define SERIAL(i) (i)
#define CELL(i) (2 + (i))
#define PARENT 0
#define CHILD 1
#define STRANGER 2
#define READER 3

#ifdef SERIAL_RELAXED
#define SERIAL_RELEASE false
#else
#define SERIAL_RELEASE true
#endif

bool alive[3];     /* address spaces */
byte last = 1;     /* serial number given out */
byte owner[5] = 9; /* of each serial; the kernel's lock on the serial's byte is its owner's */
bool reading, gone[3]; /* dead since before the reader began */

#ifdef COPIED_BY_FORK /* no MADV_DONTFORK */
#define LOCKED(s) (owner[s] != 9 && (alive[owner[s]] || (owner[s] == PARENT && alive[CHILD])))
#else
#define LOCKED(s) (owner[s] != 9 && alive[owner[s]])
#endif

/* Returns with slot 2 if both are taken. */
inline take_slot(me, slot, serial, found)
{
    lock(me);
    d_step { last++; serial = last; slot = 0 }
    do
    :: slot < 2 ->
       load(me, SERIAL(slot), found, true);
       if
       :: found == 0 -> break
#ifdef TAKES_THE_LIVING
       :: else -> break
#else
       :: found != 0 && !LOCKED(found) -> d_step { KERNEL_TELLS(me) }; break
       :: found != 0 && LOCKED(found) -> slot++
#endif
       fi
    :: else -> break
    od;
    if
    :: slot < 2 ->
       owner[serial] = me;
#ifndef SERIAL_STAYS
       put(me, SERIAL(slot), 0, true);
#endif
#ifndef NO_SLOT_FENCE
       release_fence(me);
#endif
#ifndef NOT_ZEROED
       exchange(me, CELL(slot), 0, false);
#endif
       put(me, SERIAL(slot), serial, SERIAL_RELEASE)
    :: else
    fi;
    unlock(me)
}

inline update(me, slot, serial)
{
    atomic {
        assert(LAST(SERIAL(slot)) == serial);
        exchange(me, CELL(slot), 1 + me, false)
    }
}

proctype process(byte me)
{
    byte slot, serial, found;
    {
        if
        :: me == PARENT ->
           serial = 1;
           update(PARENT, slot, serial);
           if
           :: d_step { alive[CHILD] = true; EACH(view[OF(CHILD, p)] = view[OF(PARENT, p)];
                                                 fenced[OF(CHILD, p)] = fenced[OF(PARENT, p)]) } -> run process(CHILD)
           :: skip
           fi
#ifdef NOT_WIPED
        :: me == CHILD -> serial = 1; update(me, slot, serial)
#endif
        :: else ->
           take_slot(me, slot, serial, found);
           if :: slot < 2 -> update(me, slot, serial) :: else fi
        fi;
end_living:
        false
    } unless { !alive[me] }
}

inline kill(who)
{
    if
    :: atomic { alive[who] -> d_step { alive[who] = false; gone[who] = !reading; end_of(who) } }
    :: skip
    fi
}

proctype killer()
{
    kill(PARENT);
    kill(CHILD);
    kill(STRANGER)
}

proctype reader()
{
    byte slot, serial, cell, again;
    if :: slot = 0 :: slot = 1 fi;
    reading = true;
    load(READER, SERIAL(slot), serial, true);
    if
#ifdef NO_LOOK_AT_LIFE
    :: serial != 0 -> skip
#else
    :: serial != 0 && LOCKED(serial) -> skip
    :: serial != 0 && !LOCKED(serial) -> goto out
#endif
    :: serial == 0 -> goto out
    fi;
    load(READER, CELL(slot), cell, false);
#ifndef NO_READER_FENCE
    acquire_fence(READER);
#endif
    load(READER, SERIAL(slot), again, false);
#ifdef NO_SECOND_LOOK
    again = serial;
#endif
    if
    :: again == serial && cell != 0 ->
       assert(cell == 1 + owner[serial]); /* its own value */
       assert(!gone[owner[serial]])       /* no ghost */
    :: else
    fi;
out: skip
}

init
{
    atomic {
        d_step {
            value[SERIAL(0) * DEPTH] = 1;
            owner[1] = PARENT;
            alive[PARENT] = true;
            alive[STRANGER] = true
        }
        run process(PARENT);
        run process(STRANGER);
        run killer();
        run reader()
    }
}
