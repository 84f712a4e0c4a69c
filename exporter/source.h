/* SPDX-License-Identifier: Apache-2.0
 *
 * A source of families: what merging and encoding know of a segment. The exporter's own metrics are one too. */
#ifndef EXPORTER_SOURCE_H
#define EXPORTER_SOURCE_H

#include <libshm/reader.h>
#include <stdbool.h>

struct source {
    const char *segment; /* value of the label `segment` that every series gets; NULL: none */
    const char *name;    /* of the segment, for messages */
    uint64_t identity;   /* of one opening of one segment, never used again: (identity, number, generation) tells
                            families and series of all times apart */
    uint64_t layout;     /* unchanged for an identity: the same families and series in the same places */
    uint64_t created_ns; /* the older source defines a family that two have */
    const libshm_family_view *families; /* sorted by name */
    size_t n_families;
};

#endif
