/* SPDX-License-Identifier: Apache-2.0
 *
 * Weak memory for one writer: a store waits in a buffer and becomes visible whenever it likes, in any order with stores
 * to other places (weaker than x86-64, as Arm). Stores to one place keep their order. A release store becomes visible
 * after everything that was stored before it; a fence waits until everything is visible. */
#define PLACES 3
#define STORES 14

byte memory[PLACES];
chan waiting[PLACES] = [8] of {byte, byte, bool}; /* value, number of the store, release */
short invisible = 0;                              /* a bit for each store that waits */
byte stores = 0;

inline store(place, value, release)
{
    atomic {
        assert(stores < STORES);
        waiting[place]!value, stores, release;
        invisible = invisible | (1 << stores);
        stores++
    }
}

inline fence()
{
    invisible == 0
}

#define DRAIN(place)                                                                                                   \
    atomic {                                                                                                           \
        waiting[place]?[value, number, release] ->                                                                     \
        waiting[place]?<value, number, release>;                                                                       \
        if                                                                                                             \
        :: !release || (invisible & ((1 << number) - 1)) == 0 ->                                                       \
            waiting[place]?value, number, release;                                                                     \
            memory[place] = value;                                                                                     \
            invisible = invisible & ~(1 << number)                                                                     \
        :: else -> skip                                                                                                \
        fi;                                                                                                            \
        value = 0; number = 0; release = 0                                                                             \
    }

active proctype drain()
{
    byte value, number;
    bool release;
end:
    do
    :: nempty(waiting[0]) -> DRAIN(0)
    :: nempty(waiting[1]) -> DRAIN(1)
    :: nempty(waiting[2]) -> DRAIN(2)
    od
}
