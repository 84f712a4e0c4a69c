/* SPDX-License-Identifier: Apache-2.0
 *
 * Ends connections on which nothing gets finished: a client that sends a byte a second, or reads one, is never idle.
 * From its beginning, or from the end of the last response, a connection has so long for a whole request; and a
 * response has so long to be taken.
 *
 * When every slot for responses is taken, one that its client has stopped taking gives its slot to a new request. */
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
/* A response with a slot is being sent now, until reaper_sent; that returns false if its slot was given away.
 * `watched` may be NULL. */
void reaper_sending(struct reaper *reaper, struct watched *watched);
bool reaper_sent(struct reaper *reaper, struct watched *watched);
/* Ends the response of which the kernel has sent nothing for the longest, and for 100 ms and twice its shortest round
 * trip at least; its slot is the caller's then. False: there is none. Of TCP only: of a UNIX socket the kernel does not
 * say. */
bool reaper_end_stalled(struct reaper *reaper);
/* Before the descriptor is closed. */
void reaper_forget(struct reaper *reaper, struct watched *watched);

#endif
