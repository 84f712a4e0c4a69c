/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers, times and foreign text in a form for people: whatever a segment contains, a terminal is safe from it. */
#include "common.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

size_t utf8_character(const char *bytes, size_t length, uint32_t *code)
{
    const unsigned char *byte = (const unsigned char *)bytes;
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (length == 0)
        return 0;
    if (byte[0] < 0x80) {
        *code = byte[0];
        return 1;
    }
    size_t n = byte[0] >= 0xf0 ? 4 : byte[0] >= 0xe0 ? 3 : 2;
    if (byte[0] < 0xc2 || byte[0] > 0xf4 || n > length)
        return 0;
    uint32_t value = byte[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((byte[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (byte[i] & 0x3fu);
    }
    if (value < smallest[n] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *code = value;
    return n;
}

/* Characters that would move the cursor, colour the screen or turn the reading direction. */
static int disturbs(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x061c || (code >= 0x200e && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

void print_escaped(FILE *out, const char *bytes, size_t length, char quote)
{
    while (length) {
        uint32_t code = 0;
        size_t n = utf8_character(bytes, length, &code);
        if (n == 0) {
            fprintf(out, "\\x%02x", (unsigned char)*bytes);
            n = 1;
        } else if (code == '\n') {
            fputs("\\n", out);
        } else if (disturbs(code)) {
            fprintf(out, code < 0x100 ? "\\x%02" PRIx32 : "\\u%04" PRIx32, code);
        } else {
            if (quote && (code == '\\' || code == (unsigned char)quote))
                fputc('\\', out);
            fwrite(bytes, 1, n, out);
        }
        bytes += n;
        length -= n;
    }
}

const char *format_double(double value, char text[static NUMBER_SIZE])
{
    if (isnan(value))
        return strcpy(text, "NaN");
    if (isinf(value))
        return strcpy(text, value > 0 ? "+Inf" : "-Inf");
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, NUMBER_SIZE, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return text;
}

const char *format_bytes(uint64_t bytes, char text[static NUMBER_SIZE])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    if (bytes < 1024) {
        snprintf(text, NUMBER_SIZE, "%" PRIu64 " bytes", bytes);
        return text;
    }
    for (value /= 1024; value >= 1024 && unit < 5; unit++)
        value /= 1024;
    snprintf(text, NUMBER_SIZE, "%.1f %s", value, units[unit]);
    return text;
}

const char *format_time(uint64_t nanoseconds, char text[static TIME_SIZE])
{
    time_t seconds = (time_t)(nanoseconds / 1000000000u);
    struct tm parts;
    char whole[NUMBER_SIZE];
    if (!gmtime_r(&seconds, &parts) || !strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &parts))
        return strcpy(text, "?");
    snprintf(text, TIME_SIZE, "%.31s.%09" PRIu64 "Z", whole, nanoseconds % 1000000000u);
    return text;
}

const char *type_name(uint32_t type)
{
    static const char *const names[] = {"?", "counter", "gauge", "histogram", "summary", "info", "stateset", "unknown"};
    return names[type < sizeof names / sizeof *names ? type : 0];
}

const char *gauge_mode_name(uint32_t gauge_mode)
{
    static const char *const names[] = {"shared", "sum", "min", "max", "all"};
    return gauge_mode < sizeof names / sizeof *names ? names[gauge_mode] : "?";
}

const char *state_name(uint32_t state)
{
    static const char *const names[] = {"free", "building", "live", "hidden", "removed"};
    return state < sizeof names / sizeof *names ? names[state] : "?";
}
