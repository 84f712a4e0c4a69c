/* SPDX-License-Identifier: Apache-2.0
 *
 * The page at /: one HTML file that was made of exporter/page/ when the exporter was built. */
#ifndef EXPORTER_PAGE_H
#define EXPORTER_PAGE_H

#include "buffer.h"
#include "format.h"

struct page {
    struct buffer bodies[CODINGS];
    char etag[24]; /* weak: of all codings */
};

/* With a link to the metrics at `telemetry_path`. False: out of memory; page_free also then. */
bool page_make(struct page *page, const char *telemetry_path);
void page_free(struct page *page);

/* Content-Security-Policy: the page's own script and style, requests to its own server, and nothing else. */
extern const char page_security_policy[];

#endif
