/* SPDX-License-Identifier: Apache-2.0
 *
 * The formats and codings of a scrape's body. */
#ifndef EXPORTER_FORMAT_H
#define EXPORTER_FORMAT_H

#include <stddef.h>

enum exposition { EXPOSITION_TEXT_0, EXPOSITION_TEXT_1, EXPOSITION_OPENMETRICS, EXPOSITIONS };
/* What a client wants of names beyond [a-zA-Z0-9_:]. A segment has none, so only DOTS changes anything: _ is __. */
enum escaping { ESCAPING_NONE, ESCAPING_UNDERSCORES, ESCAPING_DOTS, ESCAPING_VALUES, ESCAPING_UTF8, ESCAPINGS };
enum coding { CODING_IDENTITY, CODING_GZIP, CODING_ZSTD, CODINGS };

extern const char *const escaping_names[ESCAPINGS]; /* as in escaping=; NONE: "" */
extern const char *const coding_names[CODINGS];     /* as in Content-Encoding */

/* What a client is told that it gets. */
struct content {
    enum exposition exposition;
    enum escaping escaping;
};

#define CONTENT_TYPE_MAX 128
void content_type(struct content content, char type[CONTENT_TYPE_MAX]);

/* What makes one body differ from another: several contents can have the same. */
enum format {
    FORMAT_TEXT,
    FORMAT_TEXT_DOTS,
    FORMAT_OPENMETRICS,
    FORMAT_OPENMETRICS_DOTS,
    /* not negotiated: each has a path of its own */
    FORMAT_JSON_STATUS,
    FORMAT_JSON_FAMILIES,
    FORMAT_JSON_SERIES,
    FORMATS
};
enum format content_format(struct content content);

#endif
