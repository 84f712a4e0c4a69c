/* SPDX-License-Identifier: Apache-2.0
 *
 * Holds and removal (D3): two takers find a series, set their hold bit and look again; a remover says REMOVED, looks at
 * the holds of those that live, and gives the cells to another series. Whoever took it goes on using the cells until it
 * ends; it may be killed anywhere, and a bit of a dead process is void. Each process has a store buffer of its own, one
 * store deep, which empties whenever it likes: stores before loads is the order that fails without a fence.
 *
 * Broken: NO_FENCE_TAKER, NO_FENCE_REMOVER, NO_SECOND_LOOK, NO_LOOK_AT_HOLDS, HOLD_AFTER_LOOK. */
#define TAKERS 2

bool hold[TAKERS], hold_waits[TAKERS]; /* visible; stored but not yet */
bool alive[TAKERS] = {true, true};
bool uses[TAKERS];
bool removed, removed_waits;
bool given; /* the cells are another series' */

#define ALONE (!(given && ((uses[0] && alive[0]) || (uses[1] && alive[1]))))

active [TAKERS] proctype taker()
{
    byte me = _pid;
    bool gone;
    {
#ifndef HOLD_AFTER_LOOK
        hold_waits[me] = true;
#ifndef NO_FENCE_TAKER
        !hold_waits[me]; /* the fence */
#endif
#endif
#ifdef NO_SECOND_LOOK
        gone = false;
#else
        gone = removed;
#endif
#ifdef HOLD_AFTER_LOOK
        hold_waits[me] = true;
        !hold_waits[me];
#endif
        if
        :: !gone -> uses[me] = true; assert(ALONE)
        :: gone -> skip /* it starts over: makes a new series */
        fi
    } unless {
        !alive[me]
    }
}

active proctype remover()
{
    removed_waits = true;
#ifndef NO_FENCE_REMOVER
    !removed_waits; /* the fence */
#endif
#ifndef NO_LOOK_AT_HOLDS
    if
    :: hold[0] && alive[0] -> goto leave
    :: else -> skip
    fi;
    if
    :: hold[1] && alive[1] -> goto leave
    :: else -> skip
    fi;
#endif
    given = true;
    assert(ALONE);
leave:
    skip
}

/* Stores of a dead process that were made are visible some time, too. */
active proctype drain()
{
end:
    do
    :: hold_waits[0] -> atomic { hold[0] = true; hold_waits[0] = false }
    :: hold_waits[1] -> atomic { hold[1] = true; hold_waits[1] = false }
    :: removed_waits -> atomic { removed = true; removed_waits = false }
    od
}

active proctype killer()
{
    if
    :: alive[0] = false
    :: alive[1] = false
    :: skip
    fi
}
