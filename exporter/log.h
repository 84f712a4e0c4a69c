/* SPDX-License-Identifier: Apache-2.0
 *
 * The log: one line an event, logfmt or JSON, on standard error.
 *
 *     log_event(LOG_INFO, "listening", "address", "127.0.0.1:9464", NULL);
 *     ts=2026-01-31T12:00:00.000Z level=info msg="listening" address=127.0.0.1:9464
 *
 * Any thread. A line is written with one write(2) and never holds a byte that could end it early. Of one message there
 * are at most LOG_BURST lines in LOG_WINDOW_SECONDS; the next one after that says how many are missing. */
#ifndef EXPORTER_LOG_H
#define EXPORTER_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_BURST          20u
#define LOG_WINDOW_SECONDS 10

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* "debug", "info", "warn", "error". */
bool log_level_parse(const char *name, enum log_level *level);
enum log_format { LOG_LOGFMT, LOG_JSON };
void log_set(enum log_level level, enum log_format format);

/* `message` (a literal: it is remembered), then pairs of strings (key, value), then NULL. A NULL value is written as
 * "". */
void log_event(enum log_level level, const char *message, ...) __attribute__((sentinel));

/* A number as a value: LOG_NUMBER(n) lives until the end of the enclosing block. */
#define LOG_NUMBER(n) log_number((char[24]){0}, (n))
const char *log_number(char text[24], uint64_t n);

#endif
