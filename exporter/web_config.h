/* SPDX-License-Identifier: Apache-2.0
 *
 * The web configuration file of the Prometheus exporters (exporter-toolkit), read into memory. Pure but for opening the
 * file; what its certificates hold is tls.c's. */
#ifndef EXPORTER_WEB_CONFIG_H
#define EXPORTER_WEB_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#define WEB_CONFIG_ERROR_MAX 320
#define WEB_HEADERS          5u

enum client_auth { /* in the order of their strictness */
                   CLIENT_AUTH_NONE,
                   CLIENT_AUTH_REQUEST,
                   CLIENT_AUTH_REQUIRE_ANY,
                   CLIENT_AUTH_VERIFY_IF_GIVEN,
                   CLIENT_AUTH_REQUIRE_AND_VERIFY,
};

struct string_list {
    char **items;
    size_t n;
};

struct web_user {
    char *name;
    char *hash; /* bcrypt */
};

struct web_config {
    bool tls;
    char *cert_file, *key_file, *client_ca_file; /* paths are absolute, or relative to the working directory */
    enum client_auth client_auth;
    unsigned min_version, max_version; /* TLS 1.x: x */
    bool prefer_server_cipher_suites;
    struct string_list cipher_suites, curves, allowed_sans;
    char *headers[WEB_HEADERS]; /* by web_header_names; NULL: none */
    struct web_user *users;
    size_t n_users;
};

extern const char *const web_header_names[WEB_HEADERS];

/* NULL: `error` says what is wrong, and where. */
struct web_config *web_config_read(const char *path, char error[WEB_CONFIG_ERROR_MAX]);
void web_config_free(struct web_config *config);

#endif
