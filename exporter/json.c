/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON, see json.h. */
#include "json.h"
#include "number.h"
#include "utf8.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define EXACT_MAX (UINT64_C(1) << 53)

static bool plain(unsigned char c)
{
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\' && c != '<';
}

void json_string(struct buffer *out, const char *string)
{
    const unsigned char *text = (const unsigned char *)string;
    buffer_append(out, "\"", 1);
    while (*text) {
        size_t n = 0;
        while (plain(text[n]))
            n++;
        if (n) {
            buffer_append(out, text, n);
            text += n;
        } else if (*text == '"' || *text == '\\') {
            const char escaped[2] = {'\\', (char)*text++};
            buffer_append(out, escaped, 2);
        } else if (*text < ' ' || *text == 0x7f || *text == '<') { /* whoever puts it into a page gets no tag */
            buffer_printf(out, "\\u%04x", *text++);
        } else if ((n = utf8_length((const char *)text)) != 0) {
            buffer_append(out, text, n);
            text += n;
        } else {
            buffer_append_string(out, "\xef\xbf\xbd");
            text++;
        }
    }
    buffer_append(out, "\"", 1);
}

void json_u64(struct buffer *out, uint64_t value)
{
    char text[NUMBER_MAX + 2];
    const size_t n = number_format_u64(text + 1, value);
    text[0] = text[n + 1] = '"';
    if (value > EXACT_MAX)
        buffer_append(out, text, n + 2);
    else
        buffer_append(out, text + 1, n);
}

void json_double(struct buffer *out, double value)
{
    char text[NUMBER_MAX];
    if (isfinite(value))
        buffer_append(out, text, number_format_double(text, value));
    else
        buffer_append_string(out, isnan(value) ? "\"NaN\"" : value > 0 ? "\"+Inf\"" : "\"-Inf\"");
}

void json_counter(struct buffer *out, uint64_t integer, double fractional)
{
    char text[NUMBER_MAX];
    if (fractional == 0)
        json_u64(out, integer);
    else if (!isfinite(fractional))
        json_double(out, fractional);
    else
        buffer_append(out, text, number_format_counter(text, integer, fractional));
}

void json_comma(struct buffer *out)
{
    const char last = out->size ? out->data[out->size - 1] : '[';
    if (last != '[' && last != '{')
        buffer_append(out, ",", 1);
}

void json_key(struct buffer *out, const char *key)
{
    json_comma(out);
    json_string(out, key);
    buffer_append(out, ":", 1);
}
