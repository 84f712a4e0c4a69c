/* SPDX-License-Identifier: Apache-2.0
 *
 * The one way from an offset that was read in a segment to an address: bounds first. Private. */
#ifndef LIBSHM_VIEW_H
#define LIBSHM_VIEW_H

#include <libshm/format.h>
#include <stddef.h>

/* Bytes that may be looked at. What is there may change at any time and be anything. */
struct libshm_view {
    const unsigned char *base; /* aligned to a page */
    uint64_t length;
};

/* The address of bytes[offset .. offset + size), or NULL if they are not all inside or offset is no multiple of `align`
 * (a power of two). Offset 0 is the header; as a reference it means "none", so nothing is ever there. */
static inline const void *libshm_view_at(const struct libshm_view *view, uint64_t offset, uint64_t size, uint64_t align)
{
    if (offset == 0 || (offset & (align - 1)) != 0 || offset > view->length || size > view->length - offset)
        return NULL;
    return view->base + offset;
}

/* The same for a page number and a number of pages. */
static inline const void *libshm_view_pages(const struct libshm_view *view, uint64_t page, uint64_t pages)
{
    return libshm_view_at(view, page * LIBSHM_PAGE, pages * LIBSHM_PAGE, LIBSHM_PAGE);
}

/* Entry `number` of a table whose header words were copied to *table; NULL if it has no such entry, or if its root or
 * leaf is not inside. Load the count before the root and the leaf: they are stored before it. */
static inline const void *libshm_view_entry(const struct libshm_view *view, unsigned which,
                                            const struct libshm_table *table, uint32_t number)
{
    static const uint32_t entry_sizes[LIBSHM_TABLES] = LIBSHM_TABLE_ENTRY_SIZES;
    static const uint32_t leaf_pages[LIBSHM_TABLES] = LIBSHM_TABLE_LEAF_PAGES;
    static const uint32_t root_pages[LIBSHM_TABLES] = LIBSHM_TABLE_ROOT_PAGES;
    uint32_t per_leaf = leaf_pages[which] * LIBSHM_PAGE / entry_sizes[which];
    uint32_t leaf = number / per_leaf;
    if (number >= table->count || leaf >= root_pages[which] * (LIBSHM_PAGE / 4))
        return NULL;
    const uint32_t *root = (const uint32_t *)libshm_view_pages(view, table->root, root_pages[which]);
    if (!root)
        return NULL;
    const unsigned char *entries = (const unsigned char *)libshm_view_pages(
        view, __atomic_load_n(&root[leaf], __ATOMIC_RELAXED), leaf_pages[which]);
    return entries ? entries + (size_t)(number % per_leaf) * entry_sizes[which] : NULL;
}

#endif
