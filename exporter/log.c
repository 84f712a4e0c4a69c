/* SPDX-License-Identifier: Apache-2.0
 *
 * The log, see log.h. */
#include "log.h"
#include "buffer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static _Atomic(enum log_level) lowest = LOG_INFO;

bool log_level_parse(const char *name, enum log_level *level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_set_level(enum log_level level)
{
    atomic_store(&lowest, level);
}

const char *log_number(char text[24], uint64_t n)
{
    snprintf(text, 24, "%" PRIu64, n);
    return text;
}

static void append_quoted(struct buffer *line, const char *value)
{
    buffer_append(line, "\"", 1);
    for (const unsigned char *c = (const unsigned char *)value; *c; c++) {
        if (*c == '"' || *c == '\\')
            buffer_printf(line, "\\%c", *c);
        else if (*c == '\n')
            buffer_append(line, "\\n", 2);
        else if (*c < 0x20 || *c == 0x7f)
            buffer_printf(line, "\\x%02x", *c);
        else
            buffer_append(line, c, 1);
    }
    buffer_append(line, "\"", 1);
}

static void append_value(struct buffer *line, const char *value)
{
    bool plain = *value != '\0';
    for (const unsigned char *c = (const unsigned char *)value; *c; c++)
        plain = plain && *c > ' ' && *c < 0x7f && *c != '"' && *c != '=' && *c != '\\';
    if (plain)
        buffer_append_string(line, value);
    else
        append_quoted(line, value);
}

static void append_time(struct buffer *line)
{
    struct timespec now;
    struct tm utc;
    char text[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    buffer_printf(line, "ts=%s.%03dZ", text, (int)(now.tv_nsec / 1000000));
}

void log_event(enum log_level level, const char *message, ...)
{
    if (level < atomic_load(&lowest))
        return;
    struct buffer line = {0};
    append_time(&line);
    buffer_printf(&line, " level=%s msg=", level_names[level]);
    append_quoted(&line, message);
    va_list pairs;
    va_start(pairs, message);
    for (const char *key; (key = va_arg(pairs, const char *));) {
        const char *value = va_arg(pairs, const char *);
        buffer_printf(&line, " %s=", key);
        append_value(&line, value ? value : "");
    }
    va_end(pairs);
    buffer_append(&line, "\n", 1);
    if (!line.failed && write(STDERR_FILENO, line.data, line.size) < 0) {
        /* nobody is left to be told */
    }
    buffer_free(&line);
}
