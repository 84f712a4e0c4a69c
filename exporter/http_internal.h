/* SPDX-License-Identifier: Apache-2.0
 *
 * What http.c (server and connections) and http_request.c (requests) share. Only these two know libmicrohttpd. */
#ifndef EXPORTER_HTTP_INTERNAL_H
#define EXPORTER_HTTP_INTERNAL_H

#include "auth.h"
#include "http.h"
#include "page.h"
#include "reaper.h"

#include <microhttpd.h>

struct server { /* one for each listening socket */
    struct MHD_Daemon *daemon;
    int listening; /* what quiescing gave back; -1: nothing */
};

struct http {
    struct server servers[LISTENERS_MAX];
    size_t n_servers;
    struct reaper *reaper;
    struct auth *auth;
    struct page page;
    const struct web *web;
    const struct options *options;
    struct collector *collector;
    struct statistics *statistics;
};

/* Something was finished on the connection. */
void http_progress(struct MHD_Connection *connection);

/* A response that counts is being sent; it has been: false if its slot was given away. See reaper.h. */
void http_sending(const struct http *http, struct MHD_Connection *connection);
bool http_sent(const struct http *http, struct MHD_Connection *connection);

/* The callbacks of libmicrohttpd for requests; `context` is the struct http. */
enum MHD_Result http_on_request(void *context, struct MHD_Connection *connection, const char *path, const char *method,
                                const char *version, const char *upload, size_t *upload_size, void **state);
void http_on_completed(void *context, struct MHD_Connection *connection, void **state,
                       enum MHD_RequestTerminationCode how);

#endif
