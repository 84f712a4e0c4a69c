/* SPDX-License-Identifier: Apache-2.0
 *
 * A private copy of a segment's bytes, and the one way to reach into it: every offset is checked against its length. */
#define _GNU_SOURCE
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

const uint32_t table_entry_size[LIBSHM_TABLES] = LIBSHM_TABLE_ENTRY_SIZES;
const uint32_t table_leaf_pages[LIBSHM_TABLES] = LIBSHM_TABLE_LEAF_PAGES;
const uint32_t table_root_pages[LIBSHM_TABLES] = LIBSHM_TABLE_ROOT_PAGES;
const char *const table_name[LIBSHM_TABLES] = {"groups", "families", "series", "slots", "attaches"};

struct copy_job {
    const unsigned char *from;
    unsigned char *to;
    size_t length;
};

/* 16 bytes at a time, so that a cell's two halves are of one moment. */
static void copy_body(void *context)
{
    struct copy_job *job = context;
    size_t done = 0;
    for (; done + 16 <= job->length; done += 16) {
#ifdef __SSE2__
        _mm_store_si128((__m128i *)(void *)(job->to + done),
                        _mm_load_si128((const __m128i *)(const void *)(job->from + done)));
#else
        for (size_t word = 0; word < 16; word += 8)
            *(uint64_t *)(void *)(job->to + done + word) =
                __atomic_load_n((const uint64_t *)(const void *)(job->from + done + word), __ATOMIC_RELAXED);
#endif
    }
    for (; done < job->length; done++)
        job->to[done] = job->from[done];
}

/* Copies the data between holes. On a file system that cannot tell holes, everything is data. */
static int copy_data(int fd, const unsigned char *map, unsigned char *copy, size_t length)
{
    off_t end = 0;
    while ((size_t)end < length) {
        off_t start = lseek(fd, end, SEEK_DATA);
        if (start < 0)
            return errno == ENXIO ? 0 : -errno;
        end = lseek(fd, start, SEEK_HOLE);
        if (end < 0)
            return errno == ENXIO ? -ENODATA : -errno;
        if ((size_t)start >= length)
            return 0;
        size_t stop = (size_t)end < length ? (size_t)end : length;
        size_t first = (size_t)start & ~(size_t)15;
        struct copy_job job = {map + first, copy + first, stop - first};
        if (guarded(copy_body, &job) != 0)
            return -ENODATA;
    }
    return 0;
}

int image_copy(int fd, struct image *image)
{
    struct stat status;
    image->bytes = NULL;
    image->length = 0;
    if (fstat(fd, &status) != 0)
        return -errno;
    if (status.st_size <= 0)
        return 0;
    size_t length = (uint64_t)status.st_size < LIBSHM_MAX_BYTES ? (size_t)status.st_size : (size_t)LIBSHM_MAX_BYTES;
    void *map = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return -errno;
    void *copy = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int error = copy == MAP_FAILED ? -errno : copy_data(fd, map, copy, length);
    munmap(map, length);
    if (error == 0) {
        image->bytes = copy;
        image->length = length;
    } else if (copy != MAP_FAILED) {
        munmap(copy, length);
    }
    return error;
}

void image_free(struct image *image)
{
    if (image->bytes)
        munmap((void *)(uintptr_t)image->bytes, image->length);
    image->bytes = NULL;
    image->length = 0;
}

static uint32_t entries_per_leaf(uint32_t table)
{
    return table_leaf_pages[table] * LIBSHM_PAGE / table_entry_size[table];
}

/* The first page of a leaf, 0 if there is none. */
static uint32_t leaf_page(const struct image *image, const struct libshm_header *header, uint32_t table, uint32_t leaf)
{
    uint64_t root = (uint64_t)header->tables[table].root * LIBSHM_PAGE;
    const uint32_t *page = root ? image_at(image, root + (uint64_t)leaf * 4, 4, 4) : NULL;
    return page ? *page : 0;
}

uint32_t table_count(const struct image *image, uint32_t table)
{
    const struct libshm_header *header = image_header(image);
    if (!header)
        return 0;
    uint32_t per_leaf = entries_per_leaf(table), count = header->tables[table].count;
    count = count < table_capacity(table) ? count : table_capacity(table);
    while (count > 0 && leaf_page(image, header, table, (count - 1) / per_leaf) == 0)
        count = (count - 1) / per_leaf * per_leaf;
    return count;
}

uint64_t table_entry_offset(const struct image *image, uint32_t table, uint32_t number)
{
    const struct libshm_header *header = image_header(image);
    if (!header || number >= table_capacity(table))
        return 0;
    uint32_t size = table_entry_size[table], per_leaf = entries_per_leaf(table);
    uint32_t page = leaf_page(image, header, table, number / per_leaf);
    if (!page)
        return 0;
    uint64_t offset = (uint64_t)page * LIBSHM_PAGE + (uint64_t)(number % per_leaf) * size;
    return image_at(image, offset, size, 8) ? offset : 0;
}

const void *table_entry(const struct image *image, uint32_t table, uint32_t number)
{
    uint64_t offset = table_entry_offset(image, table, number);
    return offset ? image->bytes + offset : NULL;
}

uint32_t crc32c(const void *bytes, size_t length)
{
    const unsigned char *byte = bytes;
    uint32_t crc = UINT32_MAX;
    while (length--) {
        crc ^= *byte++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
    }
    return ~crc;
}

int lock_held(int fd, uint64_t offset)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = 1};
    if (offset > INT64_MAX)
        return -1;
    /* Asking for a write lock shows read locks too; the descriptor need not be writable to ask. */
    if (fcntl(fd, F_OFD_GETLK, &lock) != 0)
        return -1;
    return lock.l_type != F_UNLCK;
}

int serial_alive(int fd, uint64_t lock_base, uint64_t serial)
{
    return serial < UINT64_C(1) << 60 ? lock_held(fd, lock_base + serial) : -1;
}
