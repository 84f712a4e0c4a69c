/* SPDX-License-Identifier: Apache-2.0
 *
 * The writers' side of the library, private: what a segment and a family are in this process, and what the files of
 * this folder offer each other. From the bottom up:
 *
 *   lock.c        the insert lock, and the mutex that stands before it inside a process
 *   journal.c     changes of shared words that a death at any instruction leaves whole or undone
 *   alloc.c       pages, table entries, text blocks
 *   cells.c       page groups and the cells of a series
 *   index.c       label values -> series, name -> family
 *   pin.c         locks that last as long as a mapping does
 *   attach.c      who is alive: attaches with their holds; slots.c: process slots
 *   live.c        live gauges: this process's cells
 *   sweep.c       hiding by TTL, removal, reuse
 *   series.c      found or made, removed; handles.c gives them out and takes them back, value.c reads back
 *   overflow.c    where updates count whose series cannot be had
 *   definition.c  what a definition may say
 *   family.c      families, made from definitions
 *   grace.c       when what look-ups could reach may be freed
 *   lookup.c      the *_with functions: hits (hit.h) and misses; lookup_table.c is the process-local cache behind them
 *   create.c      the file; segment.c opens, closes, follows forks; reset.c, unlink.c
 *
 * Order of locks: process mutex, then insert lock. "Locked" in a comment means both are held. */
#ifndef LIBSHM_INTERNAL_H
#define LIBSHM_INTERNAL_H

#include <libshm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "libshm/error.h"
#include "libshm/text.h"

#define LIBSHM_HIDDEN __attribute__((visibility("hidden")))

/* Tests end the process here: before each store to shared memory and each system call of the setup paths. */
#ifdef LIBSHM_TEST_POINTS
void libshm_test_point(const char *function, int line);
#define LIBSHM_POINT() libshm_test_point(__func__, __LINE__)
#else
#define LIBSHM_POINT() ((void)0)
#endif

#define LIBSHM_LIVE_PAGES 480u /* live pages a process can have: 122,400 live gauges */

/* Lives in memory that the kernel wipes in every child (MADV_WIPEONFORK), however it was forked: there, all of it is
 * zero, which means "not yet", and a zero mutex is an unlocked one. */
struct libshm_wiped {
    pthread_mutex_t mutex;   /* before the insert lock, and for everything process-local of the segment */
    uint64_t stuck_until_ns; /* after a timeout others do not wait again at once; CLOCK_MONOTONIC */
    uint32_t own_attach;     /* the attach is this process\'s, not one inherited through fork */
    uint64_t slot_serial;    /* 0: no slot taken yet */
    uint32_t slot;           /* number */
    uint32_t slot_failed;    /* it cannot be had; do not try at every update */
    void *slot_pin;          /* keeps the slot's lock */
    int slot_fd;             /* fd + 1 that keeps it where a mapping does not (overlayfs), else 0 */
    struct libshm_live_page *live_page[LIBSHM_LIVE_PAGES];
};

/* What a live gauge's handle points to. */
struct libshm_process {
    struct libshm_segment *segment;
    struct libshm_wiped *wiped;
};

struct libshm_segment {
    union {
        char *base;
        struct libshm_header *header;
    };
    uint64_t map_bytes;
    struct libshm_process process;
    char *path; /* absolute */
    dev_t device;
    ino_t inode;
    unsigned opens;     /* how often libshm_open gave it out */
    uint16_t id;        /* 1.. in libshm_segments */
    bool per_cpu;       /* this process may use CPU lanes */
    int lock_fd;        /* while locked */
    uint64_t lock_byte; /* the same: which byte is locked */
    /* attach */
    uint64_t attach_serial;
    uint32_t attach; /* number */
    bool common;     /* could not get an entry or byte of its own: holds the common byte, records no holds */
    void *attach_pin;
    int attach_fd;     /* where a mapping does not keep the lock: the descriptor that does; else -1 */
    uint32_t held;     /* things with references */
    uint32_t released; /* things whose last reference went while their bits are still set */
    /* holds: references by thing; grown on demand */
    uint32_t *series_holds, *family_holds;
    uint32_t series_holds_size, family_holds_size;
    struct libshm_family *families; /* of this process, newest first */
    struct libshm_lookup *lookup;
};

struct libshm_family {
    struct libshm_family *next;
    struct libshm_segment *segment;
    struct libshm_family_entry *entry;
    uint64_t generation;
    uint32_t number;
    uint32_t n_labels;
    uint32_t type;
    uint32_t gauge_mode;
    uint32_t n_bounds;
    libshm_histogram search;        /* how observe finds the bucket: to be copied into handles */
    struct libshm_buckets *buckets; /* owns what `search` points to */
    uint32_t overflow_held;         /* number + 1 of the overflow series, once this process holds it */
    uint64_t overflow_generation;
    char name[LIBSHM_MAX_NAME + 1];
};

/* One series as found: number and the generation that was checked. */
struct libshm_found {
    struct libshm_series_entry *entry;
    uint32_t number;
    uint64_t generation;
};

/* Label values with their lengths and hash. */
struct libshm_labels {
    const char *const *values;
    uint16_t length[LIBSHM_MAX_LABELS];
    uint32_t n;
    uint32_t bytes; /* of the text block: lengths and strings */
    uint64_t hash;
};

/* ---- helpers ---- */
LIBSHM_HIDDEN uint64_t libshm_now_ns(clockid_t clock);

static inline void *libshm_at(const struct libshm_segment *segment, uint64_t offset, uint64_t size)
{
    /* every offset read from the segment passes here: another writer may be buggy */
    uint64_t end = __atomic_load_n(&segment->header->file_end, __ATOMIC_ACQUIRE);
    end = end < segment->map_bytes ? end : segment->map_bytes;
    return offset != 0 && offset <= end && size <= end - offset ? segment->base + offset : NULL;
}

static inline uint64_t libshm_offset(const struct libshm_segment *segment, const void *place)
{
    return (uint64_t)((const char *)place - segment->base);
}

#define LIBSHM_COUNT(segment, what, n) __atomic_fetch_add(&(segment)->header->statistics.what, n, __ATOMIC_RELAXED)

static inline uint64_t libshm_status(const uint64_t *status)
{
    return __atomic_load_n(status, __ATOMIC_ACQUIRE);
}

static inline bool libshm_status_shown(uint64_t status)
{
    return LIBSHM_STATUS_STATE(status) == LIBSHM_STATE_LIVE || LIBSHM_STATUS_STATE(status) == LIBSHM_STATE_HIDDEN;
}

/* ---- lock.c ---- */
LIBSHM_HIDDEN void libshm_mutex_lock(struct libshm_segment *segment);
LIBSHM_HIDDEN void libshm_mutex_unlock(struct libshm_segment *segment);
/* Takes the insert lock; the mutex is held. Repairs what a dead holder left. Sets segment->lock_fd, a descriptor that
 * is this process's alone. `patience_ms`: wait without seeing progress. LIBSHM_E_BUSY, _REPLACED, _SYSTEM. */
LIBSHM_HIDDEN int libshm_insert_lock(struct libshm_segment *segment, unsigned patience_ms);
LIBSHM_HIDDEN void libshm_insert_unlock(struct libshm_segment *segment);
/* Both locks, for a setup call; 0 or the error of libshm_insert_lock, and then neither is held. */
LIBSHM_HIDDEN int libshm_setup_begin(struct libshm_segment *segment);
LIBSHM_HIDDEN void libshm_setup_end(struct libshm_segment *segment);
/* Locked: this process's slot serial is the holder's from now on. */
LIBSHM_HIDDEN void libshm_lock_sign(struct libshm_segment *segment);
/* A new descriptor of the segment's file, or an error. */
LIBSHM_HIDDEN int libshm_reopen(const struct libshm_segment *segment);
/* Is a lock held on this byte, by anyone but `fd`'s own description? 1, 0, or -1 with errno. */
LIBSHM_HIDDEN int libshm_byte_locked(int fd, uint64_t byte, short type);

/* ---- journal.c: locked ---- */
LIBSHM_HIDDEN void libshm_journal_note(struct libshm_segment *segment, const void *place); /* keep the 8 bytes there */
LIBSHM_HIDDEN void libshm_journal_store(struct libshm_segment *segment, uint64_t *word, uint64_t value);
LIBSHM_HIDDEN void libshm_journal_store32(struct libshm_segment *segment, uint32_t *word, uint32_t value);
/* The store that makes the change complete; it must change the word to what it never was. */
LIBSHM_HIDDEN void libshm_journal_commit(struct libshm_segment *segment, uint64_t *word, uint64_t value);
/* The same for attaches, slots and their pages, which readers look at every time: directory_version stays. */
LIBSHM_HIDDEN void libshm_journal_commit_process(struct libshm_segment *segment, uint64_t *word, uint64_t value);
LIBSHM_HIDDEN void libshm_journal_abort(struct libshm_segment *segment); /* nothing has happened */
LIBSHM_HIDDEN void libshm_journal_recover(struct libshm_segment *segment);

/* ---- alloc.c: locked, inside a journaled change; 0 or NULL on failure with the error set ---- */
LIBSHM_HIDDEN uint64_t libshm_pages_take(struct libshm_segment *segment, uint64_t pages); /* zeroed; byte offset */
LIBSHM_HIDDEN void *libshm_table_add(struct libshm_segment *segment, uint32_t table, uint32_t *number);
LIBSHM_HIDDEN uint32_t libshm_text_take(struct libshm_segment *segment, uint32_t bytes); /* 16-byte units */
LIBSHM_HIDDEN void libshm_text_give(struct libshm_segment *segment, uint32_t text, uint32_t bytes);
/* Any time: entry `number` of a table, NULL if there is none. */
LIBSHM_HIDDEN void *libshm_table_at(const struct libshm_segment *segment, uint32_t table, uint32_t number);
static inline uint32_t libshm_table_count(const struct libshm_segment *segment, uint32_t table)
{
    return __atomic_load_n(&segment->header->tables[table].count, __ATOMIC_ACQUIRE);
}

/* ---- cells.c ---- */
enum libshm_cell_kind { LIBSHM_CELLS_PER_CPU, LIBSHM_CELLS_GAUGE, LIBSHM_CELLS_LIVE };
LIBSHM_HIDDEN enum libshm_cell_kind libshm_cell_kind(uint32_t type, uint32_t gauge_mode);
/* Locked, journaled: room for the cells of a new series entry. */
LIBSHM_HIDDEN int libshm_cells_take(struct libshm_segment *segment, enum libshm_cell_kind kind, uint32_t n_cells,
                                    struct libshm_series_entry *entry);
LIBSHM_HIDDEN void libshm_cells_zero(struct libshm_segment *segment, const struct libshm_series_entry *entry);
LIBSHM_HIDDEN const struct libshm_group *libshm_cells_group(const struct libshm_segment *segment,
                                                            const struct libshm_series_entry *entry);
/* Totals of cell i over all lanes; `baseline` subtracted if wanted. */
LIBSHM_HIDDEN struct libshm_cell libshm_cells_total(const struct libshm_segment *segment,
                                                    const struct libshm_series_entry *entry, uint32_t i, bool baseline);
LIBSHM_HIDDEN uint64_t libshm_cells_fingerprint(const struct libshm_segment *segment,
                                                const struct libshm_series_entry *entry);
LIBSHM_HIDDEN void libshm_cell_store(struct libshm_cell *cell, struct libshm_cell value); /* one 16-byte change */

/* ---- index.c ---- */
LIBSHM_HIDDEN bool libshm_index_find_series(const struct libshm_segment *segment, uint32_t family,
                                            const struct libshm_labels *labels, struct libshm_found *found);
LIBSHM_HIDDEN struct libshm_family_entry *libshm_index_find_family(const struct libshm_segment *segment,
                                                                   const char *name, uint32_t *number);
/* Locked. make_room is a change of its own, before the journaled one that adds. */
LIBSHM_HIDDEN int libshm_index_make_room(struct libshm_segment *segment);
LIBSHM_HIDDEN void libshm_index_add(struct libshm_segment *segment, uint32_t hash, uint64_t kind, uint32_t number);
LIBSHM_HIDDEN void libshm_index_remove(struct libshm_segment *segment, uint32_t hash, uint64_t kind, uint32_t number);
LIBSHM_HIDDEN uint32_t libshm_family_hash(const char *name, size_t length);

/* ---- pin.c ---- */
/* Locks `byte` for as long as *mapping (or descriptor *kept) stays. */
LIBSHM_HIDDEN int libshm_pin(struct libshm_segment *segment, uint64_t byte, short type, bool inherit, void **mapping,
                             int *kept);
LIBSHM_HIDDEN void libshm_unpin(void *mapping, int kept);

/* ---- attach.c; slots.c ---- */
LIBSHM_HIDDEN int libshm_attach(struct libshm_segment *segment); /* locked */
LIBSHM_HIDDEN void libshm_detach(struct libshm_segment *segment);
LIBSHM_HIDDEN int libshm_slot_take(struct libshm_segment *segment); /* locked */
/* One more reference to a thing. May need a hold page, hence locked if `may_lock` is false and the mutex held. */
LIBSHM_HIDDEN int libshm_hold(struct libshm_segment *segment, uint32_t thing, bool insert_locked);
LIBSHM_HIDDEN void libshm_unhold(struct libshm_segment *segment, uint32_t thing);
/* Locked. Is the thing held by a living attach? True when in doubt. */
LIBSHM_HIDDEN bool libshm_held(struct libshm_segment *segment, uint32_t thing);
/* Locked. A fresh attach with only what is still referenced: bits are never cleared, because a forked child may go by
 * them. Does nothing while few were released; `now` insists. */
LIBSHM_HIDDEN void libshm_attach_renew(struct libshm_segment *segment, bool now);
LIBSHM_HIDDEN bool libshm_attach_alone(struct libshm_segment *segment, int fd); /* no living attach but ours, if any */

/* ---- live.c ---- */
/* This process's live cell `number`, made if needed. insert_locked as in libshm_hold. NULL with the error set. */
LIBSHM_HIDDEN struct libshm_cell *libshm_live_cell(struct libshm_segment *segment, uint32_t number, bool insert_locked);
/* As libshm_gauge_add_live. False: dropped. */
LIBSHM_HIDDEN bool libshm_live_add(const libshm_gauge *gauge, double value);
LIBSHM_HIDDEN double libshm_live_value(struct libshm_segment *segment, uint32_t number, uint64_t stamp, uint32_t mode);

/* ---- sweep.c: locked ---- */
#define LIBSHM_SWEEP_RETRY_NS                                                                                          \
    UINT64_C(100000000) /* a family at its cap that was swept in vain is left alone for so long */
LIBSHM_HIDDEN void libshm_sweep_step(struct libshm_segment *segment, uint32_t entries);
LIBSHM_HIDDEN bool libshm_sweep_family(struct libshm_segment *segment, struct libshm_family *family);
LIBSHM_HIDDEN int libshm_series_retire(struct libshm_segment *segment, uint32_t number);   /* LIVE, HIDDEN -> REMOVED */
LIBSHM_HIDDEN bool libshm_series_reclaim(struct libshm_segment *segment, uint32_t number); /* REMOVED -> FREE */
/* LIVE, HIDDEN -> FREE at once. False: somebody holds it, and nothing has changed. */
LIBSHM_HIDDEN bool libshm_series_take(struct libshm_segment *segment, uint32_t number);
LIBSHM_HIDDEN void libshm_directory_changed(struct libshm_segment *segment);

/* ---- reset.c: locked ---- */
LIBSHM_HIDDEN void libshm_reset_go_on(struct libshm_segment *segment); /* completes one that was begun */

/* ---- series.c ---- */
LIBSHM_HIDDEN int libshm_labels_set(const struct libshm_family *family, const char *const *values,
                                    struct libshm_labels *labels);
/* Finds or makes the series and holds it. Mutex held. LIBSHM_E_OVERFLOW: found is the overflow series, if any (else
 * entry is NULL). */
LIBSHM_HIDDEN int libshm_series_obtain(struct libshm_family *family, const struct libshm_labels *labels,
                                       struct libshm_found *found);
LIBSHM_HIDDEN int libshm_series_make(struct libshm_segment *segment, const struct libshm_family *family,
                                     const struct libshm_labels *labels, bool overflow, struct libshm_found *found);
/* Holds what was found without the lock: LIBSHM_E_NOT_FOUND if it is not any more what was found. */
LIBSHM_HIDDEN int libshm_series_hold(struct libshm_segment *segment, const struct libshm_found *found,
                                     bool insert_locked);

/* ---- handles.c; buckets.c ---- */
LIBSHM_HIDDEN void libshm_counter_handle(const struct libshm_family *family, const struct libshm_found *found,
                                         libshm_counter *counter);
/* The bucket search over these bounds, and what of a handle belongs to it. NULL: out of memory. To free(). */
LIBSHM_HIDDEN struct libshm_buckets *libshm_buckets_new(const double *bounds, uint32_t n_bounds,
                                                        libshm_histogram *search);
LIBSHM_HIDDEN void libshm_histogram_handle(const struct libshm_family *family, const struct libshm_found *found,
                                           libshm_histogram *histogram);
LIBSHM_HIDDEN void libshm_gauge_handle(const struct libshm_family *family, const struct libshm_found *found,
                                       libshm_gauge *gauge);

/* ---- overflow.c ---- */
/* Mutex held: this process holds the overflow series from now on, if the family is of a kind that has one, and it is
 * made if it is not there. insert_locked as in libshm_hold. */
LIBSHM_HIDDEN int libshm_overflow_hold(struct libshm_family *family, bool insert_locked);
/* Locked: is this an overflow series in which nothing has counted yet? */
LIBSHM_HIDDEN bool libshm_overflow_asleep(const struct libshm_segment *segment, const struct libshm_series_entry *entry,
                                          uint32_t number);
/* Mutex held: counts and gives the overflow series instead of another one, which failed with `why`, whose detail is
 * still there; found->entry is NULL if there is none. Returns why, LIBSHM_E_OVERFLOW for LIBSHM_E_BUSY. */
LIBSHM_HIDDEN int libshm_overflow_give(struct libshm_family *family, int why, struct libshm_found *found);

/* ---- definition.c ---- */
LIBSHM_HIDDEN const char *libshm_type_name(uint32_t type);
LIBSHM_HIDDEN int libshm_metric_check(const libshm_metric *metric, uint32_t type, uint32_t *n_labels);
/* A family of this name and type must not write a sample that another one writes. */
LIBSHM_HIDDEN int libshm_sample_names_check(const struct libshm_segment *segment, const char *name, uint32_t type);

/* ---- lookup_table.c ---- */
LIBSHM_HIDDEN struct libshm_lookup *libshm_lookup_new(struct libshm_segment *segment);
LIBSHM_HIDDEN void libshm_lookup_free(struct libshm_lookup *lookup);
/* Mutex held: forgets cached series that are hidden or removed, and gives up their references once no thread can be in
 * the middle of using one. */
LIBSHM_HIDDEN void libshm_lookup_trim(struct libshm_segment *segment);

/* ---- segment.c ---- */
#define LIBSHM_MAX_SEGMENTS 64
extern LIBSHM_HIDDEN struct libshm_segment *libshm_segments[LIBSHM_MAX_SEGMENTS + 1]; /* by id */

/* ---- paths.c ---- */
/* The directory to use, made if it may be: 0 or an error. */
LIBSHM_HIDDEN int libshm_directory_prepare(const char *wanted, char *path, size_t size, bool make);
LIBSHM_HIDDEN bool libshm_segment_name_valid(const char *name);

#endif
