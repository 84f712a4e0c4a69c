/* SPDX-License-Identifier: Apache-2.0
 *
 * An input as a list of changes to a sound segment: short, so that libFuzzer can combine lists. */
#ifndef FUZZ_CHANGE_H
#define FUZZ_CHANGE_H

#include <stddef.h>
#include <stdint.h>

struct change {    /* 16 bytes */
    uint16_t word; /* four bytes each, in the page */
    uint8_t page;
    uint8_t what;
    uint32_t unused;
    uint64_t value;
};

/* Makes the changes `first` up to before `last` of the input to a segment. */
void changes_apply(uint8_t *bytes, size_t length, const uint8_t *data, size_t first, size_t last);

#endif
