/* SPDX-License-Identifier: Apache-2.0
 *
 * A segment that is changed while it is read. The input is a list of changes to a sound one: those of the first half
 * are made before the reader opens it, those of the second after its first snapshot. Short inputs, so that libFuzzer
 * can combine them. */
#include "common_base.h"
#include "common_change.h"
#include "common_examine.h"
#include "exporter/encoder.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each input covers thousands of features: to count them all takes longer than the run. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    base_flag(argc, argv, "-entropic=0");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t *before, *after;
    size_t length, n = size / sizeof(struct change);
    const uint8_t *base = base_segment(&length);
    if (!before) {
        before = malloc(length);
        after = malloc(length);
    }
    if (!before || !after)
        abort();
    memcpy(before, base, length);
    changes_apply(before, length, data, 0, n / 2);
    base_seal(before, length);
    memcpy(after, before, length);
    changes_apply(after, length, data, n / 2, n);
    examine(before, n ? after : NULL, length);
    return 0;
}
