/* SPDX-License-Identifier: Apache-2.0
 *
 * Listening sockets. */
#ifndef EXPORTER_LISTEN_H
#define EXPORTER_LISTEN_H

#include <stdbool.h>

#define LISTEN_ADDRESS_MAX 160
#define LISTEN_ERROR_MAX   256

/* Is it HOST:PORT, [IPV6]:PORT or :PORT? Looks up nothing. */
bool listen_address_valid(const char *address);

/* A non-blocking socket that listens on HOST:PORT, [IPV6]:PORT or :PORT (every address of this machine); port 0 takes a
 * free one. `bound` gets the address that it got. -1: `error` says what is wrong. */
int listen_open(const char *address, char bound[LISTEN_ADDRESS_MAX], char error[LISTEN_ERROR_MAX]);

#endif
