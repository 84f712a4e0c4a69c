/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes to a sound segment, see common_change.h. */
#include "common_change.h"

#include <string.h>

static void apply(uint8_t *bytes, size_t length, const struct change *change)
{
    const size_t page = change->page % (length / 4096) * 4096, at = page + change->word % 1023 * 4;
    size_t moved = change->value >> 56;
    uint32_t word;
    memcpy(&word, bytes + at, sizeof word);
    switch (change->what % 8) {
    case 0:
    case 1:
        memcpy(bytes + at, &change->value, 8);
        return;
    case 2:
        memcpy(bytes + at, &change->value, 2);
        return;
    case 3:
        bytes[at + change->value % 4] = (uint8_t)(change->value >> 8);
        return;
    case 4:
        word += (uint32_t)change->value;
        break;
    case 5:
        word ^= UINT32_C(1) << change->value % 32;
        break;
    case 6:
        moved = moved < length - at ? moved : length - at;
        memmove(bytes + at, bytes + change->value % (length - 256), moved);
        return;
    default:
        word = (uint32_t)change->value;
    }
    memcpy(bytes + at, &word, sizeof word);
}

void changes_apply(uint8_t *bytes, size_t length, const uint8_t *data, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) {
        struct change change;
        memcpy(&change, data + i * sizeof change, sizeof change);
        apply(bytes, length, &change);
    }
}
