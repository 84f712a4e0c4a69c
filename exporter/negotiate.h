/* SPDX-License-Identifier: Apache-2.0
 *
 * Content negotiation (RFC 9110, 12.5): which format and which coding a request asks for. Pure. */
#ifndef EXPORTER_NEGOTIATE_H
#define EXPORTER_NEGOTIATE_H

#include "format.h"

/* What a response to `accept` (the values of all such header fields, joined by commas; NULL: none) is to be. Among what
 * the client likes best the range that stands first decides; within a range, text 0.0.4 before 1.0.0 before
 * OpenMetrics. Text 0.0.4 also if nothing fits, or if `accept` cannot be parsed. */
struct content negotiate_content(const char *accept);

/* The same for Accept-Encoding: of what the client likes best, zstd before gzip before identity. Identity if nothing
 * fits. "*" does not stand for zstd, which many a client that says so could not read. */
enum coding negotiate_coding(const char *accept_encoding);

#endif
