/* SPDX-License-Identifier: Apache-2.0
 *
 * A reader and its parts, private. A snapshot runs through the files in this order:
 *
 *   reader.c            open; the header; the loop that takes a snapshot again while the directory changes under it
 *   reader_directory.c  entries are copied once a generation, checked, kept:
 *   reader_families.c   families,
 *   reader_series.c     series
 *   reader_layout.c     which series is shown where, and the plan by which cells are read
 *   reader_processes.c  process slots and live gauges
 *   reader_cells.c      the numbers: page groups, lane by lane
 *   reader_show.c       what is shown of it now
 *   validate.c          the header, for the reader and for libshm_validate()
 *
 * A program may jump out of any load from the mapping (SIGBUS) and then close the reader. So everything that was
 * allocated hangs on the reader before the next such load: nothing is half owned, nothing is loaded in between. */
#ifndef LIBSHM_READER_INTERNAL_H
#define LIBSHM_READER_INTERNAL_H

#include <libshm.h>
#include <libshm/reader.h>
#include <stdbool.h>

#include "libshm/error.h"
#include "libshm/view.h"

#define LIBSHM_HIDDEN     __attribute__((visibility("hidden")))
#define LIBSHM_PROBLEM    sizeof(((libshm_snapshot *)0)->first_problem)
#define LIBSHM_COPY_TRIES 4 /* of an entry, or of a snapshot, that changes while it is copied */

/* An array that only grows. */
struct libshm_array {
    void *data;
    size_t capacity; /* elements */
};

enum libshm_copied {
    LIBSHM_NOTHING, /* the entry is not in use */
    LIBSHM_GOOD,    /* copied and checked */
    LIBSHM_BAD,     /* does not hold together; looked at again whenever the directory changes */
};

/* The copy of a family entry, by number. */
struct libshm_reader_family {
    uint64_t generation;
    uint32_t definition;                     /* of all that this reader has seen; 0: none */
    const struct libshm_family_entry *entry; /* in the mapping */
    void *memory;                            /* label names, strings, bounds */
    libshm_family_view view;
    uint32_t text_size;
    uint8_t state;
    bool duplicate;  /* of the name of a family with a lower number */
    bool dynamic;    /* which of its series are shown is found out at every snapshot */
    uint32_t shown;  /* series that have a place */
    uint32_t first;  /* place of the first one, among the fixed or the dynamic ones */
    uint32_t filled; /* while places are given */
};

/* The copy of a series entry, by number. */
struct libshm_reader_series {
    uint64_t generation;
    char **memory;       /* pointers to the label values, then the strings; NULL without labels */
    uint32_t definition; /* of its family, as it was copied with */
    uint32_t cells;      /* place of the first one, in 16-byte units; live gauge: live cell + 1; 0: nowhere */
    uint32_t family;
    uint32_t group;
    uint32_t hash; /* keyed, of family and label values */
    uint16_t text_size;
    uint8_t last_cell; /* cells - 1 */
    uint8_t state : 2;
    bool hidden : 1; /* when the directory was last looked at */
    bool moved : 1;  /* hidden, but its cells have changed since: shown for good if nothing can hide it again */
    bool placed : 1; /* shown, a dynamic series, or asleep */
};
_Static_assert(sizeof(struct libshm_reader_series) == 40, "there are many of them");

struct libshm_reader_group {
    const unsigned char *base;
    uint32_t pages; /* 0: not usable */
    uint16_t cpu_lanes, atomic_lanes;
    uint16_t first_cell, end_cell; /* cells that are read */
    uint32_t first_item, n_items;
};

enum libshm_value_kind { LIBSHM_VALUE_COUNTER, LIBSHM_VALUE_GAUGE, LIBSHM_VALUE_BUCKETS };

/* One series in the plan by which cells are read, in the order of groups. */
struct libshm_reader_item {
    uint32_t place; /* of its view, or of its dynamic series */
    uint8_t cell;
    uint8_t last_cell; /* cells - 1 */
    uint8_t kind;
    bool dynamic;
};

struct libshm_reader_value {
    uint64_t integer;
    double fractional;
    struct libshm_cell *buckets; /* then the two above are their count and sum */
};

/* A series that is shown or not, by what its cells and its processes say. */
struct libshm_reader_dynamic {
    struct libshm_reader_value value;
    uint64_t fingerprint; /* of its cells now */
    const struct libshm_series_entry *entry;
    uint32_t number;
    uint32_t processes; /* live gauge: living processes with a value */
    uint32_t first_all; /* mode ALL: its first one in reader.all */
    bool live;
    bool lost; /* its live cell is another's */
};

/* Live gauges in the order of their live cells. */
struct libshm_reader_live {
    uint64_t generation;
    uint32_t number;  /* live cell */
    uint32_t dynamic; /* place among the dynamic series */
};

/* A value of a live gauge in one process. */
struct libshm_reader_share {
    uint32_t live; /* index into reader.live */
    uint32_t process;
    double value;
};

struct libshm_reader_slot {
    uint32_t *pages; /* live pages, by order */
    uint32_t n_pages;
    uint32_t capacity;
};

struct libshm_reader {
    struct libshm_view view; /* what may be touched in this snapshot */
    void *map;
    uint64_t map_bytes;
    int fd;
    dev_t device;
    ino_t inode;
    char *path;
    uint64_t seed;               /* of the hash: others cannot choose labels that collide */
    struct libshm_header header; /* as copied for this snapshot */
    unsigned char identity[128]; /* the part that never changes */
    uint64_t version;            /* directory_version that the copy follows */
    bool stale;                  /* look at the directory in any case */
    bool again;                  /* something changed while it was copied */
    /* directory */
    struct libshm_array families; /* struct libshm_reader_family */
    struct libshm_array series;   /* struct libshm_reader_series */
    struct libshm_array index;    /* uint32_t: number + 1 of the series by their hash, 0: empty */
    uint32_t n_families, n_series, n_index;
    uint32_t definitions;                       /* of families, so far */
    uint64_t text_bytes;                        /* of all that was copied; honest texts do not overlap */
    _Alignas(16) char scratch[LIBSHM_MAX_TEXT]; /* one text block */
    uint16_t lengths[3 + LIBSHM_MAX_LABELS];
    /* layout */
    struct libshm_array order;   /* uint32_t: family numbers by name */
    struct libshm_array shown;   /* libshm_family_view: the same, as shown */
    struct libshm_array views;   /* libshm_series_view: series that are always shown */
    struct libshm_array moving;  /* libshm_series_view: those of dynamic families */
    struct libshm_array dynamic; /* struct libshm_reader_dynamic */
    struct libshm_array buckets; /* struct libshm_cell */
    struct libshm_array groups;  /* struct libshm_reader_group */
    struct libshm_array items;   /* struct libshm_reader_item */
    struct libshm_array live;    /* struct libshm_reader_live */
    uint32_t n_shown, n_groups, n_items, n_dynamic, n_live;
    uint32_t n_asleep; /* the last of the dynamic series: overflow series in which nothing has counted yet */
    size_t n_views, n_moving;
    uint64_t incarnation_ns; /* that the views were made with */
    uint64_t fixed_cells;    /* of the series that are always shown */
    /* processes */
    struct libshm_array slots;     /* struct libshm_reader_slot, by slot */
    struct libshm_array processes; /* libshm_process_view */
    struct libshm_array shares;    /* struct libshm_reader_share: of the process being read */
    struct libshm_array all;       /* struct libshm_reader_share: mode ALL, by series and process */
    uint32_t n_slots, n_processes, n_all;
    uint64_t live_pages; /* known, of all slots */
    /* problems */
    char reason[96];                   /* why the last check failed */
    char problem[LIBSHM_PROBLEM];      /* the first one in the directory */
    char live_problem[LIBSHM_PROBLEM]; /* among the processes, in this snapshot */
    uint64_t bad_families, bad_series;
    libshm_snapshot snapshot;
};

/* ---- reader.c ---- */
/* Room for `need` elements (at least one); what is there stays. false: no memory. */
LIBSHM_HIDDEN bool libshm_array_grow(struct libshm_array *array, size_t need, size_t element);
LIBSHM_HIDDEN int libshm_reader_no_memory(const struct libshm_reader *reader);
/* Copies from the mapping; `bytes` a multiple of 8, both places aligned to 8. What it gets may be torn. */
LIBSHM_HIDDEN void libshm_reader_copy(void *to, const void *from, size_t bytes);
/* Has the file grown since its end was last looked at? Then what seemed to be outside may be inside. */
LIBSHM_HIDDEN bool libshm_reader_grown(struct libshm_reader *reader);
/* Notes why a check fails; returns false. */
__attribute__((format(printf, 2, 3))) LIBSHM_HIDDEN bool libshm_reader_reason(struct libshm_reader *reader,
                                                                              const char *format, ...);
/* Notes in `text`, if it is still empty, that `what` number `number` is passed over for the last reason. */
LIBSHM_HIDDEN void libshm_reader_problem(struct libshm_reader *reader, char *text, const char *what, uint32_t number,
                                         const void *entry);

/* What was linked to the reader is in memory before anything is loaded from the mapping. */
static inline void libshm_reader_linked(void)
{
    __asm__ __volatile__("" ::: "memory");
}

/* ---- reader_directory.c ---- */
LIBSHM_HIDDEN int libshm_reader_directory(struct libshm_reader *reader);
LIBSHM_HIDDEN void libshm_reader_directory_free(struct libshm_reader *reader);

static inline uint64_t libshm_reader_status(const uint64_t *status)
{
    return __atomic_load_n(status, __ATOMIC_ACQUIRE);
}

static inline bool libshm_reader_status_shown(uint64_t status)
{
    return LIBSHM_STATUS_STATE(status) == LIBSHM_STATE_LIVE || LIBSHM_STATUS_STATE(status) == LIBSHM_STATE_HIDDEN;
}

/* After a copy: is the entry still what it was before? */
LIBSHM_HIDDEN bool libshm_reader_unchanged(const uint64_t *status, uint64_t before);
/* Copies a text block to the scratch and its lengths to reader->lengths; checks that all of it is there. */
LIBSHM_HIDDEN bool libshm_reader_copy_text(struct libshm_reader *reader, uint32_t place, uint32_t size,
                                           uint32_t n_lengths);

/* ---- reader_families.c, reader_series.c ---- */
LIBSHM_HIDDEN int libshm_reader_follow_families(struct libshm_reader *reader);
/* One that may be newer than the copy of the others. */
LIBSHM_HIDDEN int libshm_reader_follow_family(struct libshm_reader *reader, uint32_t number);
LIBSHM_HIDDEN int libshm_reader_follow_series(struct libshm_reader *reader);
LIBSHM_HIDDEN const struct libshm_series_entry *libshm_reader_series_entry(const struct libshm_reader *reader,
                                                                           uint32_t number);
/* Is it still what was copied? */
LIBSHM_HIDDEN bool libshm_reader_series_current(const struct libshm_reader *reader, uint32_t number);

static inline uint32_t libshm_reader_n_cells(const struct libshm_reader_series *series)
{
    return series->last_cell + 1u;
}

static inline bool libshm_reader_live_gauge(const libshm_family_view *family)
{
    return family->type == LIBSHM_TYPE_GAUGE && family->gauge_mode != LIBSHM_GAUGE_SHARED;
}

static inline enum libshm_value_kind libshm_reader_value_kind(const libshm_family_view *family)
{
    return family->type == LIBSHM_TYPE_COUNTER                                            ? LIBSHM_VALUE_COUNTER
           : family->type == LIBSHM_TYPE_HISTOGRAM || family->type == LIBSHM_TYPE_SUMMARY ? LIBSHM_VALUE_BUCKETS
                                                                                          : LIBSHM_VALUE_GAUGE;
}

/* ---- reader_layout.c ---- */
LIBSHM_HIDDEN int libshm_reader_layout(struct libshm_reader *reader);
/* After the cells were read: has a series that was asleep moved? Then another layout shows it. */
LIBSHM_HIDDEN bool libshm_reader_woken(struct libshm_reader *reader);

/* ---- reader_show.c ---- */
LIBSHM_HIDDEN libshm_series_view libshm_reader_new_view(const struct libshm_reader *reader, uint32_t number);
/* The views of dynamic families, and what changes in all of them. */
LIBSHM_HIDDEN int libshm_reader_show(struct libshm_reader *reader);
/* Takes out of the fixed views what is not what was copied any more. */
LIBSHM_HIDDEN void libshm_reader_drop_changed(struct libshm_reader *reader);

/* ---- reader_cells.c ---- */
LIBSHM_HIDDEN void libshm_reader_cells(struct libshm_reader *reader);

/* ---- reader_processes.c ---- */
LIBSHM_HIDDEN int libshm_reader_processes(struct libshm_reader *reader);
LIBSHM_HIDDEN void libshm_reader_processes_free(struct libshm_reader *reader);

/* ---- validate.c: a copy of a header ---- */
LIBSHM_HIDDEN int libshm_header_identity(const struct libshm_header *header, char *why, size_t why_size);
LIBSHM_HIDDEN int libshm_header_words(const struct libshm_header *header, char *why, size_t why_size);

#endif
