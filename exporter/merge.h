/* SPDX-License-Identifier: Apache-2.0
 *
 * Families of the same name become one, over all sources.
 *
 * Which definition counts if two sources disagree: the exporter's own metrics first, then the older segment. The other
 * one is left out, and so is a family with a sample name that another family has (counter foo_count beside histogram
 * foo). Without a label that tells segments apart, two can have the same series: the older one's is shown. */
#ifndef EXPORTER_MERGE_H
#define EXPORTER_MERGE_H

#include "source.h"

struct merged_part { /* of a family: what one source has of it */
    size_t source;   /* index */
    size_t family;   /* index in the source's families; stays valid while the layout does */
    bool *skip;      /* a flag a series: left out, an older segment has it; NULL: none is */
};

struct merged_family {
    const struct merged_part *parts; /* in the order of the sources; parts[0 .. n_parts) */
    size_t n_parts;
    size_t first; /* the part whose definition counts */
};

struct merged_conflict { /* a family that was left out */
    size_t source, family;
    size_t with_source, with_family;
};

struct merged {
    uint64_t version;               /* unchanged: nothing below changed */
    struct merged_family *families; /* sorted by name */
    size_t n_families;
    struct merged_part *parts; /* of all families, in their order */
    size_t n_parts;
    struct merged_conflict *conflicts;
    size_t n_conflicts;
    size_t duplicate_series;
};

struct merger;
struct merger *merger_new(void);
void merger_free(struct merger *merger);

/* The families of `sources`, in the order in which their series are to be shown; sources[0] always wins. The result is
 * the merger's, until the next call. Merges anew only if a layout changed. NULL: out of memory. */
const struct merged *merger_merge(struct merger *merger, const struct source *sources, size_t n_sources);

static inline const libshm_family_view *merged_view(const struct merged_part *part, const struct source *sources)
{
    return &sources[part->source].families[part->family];
}

#endif
