/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON, see json.h. */
#include "json.h"
#include "number.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define EXACT_MAX (UINT64_C(1) << 53)

/* How many bytes the character at `text` has; 0: it is none. The NUL at the end is no continuation byte. */
static size_t utf8_length(const unsigned char *text)
{
    static const struct {
        unsigned char lead_min, lead_max, second_min, second_max, length;
    } rows[] = {
        {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        if (*text < rows[row].lead_min || *text > rows[row].lead_max)
            continue;
        const size_t length = rows[row].length;
        if (length > 1 && (text[1] < rows[row].second_min || text[1] > rows[row].second_max))
            return 0;
        for (size_t i = 2; i < length; i++)
            if ((text[i] & 0xc0) != 0x80)
                return 0;
        return length;
    }
    return 0;
}

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
        } else if ((n = utf8_length(text)) != 0) {
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
