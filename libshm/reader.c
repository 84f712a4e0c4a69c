/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening a segment for reading, and the loop that takes a snapshot. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libshm/reader_internal.h"

#define ULL(x) ((unsigned long long)(x))

/* ---- helpers of the other files ---- */

bool libshm_array_grow(struct libshm_array *array, size_t need, size_t element)
{
    if (need <= array->capacity)
        return true;
    size_t capacity = array->capacity + array->capacity / 2;
    capacity = capacity < need ? need : capacity;
    void *data = reallocarray(array->data, capacity, element);
    if (!data)
        return false;
    memset((char *)data + array->capacity * element, 0, (capacity - array->capacity) * element);
    array->data = data;
    array->capacity = capacity;
    return true;
}

int libshm_reader_no_memory(const struct libshm_reader *reader)
{
    return libshm_error_set(LIBSHM_E_MEMORY, "no memory for a copy of the directory of %s", reader->path);
}

__attribute__((noinline, no_sanitize_thread)) void libshm_reader_copy(void *to, const void *from, size_t bytes)
{
    const volatile uint64_t *source = from;
    uint64_t *words = to;
    for (size_t i = 0; i < bytes / 8; i++)
        words[i] = source[i];
}

bool libshm_reader_reason(struct libshm_reader *reader, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reader->reason, sizeof reader->reason, format, arguments);
    va_end(arguments);
    return false;
}

void libshm_reader_problem(struct libshm_reader *reader, char *text, const char *what, uint32_t number,
                           const void *entry)
{
    if (text[0])
        return;
    if (entry)
        snprintf(text, LIBSHM_PROBLEM, "%s %u at offset %llu: %s", what, number,
                 ULL((const unsigned char *)entry - reader->view.base), reader->reason);
    else
        snprintf(text, LIBSHM_PROBLEM, "%s %u: %s", what, number, reader->reason);
}

/* ---- open and close ---- */

static int not_opened(int fd, int code)
{
    if (fd >= 0)
        close(fd);
    return code;
}

/* The first page through read(): a file that is cut off at this moment gives an error here and no signal. */
static int read_header(int fd, const char *path, struct libshm_header *header)
{
    char why[256];
    int error = 0;
    for (int tries = 0; tries < LIBSHM_COPY_TRIES; tries++) { /* words that change may be caught half way */
        ssize_t got;
        do {
            got = pread(fd, header, sizeof *header, 0);
        } while (got < 0 && errno == EINTR);
        if (got < 0)
            return libshm_error_set(LIBSHM_E_SYSTEM, "cannot read %s: %s", path, strerror(errno));
        if ((size_t)got < sizeof *header)
            error = libshm_validate(header, (size_t)got, why, sizeof why);
        else if ((error = libshm_header_identity(header, why, sizeof why)) == 0)
            error = libshm_header_words(header, why, sizeof why);
        if (error != LIBSHM_E_DAMAGED)
            break;
    }
    return error ? libshm_error_set(error, "%s: %s", path, why) : 0;
}

static int check_file(int fd, const char *path, struct stat *file)
{
    if (fstat(fd, file) != 0)
        return libshm_error_set(LIBSHM_E_SYSTEM, "cannot examine %s: %s", path, strerror(errno));
    if (!S_ISREG(file->st_mode))
        return libshm_error_set(LIBSHM_E_NOT_SEGMENT, "%s is %s, a segment is a regular file", path,
                                S_ISDIR(file->st_mode)    ? "a directory"
                                : S_ISFIFO(file->st_mode) ? "a FIFO"
                                : S_ISCHR(file->st_mode)  ? "a character device"
                                : S_ISBLK(file->st_mode)  ? "a block device"
                                                          : "a socket");
    if (file->st_nlink > 1)
        return libshm_error_set(LIBSHM_E_PERMISSION,
                                "%s has %llu names: a hard link can be another user's file under a trusted name", path,
                                ULL(file->st_nlink));
    return 0;
}

int libshm_reader_open_fd(int fd, const char *path, libshm_reader **reader)
{
    struct libshm_header header;
    struct stat file;
    *reader = NULL;
    int error = check_file(fd, path, &file);
    if (!error)
        error = read_header(fd, path, &header);
    if (error)
        return not_opened(fd, error);
    /* All it may ever become, at once: growth is usable without another call, and no address changes. */
    void *map = mmap(NULL, header.max_bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (map == MAP_FAILED)
        return not_opened(fd, libshm_error_set(errno == ENOMEM ? LIBSHM_E_MEMORY : LIBSHM_E_SYSTEM,
                                               "cannot map the %llu bytes that %s may become: %s",
                                               ULL(header.max_bytes), path, strerror(errno)));
    madvise(map, header.max_bytes, MADV_DONTDUMP); /* else a core dump reads all of it */
    struct libshm_reader *r = calloc(1, sizeof *r);
    char *name = strdup(path);
    if (!r || !name) {
        free(r);
        free(name);
        munmap(map, header.max_bytes);
        return not_opened(fd, libshm_error_set(LIBSHM_E_MEMORY, "no memory for a reader of %s", path));
    }
    r->map = map;
    r->map_bytes = header.max_bytes;
    r->view.base = map;
    r->fd = fd;
    r->device = file.st_dev;
    r->inode = file.st_ino;
    r->path = name;
    r->stale = true;
    memcpy(r->identity, &header, sizeof r->identity);
    if (getrandom(&r->seed, sizeof r->seed, GRND_NONBLOCK) != sizeof r->seed)
        r->seed = (uintptr_t)r ^ (uintptr_t)map << 17;
    *reader = r;
    return 0;
}

int libshm_reader_open(const char *path, libshm_reader **reader)
{
    *reader = NULL;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd >= 0)
        return libshm_reader_open_fd(fd, path, reader);
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
        return libshm_error_set(LIBSHM_E_NOT_FOUND, "there is no %s", path);
    case EACCES:
    case EPERM:
        return libshm_error_set(LIBSHM_E_PERMISSION, "may not read %s: %s", path, strerror(errno));
    case ELOOP:
        return libshm_error_set(LIBSHM_E_PERMISSION, "%s is a symbolic link, and those are not followed", path);
    case ENXIO:
    case ENODEV:
        return libshm_error_set(LIBSHM_E_NOT_SEGMENT, "%s is a socket or a device, a segment is a regular file", path);
    default:
        return libshm_error_set(LIBSHM_E_SYSTEM, "cannot open %s: %s", path, strerror(errno));
    }
}

void libshm_reader_close(libshm_reader *reader)
{
    if (!reader)
        return;
    libshm_reader_directory_free(reader);
    libshm_reader_processes_free(reader);
    struct libshm_array *const arrays[] = {
        &reader->families, &reader->series,    &reader->index,   &reader->order,  &reader->shown, &reader->views,
        &reader->moving,   &reader->dynamic,   &reader->buckets, &reader->groups, &reader->items, &reader->live,
        &reader->slots,    &reader->processes, &reader->shares,  &reader->all,
    };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]->data);
    munmap(reader->map, reader->map_bytes);
    close(reader->fd);
    free(reader->path);
    free(reader);
}

const char *libshm_reader_path(const libshm_reader *reader)
{
    return reader->path;
}

void libshm_reader_identity(const libshm_reader *reader, dev_t *device, ino_t *inode)
{
    *device = reader->device;
    *inode = reader->inode;
}

int libshm_reader_current(const libshm_reader *reader, const char *path)
{
    struct stat file;
    return fstatat(AT_FDCWD, path, &file, AT_SYMLINK_NOFOLLOW) == 0 && file.st_dev == reader->device &&
           file.st_ino == reader->inode;
}

/* ---- snapshot ---- */

static const struct libshm_header *mapped(const struct libshm_reader *r)
{
    return r->map;
}

/* What may be touched: as far as the header says, the file goes and the mapping reaches, in whole pages. */
static int look_at_end(struct libshm_reader *r, bool *cut)
{
    struct stat file;
    uint64_t end = __atomic_load_n(&mapped(r)->file_end, __ATOMIC_ACQUIRE);
    if (fstat(r->fd, &file) != 0) /* after file_end: a file in order is never shorter */
        return libshm_error_set(LIBSHM_E_SYSTEM, "cannot examine %s: %s", r->path, strerror(errno));
    uint64_t size = (uint64_t)file.st_size;
    *cut = size < end;
    uint64_t length = end < size ? end : size;
    length = length < r->map_bytes ? length : r->map_bytes;
    if (length < r->view.length)
        r->stale = true;
    r->view.length = length & ~(uint64_t)(LIBSHM_PAGE - 1);
    r->header.file_end = end;
    return 0;
}

bool libshm_reader_grown(struct libshm_reader *r)
{
    bool cut;
    uint64_t before = r->view.length;
    if (__atomic_load_n(&mapped(r)->file_end, __ATOMIC_ACQUIRE) <= before)
        return false;
    return look_at_end(r, &cut) == 0 && r->view.length > before;
}

/* Copies the header. Words that others store one after the other are loaded the other way round. */
static int copy_header(struct libshm_reader *r)
{
    const struct libshm_header *shared = mapped(r);
    char why[256];
    struct stat file;
    if (fstat(r->fd, &file) != 0)
        return libshm_error_set(LIBSHM_E_SYSTEM, "cannot examine %s: %s", r->path, strerror(errno));
    if (file.st_size < (off_t)sizeof *shared)
        return libshm_error_set(LIBSHM_E_DAMAGED, "%s: cut off after %lld bytes, inside the header", r->path,
                                (long long)file.st_size);
    for (int tries = 1;; tries++) { /* a writer that undoes a dead one's change can make one look meet two states */
        bool cut;
        uint64_t version = __atomic_load_n(&shared->directory_version, __ATOMIC_ACQUIRE);
        libshm_reader_copy(&r->header, shared, sizeof r->header);
        r->header.directory_version = version;
        for (uint32_t t = 0; t < LIBSHM_TABLES; t++) {
            r->header.tables[t].count = __atomic_load_n(&shared->tables[t].count, __ATOMIC_ACQUIRE);
            r->header.tables[t].root = __atomic_load_n(&shared->tables[t].root, __ATOMIC_RELAXED);
        }
        r->header.page_next = __atomic_load_n(&shared->page_next, __ATOMIC_ACQUIRE);
        int error = look_at_end(r, &cut);
        if (error)
            return error;
        if (memcmp(&r->header, r->identity, sizeof r->identity) != 0) {
            error = libshm_header_identity(&r->header, why, sizeof why);
            return libshm_error_set(error ? error : LIBSHM_E_DAMAGED, "%s: %s", r->path,
                                    error ? why : "the first 128 bytes changed since it was opened");
        }
        error = libshm_header_words(&r->header, why, sizeof why);
        if (error && tries == LIBSHM_COPY_TRIES)
            return libshm_error_set(error, "%s: %s", r->path, why);
        if (error)
            continue;
        if (cut)
            snprintf(r->snapshot.first_problem, sizeof r->snapshot.first_problem,
                     "cut off after %llu bytes, file_end at offset %zu says %llu", ULL(r->view.length),
                     offsetof(struct libshm_header, file_end), ULL(r->header.file_end));
        return 0;
    }
}

/* Takes everything once. Sets r->again if what was copied changed meanwhile. */
static int take(struct libshm_reader *r)
{
    int error = copy_header(r);
    if (error)
        return error;
    r->again = false;
    if (r->stale || r->version != r->header.directory_version) {
        r->stale = true; /* until all of it was followed */
        if ((error = libshm_reader_directory(r)) != 0 || (error = libshm_reader_layout(r)) != 0)
            return error;
        r->version = r->header.directory_version;
        r->stale = false;
    }
    if ((error = libshm_reader_processes(r)) != 0)
        return error;
    libshm_reader_cells(r);
    if (libshm_reader_woken(r)) {
        r->again = true;
        return 0;
    }
    /* All cells were read before this load: no change until here, no cells that became another's. */
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&mapped(r)->directory_version, __ATOMIC_ACQUIRE) == r->header.directory_version)
        return 0;
    for (uint32_t n = 0; n < r->n_series && !r->again; n++)
        if (((struct libshm_reader_series *)r->series.data)[n].placed && !libshm_reader_series_current(r, n))
            r->again = true;
    return 0;
}

int libshm_reader_snapshot(libshm_reader *r, const libshm_snapshot **snapshot)
{
    libshm_snapshot *s = &r->snapshot;
    int error = 0;
    *snapshot = NULL;
    s->first_problem[0] = '\0';
    s->retried_series = 0;
    for (int tries = 1; tries <= LIBSHM_COPY_TRIES; tries++) {
        if ((error = take(r)) != 0)
            return error;
        if (!r->again)
            break;
        r->stale = true;
    }
    if (r->again) /* it does not come to rest: what is still as copied is shown, the rest next time */
        libshm_reader_drop_changed(r);
    if ((error = libshm_reader_show(r)) != 0)
        return error;
    s->families = r->shown.data;
    s->n_families = r->n_shown;
    s->directory_version = r->header.directory_version;
    s->segment_id = r->header.segment_id;
    s->created_ns = r->header.created_ns;
    s->incarnation = r->header.incarnation;
    s->file_bytes = r->header.file_end;
    s->used_bytes = r->header.page_next;
    s->max_bytes = r->header.max_bytes;
    s->cpu_lanes = r->header.cpu_lanes;
    s->n_groups = r->header.tables[LIBSHM_TABLE_GROUPS].count;
    s->statistics = r->header.statistics;
    s->skipped_families = r->bad_families;
    s->skipped_series = r->bad_series;
    if (!s->first_problem[0])
        memcpy(s->first_problem, r->problem[0] ? r->problem : r->live_problem, sizeof s->first_problem);
    *snapshot = s;
    return 0;
}
