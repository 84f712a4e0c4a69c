/* SPDX-License-Identifier: Apache-2.0
 *
 * The reader's copy of the directory. An entry is copied once a generation: status, contents, status again; the same
 * generation, or it is copied again. Everything about it is checked then, but for its cells (reader_layout.c). What
 * fails a check while its status stands still is bad and passed over; what changed meanwhile is no problem. */
#include <stdlib.h>
#include <string.h>

#include "libshm/reader_internal.h"

bool libshm_reader_unchanged(const uint64_t *status, uint64_t before)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the copy's loads are done before this one */
    uint64_t now = __atomic_load_n(status, __ATOMIC_RELAXED);
    return LIBSHM_STATUS_GENERATION(now) == LIBSHM_STATUS_GENERATION(before) &&
           libshm_reader_status_shown(now) == libshm_reader_status_shown(before);
}

/* Copies a text block to the scratch and its lengths to r->lengths; checks that all of it is there. */
bool libshm_reader_copy_text(struct libshm_reader *r, uint32_t place, uint32_t size, uint32_t n_lengths)
{
    if (size > LIBSHM_MAX_TEXT || size < n_lengths * 2)
        return libshm_reader_reason(r, "%u bytes of text, should be %u to %u", size, n_lengths * 2, LIBSHM_MAX_TEXT);
    uint32_t words = (size + 7) & ~7u; /* the view ends with a page */
    const void *text = libshm_view_at(&r->view, (uint64_t)place * 16, words, 16);
    if (!text)
        return libshm_reader_reason(r, "its text at offset %llu is not in the file", (unsigned long long)place * 16);
    libshm_reader_copy(r->scratch, text, words);
    memcpy(r->lengths, r->scratch, n_lengths * sizeof *r->lengths);
    uint32_t end = n_lengths * 2;
    for (uint32_t i = 0; i < n_lengths; i++)
        end += r->lengths[i];
    return end <= size || libshm_reader_reason(r, "strings of %u bytes in a text of %u", end, size);
}

int libshm_reader_directory(struct libshm_reader *r)
{
    r->problem[0] = '\0';
    r->bad_families = r->bad_series = 0;
    int error = libshm_reader_follow_families(r);
    return error ? error : libshm_reader_follow_series(r);
}

void libshm_reader_directory_free(struct libshm_reader *r)
{
    for (uint32_t n = 0; n < r->n_families; n++)
        free(((struct libshm_reader_family *)r->families.data)[n].memory);
    for (uint32_t n = 0; n < r->n_series; n++)
        free(((struct libshm_reader_series *)r->series.data)[n].memory);
}
