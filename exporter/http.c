/* SPDX-License-Identifier: Apache-2.0
 *
 * The server and its connections, see http.h. */
#include "http_internal.h"
#include "log.h"
#include "tls.h"

#include <gnutls/abstract.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS           2u            /* for each listening socket */
#define IDLE_SECONDS      30u           /* without a byte */
#define CONNECTION_MEMORY (16u * 1024u) /* for request line and headers; more is refused */
#define DESCRIPTORS_KEPT  256u          /* for what is not a connection: segments, and the like */

struct connection {
    struct watched *watched;
    struct web_state *web; /* whose TLS it has */
};

/* ---- connections --------------------------------------------------------------------------------------------------
 */

static struct connection *connection_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static bool begin_connection(const struct http *http, struct MHD_Connection *mhd, struct connection *connection, int fd)
{
    connection->watched = reaper_watch(http->reaper, fd);
    connection->web = web_current(http->web);
    if (!connection->watched || !connection->web)
        return false;
    if (!connection->web->tls)
        return true;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    return info && tls_set_up(connection->web->tls, info->tls_session);
}

static void on_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    const struct http *http = context;
    struct connection *connection = *socket_context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        connection = *socket_context = calloc(1, sizeof *connection);
        if (info && (!connection || !begin_connection(http, mhd, connection, info->connect_fd)))
            shutdown(info->connect_fd, SHUT_RDWR);
    } else if (connection) {
        reaper_forget(http->reaper, connection->watched);
        if (connection->web)
            shared_put(&connection->web->shared);
        free(connection);
    }
}

void http_progress(struct MHD_Connection *mhd)
{
    struct connection *connection = connection_of(mhd);
    if (connection)
        reaper_progress(connection->watched);
}

void http_sending(const struct http *http, struct MHD_Connection *mhd)
{
    struct connection *connection = connection_of(mhd);
    if (connection)
        reaper_sending(http->reaper, connection->watched);
}

bool http_sent(const struct http *http, struct MHD_Connection *mhd)
{
    struct connection *connection = connection_of(mhd);
    return !connection || reaper_sent(http->reaper, connection->watched);
}

static void on_message(void *context, const char *format, va_list arguments)
{
    (void)context;
    char text[256];
    vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = '\0';
    log_event(LOG_DEBUG, "http", "message", text, NULL);
}

/* ---- start and stop -------------------------------------------------------------------------------------------- */

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

/* The certificate is set for each session, see tls.h; libmicrohttpd just wants to be told of one. */
static int no_certificate(gnutls_session_t session, const gnutls_datum_t *issuers, int n_issuers,
                          const gnutls_pk_algorithm_t *algorithms, int n_algorithms, gnutls_pcert_st **certificate,
                          unsigned *n, gnutls_privkey_t *key)
{
    (void)session, (void)issuers, (void)n_issuers, (void)algorithms, (void)n_algorithms, (void)key;
    *certificate = NULL;
    *n = 0;
    return -1;
}

static struct MHD_Daemon *start_server(struct http *http, const struct listener *listener, unsigned connections,
                                       bool tls)
{
    struct MHD_OptionItem tls_options[] = {{MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)(intptr_t)no_certificate},
                                           {MHD_OPTION_END, 0, NULL}};
    const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    const unsigned per_address = listener->local ? 0 : (unsigned)http->options->max_connections_per_ip;
    return MHD_start_daemon(
        flags | (tls ? MHD_USE_TLS : 0), 0, NULL, NULL, http_on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_message,
        NULL, MHD_OPTION_LISTEN_SOCKET, listener->fd, MHD_OPTION_THREAD_POOL_SIZE, THREADS, MHD_OPTION_CONNECTION_LIMIT,
        connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT, per_address, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_NOTIFY_COMPLETED, http_on_completed, http,
        MHD_OPTION_ARRAY, tls ? tls_options : tls_options + 1, MHD_OPTION_END);
}

struct http *http_start(const struct listener *listeners, size_t n, const struct options *options,
                        const struct web *web, struct collector *collector, struct statistics *statistics)
{
    struct http *http = calloc(1, sizeof *http);
    struct web_state *state = web_current(web);
    const bool tls = state->tls != NULL;
    shared_put(&state->shared);
    if (!http)
        return NULL;
    *http = (struct http){.web = web, .options = options, .collector = collector, .statistics = statistics};
    http->auth = page_make(&http->page, options->telemetry_path) ? auth_start() : NULL;
    http->reaper = reaper_start(options->request_seconds);
    const unsigned connections = connections_each(options, n);
    for (; http->auth && http->reaper && http->n_servers < n; http->n_servers++) {
        struct server *server = &http->servers[http->n_servers];
        *server = (struct server){start_server(http, &listeners[http->n_servers], connections, tls), -1};
        if (!server->daemon)
            break;
    }
    if (!http->auth || !http->reaper || http->n_servers < n) {
        http_quiesce(http);
        http_stop(http);
        return NULL;
    }
    return http;
}

void http_quiesce(struct http *http)
{
    for (size_t i = 0; i < http->n_servers; i++)
        http->servers[i].listening = MHD_quiesce_daemon(http->servers[i].daemon);
    if (http->auth)
        auth_stop(http->auth);
}

void http_stop(struct http *http)
{
    for (size_t i = 0; i < http->n_servers; i++) {
        MHD_stop_daemon(http->servers[i].daemon);
        if (http->servers[i].listening >= 0)
            close(http->servers[i].listening);
    }
    if (http->auth)
        auth_free(http->auth);
    if (http->reaper)
        reaper_stop(http->reaper);
    page_free(&http->page);
    free(http);
}
