/* SPDX-License-Identifier: Apache-2.0
 *
 * Label values: measured and hashed in one go. Inline, because a cached look-up does nothing else for long. */
#ifndef LIBSHM_LABELS_H
#define LIBSHM_LABELS_H

#include <string.h>

#include "libshm/internal.h"

static inline uint64_t libshm_load64(const char *p)
{
    uint64_t word;
    memcpy(&word, p, 8);
    return word;
}

static inline uint64_t libshm_load32(const char *p)
{
    uint32_t word;
    memcpy(&word, p, 4);
    return word;
}

/* Hashes as wyhash does: a folded 64 x 64 -> 128 bit multiplication for each 16 bytes, the last words overlapping. */
static inline uint64_t libshm_hash_mix(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t libshm_hash_bytes(uint64_t hash, const char *p, size_t length)
{
    uint64_t a, b;
    hash ^= length * UINT64_C(0xa0761d6478bd642f);
    for (; length > 16; p += 16, length -= 16)
        hash = libshm_hash_mix(libshm_load64(p) ^ UINT64_C(0xe7037ed1a0b428db), libshm_load64(p + 8) ^ hash);
    if (length >= 8) {
        a = libshm_load64(p);
        b = libshm_load64(p + length - 8);
    } else if (length >= 4) {
        a = libshm_load32(p);
        b = libshm_load32(p + length - 4);
    } else {
        a = length ? (uint64_t)(unsigned char)p[0] << 16 | (uint64_t)(unsigned char)p[length / 2] << 8 |
                         (unsigned char)p[length - 1]
                   : 0;
        b = 0;
    }
    return libshm_hash_mix(a ^ UINT64_C(0xe7037ed1a0b428db), b ^ hash);
}

/* memcmp() == 0 without the call: label values are short. */
static inline bool libshm_same_bytes(const char *a, const char *b, size_t length)
{
    for (; length > 16; a += 8, b += 8, length -= 8)
        if (libshm_load64(a) != libshm_load64(b))
            return false;
    if (length >= 8)
        return ((libshm_load64(a) ^ libshm_load64(b)) |
                (libshm_load64(a + length - 8) ^ libshm_load64(b + length - 8))) == 0;
    if (length >= 4)
        return ((libshm_load32(a) ^ libshm_load32(b)) |
                (libshm_load32(a + length - 4) ^ libshm_load32(b + length - 4))) == 0;
    for (size_t i = 0; i < length; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

/* False: not as many values as the family has labels, or too long ones; libshm_labels_set() says which. */
__attribute__((always_inline)) static inline bool
libshm_labels_scan(const struct libshm_family *family, const char *const *values, struct libshm_labels *labels)
{
    uint32_t n = family->n_labels, bytes = n * 2;
    uint64_t hash = UINT64_C(0x589965cc75374cc3) + family->number;
    for (uint32_t i = 0; i < n; i++) {
        if (!values || !values[i])
            return false;
        size_t length = strlen(values[i]);
        if (length > LIBSHM_MAX_LABEL_VALUE)
            return false;
        labels->length[i] = (uint16_t)length;
        bytes += (uint32_t)length;
        hash = libshm_hash_bytes(hash, values[i], length);
    }
    labels->values = values;
    labels->n = n;
    labels->bytes = bytes;
    labels->hash = hash;
    return bytes <= LIBSHM_MAX_TEXT && (!values || !values[n]);
}

#endif
