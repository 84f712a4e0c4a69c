/* SPDX-License-Identifier: Apache-2.0
 *
 * Every field of the format, in one table: X(struct, member, width, unit, reach, found).
 *
 *   width   bytes of one element; a field of more bytes is an array
 *   unit    what its number means: U plain, B place in bytes, P page, T place in 16-byte units, N entry number, I entry
 *           number + 1, G group << 16 | cell
 *   reach   what of a segment is lost, at most, when it is wrong:
 *             IDENTITY   the whole segment is refused
 *             NOTHING    nothing: all series are served as before
 *             ENTRY      the one family (or series) that it belongs to
 *             VICTIMS    the families named victim_*
 *             LIVE       live gauges
 *             GROUP      families with cells in its page group
 *             ANYTHING   whatever: it is only survived
 *   (A table whose root or count is out of bounds makes a reader refuse the whole segment, whichever table it is.)
 *   found   whether shm-check finds it: ALWAYS, whatever the wrong value; OUTSIDE, if the value cannot be right (the
 *           maximum); NEVER, where any value could be right
 *
 * The assertions below fail when a structure gets a field that is not listed here. */
#ifndef CORRUPT_FIELDS_H
#define CORRUPT_FIELDS_H

#include <libshm/format.h>

#define HEADER_FIELDS(X)                                                                                               \
    X(libshm_header, magic, 8, U, IDENTITY, ALWAYS)                                                                    \
    X(libshm_header, format_version, 4, U, IDENTITY, ALWAYS)                                                           \
    X(libshm_header, header_size, 4, U, IDENTITY, ALWAYS)                                                              \
    X(libshm_header, compat, 4, U, IDENTITY, NEVER)                                                                    \
    X(libshm_header, ro_compat, 4, U, IDENTITY, NEVER)                                                                 \
    X(libshm_header, incompat, 4, U, IDENTITY, ALWAYS)                                                                 \
    X(libshm_header, hot_abi, 4, U, IDENTITY, ALWAYS)                                                                  \
    X(libshm_header, boot_id, 1, U, IDENTITY, NEVER)                                                                   \
    X(libshm_header, created_ns, 8, U, IDENTITY, NEVER)                                                                \
    X(libshm_header, max_bytes, 8, U, IDENTITY, OUTSIDE)                                                               \
    X(libshm_header, segment_id, 8, U, IDENTITY, NEVER)                                                                \
    X(libshm_header, cpu_lanes, 4, U, IDENTITY, OUTSIDE)                                                               \
    X(libshm_header, atomic_lanes_only, 4, U, IDENTITY, OUTSIDE)                                                       \
    X(libshm_header, per_cpu_budget, 8, U, IDENTITY, NEVER)                                                            \
    X(libshm_header, creator, 1, U, IDENTITY, NEVER)                                                                   \
    X(libshm_header, reserved0, 4, U, IDENTITY, ALWAYS)                                                                \
    X(libshm_header, checksum, 4, U, IDENTITY, ALWAYS)                                                                 \
    X(libshm_header, lock_epoch, 8, U, NOTHING, NEVER)                                                                 \
    X(libshm_header, lock_owner, 8, U, NOTHING, OUTSIDE)                                                               \
    X(libshm_header, lock_progress, 8, U, NOTHING, NEVER)                                                              \
    X(libshm_header, sweep_cursor, 8, N, NOTHING, OUTSIDE)                                                             \
    X(libshm_header, removals, 8, U, NOTHING, NEVER)                                                                   \
    X(libshm_header, reset_to, 8, U, NOTHING, NEVER)                                                                   \
    X(libshm_header, reserved1, 8, U, NOTHING, ALWAYS)                                                                 \
    X(libshm_header, file_end, 8, B, ANYTHING, OUTSIDE)                                                                \
    X(libshm_header, page_next, 8, B, ANYTHING, OUTSIDE)                                                               \
    X(libshm_header, serial, 8, U, NOTHING, OUTSIDE)                                                                   \
    X(libshm_header, directory_version, 8, U, NOTHING, NEVER)                                                          \
    X(libshm_header, incarnation, 8, U, NOTHING, NEVER)                                                                \
    X(libshm_header, incarnation_ns, 8, U, NOTHING, NEVER)                                                             \
    X(libshm_header, index_word, 8, U, NOTHING, OUTSIDE)                                                               \
    X(libshm_header, index_used, 8, U, NOTHING, ALWAYS)                                                                \
    X(libshm_header, tables[LIBSHM_TABLE_GROUPS].root, 4, P, ANYTHING, ALWAYS)                                         \
    X(libshm_header, tables[LIBSHM_TABLE_GROUPS].count, 4, U, ANYTHING, ALWAYS)                                        \
    X(libshm_header, tables[LIBSHM_TABLE_FAMILIES].root, 4, P, ANYTHING, ALWAYS)                                       \
    X(libshm_header, tables[LIBSHM_TABLE_FAMILIES].count, 4, U, ANYTHING, ALWAYS)                                      \
    X(libshm_header, tables[LIBSHM_TABLE_SERIES].root, 4, P, ANYTHING, ALWAYS)                                         \
    X(libshm_header, tables[LIBSHM_TABLE_SERIES].count, 4, U, ANYTHING, ALWAYS)                                        \
    X(libshm_header, tables[LIBSHM_TABLE_SLOTS].root, 4, P, ANYTHING, ALWAYS)                                          \
    X(libshm_header, tables[LIBSHM_TABLE_SLOTS].count, 4, U, ANYTHING, OUTSIDE)                                        \
    X(libshm_header, tables[LIBSHM_TABLE_ATTACHES].root, 4, P, ANYTHING, ALWAYS)                                       \
    X(libshm_header, tables[LIBSHM_TABLE_ATTACHES].count, 4, U, ANYTHING, OUTSIDE)                                     \
    X(libshm_header, index_page, 4, P, NOTHING, ALWAYS)                                                                \
    X(libshm_header, index_log2, 4, U, NOTHING, ALWAYS)                                                                \
    X(libshm_header, per_cpu_bytes, 8, U, NOTHING, ALWAYS)                                                             \
    X(libshm_header, live_cells, 8, U, NOTHING, ALWAYS)                                                                \
    X(libshm_header, text_next, 8, B, NOTHING, OUTSIDE)                                                                \
    X(libshm_header, text_end, 8, B, NOTHING, OUTSIDE)                                                                 \
    X(libshm_header, cells_next, 8, G, NOTHING, NEVER)                                                                 \
    X(libshm_header, gauge_next, 8, G, NOTHING, NEVER)                                                                 \
    X(libshm_header, text_free, 4, T, NOTHING, OUTSIDE)                                                                \
    X(libshm_header, series_free, 4, I, NOTHING, ALWAYS)                                                               \
    X(libshm_header, gauge_free, 4, I, NOTHING, ALWAYS)                                                                \
    X(libshm_header, live_free, 4, I, NOTHING, ALWAYS)                                                                 \
    X(libshm_header, statistics.overflowed, 8, U, NOTHING, NEVER)                                                      \
    X(libshm_header, statistics.dropped_updates, 8, U, NOTHING, NEVER)                                                 \
    X(libshm_header, statistics.dropped_values, 8, U, NOTHING, NEVER)                                                  \
    X(libshm_header, statistics.rejected, 8, U, NOTHING, NEVER)                                                        \
    X(libshm_header, statistics.full, 8, U, NOTHING, NEVER)                                                            \
    X(libshm_header, statistics.lock_timeouts, 8, U, NOTHING, NEVER)                                                   \
    X(libshm_header, statistics.lock_passed, 8, U, NOTHING, NEVER)                                                     \
    X(libshm_header, statistics.repaired, 8, U, NOTHING, NEVER)                                                        \
    X(libshm_header, statistics.hidden, 8, U, NOTHING, NEVER)                                                          \
    X(libshm_header, statistics.removed, 8, U, NOTHING, NEVER)                                                         \
    X(libshm_header, statistics.reused, 8, U, NOTHING, NEVER)                                                          \
    X(libshm_header, statistics.unpinned_attaches, 8, U, NOTHING, NEVER)                                               \
    X(libshm_header, statistics.slotless, 8, U, NOTHING, NEVER)                                                        \
    X(libshm_header, statistics.resets, 8, U, NOTHING, NEVER)                                                          \
    X(libshm_header, statistics.replaced_families, 8, U, NOTHING, NEVER)                                               \
    X(libshm_header, statistics.reserved, 8, U, NOTHING, ALWAYS)                                                       \
    X(libshm_header, journal.count, 8, U, NOTHING, OUTSIDE)                                                            \
    X(libshm_header, journal.commit_at, 8, B, NOTHING, NEVER)                                                          \
    X(libshm_header, journal.commit_value, 8, U, NOTHING, NEVER)                                                       \
    X(libshm_header, journal.entry, 8, B, NOTHING, NEVER)                                                              \
    X(libshm_header, reserved2, 8, U, NOTHING, ALWAYS)

#define GROUP_FIELDS(X)                                                                                                \
    X(libshm_group, base, 8, B, GROUP, ALWAYS)                                                                         \
    X(libshm_group, cpu_lanes, 2, U, GROUP, ALWAYS)                                                                    \
    X(libshm_group, atomic_lanes, 2, U, GROUP, ALWAYS)                                                                 \
    X(libshm_group, reserved, 4, U, GROUP, ALWAYS)

#define FAMILY_FIELDS(X)                                                                                               \
    X(libshm_family_entry, status, 8, U, ENTRY, OUTSIDE)                                                               \
    X(libshm_family_entry, type, 4, U, ENTRY, OUTSIDE)                                                                 \
    X(libshm_family_entry, gauge_mode, 4, U, ENTRY, OUTSIDE)                                                           \
    X(libshm_family_entry, hash, 4, U, ENTRY, ALWAYS)                                                                  \
    X(libshm_family_entry, text, 4, T, ENTRY, ALWAYS)                                                                  \
    X(libshm_family_entry, text_size, 4, U, ENTRY, ALWAYS)                                                             \
    X(libshm_family_entry, n_labels, 2, U, ENTRY, ALWAYS)                                                              \
    X(libshm_family_entry, n_bounds, 2, U, ENTRY, ALWAYS)                                                              \
    X(libshm_family_entry, max_series, 4, U, ENTRY, NEVER)                                                             \
    X(libshm_family_entry, series, 4, U, ENTRY, ALWAYS)                                                                \
    X(libshm_family_entry, ttl_ns, 8, U, ENTRY, NEVER)                                                                 \
    X(libshm_family_entry, created_ns, 8, U, ENTRY, NEVER)                                                             \
    X(libshm_family_entry, overflowed, 8, U, ENTRY, NEVER)                                                             \
    X(libshm_family_entry, overflow_series, 4, I, ENTRY, ALWAYS)                                                       \
    X(libshm_family_entry, native_schema, 4, U, ENTRY, ALWAYS)                                                         \
    X(libshm_family_entry, last_sweep_ns, 8, U, ENTRY, NEVER)                                                          \
    X(libshm_family_entry, sweep_cursor, 4, N, ENTRY, OUTSIDE)                                                         \
    X(libshm_family_entry, reserved, 4, U, ENTRY, ALWAYS)

#define SERIES_FIELDS(X)                                                                                               \
    X(libshm_series_entry, status, 8, U, ENTRY, OUTSIDE)                                                               \
    X(libshm_series_entry, cells, 8, B, ENTRY, ALWAYS)                                                                 \
    X(libshm_series_entry, family, 4, N, VICTIMS, ALWAYS)                                                              \
    X(libshm_series_entry, hash, 4, U, ENTRY, ALWAYS)                                                                  \
    X(libshm_series_entry, group, 4, N, ENTRY, ALWAYS)                                                                 \
    X(libshm_series_entry, text, 4, T, ENTRY, ALWAYS)                                                                  \
    X(libshm_series_entry, text_size, 2, U, ENTRY, ALWAYS)                                                             \
    X(libshm_series_entry, n_cells, 2, U, ENTRY, ALWAYS)                                                               \
    X(libshm_series_entry, next_free, 4, I, ENTRY, NEVER)                                                              \
    X(libshm_series_entry, created_ns, 8, U, ENTRY, NEVER)                                                             \
    X(libshm_series_entry, fingerprint, 8, U, ENTRY, NEVER)                                                            \
    X(libshm_series_entry, moved_ns, 8, U, ENTRY, NEVER)

#define SLOT_FIELDS(X)                                                                                                 \
    X(libshm_slot_entry, serial, 8, U, LIVE, OUTSIDE)                                                                  \
    X(libshm_slot_entry, pid_ns, 8, U, LIVE, NEVER)                                                                    \
    X(libshm_slot_entry, taken_ns, 8, U, LIVE, NEVER)                                                                  \
    X(libshm_slot_entry, pid, 4, U, LIVE, NEVER)                                                                       \
    X(libshm_slot_entry, live_page, 4, P, LIVE, OUTSIDE)                                                               \
    X(libshm_slot_entry, attach, 4, N, LIVE, OUTSIDE)                                                                  \
    X(libshm_slot_entry, reserved, 4, U, LIVE, ALWAYS)                                                                 \
    X(libshm_slot_entry, name, 1, U, LIVE, NEVER)                                                                      \
    X(libshm_slot_entry, reserved2, 8, U, LIVE, ALWAYS)

#define LIVE_PAGE_FIELDS(X)                                                                                            \
    X(libshm_live_page, next, 4, P, LIVE, OUTSIDE)                                                                     \
    X(libshm_live_page, order, 4, U, LIVE, ALWAYS)                                                                     \
    X(libshm_live_page, reserved, 8, U, LIVE, ALWAYS)                                                                  \
    X(libshm_live_page, cell, 8, U, LIVE, NEVER)

#define ATTACH_FIELDS(X)                                                                                               \
    X(libshm_attach_entry, serial, 8, U, NOTHING, OUTSIDE)                                                             \
    X(libshm_attach_entry, taken_ns, 8, U, NOTHING, NEVER)                                                             \
    X(libshm_attach_entry, pid, 4, U, NOTHING, NEVER)                                                                  \
    X(libshm_attach_entry, holds, 4, P, NOTHING, OUTSIDE)                                                              \
    X(libshm_attach_entry, reserved, 8, U, NOTHING, ALWAYS)

#define HOLD_PAGE_FIELDS(X)                                                                                            \
    X(libshm_hold_page, next, 4, P, NOTHING, OUTSIDE)                                                                  \
    X(libshm_hold_page, block, 4, U, NOTHING, OUTSIDE)                                                                 \
    X(libshm_hold_page, reserved, 8, U, NOTHING, ALWAYS)                                                               \
    X(libshm_hold_page, bits, 8, U, NOTHING, NEVER)

#define CELL_FIELDS(X)                                                                                                 \
    X(libshm_cell, integer, 8, U, ENTRY, NEVER)                                                                        \
    X(libshm_cell, fractional, 8, U, ENTRY, NEVER)

#define FIELD_SIZE(structure, member, width, unit, reach, found) +sizeof(((struct structure *)0)->member)
#define COMPLETE(structure, fields)                                                                                    \
    LIBSHM_STATIC_ASSERT(0 fields(FIELD_SIZE) == sizeof(struct structure), "a field of " #structure " is not listed")
COMPLETE(libshm_header, HEADER_FIELDS);
COMPLETE(libshm_group, GROUP_FIELDS);
COMPLETE(libshm_family_entry, FAMILY_FIELDS);
COMPLETE(libshm_series_entry, SERIES_FIELDS);
COMPLETE(libshm_slot_entry, SLOT_FIELDS);
COMPLETE(libshm_live_page, LIVE_PAGE_FIELDS);
COMPLETE(libshm_attach_entry, ATTACH_FIELDS);
COMPLETE(libshm_hold_page, HOLD_PAGE_FIELDS);
COMPLETE(libshm_cell, CELL_FIELDS);

#endif
