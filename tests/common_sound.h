/* SPDX-License-Identifier: Apache-2.0
 *
 * Is a segment sound, seen by a writer that holds its lock? Tests ask after each death. Everything in the file must
 * have one owner: pages, cells, 16-byte units of text. Independent of shm-check, which knows only the public headers
 * and may not say more than can be known while others write. */
#ifndef TESTS_COMMON_SOUND_H
#define TESTS_COMMON_SOUND_H

#include <libshm.h>
#include <stdint.h>

/* NULL, or what is wrong first. Takes the insert lock, and with it repairs what a dead process left. The text is good
 * until the next call. */
const char *segment_unsound(libshm_segment *segment);

/* What is given out and what is free, in numbers that must be the same after the same work. */
struct segment_account {
    uint64_t page_next, live_cells, index_entries, text_units, text_free_units, cells_free;
    uint32_t tables[LIBSHM_TABLES], shown, removed, free, families;
};
void segment_account(libshm_segment *segment, struct segment_account *account);

#endif
