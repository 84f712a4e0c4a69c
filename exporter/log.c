/* SPDX-License-Identifier: Apache-2.0
 *
 * The log, see log.h. */
#include "log.h"
#include "buffer.h"
#include "utf8.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static _Atomic(enum log_level) lowest = LOG_INFO;
static _Atomic(enum log_format) line_format = LOG_LOGFMT;

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

void log_set(enum log_level level, enum log_format format)
{
    atomic_store(&lowest, level);
    atomic_store(&line_format, format);
}

const char *log_number(char text[24], uint64_t n)
{
    snprintf(text, 24, "%" PRIu64, n);
    return text;
}

/* ---- not too many of them -------------------------------------------------------------------------------------- */

#define MESSAGES_MAX 64u

static struct quota { /* of one message */
    const char *message;
    time_t begun;
    unsigned written, missing;
} quotas[MESSAGES_MAX];
static pthread_mutex_t quotas_mutex = PTHREAD_MUTEX_INITIALIZER;

/* May a line be written? `missing` gets how many of it were not, since the last one. */
static bool allowed(const char *message, unsigned *missing)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *missing = 0;
    pthread_mutex_lock(&quotas_mutex);
    struct quota *quota = quotas;
    while (quota < quotas + MESSAGES_MAX - 1 && quota->message && quota->message != message)
        quota++;
    if (!quota->message || now.tv_sec - quota->begun >= LOG_WINDOW_SECONDS) {
        *missing = quota->message ? quota->missing : 0;
        *quota = (struct quota){.message = message, .begun = now.tv_sec};
    }
    const bool allowed = quota->written < LOG_BURST;
    quota->written += allowed;
    quota->missing += !allowed;
    pthread_mutex_unlock(&quotas_mutex);
    return allowed;
}

/* ---- lines ----------------------------------------------------------------------------------------------------- */

/* Also a JSON string: bytes that are not UTF-8 become U+FFFD. */
static void append_quoted(struct buffer *line, const char *value)
{
    buffer_append(line, "\"", 1);
    for (const unsigned char *c = (const unsigned char *)value; *c;) {
        const size_t valid = utf8_length((const char *)c);
        if (*c == '"' || *c == '\\')
            buffer_printf(line, "\\%c", *c);
        else if (*c == '\n')
            buffer_append(line, "\\n", 2);
        else if (*c < 0x20 || *c == 0x7f)
            buffer_printf(line, "\\u%04x", *c);
        else if (valid)
            buffer_append(line, c, valid);
        else
            buffer_append_string(line, "\xef\xbf\xbd");
        c += valid ? valid : 1;
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

static void append_pair(struct buffer *line, enum log_format format, const char *key, const char *value)
{
    if (format == LOG_JSON) {
        buffer_printf(line, "%s\"%s\":", line->size ? "," : "{", key);
        append_quoted(line, value);
    } else {
        buffer_printf(line, "%s%s=", line->size ? " " : "", key);
        if (strcmp(key, "msg") == 0)
            append_quoted(line, value);
        else
            append_value(line, value);
    }
}

static void append_time(struct buffer *line, enum log_format format)
{
    struct timespec now;
    struct tm utc;
    char seconds[32], text[48];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, sizeof text, "%s.%03dZ", seconds, (int)(now.tv_nsec / 1000000));
    append_pair(line, format, "ts", text);
}

void log_event(enum log_level level, const char *message, ...)
{
    unsigned missing;
    if (level < atomic_load(&lowest) || !allowed(message, &missing))
        return;
    const enum log_format format = atomic_load(&line_format);
    struct buffer line = {0};
    append_time(&line, format);
    append_pair(&line, format, "level", level_names[level]);
    append_pair(&line, format, "msg", message);
    va_list pairs;
    va_start(pairs, message);
    for (const char *key; (key = va_arg(pairs, const char *));) {
        const char *value = va_arg(pairs, const char *);
        append_pair(&line, format, key, value ? value : "");
    }
    va_end(pairs);
    if (missing)
        append_pair(&line, format, "suppressed", LOG_NUMBER(missing));
    buffer_append_string(&line, format == LOG_JSON ? "}\n" : "\n");
    if (!line.failed && write(STDERR_FILENO, line.data, line.size) < 0) {
        /* nobody is left to be told */
    }
    buffer_free(&line);
}
