/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening and closing segments in this process, and what fork does to them. Making the file is in create.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libshm/create.h"
#include "libshm/internal.h"
#include <libshm/reader.h>

#if LIBSHM_RSEQ
#include <sys/rseq.h>
#pragma weak __rseq_offset
#pragma weak __rseq_size
#endif

struct libshm_segment *libshm_segments[LIBSHM_MAX_SEGMENTS + 1];
static pthread_mutex_t open_mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t lost_updates;
static bool fork_handlers;
enum { FORK_PATIENCE_MS = 10 };

/* ---- restartable sequences ---- */

/* libshm_rseq_offset, which is const for everybody else. */
ptrdiff_t offset_of_rseq __asm__("libshm_rseq_offset") __attribute__((visibility("default")));

/* As struct rseq, for threads of a libc without it. */
static __thread struct {
    uint32_t cpu_id_start, cpu_id;
    uint64_t rseq_cs;
    uint32_t flags, pad[3];
} stand_in __attribute__((aligned(32), tls_model("initial-exec"))) = {.cpu_id_start = 0, .cpu_id = UINT32_MAX};

/* Before main and before other libraries' constructors: an update through an all-zero handle touches it. */
__attribute__((constructor(101))) static void find_rseq(void)
{
#if LIBSHM_RSEQ
    if (&__rseq_offset && &__rseq_size && __rseq_size > 0) {
        offset_of_rseq = __rseq_offset;
        return;
    }
#endif
    offset_of_rseq = (char *)&stand_in - (char *)__builtin_thread_pointer();
}

/* ---- what is dropped ---- */

static struct libshm_segment *open_segment(unsigned id)
{
    return id <= LIBSHM_MAX_SEGMENTS ? __atomic_load_n(&libshm_segments[id], __ATOMIC_ACQUIRE) : NULL;
}

void libshm_update_dropped(unsigned segment)
{
    struct libshm_segment *s = open_segment(segment);
    if (s)
        LIBSHM_COUNT(s, dropped_updates, 1);
    else
        __atomic_fetch_add(&lost_updates, 1, __ATOMIC_RELAXED);
}

void libshm_value_dropped(unsigned segment)
{
    struct libshm_segment *s = open_segment(segment);
    if (s)
        LIBSHM_COUNT(s, dropped_values, 1);
    else
        __atomic_fetch_add(&lost_updates, 1, __ATOMIC_RELAXED);
}

uint64_t libshm_lost_updates(void)
{
    return __atomic_load_n(&lost_updates, __ATOMIC_RELAXED);
}

/* ---- fork ---- */

/* Locked. With the cells of the live gauges that there are. Without a slot live gauges are dropped, and counted. */
static void take_slot(struct libshm_segment *segment)
{
    if (libshm_slot_take(segment) == 0 && segment->header->live_cells > 0)
        (void)libshm_live_cell(segment, (uint32_t)(segment->header->live_cells - 1), true);
}

/* The child's copy of the process-local state is consistent because no other thread is in the middle of changing it. */
static void before_fork(void)
{
    pthread_mutex_lock(&open_mutex);
    for (int i = 1; i <= LIBSHM_MAX_SEGMENTS; i++)
        if (libshm_segments[i])
            libshm_mutex_lock(libshm_segments[i]);
}

static void after_fork_parent(void)
{
    for (int i = LIBSHM_MAX_SEGMENTS; i >= 1; i--)
        if (libshm_segments[i])
            libshm_mutex_unlock(libshm_segments[i]);
    pthread_mutex_unlock(&open_mutex);
}

static void after_fork_child(void)
{
    for (int i = 1; i <= LIBSHM_MAX_SEGMENTS; i++) {
        struct libshm_segment *segment = libshm_segments[i];
        if (!segment)
            continue;
        struct libshm_wiped *wiped = segment->process.wiped;
        if (wiped->slot_fd > 0)
            close(wiped->slot_fd - 1);   /* where a mapping could not keep the lock, the child must not */
        libshm_mutex_unlock(segment);    /* taken before the fork; for those who watch, it is wiped anyway */
        memset(wiped, 0, sizeof *wiped); /* the kernel has done so, unless it is older than 4.14 */
        /* A slot now, so that this process can be seen; without waiting for long: if the lock is taken, the first
         * update of a live gauge or the next setup call takes it. */
        libshm_mutex_lock(segment);
        if (libshm_insert_lock(segment, FORK_PATIENCE_MS) == 0) {
            take_slot(segment);
            libshm_insert_unlock(segment);
        }
        wiped->stuck_until_ns = 0;
        libshm_mutex_unlock(segment);
    }
    pthread_mutex_unlock(&open_mutex);
}

/* ---- open ---- */

static bool same_boot(const struct libshm_header *header)
{
    uint8_t boot_id[16];
    libshm_boot_id(boot_id);
    return memcmp(boot_id, header->boot_id, sizeof boot_id) == 0;
}

static bool per_cpu_wanted(void)
{
    const char *wanted = getenv("LIBSHM_RSEQ");
    return LIBSHM_RSEQ && !(wanted && strcmp(wanted, "0") == 0);
}

/* Checks an open file and maps it. */
static int map(struct libshm_segment *segment, int fd, const struct stat *file)
{
    char why[256];
    struct libshm_header header;
    if (!S_ISREG(file->st_mode) || file->st_nlink != 1)
        return libshm_error_set(LIBSHM_E_NOT_SEGMENT, "%s is not a regular file with one name", segment->path);
    if (file->st_mode & S_IWOTH)
        return libshm_error_set(LIBSHM_E_PERMISSION, "%s can be written by everybody (mode %04o)", segment->path,
                                (unsigned)(file->st_mode & 07777));
    ssize_t n = pread(fd, &header, sizeof header, 0);
    if (n != (ssize_t)sizeof header)
        return libshm_error_set(LIBSHM_E_NOT_SEGMENT, "%s has %lld bytes and is no segment", segment->path,
                                (long long)file->st_size);
    void *bytes = mmap(NULL, (size_t)file->st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return libshm_error_set(LIBSHM_E_SYSTEM, "cannot map %s: %s", segment->path, strerror(errno));
    int error = libshm_validate(bytes, (size_t)file->st_size, why, sizeof why);
    munmap(bytes, (size_t)file->st_size);
    if (error)
        return libshm_error_set(error, "%s: %s", segment->path, why);
    if (header.ro_compat & ~LIBSHM_RO_COMPAT_KNOWN)
        return libshm_error_set(LIBSHM_E_VERSION, "%s can only be read by this library: it has the features %#x",
                                segment->path, header.ro_compat & ~LIBSHM_RO_COMPAT_KNOWN);
    if (header.hot_abi != LIBSHM_HOT_ABI)
        return libshm_error_set(LIBSHM_E_VERSION, "%s was made for update code of version %u; this program has %u",
                                segment->path, header.hot_abi, LIBSHM_HOT_ABI);
    segment->map_bytes = header.max_bytes;
    segment->base = mmap(NULL, segment->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (segment->base == MAP_FAILED) {
        segment->base = NULL;
        return libshm_error_set(LIBSHM_E_SYSTEM, "cannot map %llu bytes of %s: %s",
                                (unsigned long long)header.max_bytes, segment->path, strerror(errno));
    }
    madvise(segment->base, segment->map_bytes, MADV_DONTDUMP); /* a core dump would contain all of max_bytes */
    segment->device = file->st_dev;
    segment->inode = file->st_ino;
    segment->per_cpu = per_cpu_wanted() && same_boot(&header);
    return 0;
}

static int wiped_pages(struct libshm_segment *segment)
{
    size_t size = (sizeof(struct libshm_wiped) + LIBSHM_PAGE - 1) & ~(size_t)(LIBSHM_PAGE - 1);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return libshm_error_set(LIBSHM_E_MEMORY, "out of memory");
    madvise(p, size, MADV_WIPEONFORK);
    segment->process = (struct libshm_process){.segment = segment, .wiped = p};
    return 0;
}

static void release(struct libshm_segment *segment)
{
    if (!segment)
        return;
    libshm_lookup_free(segment->lookup);
    if (segment->process.wiped) {
        libshm_detach(segment);
        munmap(segment->process.wiped, (sizeof(struct libshm_wiped) + LIBSHM_PAGE - 1) & ~(size_t)(LIBSHM_PAGE - 1));
    }
    if (segment->base)
        munmap(segment->base, segment->map_bytes);
    while (segment->families) {
        struct libshm_family *family = segment->families;
        segment->families = family->next;
        free(family->buckets);
        free(family);
    }
    free(segment->series_holds);
    free(segment->family_holds);
    free(segment->path);
    free(segment);
}

static int attach(struct libshm_segment *segment)
{
    libshm_mutex_lock(segment);
    int error = libshm_insert_lock(segment, LIBSHM_LOCK_PATIENCE_MS);
    if (!error) {
        error = libshm_attach(segment);
        if (!error)
            take_slot(segment);
        libshm_insert_unlock(segment);
    }
    libshm_mutex_unlock(segment);
    return error;
}

/* Opens the file, or makes it, and maps it. A file that is replaced while this looks at it is looked at again. */
static int open_file(struct libshm_segment *segment, const libshm_open_options *options)
{
    struct stat file;
    for (int tries = 0; tries < 8; tries++) {
        LIBSHM_POINT();
        int fd = open(segment->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0 && errno == ENOENT) {
            int error = libshm_create(segment->path, options);
            if (error)
                return error;
            continue;
        }
        if (fd < 0)
            return libshm_error_set(errno == EACCES || errno == ELOOP || errno == EROFS ? LIBSHM_E_PERMISSION
                                                                                        : LIBSHM_E_SYSTEM,
                                    "cannot open %s to write: %s", segment->path,
                                    errno == ELOOP ? "it is a symbolic link" : strerror(errno));
        struct stat after;
        int error = fstat(fd, &file) == 0
                        ? map(segment, fd, &file)
                        : libshm_error_set(LIBSHM_E_SYSTEM, "cannot stat %s: %s", segment->path, strerror(errno));
        /* removed since it was opened, or grown since its size was asked for: look again */
        bool again = error && fstat(fd, &after) == 0 && (after.st_nlink == 0 || after.st_size != file.st_size);
        close(fd);
        if (!again)
            return error;
    }
    return libshm_error_set(LIBSHM_E_BUSY, "%s keeps being replaced", segment->path);
}

static int open_new(char *path, const libshm_open_options *options, libshm_segment **out)
{
    struct libshm_segment *segment = calloc(1, sizeof *segment);
    if (!segment) {
        free(path);
        return libshm_error_set(LIBSHM_E_MEMORY, "out of memory");
    }
    segment->path = path;
    segment->attach_fd = segment->lock_fd = -1;
    int error = wiped_pages(segment);
    for (int tries = 0; !error && tries < 8; tries++) {
        error = open_file(segment, options);
        if (!error) {
            segment->lookup = libshm_lookup_new(segment);
            error = segment->lookup ? attach(segment) : LIBSHM_E_MEMORY;
        }
        if (error != LIBSHM_E_REPLACED)
            break;
        libshm_lookup_free(segment->lookup); /* replaced between mapping and attaching: the new file */
        segment->lookup = NULL;
        munmap(segment->base, segment->map_bytes);
        segment->base = NULL;
        error = tries < 7 ? 0 : error;
    }
    if (error) {
        release(segment);
        return error;
    }
    segment->opens = 1;
    *out = segment;
    return 0;
}

static int open_locked(char *path, const libshm_open_options *options, libshm_segment **out)
{
    int free_id = 0;
    struct stat file;
    bool there = stat(path, &file) == 0;
    for (int i = LIBSHM_MAX_SEGMENTS; i >= 1; i--) {
        struct libshm_segment *open = libshm_segments[i];
        if (!open)
            free_id = i;
        else if (there && open->device == file.st_dev && open->inode == file.st_ino && strcmp(open->path, path) == 0) {
            open->opens++;
            *out = open;
            free(path);
            return 0;
        }
    }
    if (!free_id) {
        free(path);
        return libshm_error_set(LIBSHM_E_FULL, "this process has %d segments open, the most it can have",
                                LIBSHM_MAX_SEGMENTS);
    }
    if (!fork_handlers && pthread_atfork(before_fork, after_fork_parent, after_fork_child) == 0)
        fork_handlers = true;
    int error = open_new(path, options, out);
    if (!error) {
        (*out)->id = (uint16_t)free_id;
        __atomic_store_n(&libshm_segments[free_id], *out, __ATOMIC_RELEASE);
    }
    return error;
}

int libshm_open_abi(const char *name, const libshm_open_options *options, uint32_t hot_abi, libshm_segment **segment)
{
    char directory[3900], resolved[4096], *path;
    static const libshm_open_options defaults;
    *segment = NULL;
    if (hot_abi != LIBSHM_HOT_ABI)
        return libshm_error_set(LIBSHM_E_VERSION,
                                "this program was compiled with update code of version %u; this library serves %u: "
                                "compile it again",
                                hot_abi, LIBSHM_HOT_ABI);
    if (options && options->size != 0 && options->size != sizeof *options)
        return libshm_error_set(LIBSHM_E_VERSION, "libshm_open_options has %zu bytes, this library knows %zu",
                                options->size, sizeof *options);
    if (!libshm_segment_name_valid(name))
        return libshm_error_set(
            LIBSHM_E_INVALID, "\"%.80s\" cannot be a segment name: [A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", name ? name : "");
    options = options ? options : &defaults;
    int error = libshm_directory_prepare(options->directory, directory, sizeof directory, true);
    if (error)
        return error;
    if (!realpath(directory, resolved))
        return libshm_error_set(LIBSHM_E_SYSTEM, "cannot resolve %s: %s", directory, strerror(errno));
    if (asprintf(&path, "%s/%s", resolved, name) < 0)
        return libshm_error_set(LIBSHM_E_MEMORY, "out of memory");
    pthread_mutex_lock(&open_mutex);
    error = open_locked(path, options, segment);
    pthread_mutex_unlock(&open_mutex);
    return error;
}

void libshm_close(libshm_segment *segment)
{
    if (!segment)
        return;
    pthread_mutex_lock(&open_mutex);
    if (--segment->opens == 0) {
        __atomic_store_n(&libshm_segments[segment->id], NULL, __ATOMIC_RELEASE);
        release(segment);
    }
    pthread_mutex_unlock(&open_mutex);
}

const char *libshm_segment_path(const libshm_segment *segment)
{
    return segment ? segment->path : "";
}
