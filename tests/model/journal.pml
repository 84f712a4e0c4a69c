/* SPDX-License-Identifier: Apache-2.0
 *
 * The undo journal (D2): journal.c. The author of two changes, and who recovers the first time, may be killed at any
 * store; who comes then must find each change whole or undone. Stores reach the others in the order of the program: who
 * dies has made them, and whoever comes next has the lock.
 *
 * Broken: CHANGE_BEFORE_NOTE, COUNT_BEFORE_ENTRY, NOT_NOTED, PLACE_BEFORE_VALUE, WORD_BEFORE_PLACE, CLEAR_BEFORE_COMMIT,
 * PLACE_CLEARED_FIRST, PLACE_STAYS, FIRST_CHANGE_FIRST. */
#define WORDS 4
#define PLACES_NOTED 3

byte word[WORDS];
byte noted[PLACES_NOTED], old[PLACES_NOTED], count;
byte commit_at, commit_value; /* word + 1 */
bool killed[2], finished;

#define NOTE(w) noted[count] = w; old[count] = word[w]; count++

inline change(w, v)
{
#if defined(CHANGE_BEFORE_NOTE)
    before = word[w]; word[w] = v;
    noted[count] = w; old[count] = before; count++;
#elif defined(COUNT_BEFORE_ENTRY)
    count++; noted[count - 1] = w; old[count - 1] = word[w];
    word[w] = v;
#elif defined(NOT_NOTED)
    word[w] = v;
#else
    NOTE(w);
    word[w] = v;
#endif
}

inline clear()
{
#ifdef PLACE_CLEARED_FIRST
    commit_at = 0;
    count = 0
#else
    count = 0;
#ifndef PLACE_STAYS
    commit_at = 0
#endif
#endif
}

inline commit(w, v)
{
#ifdef CLEAR_BEFORE_COMMIT
    clear();
#endif
#if defined(PLACE_BEFORE_VALUE)
    commit_at = w + 1; commit_value = v; word[w] = v;
#elif defined(WORD_BEFORE_PLACE)
    commit_value = v; word[w] = v; commit_at = w + 1;
#else
    commit_value = v; commit_at = w + 1; word[w] = v;
#endif
#ifndef CLEAR_BEFORE_COMMIT
    clear()
#endif
}

inline recover()
{
    if
    :: count == 0 -> commit_at = 0
    :: count != 0 && commit_at != 0 && word[commit_at - 1] == commit_value -> clear()
    :: else ->
#ifdef FIRST_CHANGE_FIRST
       n = 0;
       do :: n < count -> word[noted[n]] = old[n]; n++ :: else -> break od;
#else
       n = count;
       do :: n > 0 -> n--; word[noted[n]] = old[n] :: else -> break od;
#endif
       clear()
    fi
}

proctype author()
{
    byte before;
    {
        change(0, 1);
        change(1, 1);
        change(0, 2); /* the same word again */
        commit(2, 2);
        change(1, 2);
        commit(3, 5);
        finished = true
    } unless { killed[0] }
}

proctype first()
{
    byte n;
    {
        killed[0] || finished;
        recover()
    } unless { killed[1] }
}

proctype last()
{
    byte n;
    killed[1]; /* who is killed after the end of its work changes nothing more */
    recover();
    assert((word[0] == 0 && word[1] == 0 && word[2] == 0 && word[3] == 0) ||
           (word[0] == 2 && word[1] == 1 && word[2] == 2 && word[3] == 0) ||
           (word[0] == 2 && word[1] == 2 && word[2] == 2 && word[3] == 5))
}

init
{
    atomic {
        run author();
        run first();
        run last()
    }
    if :: killed[0] = true :: finished fi;
    killed[1] = true
}
