/* SPDX-License-Identifier: Apache-2.0
 *
 * A scraper: readers of some segments, and what merging and encoding keep from one scrape to the next. One thread uses
 * it at a time; Python code keeps a pool of them. */
#ifndef LIBSHM_PYTHON_SCRAPER_H
#define LIBSHM_PYTHON_SCRAPER_H

#include "binding.h"

#include "exporter/encoder.h"
#include <libshm/reader.h>

struct scraped { /* one segment */
    char *path;
    libshm_reader *reader; /* NULL: not there, or not readable */
    uint64_t identity;
};

typedef struct Scraper {
    PyObject_HEAD size_t n;
    struct scraped *segments;
    struct source *sources;
    size_t n_sources;
    struct merger *merger;
    struct encoder *encoder;
    struct buffer text;
    bool busy;
    char problem[512]; /* why the last segment that could not be read could not; "" if all could */
} Scraper;

/* Looks at all segments. Without the GIL. NULL: out of memory. */
const struct merged *scraper_collect(Scraper *scraper);
/* The families as Python objects: a list of tuples, see families.c. */
PyObject *scraper_families(const Scraper *scraper, const struct merged *merged);

#endif
