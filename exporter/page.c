/* SPDX-License-Identifier: Apache-2.0
 *
 * The page at /, see page.h. */
#define _GNU_SOURCE
#include "page.h"
#include "compress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Both made by scripts/embed-page. */
#include "page_policy.h"
static const unsigned char html[] = {
#include "page_bytes.h"
};

#define LINK "@METRICS@" /* in the page: where the metrics are */

const char page_security_policy[] =
    "default-src 'none'; " PAGE_SOURCES
    "; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

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

/* FNV-1a: tells two versions of the page apart, nothing more. */
static uint64_t hash(const struct buffer *bytes)
{
    uint64_t value = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < bytes->size; i++)
        value = (value ^ (unsigned char)bytes->data[i]) * UINT64_C(0x100000001b3);
    return value;
}

bool page_make(struct page *page, const char *telemetry_path)
{
    *page = (struct page){0};
    struct buffer *plain = &page->bodies[CODING_IDENTITY];
    const unsigned char *at = html, *end = html + sizeof html, *found;
    while ((found = memmem(at, (size_t)(end - at), LINK, strlen(LINK))) != NULL) {
        buffer_append(plain, at, (size_t)(found - at));
        append_html(plain, telemetry_path);
        at = found + strlen(LINK);
    }
    buffer_append(plain, at, (size_t)(end - at));
    if (plain->failed)
        return false;
    snprintf(page->etag, sizeof page->etag, "W/\"%016" PRIx64 "\"", hash(plain));
    struct compressor *compressor = compressor_new();
    bool whole = compressor != NULL;
    for (enum coding coding = CODING_IDENTITY + 1; whole && coding < CODINGS; coding++)
        whole = compress(compressor, coding, plain, &page->bodies[coding]);
    compressor_free(compressor);
    return whole;
}

void page_free(struct page *page)
{
    for (size_t i = 0; i < CODINGS; i++)
        buffer_free(&page->bodies[i]);
}
