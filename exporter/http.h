/* SPDX-License-Identifier: Apache-2.0
 *
 * The server. libmicrohttpd is known to its two files and to nothing else. */
#ifndef EXPORTER_HTTP_H
#define EXPORTER_HTTP_H

#include "collector.h"
#include "listen.h"
#include "web.h"

struct http;
/* Serves on the listening sockets, whose descriptors it takes over. The others must outlive it. NULL: it could not be
 * started. */
struct http *http_start(const struct listener *listeners, size_t n, const struct options *options,
                        const struct web *web, struct collector *collector, struct statistics *statistics);
/* No new connection from now on; scrapes that are under way are still answered. */
void http_quiesce(struct http *http);
/* After the collector was stopped: ends all connections. */
void http_stop(struct http *http);

#endif
