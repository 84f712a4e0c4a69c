/* SPDX-License-Identifier: Apache-2.0
 *
 * What a request wants to see of everything: families by name, segments by name. */
#ifndef EXPORTER_SELECTION_H
#define EXPORTER_SELECTION_H

#include "source.h"

#define SELECTION_MAX 64u /* names, and segments */

struct selection { /* none of a kind: all of it */
    size_t n_names, n_segments;
    char *names[SELECTION_MAX];
    char *segments[SELECTION_MAX];
};

/* Copies `name`. False: too many, or out of memory. */
bool selection_add_name(struct selection *selection, const char *name);
bool selection_add_segment(struct selection *selection, const char *name);
void selection_clear(struct selection *selection);

bool selection_all(const struct selection *selection);
/* The same strings in the same order. */
bool selection_equal(const struct selection *a, const struct selection *b);

/* Is one of the names that of the family, in whatever format, or of a sample of it? */
bool selection_has_family(const struct selection *selection, const libshm_family_view *family);
bool selection_has_segment(const struct selection *selection, const char *name);
/* Of the exporter's own: what is about a segment that was asked for. */
bool selection_has_own_series(const struct selection *selection, const libshm_family_view *family,
                              const libshm_series_view *series);

#endif
