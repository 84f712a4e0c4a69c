/* SPDX-License-Identifier: Apache-2.0
 *
 * Watches directories (inotify), so that nobody needs to list one in which nothing happened. */
#ifndef EXPORTER_WATCH_H
#define EXPORTER_WATCH_H

#include <stdbool.h>
#include <stddef.h>

struct watch;
/* `directories` must live as long; they need not exist. NULL: out of memory. */
struct watch *watch_new(const char *const *directories, size_t n);
void watch_free(struct watch *watch);

/* Readable when something happened; -1 if the kernel has no inotify for us. */
int watch_fd(const struct watch *watch);
/* Did something happen in one of them since the last call, as far as can be told? What returned before this was called
 * is not missed. */
bool watch_changed(struct watch *watch);

#endif
