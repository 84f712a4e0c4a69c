/* SPDX-License-Identifier: Apache-2.0
 *
 * The server, see http.h. A request for metrics is suspended while the collector makes its body, so the threads of
 * libmicrohttpd never wait for anything, and a slow client costs a connection and nothing else. */
#include "http.h"
#include "catalogue.h"
#include "landing.h"
#include "log.h"
#include "negotiate.h"
#include "reaper.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <unistd.h>

#define THREADS           2u            /* for each listening socket */
#define IDLE_SECONDS      30u           /* without a byte */
#define CONNECTION_MEMORY (16u * 1024u) /* for request line and headers; more is refused */
#define DESCRIPTORS_KEPT  256u          /* for what is not a connection: segments, and the like */

struct server { /* one for each listening socket */
    struct MHD_Daemon *daemon;
    int listening; /* what quiescing gave back; -1: nothing */
};

struct http {
    struct server servers[LISTENERS_MAX];
    size_t n_servers;
    struct reaper *reaper;
    const struct options *options;
    struct collector *collector;
    struct statistics *statistics;
};

struct request {          /* from its first header line to its completion */
    struct scrape scrape; /* first, so that a scrape is its request */
    struct MHD_Connection *connection;
    struct content content;
    bool counted; /* in statistics.in_flight */
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

static void free_body(void *body)
{
    body_put(body);
}

static enum MHD_Result reply_busy(const struct http *http, struct MHD_Connection *connection, const char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
    if (response)
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    return reply(http, connection, ANSWER_UNAVAILABLE, response, "text/plain; charset=utf-8");
}

static enum MHD_Result reply_metrics(const struct http *http, struct request *request)
{
    struct body *body = request->scrape.body;
    if (!body)
        return reply_busy(http, request->connection, "The metrics could not be had in time.\n");
    request->scrape.body = NULL; /* the response's now */
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback_cls(body->bytes.size, body->bytes.data, free_body, body);
    if (!response) {
        body_put(body);
        return MHD_NO;
    }
    char type[CONTENT_TYPE_MAX];
    content_type(request->content, type);
    if (request->scrape.coding != CODING_IDENTITY)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, coding_names[request->scrape.coding]);
    MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, "Accept, Accept-Encoding");
    return reply(http, request->connection, ANSWER_OK, response, type);
}

struct joining { /* the values of all header fields of one name, joined by commas */
    const char *name;
    struct buffer joined;
};

static enum MHD_Result join_header(void *context, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct joining *joining = context;
    (void)kind;
    if (value && strcasecmp(key, joining->name) == 0) {
        buffer_append_string(&joining->joined, joining->joined.size ? "," : "");
        buffer_append_string(&joining->joined, value);
    }
    return MHD_YES;
}

static void negotiate(struct request *request)
{
    struct joining accept = {.name = MHD_HTTP_HEADER_ACCEPT}, coding = {.name = MHD_HTTP_HEADER_ACCEPT_ENCODING};
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, join_header, &accept);
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, join_header, &coding);
    request->content = negotiate_content(accept.joined.size ? buffer_string(&accept.joined) : NULL);
    request->scrape.format = content_format(request->content);
    request->scrape.coding = negotiate_coding(coding.joined.size ? buffer_string(&coding.joined) : NULL);
    buffer_free(&accept.joined);
    buffer_free(&coding.joined);
}

struct arguments {
    struct selection *selection;
    bool too_many;
};

static enum MHD_Result take_argument(void *context, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct arguments *arguments = context;
    (void)kind;
    if (value && strcmp(key, "name[]") == 0)
        arguments->too_many |= !selection_add_name(arguments->selection, value);
    else if (value && strcmp(key, "segment") == 0)
        arguments->too_many |= !selection_add_segment(arguments->selection, value);
    return MHD_YES;
}

/* Prometheus says how long it is going to wait. */
static void take_deadline(struct request *request)
{
    const char *text =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "X-Prometheus-Scrape-Timeout-Seconds");
    char *end;
    const double seconds = text ? strtod(text, &end) : 0;
    if (!text || *end || !(seconds > 0 && seconds < 86400))
        return;
    struct timespec *deadline = &request->scrape.deadline;
    clock_gettime(CLOCK_MONOTONIC, deadline);
    deadline->tv_sec += (time_t)seconds;
    deadline->tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
    if (deadline->tv_nsec >= 1000000000) {
        deadline->tv_sec++;
        deadline->tv_nsec -= 1000000000;
    }
}

static void scrape_done(struct scrape *scrape)
{
    MHD_resume_connection(((struct request *)scrape)->connection);
}

static enum MHD_Result begin_metrics(struct http *http, struct request *request)
{
    struct arguments arguments = {.selection = &request->scrape.selection};
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, take_argument, &arguments);
    if (arguments.too_many)
        return reply_text(http, request->connection, ANSWER_BAD_REQUEST, "Too many names or segments.\n");
    const uint64_t in_flight = atomic_fetch_add(&http->statistics->in_flight, 1);
    request->counted = true;
    if (http->options->max_requests && in_flight >= http->options->max_requests)
        return reply_busy(http, request->connection, "Too many requests at a time.\n");
    negotiate(request);
    take_deadline(request);
    request->state = REQUEST_WAITING;
    request->scrape.done = scrape_done;
    MHD_suspend_connection(request->connection);
    if (!collector_submit(http->collector, &request->scrape))
        scrape_done(&request->scrape); /* the end has come: without a body */
    return MHD_YES;
}

/* ---- requests -----------------------------------------------------------------------------------------------------
 */

static enum MHD_Result route(struct http *http, struct request *request, const char *path)
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

static struct watched *watched_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    const struct http *http = context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *socket_context = info ? reaper_watch(http->reaper, info->connect_fd) : NULL;
    } else {
        reaper_forget(http->reaper, *socket_context);
    }
}

/* Called when the header has been read, then for every piece of a body, then at the end of the request, and once more
 * when it was resumed. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload, size_t *upload_size,
                                  void **state)
{
    (void)version, (void)upload;
    struct http *http = context;
    struct request *request = *state;
    if (!request) {
        reaper_progress(watched_of(connection));
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
    const struct http *http = context;
    (void)how;
    struct request *request = *state;
    reaper_progress(watched_of(connection));
    if (!request)
        return;
    if (request->counted)
        atomic_fetch_sub(&http->statistics->in_flight, 1);
    body_put(request->scrape.body);
    selection_clear(&request->scrape.selection);
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

/* As many as there are descriptors for, shared among the servers. */
static unsigned connections_each(const struct options *options, size_t n_servers)
{
    struct rlimit limit;
    size_t connections = options->max_connections;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < connections + DESCRIPTORS_KEPT)
        connections = limit.rlim_cur > 2 * DESCRIPTORS_KEPT ? limit.rlim_cur - DESCRIPTORS_KEPT : limit.rlim_cur / 2;
    connections /= n_servers;
    return connections > THREADS ? (unsigned)connections : THREADS;
}

static struct MHD_Daemon *start_server(struct http *http, const struct listener *listener, unsigned connections)
{
    const unsigned per_address = listener->local ? 0 : (unsigned)http->options->max_connections_per_ip;
    return MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
                            on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_message, NULL, MHD_OPTION_LISTEN_SOCKET,
                            listener->fd, MHD_OPTION_THREAD_POOL_SIZE, THREADS, MHD_OPTION_CONNECTION_LIMIT,
                            connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT, per_address, MHD_OPTION_CONNECTION_TIMEOUT,
                            IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
                            MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_END);
}

struct http *http_start(const struct listener *listeners, size_t n, const struct options *options,
                        struct collector *collector, struct statistics *statistics)
{
    struct http *http = calloc(1, sizeof *http);
    if (!http)
        return NULL;
    *http = (struct http){.options = options, .collector = collector, .statistics = statistics};
    http->reaper = reaper_start(options->request_seconds);
    const unsigned connections = connections_each(options, n);
    for (; http->reaper && http->n_servers < n; http->n_servers++) {
        struct server *server = &http->servers[http->n_servers];
        *server = (struct server){start_server(http, &listeners[http->n_servers], connections), -1};
        if (!server->daemon)
            break;
    }
    if (!http->reaper || http->n_servers < n) {
        http_stop(http);
        return NULL;
    }
    return http;
}

void http_quiesce(struct http *http)
{
    for (size_t i = 0; i < http->n_servers; i++)
        http->servers[i].listening = MHD_quiesce_daemon(http->servers[i].daemon);
}

void http_stop(struct http *http)
{
    for (size_t i = 0; i < http->n_servers; i++) {
        MHD_stop_daemon(http->servers[i].daemon);
        if (http->servers[i].listening >= 0)
            close(http->servers[i].listening);
    }
    if (http->reaper)
        reaper_stop(http->reaper);
    free(http);
}
