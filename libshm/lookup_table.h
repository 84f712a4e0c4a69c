/* SPDX-License-Identifier: Apache-2.0
 *
 * The look-up cache's table: label values -> handle. Readers go through it at any time; changes are made under the
 * mutex, and what is taken out is freed after a grace period.
 *
 * Programs look up with the same strings again and again, mostly at the same addresses. So there is a second way to an
 * entry, by the addresses: it saves measuring and hashing the values, and is only a hint: they are compared all the
 * same. */
#ifndef LIBSHM_LOOKUP_TABLE_H
#define LIBSHM_LOOKUP_TABLE_H

#include "libshm/grace.h"
#include "libshm/labels.h"

/* What a hit looks at comes first: of a counter with short labels it is one cache line. */
struct libshm_child {
    const struct libshm_family *family;
    uint32_t bytes; /* of the key, without the zeros */
    uint32_t series;
    union {
        libshm_counter counter;
        libshm_gauge gauge;
        libshm_histogram histogram;
        /* The key follows the member that is used: u16 lengths, then the values, each ended by a zero; padded to 8;
         * struct libshm_origin. */
    };
};

struct libshm_origin {
    struct libshm_child *next; /* among the retired */
    const uint64_t *status;    /* of the series, in the segment */
    uint64_t generation;
    uint64_t address; /* by which it was found last, 0 if never */
    bool retired;
};

#define LIBSHM_WAYS 8u /* places in by_address that an address can have: one cache line */

struct libshm_lookup_table {
    struct libshm_lookup_table *next; /* among the retired */
    uint32_t mask, used;
    struct libshm_slot {
        uint64_t hash;
        struct libshm_child *child; /* atomic; NULL: empty; &libshm_forgotten: was forgotten */
    } * slot;
    uint64_t pad[5];
    uint64_t by_address[]; /* as many, atomic: upper 16 bits of the address, pointer; 0: empty */
};

_Static_assert(offsetof(struct libshm_lookup_table, by_address) == LIBSHM_WAYS * sizeof(uint64_t),
               "by_address begins with a cache line");

extern LIBSHM_HIDDEN struct libshm_child libshm_forgotten;

struct libshm_waiting {
    struct libshm_child *children;
    struct libshm_lookup_table *tables;
};

struct libshm_lookup {
    struct libshm_lookup_table *table; /* atomic */
    uint64_t removals;                 /* atomic: header.removals when every entry was known to be good */
    const uint64_t *removals_now;
    struct libshm_grace grace;
    uint32_t strangers;               /* hits that the addresses did not lead to; approximate */
    struct libshm_waiting now, later; /* for the grace period that runs; for the one after it */
    uint64_t trimmed_ns;
};

static inline uint32_t libshm_key_at(const struct libshm_family *family)
{
    uint32_t handle = family->type == LIBSHM_TYPE_COUNTER ? sizeof(libshm_counter)
                      : family->type == LIBSHM_TYPE_HISTOGRAM || family->type == LIBSHM_TYPE_SUMMARY
                          ? sizeof(libshm_histogram)
                          : sizeof(libshm_gauge);
    return (uint32_t)offsetof(struct libshm_child, counter) + handle;
}

static inline char *libshm_key(const struct libshm_child *child)
{
    return (char *)(uintptr_t)child + libshm_key_at(child->family);
}

static inline size_t libshm_origin_at(const struct libshm_family *family, uint32_t bytes)
{
    return ((size_t)libshm_key_at(family) + bytes + family->n_labels + 7) & ~(size_t)7;
}

static inline struct libshm_origin *libshm_origin(const struct libshm_child *child)
{
    return (struct libshm_origin *)(void *)((char *)(uintptr_t)child + libshm_origin_at(child->family, child->bytes));
}

/* A number for the addresses of all values; never one with zero upper bits. 0: not as many values as labels, or none.
 */
__attribute__((always_inline)) static inline uint64_t libshm_address(const struct libshm_family *family,
                                                                     const char *const *values)
{
    uint64_t hash = (uintptr_t)family;
    if (!values || family->n_labels == 0)
        return 0;
    for (uint32_t n = 0; n < family->n_labels; n++) {
        if (!values[n])
            return 0;
        hash = (hash ^ (uintptr_t)values[n]) * UINT64_C(0x9e3779b97f4a7c15);
    }
    return values[family->n_labels] ? 0 : hash | UINT64_C(1) << 63;
}

/* Way k of the places for an address. */
static inline uint64_t *libshm_addressed(const struct libshm_lookup_table *table, uint64_t address, uint32_t way)
{
    return (uint64_t *)(uintptr_t)&table->by_address[((address >> 24 & table->mask) ^ way)];
}

/* The entry that was found last for strings at these addresses, if they still say the same. `key_at`: as
 * libshm_key_at() says, known when compiling. */
__attribute__((always_inline)) static inline struct libshm_child *
libshm_find_again(const struct libshm_lookup_table *table, const struct libshm_family *family,
                  const char *const *values, uint64_t address, size_t key_at)
{
    for (uint32_t way = 0; way < LIBSHM_WAYS; way++) {
        uint64_t entry = __atomic_load_n(libshm_addressed(table, address, way), __ATOMIC_ACQUIRE);
        if ((entry ^ address) >> 48)
            continue;
        struct libshm_child *child = (struct libshm_child *)(uintptr_t)(entry << 16 >> 16);
        if (child->family != family)
            return NULL;
        const char *key = (const char *)child + key_at, *value = key + family->n_labels * 2;
        for (uint32_t n = 0; n < family->n_labels; n++) {
            uint16_t length;
            if (strcmp(value, values[n]) != 0)
                return NULL;
            memcpy(&length, key + n * 2, 2);
            value += length + 1;
        }
        return child;
    }
    return NULL;
}

__attribute__((always_inline)) static inline bool libshm_same_key(const struct libshm_child *child,
                                                                  const struct libshm_labels *labels)
{
    const char *key = libshm_key(child);
    if (child->bytes != labels->bytes || !libshm_same_bytes(key, (const char *)labels->length, labels->n * 2))
        return false;
    key += labels->n * 2;
    for (uint32_t n = 0; n < labels->n; key += labels->length[n] + 1, n++)
        if (!libshm_same_bytes(key, labels->values[n], labels->length[n]))
            return false;
    return true;
}

__attribute__((always_inline)) static inline struct libshm_child *libshm_find(const struct libshm_lookup_table *table,
                                                                              const struct libshm_family *family,
                                                                              const struct libshm_labels *labels)
{
    for (uint32_t i = (uint32_t)labels->hash;; i++) {
        const struct libshm_slot *slot = &table->slot[i & table->mask];
        struct libshm_child *child = __atomic_load_n(&slot->child, __ATOMIC_ACQUIRE);
        if (!child)
            return NULL;
        if (slot->hash == labels->hash && child != &libshm_forgotten && child->family == family &&
            libshm_same_key(child, labels))
            return child;
    }
}

/* The series is still the one that it was, and shown. */
static inline bool libshm_child_usable(const struct libshm_child *child)
{
    const struct libshm_origin *from = libshm_origin(child);
    uint64_t status = libshm_status(from->status);
    return LIBSHM_STATUS_GENERATION(status) == from->generation && libshm_status_shown(status);
}

/* ---- mutex held ---- */

/* An entry for the series, with the handle yet to be filled in; `found`'s reference is the entry's. NULL: no memory. */
LIBSHM_HIDDEN struct libshm_child *libshm_child_new(const struct libshm_family *family,
                                                    const struct libshm_labels *labels,
                                                    const struct libshm_found *found);
/* From here on it is found. False: no memory, nothing has happened. */
LIBSHM_HIDDEN bool libshm_child_publish(struct libshm_lookup *lookup, const struct libshm_labels *labels,
                                        struct libshm_child *child);
/* From here on it is found by this address. */
LIBSHM_HIDDEN void libshm_child_address(struct libshm_lookup_table *table, uint64_t address,
                                        struct libshm_child *child);

#endif
