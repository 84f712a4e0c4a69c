/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls that survive SIGBUS: reading a mapped file that somebody truncates. */
#ifndef EXPORTER_GUARD_H
#define EXPORTER_GUARD_H

#include <stdbool.h>

/* Installs the handler. A SIGBUS outside of guard_call ends the process as ever. */
bool guard_install(void);

#define GUARD_FAULT 1 /* no error code of libshm is positive */

/* Returns what `call` returns, or GUARD_FAULT if a SIGBUS of this thread ended it half-way. */
int guard_call(int (*call)(void *context), void *context);

#endif
