/* SPDX-License-Identifier: Apache-2.0
 *
 * The web configuration in force. It is read again when its file, or one that it names, changes; what cannot be used is
 * logged, and what was in force stays. */
#ifndef EXPORTER_WEB_H
#define EXPORTER_WEB_H

#include "shared.h"
#include "tls.h"
#include "web_config.h"

struct web_state { /* what was read at one time; connections keep theirs */
    struct shared shared;
    struct web_config *config;
    struct tls *tls; /* NULL: none */
};

struct web;
/* `path` NULL: no file, an empty configuration. NULL: `error` says what is wrong. */
struct web *web_new(const char *path, char error[WEB_CONFIG_ERROR_MAX]);
/* Looks for changes from now on. */
bool web_start(struct web *web);
/* Also of one that was not started. */
void web_stop(struct web *web);

/* With a reference for the caller: shared_put(&state->shared). Any thread. */
struct web_state *web_current(const struct web *web);

#endif
