/* SPDX-License-Identifier: Apache-2.0
 *
 * The server, see http.h. A request for metrics is suspended while the collector makes its body, so the threads of
 * libmicrohttpd never wait for anything, and a slow client costs a connection and nothing else. */
#include "http.h"
#include "catalogue.h"
#include "landing.h"
#include "log.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS           2u
#define CONNECTIONS       512u
#define IDLE_SECONDS      30u           /* without a byte */
#define CONNECTION_MEMORY (16u * 1024u) /* for request line and headers; more is refused */

struct http {
    struct MHD_Daemon *daemon;
    int listening; /* what quiescing gave back */
    const struct options *options;
    struct collector *collector;
    struct statistics *statistics;
};

struct request {          /* from its first header line to its completion */
    struct scrape scrape; /* first, so that a scrape is its request */
    struct MHD_Connection *connection;
    struct statistics *statistics;
    enum { REQUEST_NEW, REQUEST_WAITING, REQUEST_DONE } state;
};

/* ---- answers ------------------------------------------------------------------------------------------------------
 */

static enum MHD_Result reply(const struct http *http, struct MHD_Connection *connection, enum answer answer,
                             struct MHD_Response *response, const char *type)
{
    if (!response)
        return MHD_NO;
    if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type) != MHD_YES) {
        MHD_destroy_response(response);
        return MHD_NO;
    }
    atomic_fetch_add(&http->statistics->requests[answer], 1);
    enum MHD_Result result = MHD_queue_response(connection, answer_status(answer), response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result reply_text(const struct http *http, struct MHD_Connection *connection, enum answer answer,
                                  const char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
    if (response && answer == ANSWER_METHOD)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    return reply(http, connection, answer, response, "text/plain; charset=utf-8");
}

static enum MHD_Result reply_landing(const struct http *http, struct MHD_Connection *connection)
{
    struct buffer page = {0};
    const struct catalogue *catalogue = catalogue_get();
    landing_page(&page, http->options->telemetry_path, catalogue);
    catalogue_put(catalogue);
    if (page.failed) {
        buffer_free(&page);
        return reply_text(http, connection, ANSWER_UNAVAILABLE, "Out of memory.\n");
    }
    struct MHD_Response *response = MHD_create_response_from_buffer(page.size, page.data, MHD_RESPMEM_MUST_FREE);
    if (!response)
        buffer_free(&page);
    return reply(http, connection, ANSWER_OK, response, "text/html; charset=utf-8");
}

static enum MHD_Result reply_ready(const struct http *http, struct MHD_Connection *connection)
{
    const struct catalogue *catalogue = catalogue_get();
    const bool ready = catalogue != NULL;
    catalogue_put(catalogue);
    return ready ? reply_text(http, connection, ANSWER_OK, "Ready.\n")
                 : reply_text(http, connection, ANSWER_UNAVAILABLE, "Not ready.\n");
}

/* ---- metrics ------------------------------------------------------------------------------------------------------
 */

static const char *const content_types[FORMATS] = {[FORMAT_TEXT] = "text/plain; version=0.0.4; charset=utf-8"};

static void free_body(void *body)
{
    body_put(body);
}

static enum MHD_Result reply_metrics(const struct http *http, struct request *request)
{
    struct body *body = request->scrape.body;
    if (!body)
        return reply_text(http, request->connection, ANSWER_UNAVAILABLE, "Out of memory.\n");
    request->scrape.body = NULL; /* the response's now */
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback_cls(body->bytes.size, body->bytes.data, free_body, body);
    if (!response)
        body_put(body);
    return reply(http, request->connection, ANSWER_OK, response, content_types[request->scrape.format]);
}

static void scrape_done(struct scrape *scrape)
{
    MHD_resume_connection(((struct request *)scrape)->connection);
}

static enum MHD_Result begin_metrics(const struct http *http, struct request *request)
{
    request->state = REQUEST_WAITING;
    request->statistics = http->statistics;
    atomic_fetch_add(&http->statistics->in_flight, 1);
    request->scrape = (struct scrape){.format = FORMAT_TEXT, .done = scrape_done};
    MHD_suspend_connection(request->connection);
    if (!collector_submit(http->collector, &request->scrape))
        scrape_done(&request->scrape); /* the end has come: without a body */
    return MHD_YES;
}

/* ---- requests -----------------------------------------------------------------------------------------------------
 */

static enum MHD_Result route(const struct http *http, struct request *request, const char *path)
{
    if (strcmp(path, http->options->telemetry_path) == 0)
        return begin_metrics(http, request);
    if (strcmp(path, "/") == 0)
        return reply_landing(http, request->connection);
    if (strcmp(path, "/-/healthy") == 0)
        return reply_text(http, request->connection, ANSWER_OK, "Healthy.\n");
    if (strcmp(path, "/-/ready") == 0)
        return reply_ready(http, request->connection);
    return reply_text(http, request->connection, ANSWER_NOT_FOUND, "Not found.\n");
}

/* Called when the header has been read, then for every piece of a body, then at the end of the request, and once more
 * when it was resumed. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload, size_t *upload_size,
                                  void **state)
{
    (void)version, (void)upload;
    const struct http *http = context;
    struct request *request = *state;
    if (!request) {
        request = calloc(1, sizeof *request);
        if (!request)
            return MHD_NO;
        request->connection = connection;
        *state = request;
        if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
            return reply_text(http, connection, ANSWER_METHOD, "Only GET and HEAD.\n");
        return MHD_YES;
    }
    if (*upload_size) { /* nobody asked for it */
        *upload_size = 0;
        return MHD_YES;
    }
    if (request->state == REQUEST_WAITING) {
        request->state = REQUEST_DONE;
        return reply_metrics(http, request);
    }
    return route(http, request, path);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode how)
{
    (void)context, (void)connection, (void)how;
    struct request *request = *state;
    if (!request)
        return;
    if (request->statistics)
        atomic_fetch_sub(&request->statistics->in_flight, 1);
    body_put(request->scrape.body);
    free(request);
    *state = NULL;
}

static void on_message(void *context, const char *format, va_list arguments)
{
    (void)context;
    char text[256];
    vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = '\0';
    log_event(LOG_DEBUG, "http", "message", text, NULL);
}

/* ---- start and stop -----------------------------------------------------------------------------------------------
 */

struct http *http_start(int fd, const struct options *options, struct collector *collector,
                        struct statistics *statistics)
{
    struct http *http = calloc(1, sizeof *http);
    if (!http) {
        close(fd);
        return NULL;
    }
    *http = (struct http){.listening = -1, .options = options, .collector = collector, .statistics = statistics};
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, http,
        MHD_OPTION_EXTERNAL_LOGGER, on_message, NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE,
        THREADS, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
    if (!http->daemon) {
        close(fd);
        free(http);
        return NULL;
    }
    return http;
}

void http_quiesce(struct http *http)
{
    http->listening = MHD_quiesce_daemon(http->daemon);
}

void http_stop(struct http *http)
{
    MHD_stop_daemon(http->daemon);
    if (http->listening >= 0)
        close(http->listening);
    free(http);
}
