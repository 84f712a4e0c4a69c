/* SPDX-License-Identifier: Apache-2.0
 *
 * libshm: metrics in shared memory. This is the writers' side; <libshm/reader.h> is the readers'.
 *
 *     libshm_segment *segment;
 *     libshm_counter requests;
 *     libshm_open("shop", NULL, &segment);
 *     libshm_counter_define(segment, &(libshm_metric){.name = "shop_requests_total", .help = "Requests."}, &requests);
 *     libshm_counter_inc(&requests);
 *
 * Three kinds of functions:
 *   updates   libshm_counter_add, libshm_gauge_set, libshm_histogram_observe ... (hot.h): return nothing, never fail
 *             visibly, any thread, any signal handler, any forked child.
 *   look-ups  libshm_counter_add_with ...: an update of the series with these label values. Any thread; not from a
 *             signal handler. No lock and no system call once this process has looked the label set up.
 *   setup     everything else: returns 0 or a negative LIBSHM_E code and never ends the process. Any thread; not from a
 *             signal handler. May take a lock that another process holds; waits at most LIBSHM_LOCK_PATIENCE_MS without
 *             seeing progress by others.
 * If setup failed, go on: pass the NULL segment or family along, every handle is set up as a no-op and counted. */
#ifndef LIBSHM_H
#define LIBSHM_H

#include <libshm/hot.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LIBSHM_VERSION_MAJOR 0
#define LIBSHM_VERSION_MINOR 1
#define LIBSHM_VERSION_PATCH 0
#define LIBSHM_VERSION       "0.1.0"

#define LIBSHM_LOCK_PATIENCE_MS 250

/* ---- errors --------------------------------------------------------------------------------------------------- */
enum {
    LIBSHM_E_INVALID = -1,   /* an argument: name, label, bounds, text ... */
    LIBSHM_E_MISMATCH = -2,  /* the name is defined with another type, labels, buckets or mode */
    LIBSHM_E_COLLISION = -3, /* a sample name of this family is one of another family */
    LIBSHM_E_FULL = -4,      /* the segment is at its maximum size, a table or the file system is full */
    LIBSHM_E_OVERFLOW = -5,  /* the family is at its series cap, or a process that does not go on keeps the insert lock:
                                the handle is the overflow series, or a no-op */
    LIBSHM_E_BUSY = -6,      /* the lock could not be had in time, or attaches live and `force` was not given */
    LIBSHM_E_SYSTEM = -7,    /* a system call failed; errno is set */
    LIBSHM_E_NOT_FOUND = -8, /* no such segment, family or series */
    LIBSHM_E_PERMISSION = -9,   /* not permitted, or an owner or mode that is not safe to use */
    LIBSHM_E_NOT_SEGMENT = -10, /* not a segment at all */
    LIBSHM_E_VERSION = -11,     /* a segment or a header file of another version; the detail says what it would need */
    LIBSHM_E_DAMAGED = -12,     /* a segment whose structure does not hold together */
    LIBSHM_E_REPLACED = -13,    /* the file under this name is not the one that this process has open any more */
    LIBSHM_E_MEMORY = -14,      /* this process is out of memory */
};

/* What a code means: a static string, never NULL. Any thread, signal-safe. */
const char *libshm_strerror(int error);
/* What exactly failed in this thread's last failing call: what, where, and what would be right. Never NULL; valid until
 * this thread's next call. */
const char *libshm_error_detail(void);

/* ---- segments ------------------------------------------------------------------------------------------------- */
typedef struct libshm_segment libshm_segment; /* one open segment of this process */

typedef struct libshm_open_options { /* zero means the default */
    size_t size;                     /* sizeof(libshm_open_options), set by the caller */
    const char *directory;           /* instead of the directory rule of libshm_directory() */
    uint64_t max_bytes;              /* of a new segment: default 64 MiB, at most 64 GiB */
    uint32_t cpu_lanes;      /* of a new segment: default one for each possible CPU; LIBSHM_NO_CPU_LANES for none */
    uint32_t mode;           /* of a new file: default 0640, whatever the umask */
    uint64_t per_cpu_budget; /* of a new segment: bytes for cells with CPU lanes, default half of max_bytes */
} libshm_open_options;
#define LIBSHM_NO_CPU_LANES UINT32_MAX

/* Opens the segment `name` ([A-Za-z0-9_][A-Za-z0-9_.-]{0,63}), making it if there is none, and attaches this process
 * and its future children to it. Opening one that is open already in this process gives the same object again. On an
 * error *segment is NULL. Environment: LIBSHM_DIR (directory), LIBSHM_RSEQ=0 (atomic cells only). */
#define libshm_open(name, options, segment) libshm_open_abi(name, options, LIBSHM_HOT_ABI, segment)
int libshm_open_abi(const char *name, const libshm_open_options *options, uint32_t hot_abi, libshm_segment **segment);

/* Detaches. All handles and families of the segment become invalid: no thread may use them any more. NULL is allowed.
 * Not needed before exit: a process that just ends leaves nothing behind. */
void libshm_close(libshm_segment *segment);

const char *libshm_segment_path(const libshm_segment *segment);

/* Where segments are: $LIBSHM_DIR; else /run/libshm if it is there; else $XDG_RUNTIME_DIR/libshm; else
 * /dev/shm/libshm-<uid>. Writes the path to `path` and, if the choice deserves one, a warning to `warning` (either
 * may be NULL). Nothing is created. Returns 0 or LIBSHM_E_INVALID. */
int libshm_directory(char *path, size_t path_size, char *warning, size_t warning_size);

/* A new incarnation: every counter, histogram and summary of the segment goes on from zero. Gauges stay. Workers may
 * run. */
int libshm_reset(libshm_segment *segment);

/* Removes a segment's file. LIBSHM_E_BUSY while processes are attached, unless `force`: then they go on undisturbed on
 * a segment without a name. `directory` NULL: the directory rule. */
int libshm_unlink(const char *directory, const char *name, int force);

/* Hides series idle for longer than their family's TTL and takes back what nobody can hold. Happens by itself when
 * series are made; for programs that make none for long. */
int libshm_sweep(libshm_segment *segment);

/* ---- families ------------------------------------------------------------------------------------------------- */
typedef struct libshm_family libshm_family; /* one definition, valid until libshm_close */

typedef struct libshm_metric { /* all strings and arrays are copied */
    size_t size;               /* sizeof(libshm_metric), or 0: the same */
    const char *name;          /* [a-zA-Z_:][a-zA-Z0-9_:]*; a counter's ends with _total */
    const char *help;          /* UTF-8; required */
    const char *unit;          /* NULL, or the unit that the name carries: "seconds" for x_seconds, x_seconds_total */
    const char *const *labels; /* NULL, or names, ended by NULL: LIBSHM_LABELS("a", "b") */
    const double *bounds;      /* histogram: strictly increasing finite upper bounds (+Inf is implied) */
    size_t n_bounds;           /* 1..255 */
    uint32_t type;             /* LIBSHM_TYPE_*, for libshm_family_define only */
    uint32_t gauge_mode;       /* LIBSHM_GAUGE_SHARED (default), or live: LIBSHM_GAUGE_SUM, _MIN, _MAX, _ALL */
    uint32_t max_series;       /* series cap; default 1,000 */
    uint32_t ttl_seconds;      /* hide a series that did not move for so long; default 0: never */
} libshm_metric;
#define LIBSHM_DEFAULT_MAX_SERIES 1000u

/* Lists for C: LIBSHM_LABELS("method", "code"), LIBSHM_VALUES("GET", code), and .LIBSHM_BOUNDS(.1, .5, 1) as the two
 * members of a libshm_metric. In C++ write arrays. */
#define LIBSHM_LABELS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define LIBSHM_VALUES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define LIBSHM_BOUNDS(...)                                                                                             \
    bounds = (const double[]){__VA_ARGS__}, .n_bounds = sizeof((const double[]){__VA_ARGS__}) / sizeof(double)

/* Defines a family of metric->type, or finds the same definition made before, by whichever process. *family is NULL on
 * an error. LIBSHM_E_MISMATCH names both definitions; if no living attach knows the old one, the new one replaces it.
 * LIBSHM_E_COLLISION: e.g. counter foo_count beside histogram foo. */
int libshm_family_define(libshm_segment *segment, const libshm_metric *metric, libshm_family **family);

/* A family without labels, defined, and the handle to its one series. */
int libshm_counter_define(libshm_segment *segment, const libshm_metric *metric, libshm_counter *counter);
int libshm_gauge_define(libshm_segment *segment, const libshm_metric *metric, libshm_gauge *gauge);
int libshm_histogram_define(libshm_segment *segment, const libshm_metric *metric, libshm_histogram *histogram);

/* ---- series --------------------------------------------------------------------------------------------------- */
/* `values`: as many strings as the family has labels, in the order of its definition, ended by NULL; NULL without
 * labels. UTF-8, at most LIBSHM_MAX_LABEL_VALUE bytes each. */

/* A handle to keep. It holds the series: its cells are not given to another until this handle was put back or the last
 * process that inherited it has ended. A family with labels that is at its cap, or whose new series cannot be made (the
 * segment is full, a system call fails, another process keeps the insert lock and does not go on), gives counters,
 * histograms and summaries the overflow series (every label "overflow") and gauges a no-op, with LIBSHM_E_OVERFLOW or,
 * in the first two cases, LIBSHM_E_FULL, _SYSTEM or _REPLACED; without labels nothing, and LIBSHM_E_BUSY, to be tried
 * again. Summaries use histogram handles; info, stateset and unknown families use gauge handles. */
int libshm_counter_get(libshm_family *family, const char *const *values, libshm_counter *counter);
int libshm_gauge_get(libshm_family *family, const char *const *values, libshm_gauge *gauge);
int libshm_histogram_get(libshm_family *family, const char *const *values, libshm_histogram *histogram);

/* Gives a handle back and sets it to the no-op. No copy of it may be used any more. */
void libshm_counter_put(libshm_counter *counter);
void libshm_gauge_put(libshm_gauge *gauge);
void libshm_histogram_put(libshm_histogram *histogram);

/* Look up and update: nothing is held afterwards. Errors are counted, not returned. */
void libshm_counter_add_with(libshm_family *family, const char *const *values, uint64_t n);
void libshm_counter_add_double_with(libshm_family *family, const char *const *values, double v);
void libshm_histogram_observe_with(libshm_family *family, const char *const *values, double v);
void libshm_gauge_set_with(libshm_family *family, const char *const *values, double v);
void libshm_gauge_add_with(libshm_family *family, const char *const *values, double v);

/* Removes one series, or all: gone from the output at once. Handles to it go on working and count nowhere; the next get
 * of the same values makes a new series from zero. LIBSHM_E_NOT_FOUND. */
int libshm_series_remove(libshm_family *family, const char *const *values);
int libshm_family_clear(libshm_family *family);

/* The value now, over all lanes and living processes (a histogram: count and sum), for tests and bindings. NaN through
 * a no-op. */
double libshm_counter_value(const libshm_counter *counter);
double libshm_gauge_value(const libshm_gauge *gauge);
void libshm_histogram_value(const libshm_histogram *histogram, uint64_t *count, double *sum);

/* Visits the label values of every live series of a family: for code that must zero what it no longer sees. Visiting
 * stops when `visit` returns non-zero, and returns that. The strings are valid during the call. `visit` may update. */
int libshm_family_each(libshm_family *family, int (*visit)(const char *const *values, void *context), void *context);

/* ---- timers and scopes ---------------------------------------------------------------------------------------- */
#ifdef CLOCK_MONOTONIC /* POSIX: not there with -std=c11 alone, but with -std=gnu11 or -D_POSIX_C_SOURCE=200809L */
typedef struct libshm_timer {
    const libshm_histogram *histogram;
    struct timespec start;
} libshm_timer;

static inline libshm_timer libshm_timer_start(const libshm_histogram *histogram)
{
    libshm_timer timer;
    timer.histogram = histogram;
    clock_gettime(CLOCK_MONOTONIC, &timer.start);
    return timer;
}

/* Seconds since the start, on CLOCK_MONOTONIC. */
static inline double libshm_timer_seconds(const libshm_timer *timer)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - timer->start.tv_sec) + (double)(now.tv_nsec - timer->start.tv_nsec) * 1e-9;
}

static inline void libshm_timer_observe(libshm_timer *timer)
{
    libshm_histogram_observe(timer->histogram, libshm_timer_seconds(timer));
}
#endif

/* In progress: +1 now, -1 at leave. A child that was forked in between and leaves the scope as well does not write. Use
 * a live gauge (LIBSHM_GAUGE_SUM): a shared one keeps the 1 of a process that was killed in between. */
typedef struct libshm_progress {
    libshm_gauge gauge;
    uint64_t process; /* which process entered */
} libshm_progress;

libshm_progress libshm_progress_enter(const libshm_gauge *gauge);
void libshm_progress_leave(libshm_progress *progress);

/* Until the end of the enclosing block, whatever way it is left (LIBSHM_TIME_SCOPE: where there are timers): */
#define LIBSHM_JOIN_(a, b) a##b
#define LIBSHM_JOIN(a, b)  LIBSHM_JOIN_(a, b)
#define LIBSHM_TIME_SCOPE(histogram)                                                                                   \
    __attribute__((cleanup(libshm_timer_observe), unused)) libshm_timer LIBSHM_JOIN(libshm_timer_, __LINE__) =         \
        libshm_timer_start(histogram)
#define LIBSHM_PROGRESS_SCOPE(gauge)                                                                                   \
    __attribute__((cleanup(libshm_progress_leave), unused)) libshm_progress LIBSHM_JOIN(libshm_progress_, __LINE__) =  \
        libshm_progress_enter(gauge)

/* The functions of hot.h out of line, for bindings and for measuring: libshm_counter_add_call is libshm_counter_add. */
void libshm_counter_add_call(const libshm_counter *counter, uint64_t n);
void libshm_counter_add_double_call(const libshm_counter *counter, double v);
void libshm_histogram_observe_call(const libshm_histogram *histogram, double v);
void libshm_gauge_set_call(const libshm_gauge *gauge, double v);
void libshm_gauge_add_call(const libshm_gauge *gauge, double v);

/* Updates through no-op handles in this process, of segments that could not be opened. */
uint64_t libshm_lost_updates(void);

#ifdef __cplusplus
}
#endif
#endif
