/* SPDX-License-Identifier: Apache-2.0
 *
 * Every kind of change that a writer makes to a segment, for the tests that end a process in the middle of one. */
#ifndef TESTS_COMMON_CHANGES_H
#define TESTS_COMMON_CHANGES_H

#include <libshm.h>

struct change {
    const char *name;
    /* What must be there before; in a process that is gone when the change is made. NULL: nothing. */
    int (*prepare)(libshm_segment *segment);
    /* Opens the segment, which makes it if need be, and does it; 0 if all of it worked. Can be repeated by another
     * process after this one died in it. */
    int (*make)(libshm_segment *segment);
};

extern const struct change changes[]; /* ended by a name of NULL */

/* Every preparation begins with this: a counter with labels, `witness_total`, whose series "a" is 5. */
int changes_witness(libshm_segment *segment);
/* What it is now; NaN if it is not there any more. */
double changes_witness_value(libshm_segment *segment);

#endif
