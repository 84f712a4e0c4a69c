/* SPDX-License-Identifier: Apache-2.0
 *
 * Listening sockets, see listen.h. */
#define _GNU_SOURCE
#include "listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define BACKLOG     511
#define SEND_BUFFER (512 * 1024) /* bodies are megabytes: fewer turns between kernel, client and us */

/* Splits HOST:PORT at the last colon; brackets around an IPv6 address come off. */
static bool split(const char *address, char host[LISTEN_ADDRESS_MAX], const char **port)
{
    const char *colon = strrchr(address, ':');
    if (!colon || (size_t)(colon - address) >= LISTEN_ADDRESS_MAX)
        return false;
    size_t length = (size_t)(colon - address);
    const bool bracketed = length >= 2 && address[0] == '[' && colon[-1] == ']';
    if (bracketed) {
        address++;
        length -= 2;
    }
    memcpy(host, address, length);
    host[length] = '\0';
    *port = colon + 1;
    const size_t digits = strspn(*port, "0123456789");
    return digits >= 1 && digits <= 5 && !(*port)[digits] && atoi(*port) <= 65535 && (bracketed || !strchr(host, ':'));
}

static const char *unix_path(const char *address)
{
    return strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
}

bool listen_address_valid(const char *address)
{
    char host[LISTEN_ADDRESS_MAX];
    const char *port, *path = unix_path(address);
    if (path)
        return *path == '/' && strlen(path) < sizeof((struct sockaddr_un *)0)->sun_path;
    return split(address, host, &port);
}

static int failed(int fd)
{
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static void enlarge_buffer(int fd) /* connections inherit it */
{
    const int size = SEND_BUFFER;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

/* ---- UNIX domain ----------------------------------------------------------------------------------------------- */

/* Is `address` a socket that nobody listens on, left by somebody who was killed? */
static bool abandoned(const struct sockaddr_un *address)
{
    struct stat status;
    if (lstat(address->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    const bool refused = connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static int open_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    enlarge_buffer(fd);
    if (abandoned(&address))
        unlink(path);
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    return failed(fd);
}

void listen_remove(const struct listener *listener)
{
    if (listener->local && listener->ours)
        unlink(unix_path(listener->address));
}

/* ---- TCP ------------------------------------------------------------------------------------------------------- */

static int open_one(const struct addrinfo *info)
{
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, info->ai_protocol);
    if (fd < 0)
        return -1;
    const int on = 1, off = 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    enlarge_buffer(fd);
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, info->ai_flags & AI_PASSIVE ? &off : &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    return failed(fd);
}

static int open_tcp(const char *address, char error[LISTEN_ERROR_MAX])
{
    char host[LISTEN_ADDRESS_MAX];
    const char *port;
    split(address, host, &port);
    const int flags = AI_NUMERICSERV | (*host ? 0 : AI_PASSIVE);
    const struct addrinfo hints = {.ai_flags = flags, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    const int unknown = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (unknown) {
        snprintf(error, LISTEN_ERROR_MAX, "%.100s: %s", address, gai_strerror(unknown));
        return -1;
    }
    int fd = -1;
    /* of the wildcard addresses, IPv6's takes IPv4 as well */
    for (int round = 0; fd < 0 && round < 2; round++)
        for (struct addrinfo *info = found; fd < 0 && info; info = info->ai_next) {
            info->ai_flags = flags;
            if (*host ? round == 0 : (info->ai_family == AF_INET6) == (round == 0))
                fd = open_one(info);
        }
    if (fd < 0)
        snprintf(error, LISTEN_ERROR_MAX, "%.100s: %s", address, strerror(errno));
    freeaddrinfo(found);
    return fd;
}

/* ---- either ---------------------------------------------------------------------------------------------------- */

/* Asks the socket where it is. */
static void describe(struct listener *listener)
{
    union {
        struct sockaddr any;
        struct sockaddr_un local;
        struct sockaddr_storage storage;
    } address = {0};
    socklen_t size = sizeof address;
    char host[LISTEN_ADDRESS_MAX - 16], port[8];
    snprintf(listener->address, sizeof listener->address, "unknown");
    if (getsockname(listener->fd, &address.any, &size) != 0)
        return;
    listener->local = address.any.sa_family == AF_UNIX;
    if (listener->local)
        snprintf(listener->address, sizeof listener->address, "unix:%s", address.local.sun_path);
    else if (getnameinfo(&address.any, size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) ==
             0)
        snprintf(listener->address, sizeof listener->address, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

bool listen_open(const char *address, struct listener *listener, char error[LISTEN_ERROR_MAX])
{
    const char *path = unix_path(address);
    if (!listen_address_valid(address)) {
        snprintf(error, LISTEN_ERROR_MAX, "'%.100s' is no address", address);
        return false;
    }
    *listener = (struct listener){.fd = path ? open_unix(path) : open_tcp(address, error), .ours = true};
    if (listener->fd < 0) {
        if (path)
            snprintf(error, LISTEN_ERROR_MAX, "%.120s: %s", address, strerror(errno));
        return false;
    }
    describe(listener);
    return true;
}

size_t listen_systemd(struct listener *listeners, size_t max, char error[LISTEN_ERROR_MAX])
{
    const int n = sd_listen_fds(1);
    size_t taken = 0;
    for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n && taken < max; fd++) {
        if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
            continue;
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        listeners[taken] = (struct listener){.fd = fd};
        describe(&listeners[taken++]);
    }
    if (!taken)
        snprintf(error, LISTEN_ERROR_MAX, "systemd handed over no listening socket: %s",
                 n < 0 ? strerror(-n) : "is there a .socket unit?");
    return taken;
}
