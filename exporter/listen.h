/* SPDX-License-Identifier: Apache-2.0
 *
 * Listening sockets: our own, and those that systemd hands over. */
#ifndef EXPORTER_LISTEN_H
#define EXPORTER_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

#define LISTEN_ADDRESS_MAX 160
#define LISTEN_ERROR_MAX   256

struct listener {
    int fd;                           /* non-blocking */
    char address[LISTEN_ADDRESS_MAX]; /* where it listens: host:port, [ipv6]:port, unix:path */
    bool local;                       /* a UNIX-domain socket */
    bool ours;                        /* its file is to be removed at the end */
};

/* Is it HOST:PORT, [IPV6]:PORT, :PORT or unix:PATH? Looks up nothing. */
bool listen_address_valid(const char *address);

/* Listens on HOST:PORT, [IPV6]:PORT, :PORT (every address of this machine) or unix:PATH; port 0 takes a free one. A
 * socket file that nobody listens on any more is replaced. False: `error` says what is wrong. */
bool listen_open(const char *address, struct listener *listener, char error[LISTEN_ERROR_MAX]);
/* The sockets that systemd handed over (sd_listen_fds(3)), at most `max`. How many; 0: `error` says why. */
size_t listen_systemd(struct listener *listeners, size_t max, char error[LISTEN_ERROR_MAX]);
/* Removes the file of a UNIX-domain socket. The descriptor is somebody else's. */
void listen_remove(const struct listener *listener);

#endif
