/* SPDX-License-Identifier: Apache-2.0
 *
 * Verifying the header: identity, undo journal, allocator. */
#include "check.h"

#include <inttypes.h>
#include <string.h>

#define AT(member) offsetof(struct libshm_header, member)

/* A half-done change is put back, as the next holder of the insert lock would do it. */
static void undo(struct check *check)
{
    const struct libshm_journal *journal = &check->header->journal;
    unsigned char *bytes = (unsigned char *)(uintptr_t)check->image.bytes;
    if (journal->count > LIBSHM_JOURNAL_ENTRIES) {
        finding(check, AT(journal.count), "journal.count is %" PRIu64 "; there are %u entries", journal->count,
                LIBSHM_JOURNAL_ENTRIES);
        return;
    }
    if (journal->count == 0)
        return;
    const uint64_t *commit = journal->commit_at ? image_at(&check->image, journal->commit_at, 8, 8) : NULL;
    if (journal->commit_at && !commit)
        finding(check, AT(journal.commit_at), "journal.commit_at %" PRIu64 " is not a word of the file",
                journal->commit_at);
    if (commit && *commit == journal->commit_value)
        return; /* complete, only not ticked off */
    struct libshm_journal copy = *journal;
    for (uint64_t i = copy.count; i-- > 0;) {
        if (!image_at(&check->image, copy.entry[i].at, 8, 8))
            finding(check, AT(journal.entry) + i * 16,
                    "journal.entry[%" PRIu64 "].at %" PRIu64 " is not a word of the file", i, copy.entry[i].at);
        else
            memcpy(bytes + copy.entry[i].at, &copy.entry[i].old, 8);
    }
    check->report->undone = (uint32_t)copy.count;
}

static int check_version(struct check *check)
{
    const struct libshm_header *header = check->header;
    if (header->format_version != LIBSHM_FORMAT_VERSION) {
        finding(check, AT(format_version), "format version %" PRIu32 "; this program reads version %u",
                header->format_version, LIBSHM_FORMAT_VERSION);
        return -1;
    }
    if (header->incompat & ~LIBSHM_INCOMPAT_KNOWN) {
        finding(check, AT(incompat), "incompatible features %#" PRIx32 " that this program does not know",
                header->incompat & ~LIBSHM_INCOMPAT_KNOWN);
        return -1;
    }
    return 0;
}

static int power_of_two(uint64_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static void check_identity(struct check *check)
{
    const struct libshm_header *header = check->header;
    uint32_t crc = crc32c(header, AT(checksum));
    if (header->checksum != crc)
        finding(check, AT(checksum), "checksum %08" PRIx32 "; of the bytes before it, it is %08" PRIx32,
                header->checksum, crc);
    if (header->header_size != sizeof *header)
        finding(check, AT(header_size), "header_size %" PRIu32 "; %zu was expected", header->header_size,
                sizeof *header);
    if (header->hot_abi != LIBSHM_HOT_ABI)
        finding(check, AT(hot_abi), "hot ABI %" PRIu32 "; %u was expected", header->hot_abi, LIBSHM_HOT_ABI);
    if (header->max_bytes > LIBSHM_MAX_BYTES || header->max_bytes < LIBSHM_PAGE)
        finding(check, AT(max_bytes), "max_bytes %" PRIu64 " is not between one page and 64 GiB", header->max_bytes);
    if (header->cpu_lanes > LIBSHM_MAX_CPU_LANES)
        finding(check, AT(cpu_lanes), "cpu_lanes %" PRIu32 "; at most %u", header->cpu_lanes, LIBSHM_MAX_CPU_LANES);
    if (!power_of_two(header->atomic_lanes_only) || header->atomic_lanes_only > LIBSHM_MAX_ATOMIC_LANES)
        finding(check, AT(atomic_lanes_only), "atomic_lanes_only %" PRIu32 " is not a power of two up to %u",
                header->atomic_lanes_only, LIBSHM_MAX_ATOMIC_LANES);
    if (memchr(header->creator, 0, sizeof header->creator) == NULL)
        finding(check, AT(creator), "creator has no end");
    must_be_zero(check, &header->reserved0, sizeof header->reserved0, "reserved0");
}

int check_header(struct check *check)
{
    const struct libshm_header *header = check->header;
    const char *magic = (const char *)check->image.bytes;
    if (check->image.length < sizeof LIBSHM_MAGIC - 1 || memcmp(magic, LIBSHM_MAGIC, sizeof LIBSHM_MAGIC - 1) != 0) {
        if (check->image.length >= 6 && memcmp(magic, LIBSHM_MAGIC, 6) == 0)
            finding(check, 0, "not a segment: the line end of the magic was changed, as copying in text mode does");
        else
            finding(check, 0, "not a segment: it does not begin with the magic \"LIBSHM\\r\\n\"");
        return -1;
    }
    if (!header) {
        finding(check, check->image.length, "the file ends after %zu bytes, inside the header of %u",
                check->image.length, LIBSHM_PAGE);
        return -1;
    }
    if (check_version(check) != 0)
        return -1;
    undo(check);
    check_identity(check);
    if (header->lock_owner > header->serial)
        finding(check, AT(lock_owner), "lock_owner %" PRIu64 " is a serial never given out (last: %" PRIu64 ")",
                header->lock_owner, header->serial);
    if (header->serial >= UINT64_C(1) << 60)
        finding(check, AT(serial), "serial %" PRIu64 " is beyond the lock bytes", header->serial);
    must_be_zero(check, header->reserved1, sizeof header->reserved1, "reserved1");
    must_be_zero(check, header->statistics.reserved, sizeof header->statistics.reserved, "statistics.reserved");
    must_be_zero(check, header->reserved2, sizeof header->reserved2, "reserved2");
    return 0;
}

static void check_next_cell(struct check *check, uint64_t next, uint64_t at, const char *what, int gauges)
{
    if (next == UINT64_MAX)
        return;
    uint64_t number = next >> 16, cell = next & 0xffff;
    if (number >= check->count[LIBSHM_TABLE_GROUPS] || cell >= LIBSHM_CELLS_PER_PAGE) {
        finding(check, at, "%s: cell %" PRIu64 " of page group %" PRIu64 ", which there is not", what, cell, number);
        return;
    }
    const struct libshm_group *group = table_entry(&check->image, LIBSHM_TABLE_GROUPS, (uint32_t)number);
    if (gauges && group && (group->cpu_lanes != 0 || group->atomic_lanes != 1))
        finding(check, at, "%s: page group %" PRIu64 " has more lanes than the one that gauges need", what, number);
    const uint32_t *owner = check->cell_owner[number];
    for (uint64_t i = cell; owner && i < LIBSHM_CELLS_PER_PAGE; i++) {
        if (owner[i]) {
            finding(check, at, "%s: cell %" PRIu64 " of page group %" PRIu64 " is not free, series %" PRIu32 " has it",
                    what, i, number, owner[i] - 1);
            return;
        }
    }
}

/* After the series: the places where new things are put must be nobody's. */
void check_cells(struct check *check)
{
    const struct libshm_header *header = check->header;
    check_next_cell(check, header->cells_next[0], AT(cells_next), "cells_next[0]", 0);
    check_next_cell(check, header->cells_next[1], AT(cells_next) + 8, "cells_next[1]", 0);
    check_next_cell(check, header->gauge_next, AT(gauge_next), "gauge_next", 1);
    uint64_t a = header->cells_next[0], b = header->cells_next[1], c = header->gauge_next;
    if ((a != UINT64_MAX && (a >> 16 == b >> 16 || a >> 16 == c >> 16)) || (b != UINT64_MAX && b >> 16 == c >> 16))
        finding(check, AT(cells_next), "two of cells_next[0], cells_next[1] and gauge_next are in one page group");
    /* Cells are given out in order, so what nobody has is at the end of a group. */
    for (uint32_t number = 0; number < check->count[LIBSHM_TABLE_GROUPS]; number++) {
        const uint32_t *owner = check->cell_owner[number];
        uint32_t used = LIBSHM_CELLS_PER_PAGE, lost = 0;
        while (owner && used > 0 && !owner[used - 1])
            used--;
        for (uint32_t i = 0; owner && i < used; i++)
            lost += !owner[i];
        if (lost)
            finding(check, table_entry_offset(&check->image, LIBSHM_TABLE_GROUPS, number),
                    "page group %" PRIu32 ": %" PRIu32 " cells belong to no series and are not free", number, lost);
    }
}

void check_allocator(struct check *check)
{
    const struct libshm_header *header = check->header;
    if (header->file_end > check->image.length)
        finding(check, AT(file_end), "file_end %" PRIu64 ", but the file ends at %zu", header->file_end,
                check->image.length);
    if (header->file_end > header->max_bytes)
        finding(check, AT(file_end), "file_end %" PRIu64 " is beyond max_bytes %" PRIu64, header->file_end,
                header->max_bytes);
    if (header->page_next > header->file_end || header->page_next < LIBSHM_PAGE || header->page_next % LIBSHM_PAGE)
        finding(check, AT(page_next), "page_next %" PRIu64 " is not the start of a page up to file_end %" PRIu64,
                header->page_next, header->file_end);
    if (header->text_next > header->text_end || header->text_next % 16 || header->text_end % LIBSHM_PAGE ||
        header->text_end > check->pages * LIBSHM_PAGE)
        finding(check, AT(text_next), "text_next %" PRIu64 " to text_end %" PRIu64 " is not room in pages given out",
                header->text_next, header->text_end);
    else if (header->text_next < header->text_end)
        claim_text(check, (uint32_t)(header->text_next / 16), header->text_end - header->text_next, AT(text_next),
                   "free room", 0);
    if (header->live_cells > check->count[LIBSHM_TABLE_SERIES])
        finding(check, AT(live_cells), "live_cells %" PRIu64 ", more than there are series", header->live_cells);
    if (header->sweep_cursor > check->count[LIBSHM_TABLE_SERIES])
        finding(check, AT(sweep_cursor), "sweep_cursor %" PRIu64 " is beyond the series", header->sweep_cursor);
}
