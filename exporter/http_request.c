/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests: who may ask, what for, and the answers. A request for metrics is suspended while the collector makes its
 * body, and one with an unknown password while that is checked, so the threads of libmicrohttpd never wait for
 * anything, and a slow client costs a connection and nothing else. */
#include "catalogue.h"
#include "http_internal.h"
#include "negotiate.h"
#include "sd.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct request {          /* from its first header line to its completion */
    struct scrape scrape; /* first, so that a scrape is its request */
    struct auth_check check;
    struct MHD_Connection *connection;
    struct web_state *web; /* in force when it began */
    struct content content;
    char *user, *password;
    bool counted; /* in statistics.in_flight */
    enum { REQUEST_NEW, REQUEST_CHECKED, REQUEST_WAITING, REQUEST_DONE } state;
};

/* ---- answers --------------------------------------------------------------------------------------------------- */

static enum MHD_Result reply(const struct http *http, struct request *request, enum answer answer,
                             struct MHD_Response *response, const char *type)
{
    if (!response)
        return MHD_NO;
    for (size_t i = 0; i < WEB_HEADERS; i++)
        if (request->web->config->headers[i])
            MHD_add_response_header(response, web_header_names[i], request->web->config->headers[i]);
    if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type) != MHD_YES) {
        MHD_destroy_response(response);
        return MHD_NO;
    }
    atomic_fetch_add(&http->statistics->requests[answer], 1);
    enum MHD_Result result = MHD_queue_response(request->connection, answer_status(answer), response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result reply_text(const struct http *http, struct request *request, enum answer answer,
                                  const char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
    if (response && answer == ANSWER_METHOD)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    return reply(http, request, answer, response, "text/plain; charset=utf-8");
}

static enum MHD_Result reply_ready(const struct http *http, struct request *request)
{
    struct catalogue *catalogue = catalogue_get();
    const bool ready = catalogue != NULL;
    catalogue_put(catalogue);
    return ready ? reply_text(http, request, ANSWER_OK, "Ready.\n")
                 : reply_text(http, request, ANSWER_UNAVAILABLE, "Not ready.\n");
}

/* ---- metrics --------------------------------------------------------------------------------------------------- */

static void free_body(void *body)
{
    body_put(body);
}

static enum MHD_Result reply_busy(const struct http *http, struct request *request, const char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
    if (response)
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    return reply(http, request, ANSWER_UNAVAILABLE, response, "text/plain; charset=utf-8");
}

/* What the web configuration says of the same header goes before. */
static void add_header(const struct request *request, struct MHD_Response *response, const char *name,
                       const char *value)
{
    for (size_t i = 0; i < WEB_HEADERS; i++)
        if (request->web->config->headers[i] && strcasecmp(web_header_names[i], name) == 0)
            return;
    MHD_add_response_header(response, name, value);
}

/* Of the page and of what it reads. */
static void add_page_headers(const struct request *request, struct MHD_Response *response, const char *policy,
                             const char *caching)
{
    add_header(request, response, "Content-Security-Policy", policy);
    add_header(request, response, "X-Content-Type-Options", "nosniff");
    add_header(request, response, "X-Frame-Options", "DENY");
    add_header(request, response, "Referrer-Policy", "no-referrer");
    add_header(request, response, "Cross-Origin-Resource-Policy", "same-origin");
    add_header(request, response, "Cross-Origin-Opener-Policy", "same-origin");
    add_header(request, response, MHD_HTTP_HEADER_CACHE_CONTROL, caching);
}

static enum MHD_Result reply_metrics(const struct http *http, struct request *request)
{
    struct body *body = request->scrape.body;
    http_progress(request->connection); /* until now it was us who took the time */
    if (!body)
        return reply_busy(http, request, "The metrics could not be had in time.\n");
    request->scrape.body = NULL; /* the response's now */
    http_sending(http, request->connection);
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback_cls(body->bytes.size, body->bytes.data, free_body, body);
    if (!response) {
        body_put(body);
        return MHD_NO;
    }
    char type[CONTENT_TYPE_MAX] = "application/json";
    if (request->scrape.format >= FORMAT_JSON_STATUS)
        add_page_headers(request, response, "default-src 'none'; frame-ancestors 'none'", "no-store");
    else
        content_type(request->content, type);
    if (request->scrape.coding != CODING_IDENTITY)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, coding_names[request->scrape.coding]);
    MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, "Accept, Accept-Encoding");
    return reply(http, request, ANSWER_OK, response, type);
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

/* `format`: FORMATS if the client says which. */
static enum MHD_Result begin_metrics(struct http *http, struct request *request, enum format format)
{
    struct arguments arguments = {.selection = &request->scrape.selection};
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, take_argument, &arguments);
    if (arguments.too_many)
        return reply_text(http, request, ANSWER_BAD_REQUEST, "Too many names or segments.\n");
    const uint64_t in_flight = atomic_fetch_add(&http->statistics->in_flight, 1);
    if (http->options->max_requests && in_flight >= http->options->max_requests) {
        const bool room = reaper_end_stalled(http->reaper);
        atomic_fetch_sub(&http->statistics->in_flight, 1); /* with room, the ended request's count is this one's */
        if (!room)
            return reply_busy(http, request, "Too many requests at a time.\n");
    }
    request->counted = true;
    negotiate(request);
    if (format != FORMATS)
        request->scrape.format = format;
    take_deadline(request);
    request->state = REQUEST_WAITING;
    request->scrape.done = scrape_done;
    MHD_suspend_connection(request->connection);
    if (!collector_submit(http->collector, &request->scrape))
        scrape_done(&request->scrape); /* the end has come: without a body */
    return MHD_YES;
}

/* ---- the page -------------------------------------------------------------------------------------------------- */

static enum MHD_Result reply_page(const struct http *http, struct request *request)
{
    const char *known =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_NONE_MATCH);
    const bool unchanged = known && strstr(known, http->page.etag);
    negotiate(request);
    const enum coding coding = request->scrape.coding;
    const struct buffer *body = &http->page.bodies[coding];
    struct MHD_Response *response =
        MHD_create_response_from_buffer(unchanged ? 0 : body->size, body->data, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    add_page_headers(request, response, page_security_policy, "no-cache");
    MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, http->page.etag);
    MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, "Accept-Encoding");
    if (coding != CODING_IDENTITY && !unchanged)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, coding_names[coding]);
    return reply(http, request, unchanged ? ANSWER_NOT_MODIFIED : ANSWER_OK, response, "text/html; charset=utf-8");
}

/* ---- service discovery ----------------------------------------------------------------------------------------- */

static enum MHD_Result reply_targets(const struct http *http, struct request *request)
{
    const char *host = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    if (!host || !sd_host_valid(host))
        return reply_text(http, request, ANSWER_BAD_REQUEST, "The header field Host must name this server.\n");
    struct buffer targets = {0};
    struct catalogue *catalogue = catalogue_get();
    sd_targets(&targets, host, http->options->telemetry_path, request->web->tls ? "https" : "http", catalogue);
    catalogue_put(catalogue);
    struct MHD_Response *response =
        targets.failed ? NULL : MHD_create_response_from_buffer(targets.size, targets.data, MHD_RESPMEM_MUST_FREE);
    if (!response)
        buffer_free(&targets);
    return reply(http, request, ANSWER_OK, response, "application/json");
}

/* ---- requests -------------------------------------------------------------------------------------------------- */

static enum MHD_Result route(struct http *http, struct request *request, const char *path)
{
    if (strcmp(path, http->options->telemetry_path) == 0)
        return begin_metrics(http, request, FORMATS);
    if (strcmp(path, "/") == 0)
        return reply_page(http, request);
    if (strcmp(path, "/api/v1/status") == 0)
        return begin_metrics(http, request, FORMAT_JSON_STATUS);
    if (strcmp(path, "/api/v1/families") == 0)
        return begin_metrics(http, request, FORMAT_JSON_FAMILIES);
    if (strcmp(path, "/api/v1/series") == 0)
        return begin_metrics(http, request, FORMAT_JSON_SERIES);
    if (strcmp(path, "/sd") == 0)
        return reply_targets(http, request);
    if (strcmp(path, "/-/healthy") == 0)
        return reply_text(http, request, ANSWER_OK, "Healthy.\n");
    if (strcmp(path, "/-/ready") == 0)
        return reply_ready(http, request);
    return reply_text(http, request, ANSWER_NOT_FOUND, "Not found.\n");
}

/* ---- who may ask ----------------------------------------------------------------------------------------------- */

static enum MHD_Result reply_unauthorized(const struct http *http, struct request *request)
{
    static const char text[] = "Unauthorized\n";
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof text - 1, (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
    if (response)
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Basic");
    return reply(http, request, ANSWER_UNAUTHORIZED, response, "text/plain; charset=utf-8");
}

static bool has_users(const struct request *request)
{
    return request->web->config->n_users != 0;
}

static bool is_read(const char *method)
{
    return strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
}

static enum MHD_Result dispatch(struct http *http, struct request *request, const char *path, const char *method)
{
    if (!is_read(method))
        return reply_text(http, request, ANSWER_METHOD, "Only GET and HEAD.\n");
    return route(http, request, path);
}

static void check_done(struct auth_check *check)
{
    struct request *request = (struct request *)(void *)((char *)check - offsetof(struct request, check));
    MHD_resume_connection(request->connection);
}

static enum MHD_Result act(struct http *http, struct request *request, const char *path, const char *method)
{
    switch (request->check.outcome) {
    case AUTH_GRANTED:
        return dispatch(http, request, path, method);
    case AUTH_BUSY:
        return reply_busy(http, request, "Too many passwords to be checked.\n");
    default:
        return reply_unauthorized(http, request);
    }
}

/* Suspends the request before it asks: the answer may come before it is asked for. */
static enum MHD_Result authenticate(struct http *http, struct request *request)
{
    request->check = (struct auth_check){
        .user = request->user, .password = request->password, .config = request->web->config, .done = check_done};
    request->state = REQUEST_CHECKED;
    MHD_suspend_connection(request->connection);
    const enum auth_outcome outcome = auth_check(http->auth, &request->check);
    if (outcome != AUTH_LATER) {
        request->check.outcome = outcome;
        check_done(&request->check);
    }
    return MHD_YES;
}

/* ---- what libmicrohttpd calls ---------------------------------------------------------------------------------- */

static enum MHD_Result begin_request(struct http *http, struct MHD_Connection *connection, const char *method,
                                     void **state)
{
    http_progress(connection);
    struct request *request = calloc(1, sizeof *request);
    if (!request)
        return MHD_NO;
    *state = request;
    request->connection = connection;
    request->web = web_current(http->web);
    if (!request->web)
        return MHD_NO;
    if (has_users(request)) {
        request->user = MHD_basic_auth_get_username_password(connection, &request->password);
        if (!request->user || !request->password)
            return reply_unauthorized(http, request);
    } else if (!is_read(method)) {
        return dispatch(http, request, "", method); /* without waiting for what it sends */
    }
    return MHD_YES;
}

/* Called when the header has been read, then for every piece of a body, then at the end of the request, and once more
 * each time that it was resumed. */
enum MHD_Result http_on_request(void *context, struct MHD_Connection *connection, const char *path, const char *method,
                                const char *version, const char *upload, size_t *upload_size, void **state)
{
    (void)version, (void)upload;
    struct http *http = context;
    struct request *request = *state;
    if (!request)
        return begin_request(http, connection, method, state);
    if (*upload_size) { /* nobody asked for it */
        *upload_size = 0;
        return MHD_YES;
    }
    switch (request->state) {
    case REQUEST_NEW:
        return has_users(request) ? authenticate(http, request) : dispatch(http, request, path, method);
    case REQUEST_CHECKED:
        return act(http, request, path, method);
    default:
        request->state = REQUEST_DONE;
        return reply_metrics(http, request);
    }
}

void http_on_completed(void *context, struct MHD_Connection *connection, void **state,
                       enum MHD_RequestTerminationCode how)
{
    const struct http *http = context;
    (void)how;
    struct request *request = *state;
    http_progress(connection);
    if (!request)
        return;
    if (request->counted && http_sent(http, connection))
        atomic_fetch_sub(&http->statistics->in_flight, 1);
    body_put(request->scrape.body);
    selection_clear(&request->scrape.selection);
    if (request->web)
        shared_put(&request->web->shared);
    if (request->password)
        explicit_bzero(request->password, strlen(request->password));
    MHD_free(request->user);
    MHD_free(request->password);
    free(request);
    *state = NULL;
}
