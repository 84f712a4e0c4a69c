/* SPDX-License-Identifier: Apache-2.0
 *
 * Ends connections on which nothing gets finished: a client that sends a byte a second, or reads one, is never idle.
 * From its beginning, or from the end of the last response, a connection has so long for a whole request; and a
 * response has so long to be taken. */
#ifndef EXPORTER_REAPER_H
#define EXPORTER_REAPER_H

#include <stdbool.h>

struct reaper;
struct watched; /* a connection */

/* NULL: it could not be started. */
struct reaper *reaper_start(unsigned seconds);
/* When no connection is watched any more. */
void reaper_stop(struct reaper *reaper);

/* All from any thread. NULL: out of memory, the connection is not watched. */
struct watched *reaper_watch(struct reaper *reaper, int fd);
/* A request is complete, or a response is: the time begins anew. `watched` may be NULL. */
void reaper_progress(struct watched *watched);
/* Before the descriptor is closed. */
void reaper_forget(struct reaper *reaper, struct watched *watched);

#endif
