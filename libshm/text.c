/* SPDX-License-Identifier: Apache-2.0
 *
 * Names, UTF-8 and CRC-32C. */
#include "libshm/text.h"

#include <libshm/format.h>
#include <string.h>

/* Length of the valid character at s, which has at least one byte; 0 if there is none. */
static size_t utf8_character(const unsigned char *s, size_t length)
{
    unsigned char lead = s[0], low = 0x80, high = 0xbf; /* limits of the second byte */
    size_t n;
    if (lead < 0x80)
        return lead != 0;
    if (lead >= 0xc2 && lead <= 0xdf) {
        n = 2;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        n = 3;
        if (lead == 0xe0)
            low = 0xa0; /* overlong below */
        else if (lead == 0xed)
            high = 0x9f; /* surrogates above */
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        n = 4;
        if (lead == 0xf0)
            low = 0x90; /* overlong below */
        else if (lead == 0xf4)
            high = 0x8f; /* beyond U+10FFFF above */
    } else {
        return 0;
    }
    if (length < n || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

bool libshm_utf8_valid(const char *text, size_t length)
{
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; i < length;) {
        uint64_t word;
        if (length - i >= 8) { /* eight ASCII characters at once: no byte has its top bit, none is zero */
            memcpy(&word, s + i, 8);
            if (((word | (word - UINT64_C(0x0101010101010101))) & UINT64_C(0x8080808080808080)) == 0) {
                i += 8;
                continue;
            }
        }
        size_t n = utf8_character(s + i, length - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

static bool name_valid(const char *name, size_t length, size_t most, bool colon)
{
    if (length == 0 || length > most)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colon && c == ':');
        if (!letter && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return true;
}

bool libshm_metric_name_valid(const char *name, size_t length)
{
    return name_valid(name, length, LIBSHM_MAX_NAME, true);
}

bool libshm_label_name_valid(const char *name, size_t length)
{
    return name_valid(name, length, LIBSHM_MAX_LABEL_NAME, false) && !(length >= 2 && memcmp(name, "__", 2) == 0) &&
           !(length == 2 && memcmp(name, "le", 2) == 0) && !(length == 8 && memcmp(name, "quantile", 8) == 0);
}

uint32_t libshm_crc32c(const void *bytes, size_t length)
{
    /* half a byte a step: it is for headers, and 16 numbers can be checked by eye */
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    const unsigned char *p = bytes;
    uint32_t crc = UINT32_MAX;
    for (; length > 0; p++, length--) {
        crc ^= *p;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}
