/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS as the web configuration wants it: what a session of GnuTLS is set up with. */
#ifndef EXPORTER_TLS_H
#define EXPORTER_TLS_H

#include "web_config.h"

#include <gnutls/gnutls.h>

struct tls;
/* Loads certificates and keys. NULL: `error` says what is wrong. */
struct tls *tls_new(const struct web_config *config, char error[WEB_CONFIG_ERROR_MAX]);
void tls_free(struct tls *tls);

/* Before the handshake. `tls` must outlive the session. Neither sets the session's own pointer beforehand. */
bool tls_set_up(struct tls *tls, gnutls_session_t session);

#endif
