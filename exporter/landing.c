/* SPDX-License-Identifier: Apache-2.0
 *
 * The page at /: where the metrics are, and which segments there are. */
#include "landing.h"

#include <libshm.h>

static void append_html(struct buffer *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<':
            buffer_append_string(out, "&lt;");
            break;
        case '>':
            buffer_append_string(out, "&gt;");
            break;
        case '&':
            buffer_append_string(out, "&amp;");
            break;
        case '"':
            buffer_append_string(out, "&quot;");
            break;
        default:
            buffer_append(out, text, 1);
        }
    }
}

void landing_page(struct buffer *out, const char *telemetry_path, const struct catalogue *catalogue)
{
    buffer_append_string(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">"
                              "<title>shm-exporter</title></head>\n<body>\n<h1>shm-exporter " LIBSHM_VERSION
                              "</h1>\n<p><a href=\"");
    append_html(out, telemetry_path);
    buffer_append_string(out, "\">Metrics</a></p>\n<ul>\n");
    for (size_t i = 0; catalogue && i < catalogue->n; i++) {
        buffer_append_string(out, "<li>");
        append_html(out, catalogue->entries[i].name);
        if (!catalogue->entries[i].up) {
            buffer_append_string(out, ": down: ");
            append_html(out, catalogue->entries[i].reason);
        }
        buffer_append_string(out, "</li>\n");
    }
    buffer_append_string(out, "</ul>\n</body>\n</html>\n");
}
