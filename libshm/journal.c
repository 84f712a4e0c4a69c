/* SPDX-License-Identifier: Apache-2.0
 *
 * The undo journal (see format.h). Every store is an atomic release: a process that dies has made its stores visible in
 * program order, so all that matters is that the compiler keeps that order too. */
#include <stdlib.h>

#include "libshm/internal.h"

void libshm_journal_note(struct libshm_segment *segment, const void *place)
{
    struct libshm_journal *journal = &segment->header->journal;
    uint64_t n = journal->count;
    if (n >= LIBSHM_JOURNAL_ENTRIES)
        return; /* unreachable: every change is bounded, see the unit test; journaled words beyond would leak */
    uint64_t at = libshm_offset(segment, place) & ~UINT64_C(7);
    LIBSHM_POINT();
    journal->entry[n].at = at;
    journal->entry[n].old = __atomic_load_n((uint64_t *)(void *)(segment->base + at), __ATOMIC_RELAXED);
    __atomic_store_n(&journal->count, n + 1, __ATOMIC_RELEASE); /* the entry before its number */
    LIBSHM_POINT();
}

void libshm_journal_store(struct libshm_segment *segment, uint64_t *word, uint64_t value)
{
    libshm_journal_note(segment, word);
    __atomic_store_n(word, value, __ATOMIC_RELEASE); /* the note before the change */
    LIBSHM_POINT();
}

void libshm_journal_store32(struct libshm_segment *segment, uint32_t *word, uint32_t value)
{
    libshm_journal_note(segment, word);
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    LIBSHM_POINT();
}

static void clear(struct libshm_journal *journal)
{
    __atomic_store_n(&journal->count, 0, __ATOMIC_RELEASE);
    LIBSHM_POINT();
    __atomic_store_n(&journal->commit_at, 0, __ATOMIC_RELEASE); /* after count: without entries it means nothing */
}

static void commit(struct libshm_segment *segment, uint64_t *word, uint64_t value, bool directory)
{
    struct libshm_journal *journal = &segment->header->journal;
    journal->commit_value = value;
    LIBSHM_POINT();
    __atomic_store_n(&journal->commit_at, libshm_offset(segment, word), __ATOMIC_RELEASE); /* value before place */
    LIBSHM_POINT();
    __atomic_store_n(word, value, __ATOMIC_RELEASE); /* everything that was built before it becomes reachable */
    LIBSHM_POINT();
    if (directory)
        libshm_directory_changed(segment); /* before the journal is cleared: recovery repeats it */
    clear(journal);
}

void libshm_journal_commit(struct libshm_segment *segment, uint64_t *word, uint64_t value)
{
    commit(segment, word, value, true);
}

void libshm_journal_commit_process(struct libshm_segment *segment, uint64_t *word, uint64_t value)
{
    commit(segment, word, value, false);
}

void libshm_journal_abort(struct libshm_segment *segment)
{
    struct libshm_journal *journal = &segment->header->journal;
    uint64_t n = journal->count < LIBSHM_JOURNAL_ENTRIES ? journal->count : LIBSHM_JOURNAL_ENTRIES;
    while (n-- > 0) {
        uint64_t *word = libshm_at(segment, journal->entry[n].at, 8);
        if (word && (journal->entry[n].at & 7) == 0)
            __atomic_store_n(word, journal->entry[n].old, __ATOMIC_RELEASE);
        LIBSHM_POINT();
    }
    clear(journal);
}

void libshm_journal_recover(struct libshm_segment *segment)
{
    struct libshm_journal *journal = &segment->header->journal;
    if (__atomic_load_n(&journal->count, __ATOMIC_ACQUIRE) == 0) {
        journal->commit_at = 0;
        return;
    }
    uint64_t *word = libshm_at(segment, journal->commit_at, 8);
    if (word && (journal->commit_at & 7) == 0 && __atomic_load_n(word, __ATOMIC_ACQUIRE) == journal->commit_value) {
        libshm_directory_changed(segment);
        clear(journal);
    } else {
        libshm_journal_abort(segment);
        libshm_directory_changed(segment);
    }
    LIBSHM_COUNT(segment, repaired, 1);
}
