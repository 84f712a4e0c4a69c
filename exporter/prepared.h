/* SPDX-License-Identifier: Apache-2.0
 *
 * Prepared text: the sample lines of one part of a family, each up to its value. Made once a series and kept, so that a
 * scrape is copying text and formatting numbers. */
#ifndef EXPORTER_PREPARED_H
#define EXPORTER_PREPARED_H

#include "dialect.h"
#include "source.h"

#define PREPARED_SLACK 32u /* readable bytes behind the text: it may be copied in steps of so many */

struct prepared_series { /* what tells a series of the part from all others of all times */
    uint64_t generation;
    uint64_t process;
    uint32_t number;
};

struct prepared {
    size_t references;
    uint64_t identity; /* of the source */
    uint64_t generation;
    uint32_t number;
    uint32_t lines_per_series;
    size_t n_series;
    struct prepared_series *series;
    uint32_t *lengths; /* of the lines, lines_per_series for each series */
    char *text;        /* the lines, one behind the other */
    size_t size;
};

/* The text for `family` of `source`. What `old` (or NULL) has of it is taken over; if that is all of it, the result is
 * `old` itself with one more reference. NULL: out of memory. */
struct prepared *prepared_make(const struct dialect *dialect, const struct source *source,
                               const libshm_family_view *family, struct prepared *old);
void prepared_release(struct prepared *prepared);

#endif
