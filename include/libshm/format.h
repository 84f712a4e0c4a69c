/* SPDX-License-Identifier: Apache-2.0
 *
 * THE SEGMENT: every byte that processes share. docs/format.md explains it in prose; a test holds both together.
 *
 *   offset 0         +------------------------------------------------------------------+
 *                    | header (one page): identity, allocator, undo journal, statistics |
 *   LIBSHM_PAGE      +------------------------------------------------------------------+
 *                    | pages, given out in order and never given back:                  |
 *                    |   table roots and leaves (groups, families, series, slots,       |
 *                    |   attaches), index, text arenas, hold pages, live pages,         |
 *                    |   page groups (the numbers)                                      |
 *   header.file_end  +------------------------------------------------------------------+  = size of the file
 *                    :   nothing; the file grows here, fallocate()d before it is used   :
 *   LIBSHM_LOCK_BASE :   byte-range locks only; no data can ever be here                :
 *
 * Rules of the layout
 *   - Fixed-width little-endian integers; no pointer, no enum, no bool, no libc type. Padding is named.
 *   - A place is an offset from the start of the file: in bytes (u64), in pages (u32) or in 16-byte units (u32).
 *     Zero is the header, so zero always means "none".
 *   - Words marked (a) are read without the insert lock, with atomic loads; all others change only under it.
 *   - The file never shrinks, has no hole, and no page changes its use.
 */
#ifndef LIBSHM_FORMAT_H
#define LIBSHM_FORMAT_H

#include <stdint.h>

#ifdef __cplusplus
#define LIBSHM_STATIC_ASSERT(condition, text) static_assert(condition, text)
#else
#define LIBSHM_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif

#define LIBSHM_MAGIC          "LIBSHM\r\n" /* the line end shows damage by a text-mode copy, as PNG's does */
#define LIBSHM_FORMAT_VERSION 1u

/* What is inlined into user programs: lane arithmetic, cell layout, live cell stamps. A program built against another
 * number cannot update this segment. */
#define LIBSHM_HOT_ABI 1u

/* ext4's scheme. An unknown bit in `compat`: go on. In `ro_compat`: read only. In `incompat`: do not touch. */
#define LIBSHM_COMPAT_KNOWN    0u
#define LIBSHM_RO_COMPAT_KNOWN 0u
#define LIBSHM_INCOMPAT_KNOWN  0u

#define LIBSHM_PAGE           4096u
#define LIBSHM_CELL           16u
#define LIBSHM_CELLS_PER_PAGE (LIBSHM_PAGE / LIBSHM_CELL)

/* Limits of the format. A reader refuses what is beyond them. */
#define LIBSHM_MAX_BYTES        (UINT64_C(64) << 30) /* a 16-byte unit in 32 bits */
#define LIBSHM_MAX_CPU_LANES    1024u
#define LIBSHM_MAX_ATOMIC_LANES 16u
#define LIBSHM_MAX_LABELS       16u
#define LIBSHM_MAX_BOUNDS       255u
#define LIBSHM_MAX_NAME         200u  /* metric name, bytes */
#define LIBSHM_MAX_LABEL_NAME   128u  /* label name, bytes */
#define LIBSHM_MAX_LABEL_VALUE  1024u /* one label value, bytes */
#define LIBSHM_MAX_HELP         1024u /* help text, bytes */
#define LIBSHM_MAX_UNIT         64u   /* unit, bytes */
#define LIBSHM_MAX_TEXT         8192u /* one text block: all strings (and bounds) of a family or a series, bytes */

/* ---- cells ---------------------------------------------------------------------------------------------------
 *
 *      0               8               16
 *      +---------------+---------------+
 *      | u64           | f64           |      counter: integer part, fractional part; the value is their sum
 *      +---------------+---------------+      histogram bucket: count, sum of the values in this bucket
 *                                             gauge, shared: unused, value
 *                                             gauge, live: stamp of the series, value (see live page)
 *
 * A page group holds 256 cells, each once in every page of the group:
 *
 *      base             +-----------------------------+
 *                       | baseline   256 cells        |   subtracted from the sum of the other lanes: a reset
 *                       +-----------------------------+
 *                       | atomic lane A-1             |   updated by locked instructions, by anyone
 *                       | ...                         |
 *                       | atomic lane 0               |
 *      lane 0 = base +  +-----------------------------+
 *      (1+A) pages      | CPU lane 0                  |   updated by plain instructions on CPU 0 only, inside a
 *                       +-----------------------------+   restartable sequence
 *                       | CPU lane 1                  |
 *                       | ... C lanes (C can be 0)    |
 *                       +-----------------------------+
 *
 * Cell i of CPU c is at lane0 + c * 4096 + 16 * i, of atomic lane a at lane0 - (1 + a) * 4096 + 16 * i. A series
 * stores the place of its first cell in lane 0; the cells of a histogram follow one another in the same group. */
struct libshm_cell {
    uint64_t integer;  /* (a) */
    double fractional; /* (a) */
};
LIBSHM_STATIC_ASSERT(sizeof(struct libshm_cell) == LIBSHM_CELL, "a cell is one 16-byte store");

struct libshm_group {
    uint64_t base;         /* byte offset of the baseline page */
    uint16_t cpu_lanes;    /* C, 0..LIBSHM_MAX_CPU_LANES */
    uint16_t atomic_lanes; /* A, a power of two, 1..LIBSHM_MAX_ATOMIC_LANES */
    uint32_t reserved;
};
LIBSHM_STATIC_ASSERT(sizeof(struct libshm_group) == 16, "layout");

/* ---- tables --------------------------------------------------------------------------------------------------
 *
 * Entry n of a table never moves. header.tables[t].root -> root pages: u32 page numbers of leaves -> entries.
 *
 *      table      entry  leaf pages  entries a leaf  root pages  most entries
 *      GROUPS        16           1             256           1       262,144
 *      FAMILIES     128           1              32           1        32,768
 *      SERIES        64           4             256           4     1,048,576
 *      SLOTS         64           1              64           1        65,536
 *      ATTACHES      64           1              64           1        65,536
 */
#define LIBSHM_TABLE_GROUPS   0u
#define LIBSHM_TABLE_FAMILIES 1u
#define LIBSHM_TABLE_SERIES   2u
#define LIBSHM_TABLE_SLOTS    3u
#define LIBSHM_TABLE_ATTACHES 4u
#define LIBSHM_TABLES         5u

/* clang-format off */
#define LIBSHM_TABLE_ENTRY_SIZES { 16u, 128u, 64u, 64u, 64u }
#define LIBSHM_TABLE_LEAF_PAGES  { 1u, 1u, 4u, 1u, 1u }
#define LIBSHM_TABLE_ROOT_PAGES  { 1u, 1u, 4u, 1u, 1u }
/* clang-format on */

struct libshm_table {
    uint32_t root;  /* page number of the first root page */
    uint32_t count; /* (a) entries ever used: 0..count-1 can be looked at; release store after the entry's leaf */
};

/* ---- families and series -------------------------------------------------------------------------------------
 *
 * `status` = generation << 8 | state. An entry's first generation is 1; it grows by one when the entry is given back
 * (FREE), before anything of it can be used again. The state LIVE is stored last, with release. Reader: load status
 * (acquire), copy, fence (acquire), load status again: the same generation, or what was copied is thrown away.
 *
 *      FREE -> BUILDING -> LIVE <-> HIDDEN      LIVE, HIDDEN -> REMOVED -> FREE
 *
 * LIVE      shown.
 * HIDDEN    idle longer than the family's TTL when it was last looked at. Shown as soon as its cells differ from
 *           `fingerprint`, so an update through an old handle is never lost. An overflow series is made HIDDEN, with
 *           the fingerprint of its zero cells.
 * REMOVED   gone from every output; its cells wait until no living attach holds the series. */
#define LIBSHM_STATE_FREE                0u
#define LIBSHM_STATE_BUILDING            1u
#define LIBSHM_STATE_LIVE                2u
#define LIBSHM_STATE_HIDDEN              3u
#define LIBSHM_STATE_REMOVED             4u
#define LIBSHM_STATUS_STATE(status)      ((uint32_t)((status)&0xffu))
#define LIBSHM_STATUS_GENERATION(status) ((status) >> 8)
#define LIBSHM_STATUS(generation, state) ((uint64_t)(generation) << 8 | (state))

#define LIBSHM_TYPE_COUNTER   1u
#define LIBSHM_TYPE_GAUGE     2u
#define LIBSHM_TYPE_HISTOGRAM 3u
#define LIBSHM_TYPE_SUMMARY   4u /* a histogram without bounds: one cell {count, sum} */
#define LIBSHM_TYPE_INFO      5u /* cells as a gauge; the value is 1 */
#define LIBSHM_TYPE_STATESET  6u /* cells as a gauge; 0 or 1 each; the last label is the state */
#define LIBSHM_TYPE_UNKNOWN   7u /* cells as a gauge */

#define LIBSHM_GAUGE_SHARED 0u /* one cell for all processes: last write wins */
#define LIBSHM_GAUGE_SUM    1u /* live: one cell a process, merged over the living ones */
#define LIBSHM_GAUGE_MIN    2u
#define LIBSHM_GAUGE_MAX    3u
#define LIBSHM_GAUGE_ALL    4u /* live: one series a process, with its pid */

/* The text block of a family, at text * 16:
 *
 *      u16 name, help, unit, label[0] ... label[n_labels-1]    lengths in bytes
 *      the bytes, in that order, no terminators
 *      padding to 8
 *      f64 bound[0] ... bound[n_bounds-1]                        strictly increasing, finite
 */
struct libshm_family_entry {
    uint64_t status;     /* (a) */
    uint32_t type;       /* LIBSHM_TYPE_* */
    uint32_t gauge_mode; /* LIBSHM_GAUGE_* */
    uint32_t hash;       /* of the name */
    uint32_t text;       /* 16-byte units */
    uint32_t text_size;  /* bytes used of the block */
    uint16_t n_labels;
    uint16_t n_bounds;
    uint32_t max_series;      /* cap; LIVE and HIDDEN series count */
    uint32_t series;          /* (a) LIVE and HIDDEN series now */
    uint64_t ttl_ns;          /* 0: never hidden */
    uint64_t created_ns;      /* CLOCK_REALTIME */
    uint64_t overflowed;      /* (a) look-ups that were given the overflow series or dropped */
    uint32_t overflow_series; /* number + 1 of the overflow series; 0: none yet */
    int32_t native_schema;    /* reserved for native histograms; 0 */
    uint64_t last_sweep_ns;   /* (a) CLOCK_MONOTONIC: when a look-up last swept because of the cap */
    uint32_t sweep_cursor;    /* series number where that sweep goes on */
    uint32_t reserved[11];
};
LIBSHM_STATIC_ASSERT(sizeof(struct libshm_family_entry) == 128, "layout");

/* The text block of a series, at text * 16: u16 length[n_labels], then the bytes; label names are the family's. */
struct libshm_series_entry {
    uint64_t status;      /* (a) */
    uint64_t cells;       /* byte offset of its first cell in lane 0; live gauge: number of its live cell + 1 */
    uint32_t family;      /* number of the family */
    uint32_t hash;        /* of family and label values */
    uint32_t group;       /* number of the page group; LIBSHM_NO_GROUP for a live gauge */
    uint32_t text;        /* 16-byte units; 0 without labels */
    uint16_t text_size;   /* bytes used of the block */
    uint16_t n_cells;     /* 1..256 */
    uint32_t next_free;   /* FREE: number + 1 of the next free entry with as many cells */
    uint64_t created_ns;  /* CLOCK_REALTIME */
    uint64_t fingerprint; /* (a) of the cells when a sweep last saw them move */
    uint64_t moved_ns;    /* (a) when that was, CLOCK_MONOTONIC */
};
LIBSHM_STATIC_ASSERT(sizeof(struct libshm_series_entry) == 64, "layout");
#define LIBSHM_NO_GROUP UINT32_MAX

/* ---- index ---------------------------------------------------------------------------------------------------
 *
 * Open addressing, linear probing, over families and series alike. Two tables: the one in use and a spare, so that a
 * rebuild (to grow, or to be rid of tombstones) fills the spare and changes over with one store of `index_word`:
 * generation << 16 | table << 8 | log2(slots).
 *
 * A slot: 0 empty, LIBSHM_INDEX_TOMBSTONE, else hash << 32 | kind << 31 | entry number + 1. */
#define LIBSHM_INDEX_TOMBSTONE   UINT64_C(0xffffffff)
#define LIBSHM_INDEX_FAMILY      UINT64_C(0x80000000)
#define LIBSHM_INDEX_NUMBER_MASK UINT64_C(0x7fffffff)
#define LIBSHM_INDEX_LOG2(word)  ((uint32_t)((word)&0xffu))
#define LIBSHM_INDEX_WHICH(word) ((uint32_t)((word) >> 8 & 1u))

/* ---- processes -----------------------------------------------------------------------------------------------
 *
 * A slot is one address space. It is alive exactly as long as the lock on byte LIBSHM_SLOT_LOCK + serial is held.
 * An attach is everything that inherited one libshm_open() through fork; alive as long as the lock on byte
 * LIBSHM_ATTACH_LOCK + serial is held. Serials are never reused. */
struct libshm_slot_entry {
    uint64_t serial;   /* (a) 0: not in use. Stored last, with release, after the cells were zeroed */
    uint64_t pid_ns;   /* inode of the pid namespace in which `pid` counts */
    uint64_t taken_ns; /* CLOCK_REALTIME */
    uint32_t pid;
    uint32_t live_page; /* (a) page number of the first live page; 0: none. Stays with the entry when it is reused */
    uint32_t attach;    /* number of the attach it uses */
    uint32_t reserved;
    char name[16]; /* comm of the process, padded with zeros */
    uint64_t reserved2;
};
LIBSHM_STATIC_ASSERT(sizeof(struct libshm_slot_entry) == 64, "layout");

/* A live page: 255 live cells of one slot. Live cell n of a slot is cell n % 255 of the page number n / 255 in the
 * chain. A cell counts only while its stamp equals the generation of the series that owns the number: a cell that was
 * never written, or was written for an earlier owner of the number, is absent and not zero. */
#define LIBSHM_LIVE_CELLS 255u
struct libshm_live_page {
    uint32_t next;  /* (a) page number; 0: last */
    uint32_t order; /* position in the chain, from 0 */
    uint64_t reserved;
    struct libshm_cell cell[LIBSHM_LIVE_CELLS]; /* {stamp, value} */
};
LIBSHM_STATIC_ASSERT(sizeof(struct libshm_live_page) == LIBSHM_PAGE, "layout");

struct libshm_attach_entry {
    uint64_t serial;   /* (a) 0: not in use */
    uint64_t taken_ns; /* CLOCK_REALTIME */
    uint32_t pid;      /* of the process that attached */
    uint32_t holds;    /* (a) page number of the first hold page; 0: none. Stays with the entry when it is reused */
    uint64_t reserved[5];
};
LIBSHM_STATIC_ASSERT(sizeof(struct libshm_attach_entry) == 64, "layout");

/* A hold page: one bit for each of 32,256 things that the attach holds. Thing n < LIBSHM_HOLD_FAMILY is series n, else
 * family n - LIBSHM_HOLD_FAMILY. Bits are only ever set; they end with the attach. */
#define LIBSHM_HOLD_FAMILY (UINT32_C(1) << 20)
#define LIBSHM_HOLD_BITS   32256u
struct libshm_hold_page {
    uint32_t next;  /* (a) page number; 0: last */
    uint32_t block; /* things from block * LIBSHM_HOLD_BITS on */
    uint64_t reserved[7];
    uint64_t bits[LIBSHM_HOLD_BITS / 64]; /* (a) */
};
LIBSHM_STATIC_ASSERT(sizeof(struct libshm_hold_page) == LIBSHM_PAGE, "layout");

/* ---- locks: open file description locks on bytes where no data can be ----------------------------------------- */
#define LIBSHM_LOCK_BASE          (UINT64_C(1) << 62)
#define LIBSHM_INSERT_LOCK        LIBSHM_LOCK_BASE                         /* + header.lock_epoch: the insert lock */
#define LIBSHM_ATTACH_LOCK        (LIBSHM_LOCK_BASE + (UINT64_C(1) << 60)) /* + serial: an attach lives */
#define LIBSHM_COMMON_ATTACH_LOCK LIBSHM_ATTACH_LOCK                       /* read-locked: attaches without an entry */
#define LIBSHM_SLOT_LOCK          (LIBSHM_LOCK_BASE + (UINT64_C(2) << 60)) /* + serial: a process lives */

/* ---- text arenas ---------------------------------------------------------------------------------------------
 * Blocks of fixed size classes. A free block's first u32 is the place of the next free one (16-byte units). */
#define LIBSHM_TEXT_CLASSES 18u
/* clang-format off */
#define LIBSHM_TEXT_CLASS_SIZES { 16u, 32u, 48u, 64u, 96u, 128u, 192u, 256u, 384u, 512u, 768u, 1024u, 1536u, 2048u, \
                                  3072u, 4096u, 6144u, 8192u }
/* clang-format on */

/* ---- the undo journal ----------------------------------------------------------------------------------------
 * Under the insert lock, the old contents of every word that is about to change are written here first. Storing
 * `commit_value` at `commit_at` makes the change complete. Whoever takes the lock after a death finds count != 0 and,
 * unless the commit store was made, puts the old words back, last first. */
#define LIBSHM_JOURNAL_ENTRIES 72u
struct libshm_journal {
    uint64_t count;        /* (a) entries in use */
    uint64_t commit_at;    /* byte offset; 0: not known yet */
    uint64_t commit_value; /* never the value before */
    struct {
        uint64_t at; /* byte offset, a multiple of 8 */
        uint64_t old;
    } entry[LIBSHM_JOURNAL_ENTRIES];
};

/* ---- header -------------------------------------------------------------------------------------------------- */
struct libshm_statistics {      /* each only grows; relaxed atomic adds by anyone */
    uint64_t overflowed;        /* look-ups that were given the overflow series or dropped */
    uint64_t dropped_updates;   /* updates through a handle that could not be set up */
    uint64_t dropped_values;    /* NaN observations and sets, NaN and negative increments */
    uint64_t rejected;          /* definitions and label sets refused as invalid */
    uint64_t full;              /* requests refused because the segment or the file system was full */
    uint64_t lock_timeouts;     /* waits for the insert lock given up */
    uint64_t lock_passed;       /* insert lock of a dead process passed by */
    uint64_t repaired;          /* half-done changes of a dead process undone */
    uint64_t hidden;            /* series hidden by TTL */
    uint64_t removed;           /* series removed */
    uint64_t reused;            /* cells given to another series */
    uint64_t unpinned_attaches; /* attaches that had to share the common byte */
    uint64_t slotless;          /* processes that could not take a slot */
    uint64_t resets;            /* incarnations begun by a reset */
    uint64_t replaced_families; /* definitions replaced after a redeploy */
    uint64_t reserved[9];
};

struct libshm_header {
    /* identity: written once, before the segment has a name, and covered by `checksum` */
    char magic[8];
    uint32_t format_version;
    uint32_t header_size; /* sizeof(struct libshm_header) */
    uint32_t compat;
    uint32_t ro_compat;
    uint32_t incompat;
    uint32_t hot_abi;
    uint8_t boot_id[16];        /* of the kernel whose CPUs the lanes are */
    uint64_t created_ns;        /* CLOCK_REALTIME */
    uint64_t max_bytes;         /* the file never grows beyond */
    uint64_t segment_id;        /* random */
    uint32_t cpu_lanes;         /* of a new page group within the budget */
    uint32_t atomic_lanes_only; /* atomic lanes of a page group without CPU lanes */
    uint64_t per_cpu_budget;    /* bytes of page groups with CPU lanes; beyond it, groups have atomic lanes only */
    char creator[32];           /* version of the library that made it */
    uint32_t reserved0;
    uint32_t checksum; /* CRC-32C of the bytes before it */

    /* the insert lock */
    uint64_t lock_epoch;    /* (a) low 16 bits: which byte is the lock; above: slot serial of the holder or 0 */
    uint64_t lock_owner;    /* (a) the holder's slot serial, for people; 0: none, or not known */
    uint64_t lock_progress; /* (a) grows with every acquisition */
    uint64_t sweep_cursor;  /* series number where the next sweep goes on */
    uint64_t removals;      /* (a) grows before a series is removed: unchanged, and no cached look-up needs a check */
    uint64_t reset_to;      /* (a) the incarnation that a reset is on its way to; 0: none is */
    uint64_t reserved1[2];

    /* allocator and directory */
    uint64_t file_end;          /* (a) allocated bytes = size of the file */
    uint64_t page_next;         /* next page to give out, bytes */
    uint64_t serial;            /* last serial given out */
    uint64_t directory_version; /* (a) grows with every change that a reader's copy of the directory must follow */
    uint64_t incarnation;       /* (a) grows with every reset */
    uint64_t incarnation_ns;    /* (a) CLOCK_REALTIME when the last one began */
    uint64_t index_word;        /* (a) */
    uint64_t index_used;        /* slots in use, tombstones included */
    struct libshm_table tables[LIBSHM_TABLES];
    uint32_t index_page[2]; /* (a) page numbers of the two index tables; 0: none */
    uint32_t index_log2[2]; /* (a) their sizes, log2 of slots */
    uint64_t per_cpu_bytes; /* page groups with CPU lanes so far */
    uint64_t live_cells;    /* live cell numbers given out */
    uint64_t text_next;     /* bump allocation of text blocks: from here */
    uint64_t text_end;      /* to here, bytes */
    uint64_t cells_next[2]; /* bump allocation of cells, single and in runs: group << 16 | cell; ~0: no group */
    uint64_t gauge_next;    /* the same for shared gauges */
    uint32_t text_free[LIBSHM_TEXT_CLASSES]; /* 16-byte units */
    uint32_t series_free[256];               /* by n_cells - 1: number + 1 of the first free series entry */
    uint32_t gauge_free;                     /* the same for shared gauges */
    uint32_t live_free;                      /* and for live gauges */
    struct libshm_statistics statistics;
    struct libshm_journal journal;
    uint64_t reserved2[157];
};
LIBSHM_STATIC_ASSERT(sizeof(struct libshm_header) == LIBSHM_PAGE, "the header is one page");
LIBSHM_STATIC_ASSERT(__builtin_offsetof(struct libshm_header, checksum) == 124, "layout");
LIBSHM_STATIC_ASSERT(__builtin_offsetof(struct libshm_header, lock_epoch) == 128, "layout");

#endif
