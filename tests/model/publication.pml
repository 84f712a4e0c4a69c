/* SPDX-License-Identifier: Apache-2.0
 *
 * An entry of the directory (D1, D3): a writer builds it, publishes it, removes it and builds another one in its place.
 * Its text is two words, which say of which generation they are. Readers copy it: status, text, status again.
 *
 * Broken: NO_RELEASE (LIVE is a relaxed store), NO_FENCE (nothing between REMOVED and the use of its place),
 * NO_ACQUIRE (the text's loads before the first of the status), NO_SECOND_LOOK, SAME_GENERATION. */
#include "memory.pml"

#define STATUS 0
#define TEXT   1 /* and 2 */

#define FREE     0
#define BUILDING 1
#define LIVE     2
#define REMOVED  3
#define WORD(generation, state) ((generation) * 4 + (state))
#define STATE(word)             ((word) % 4)
#define GENERATION(word)        ((word) / 4)

active proctype writer()
{
    byte generation = 1, text = 1;
    do
    :: text <= 2 ->
        store(STATUS, WORD(generation, BUILDING), true);
        store(TEXT, text, false);
        store(TEXT + 1, text, false);
#ifdef NO_RELEASE
        store(STATUS, WORD(generation, LIVE), false);
#else
        store(STATUS, WORD(generation, LIVE), true);
#endif
        if
        :: text == 1 ->
            store(STATUS, WORD(generation, REMOVED), true);
#ifndef NO_FENCE
            fence(); /* it looks at the holds now, and finds none */
#endif
#ifndef SAME_GENERATION
            generation++;
#endif
            store(STATUS, WORD(generation, FREE), true)
        :: else -> skip
        fi;
        text++
    :: else -> break
    od
}

active [2] proctype reader()
{
    byte before, first, second, after;
#ifdef NO_ACQUIRE
    first = memory[TEXT];
    second = memory[TEXT + 1];
    before = memory[STATUS];
#else
    before = memory[STATUS];
    if
    :: first = memory[TEXT]; second = memory[TEXT + 1]
    :: second = memory[TEXT + 1]; first = memory[TEXT]
    fi;
#endif
#ifdef NO_SECOND_LOOK
    after = before;
#else
    after = memory[STATUS];
#endif
    if
    :: STATE(before) == LIVE && STATE(after) == LIVE && GENERATION(before) == GENERATION(after) ->
        assert(first == GENERATION(before) && second == GENERATION(before))
    :: else -> skip /* it copies again */
    fi
}
