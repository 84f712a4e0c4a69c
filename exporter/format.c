/* SPDX-License-Identifier: Apache-2.0
 *
 * Formats and codings, see format.h. */
#include "format.h"

#include <stdio.h>

const char *const escaping_names[ESCAPINGS] = {"", "underscores", "dots", "values", "allow-utf-8"};
const char *const coding_names[CODINGS] = {"identity", "gzip", "zstd"};

void content_type(struct content content, char type[CONTENT_TYPE_MAX])
{
    static const char *const types[EXPOSITIONS] = {
        [EXPOSITION_TEXT_0] = "text/plain; version=0.0.4; charset=utf-8",
        [EXPOSITION_TEXT_1] = "text/plain; version=1.0.0; charset=utf-8",
        [EXPOSITION_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
    };
    snprintf(type, CONTENT_TYPE_MAX, "%s%s%s", types[content.exposition],
             content.escaping == ESCAPING_NONE ? "" : "; escaping=", escaping_names[content.escaping]);
}

enum format content_format(struct content content)
{
    const enum format format = content.exposition == EXPOSITION_OPENMETRICS ? FORMAT_OPENMETRICS : FORMAT_TEXT;
    return content.escaping == ESCAPING_DOTS ? format + 1 : format;
}
