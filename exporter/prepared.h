/* SPDX-License-Identifier: Apache-2.0
 *
 * Prepared text: what the lines of all series of one part of a family have in common, and how long each label value is.
 * So a scrape is copying short texts and formatting numbers, and nothing of a series' text is kept twice.
 *
 * A series of one line:     name{a="  VALUE  ",b="  VALUE  "}_                  and its number
 * of several: its pairs     a="  VALUE  ",b="  VALUE  "                         then, for each line,
 *                           name_bucket{  PAIRS  ,le="0.1"}_                    and its number */
#ifndef EXPORTER_PREPARED_H
#define EXPORTER_PREPARED_H

#include "dialect.h"
#include "labels.h"
#include "source.h"

#define PREPARED_SLACK 16u  /* readable bytes behind the text: it may be copied in steps of so many */
#define PREPARED_SLOW  255u /* for the size of a value: it is longer, is escaped, or is not one of the series' own */

struct prepared {
    uint32_t n_labels; /* values to be written; one that is the same for all series is part of the text */
    uint32_t n_lines;  /* of a series of several lines; 0: of one */
    size_t most;       /* bytes of a series' one line or its pairs, without slow values */
    size_t most_lines; /* bytes of its other lines, without the pairs */
    size_t estimate;   /* bytes of all series: enough, unless there are many slow values */
    struct label_place *labels;
    /* Of the pieces of text: before each value and behind the last one, then before and behind the pairs in each line.
     * None is there twice: they lie one behind the other. */
    uint32_t *sizes;
    char *text;
    uint8_t *value_sizes; /* n_labels for each series */
};

/* For `family` of `source`; as long as its layout stays. NULL: out of memory. */
struct prepared *prepared_make(const struct dialect *dialect, const struct source *source,
                               const libshm_family_view *family);
void prepared_free(struct prepared *prepared);

#endif
