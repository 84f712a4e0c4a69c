/* SPDX-License-Identifier: Apache-2.0
 *
 * The log: one line an event, logfmt, on standard error.
 *
 *     log_event(LOG_INFO, "listening", "address", "127.0.0.1:9464", NULL);
 *     ts=2026-01-31T12:00:00.000Z level=info msg="listening" address=127.0.0.1:9464
 *
 * Any thread. A line is written with one write(2) and never holds a byte that could end it early. */
#ifndef EXPORTER_LOG_H
#define EXPORTER_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* "debug", "info", "warn", "error". */
bool log_level_parse(const char *name, enum log_level *level);
void log_set_level(enum log_level level);

/* `message`, then pairs of strings (key, value), then NULL. A NULL value is written as "". */
void log_event(enum log_level level, const char *message, ...) __attribute__((sentinel));

/* A number as a value: LOG_NUMBER(n) lives until the end of the enclosing block. */
#define LOG_NUMBER(n) log_number((char[24]){0}, (n))
const char *log_number(char text[24], uint64_t n);

#endif
