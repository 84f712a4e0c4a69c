/* SPDX-License-Identifier: Apache-2.0
 *
 * The readers' side of libshm: exporters, tools, bindings. A reader maps a segment read-only, takes no lock, writes
 * nothing, waits for nobody, and trusts no byte: what does not hold together is skipped and counted, the rest is
 * served.
 *
 * One reader belongs to one thread at a time. If somebody with write permission truncates the file while it is being
 * read, the kernel raises SIGBUS; a library must not own that signal, so a program that reads segments of others guards
 * its calls (sigsetjmp) and, after a jump out of libshm_reader_snapshot, calls only libshm_reader_close. */
#ifndef LIBSHM_READER_H
#define LIBSHM_READER_H

#include <libshm/format.h>
#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct libshm_reader libshm_reader;

/* Opens the segment at `path` (O_RDONLY, no symbolic link, regular file, one link). On an error *reader is NULL and
 * libshm_error_detail() says what is wrong with what: LIBSHM_E_NOT_FOUND, _PERMISSION, _NOT_SEGMENT, _VERSION,
 * _DAMAGED, _SYSTEM, _MEMORY (see libshm.h). */
int libshm_reader_open(const char *path, libshm_reader **reader);
/* The same for a file that is open already; takes over `fd`, closes it on an error too. `path` is for messages. */
int libshm_reader_open_fd(int fd, const char *path, libshm_reader **reader);
void libshm_reader_close(libshm_reader *reader); /* NULL is allowed; frees the snapshot */

/* A series at the time of the snapshot. */
typedef struct libshm_series_view {
    uint64_t generation; /* (number, generation) never names two different series of one segment */
    uint32_t number;
    uint32_t pid;                    /* gauge mode ALL: of the process, else 0 */
    uint64_t process;                /* gauge mode ALL: serial of the process slot, unique for ever, else 0 */
    const char *const *label_values; /* n_labels strings, valid UTF-8, in the order of the family's label_names */
    uint64_t created_ns;             /* CLOCK_REALTIME; a reset counts */
    /* counter: integer + fractional is the value. Gauge, info, stateset, unknown: fractional, and integer is 0.
     * histogram: buckets[n_bounds + 1] with count and sum each, not cumulative; summary: buckets[1]. count and sum are
     * their totals. */
    union {
        uint64_t integer;
        uint64_t count;
    };
    union {
        double fractional;
        double sum;
    };
    union {
        const struct libshm_cell *buckets;
        uint64_t pid_ns; /* gauge mode ALL: inode of the process's pid namespace */
    };
} libshm_series_view;

typedef struct libshm_family_view {
    uint64_t generation; /* (number, generation) never names two different definitions of one segment */
    uint32_t number;
    uint32_t type;       /* LIBSHM_TYPE_* */
    uint32_t gauge_mode; /* LIBSHM_GAUGE_* */
    uint32_t n_labels;
    uint32_t n_bounds;
    uint32_t max_series;
    uint64_t ttl_ns;
    uint64_t created_ns;
    uint64_t overflowed;
    const char *name;               /* checked: [a-zA-Z_:][a-zA-Z0-9_:]* */
    const char *help;               /* valid UTF-8 */
    const char *unit;               /* "" if none */
    const char *const *label_names; /* checked: [a-zA-Z_][a-zA-Z0-9_]*, none reserved, no two alike */
    const double *bounds;
    const libshm_series_view *series; /* by number; mode ALL: by number, then process */
    size_t n_series;
} libshm_family_view;

typedef struct libshm_process_view {
    uint64_t serial;
    uint64_t pid_ns;
    uint64_t taken_ns; /* CLOCK_REALTIME */
    uint32_t pid;
    uint32_t slot;
    int alive;
    char name[17];
} libshm_process_view;

typedef struct libshm_snapshot {
    /* Sorted by name. Valid until the next snapshot or the close. Pointers into families and series whose (number,
     * generation) did not change stay valid from snapshot to snapshot: text prepared from them can be kept. */
    const libshm_family_view *families;
    size_t n_families;
    size_t n_series;            /* over all families */
    uint64_t directory_version; /* unchanged: the same families and series as in the last snapshot, but for those that
                                   a TTL or the death of a process hides or shows, and overflow series that are used */
    uint64_t layout_version;    /* of this reader: unchanged means the arrays hold the same families and series, in
                                   the same places, as in the last snapshot; only numbers differ */
    /* the segment */
    uint64_t segment_id;
    uint64_t created_ns;
    uint64_t incarnation;
    uint64_t file_bytes; /* allocated */
    uint64_t used_bytes; /* given out */
    uint64_t max_bytes;
    uint32_t cpu_lanes;
    uint32_t n_groups;
    uint64_t cells_used;   /* cells of the series shown */
    uint64_t atomic_total; /* what went through atomic lanes: sum of counters' integer parts and bucket counts */
    struct libshm_statistics statistics;
    /* what was passed over because it does not hold together, in this snapshot */
    uint64_t skipped_families;
    uint64_t skipped_series;
    uint64_t retried_series; /* changed while they were copied; copied again or kept from the last snapshot */
    char first_problem[160]; /* what and where the first of them was; "" if none */
    /* processes */
    const libshm_process_view *processes; /* slots in use, dead ones included, by slot */
    size_t n_processes;
    size_t n_alive;
} libshm_snapshot;

/* Takes a snapshot into *snapshot. 0, LIBSHM_E_DAMAGED (the header does not hold together any more), LIBSHM_E_SYSTEM,
 * LIBSHM_E_MEMORY. Cost: the values of every series; the directory only where it changed. */
int libshm_reader_snapshot(libshm_reader *reader, const libshm_snapshot **snapshot);

/* 1 if `path` is still the file that this reader has open, 0 if it is gone or was replaced. */
int libshm_reader_current(const libshm_reader *reader, const char *path);

const char *libshm_reader_path(const libshm_reader *reader);
/* device and inode, which tell two segments apart */
void libshm_reader_identity(const libshm_reader *reader, dev_t *device, ino_t *inode);

/* ---- validation of raw bytes ---------------------------------------------------------------------------------- */
/* Pure: looks only at bytes[0..length). Is this a segment that this library can read? 0, LIBSHM_E_NOT_SEGMENT,
 * LIBSHM_E_VERSION or LIBSHM_E_DAMAGED; `why` (may be NULL) gets what, where, and what would be right. */
int libshm_validate(const void *bytes, size_t length, char *why, size_t why_size);

#ifdef __cplusplus
}
#endif
#endif
