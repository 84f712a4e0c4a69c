/* SPDX-License-Identifier: Apache-2.0
 *
 * Giving up what a running exporter does not need: privileges, files (Landlock), system calls (seccomp). */
#ifndef EXPORTER_SANDBOX_H
#define EXPORTER_SANDBOX_H

#include "listen.h"
#include "options.h"
#include "web_config.h"

/* Before the first thread is started, after the last socket was opened: what it does holds for all threads from then
 * on. What the kernel does not have is left out; the log says what there is. False: something failed half-way, and
 * nothing should go on. */
bool sandbox_enter(const struct options *options, const struct web_config *web, const struct listener *listeners,
                   size_t n_listeners);

#endif
