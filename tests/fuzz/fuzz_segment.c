/* SPDX-License-Identifier: Apache-2.0
 *
 * A segment of any bytes. The mutator starts from a sound one and keeps the checksum right, or nothing behind it would
 * be reached; it changes single words to numbers that mean something elsewhere in the file. */
#include "common_base.h"
#include "common_examine.h"
#include "exporter/encoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* Inputs as long as a segment. Each covers thousands of features: to count them all takes longer than the run. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char limit[32];
    size_t length;
    base_segment(&length);
    snprintf(limit, sizeof limit, "-max_len=%zu", length + 8192);
    base_flag(argc, argv, limit);
    base_flag(argc, argv, "-entropic=0");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    examine(data, NULL, size);
    return 0;
}

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Mostly words that are in use: a segment is mostly zeros. */
static size_t some_place(const uint8_t *data, size_t size, uint64_t *state)
{
    size_t at = 0;
    for (int tries = 0; tries < 40; tries++) {
        at = next(state) % (size / 4) * 4;
        if (data[at] | data[at + 1] | data[at + 2] | data[at + 3])
            break;
    }
    return at;
}

static void change_word(uint8_t *data, size_t size, uint64_t *state)
{
    static const uint64_t special[] = {0, 1, 2, UINT64_MAX, UINT32_MAX, UINT16_MAX, INT64_MAX, 255, 256, 4096};
    const size_t at = some_place(data, size, state), from = some_place(data, size, state);
    const size_t width = (size_t)1 << next(state) % 4;
    uint64_t value = 0;
    if (at + 8 > size || from + 8 > size)
        return;
    memcpy(&value, data + at, width);
    switch (next(state) % 7) {
    case 0:
        value = special[next(state) % (sizeof special / sizeof *special)];
        break;
    case 1:
        memcpy(&value, data + from, 8);
        break;
    case 2:
        value += next(state) % 5 - 2;
        break;
    case 3:
        value ^= UINT64_C(1) << next(state) % (8 * width);
        break;
    case 4: /* a place, in each of the units */
        value = from >> (next(state) % 3 == 0 ? 12 : next(state) % 2 ? 4 : 0);
        break;
    case 5:
        value = next(state);
        break;
    default:
        memmove(data + at, data + from, at < from ? (size - from) % 64 : (size - at) % 64);
        return;
    }
    memcpy(data + at, &value, width);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    size_t length;
    const uint8_t *base = base_segment(&length);
    if (size < 4096 && length <= max_size) {
        memcpy(data, base, length);
        size = length;
    }
    if (next(&state) % 16 == 0)
        size = LLVMFuzzerMutate(data, size, max_size);
    else
        for (uint64_t n = 1 + next(&state) % 4; n > 0 && size >= 4096; n--)
            change_word(data, size, &state);
    if (next(&state) % 64)
        base_seal(data, size);
    return size;
}
