/* SPDX-License-Identifier: Apache-2.0
 *
 * Listening sockets, see listen.h. */
#define _GNU_SOURCE
#include "listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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

bool listen_address_valid(const char *address)
{
    char host[LISTEN_ADDRESS_MAX];
    const char *port;
    return split(address, host, &port);
}

static int open_one(const struct addrinfo *info)
{
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, info->ai_protocol);
    if (fd < 0)
        return -1;
    const int on = 1, off = 0, send_buffer = SEND_BUFFER;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer); /* connections inherit it */
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, info->ai_flags & AI_PASSIVE ? &off : &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static void name_socket(int fd, char bound[LISTEN_ADDRESS_MAX])
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char host[LISTEN_ADDRESS_MAX - 16], port[8];
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0 ||
        getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(bound, LISTEN_ADDRESS_MAX, "unknown");
    else
        snprintf(bound, LISTEN_ADDRESS_MAX, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

int listen_open(const char *address, char bound[LISTEN_ADDRESS_MAX], char error[LISTEN_ERROR_MAX])
{
    char host[LISTEN_ADDRESS_MAX];
    const char *port;
    if (!split(address, host, &port)) {
        snprintf(error, LISTEN_ERROR_MAX, "'%.100s' is not HOST:PORT", address);
        return -1;
    }
    const struct addrinfo hints = {
        .ai_flags = AI_NUMERICSERV | (*host ? 0 : AI_PASSIVE), .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    const int failed = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (failed) {
        snprintf(error, LISTEN_ERROR_MAX, "'%.100s': %s", address, gai_strerror(failed));
        return -1;
    }
    int fd = -1;
    /* of the wildcard addresses, IPv6's takes IPv4 as well */
    for (int round = 0; fd < 0 && round < 2; round++)
        for (const struct addrinfo *info = found; fd < 0 && info; info = info->ai_next)
            if (*host ? round == 0 : (info->ai_family == AF_INET6) == (round == 0))
                fd = open_one(info);
    if (fd < 0)
        snprintf(error, LISTEN_ERROR_MAX, "'%.100s': %s", address, strerror(errno));
    else
        name_socket(fd, bound);
    freeaddrinfo(found);
    return fd;
}
