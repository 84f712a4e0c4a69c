/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS as the web configuration wants it, see tls.h. Its names of cipher suites and curves are Go's. */
#include "tls.h"
#include "buffer.h"

#include <arpa/inet.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tls {
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t priority;
    enum client_auth client_auth;
    struct string_list allowed_sans;
};

/* ---- versions, suites, curves ---------------------------------------------------------------------------------- */

static const struct suite { /* up to TLS 1.2; those of 1.3 cannot be chosen, as in Go */
    const char *name, *parts;
} suites[] = {
    {"TLS_RSA_WITH_AES_128_CBC_SHA", ":+RSA:+AES-128-CBC:+SHA1"},
    {"TLS_RSA_WITH_AES_256_CBC_SHA", ":+RSA:+AES-256-CBC:+SHA1"},
    {"TLS_RSA_WITH_AES_128_GCM_SHA256", ":+RSA:+AES-128-GCM:+AEAD"},
    {"TLS_RSA_WITH_AES_256_GCM_SHA384", ":+RSA:+AES-256-GCM:+AEAD"},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", ":+ECDHE-ECDSA:+AES-128-CBC:+SHA1"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", ":+ECDHE-ECDSA:+AES-256-CBC:+SHA1"},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", ":+ECDHE-RSA:+AES-128-CBC:+SHA1"},
    {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", ":+ECDHE-RSA:+AES-256-CBC:+SHA1"},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", ":+ECDHE-ECDSA:+AES-128-GCM:+AEAD"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", ":+ECDHE-ECDSA:+AES-256-GCM:+AEAD"},
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", ":+ECDHE-RSA:+AES-128-GCM:+AEAD"},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", ":+ECDHE-RSA:+AES-256-GCM:+AEAD"},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", ":+ECDHE-RSA:+CHACHA20-POLY1305:+AEAD"},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", ":+ECDHE-ECDSA:+CHACHA20-POLY1305:+AEAD"},
    {"TLS_AES_128_GCM_SHA256", ""},
    {"TLS_AES_256_GCM_SHA384", ""},
    {"TLS_CHACHA20_POLY1305_SHA256", ""},
};

static const struct suite curves[] = {
    {"CurveP256", ":+GROUP-SECP256R1"},
    {"CurveP384", ":+GROUP-SECP384R1"},
    {"CurveP521", ":+GROUP-SECP521R1"},
    {"X25519", ":+GROUP-X25519"},
};

static bool append_parts(struct buffer *priority, const char *what, const struct string_list *names,
                         const struct suite *known, size_t n_known, char error[WEB_CONFIG_ERROR_MAX])
{
    for (size_t i = 0; i < names->n; i++) {
        size_t k = 0;
        while (k < n_known && strcmp(known[k].name, names->items[i] ? names->items[i] : "") != 0)
            k++;
        if (k == n_known) {
            snprintf(error, WEB_CONFIG_ERROR_MAX, "%s: there is no %.60s", what, names->items[i]);
            return false;
        }
        buffer_append_string(priority, known[k].parts);
    }
    return true;
}

static bool set_priority(struct tls *tls, const struct web_config *config, char error[WEB_CONFIG_ERROR_MAX])
{
    struct buffer text = {0};
    buffer_append_string(&text, "NORMAL:-VERS-ALL");
    for (unsigned version = config->max_version;; version--) {
        buffer_printf(&text, ":+VERS-TLS1.%u", version);
        if (version == config->min_version)
            break;
    }
    bool well = true;
    if (config->cipher_suites.n) {
        buffer_append_string(&text, ":-KX-ALL:-CIPHER-ALL:-MAC-ALL");
        well =
            append_parts(&text, "cipher_suites", &config->cipher_suites, suites, sizeof suites / sizeof *suites, error);
        if (config->max_version == 3) /* always there, as in Go */
            buffer_append_string(&text, ":+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:+AEAD:+ECDHE-ECDSA:+ECDHE-RSA");
    }
    if (well && config->curves.n) {
        buffer_append_string(&text, ":-GROUP-ALL");
        well = append_parts(&text, "curve_preferences", &config->curves, curves, sizeof curves / sizeof *curves, error);
    }
    if (config->prefer_server_cipher_suites)
        buffer_append_string(&text, ":%SERVER_PRECEDENCE");
    const char *string = buffer_string(&text);
    if (well) {
        const int result = string ? gnutls_priority_init(&tls->priority, string, NULL) : GNUTLS_E_MEMORY_ERROR;
        well = result == 0;
        if (!well)
            snprintf(error, WEB_CONFIG_ERROR_MAX, "TLS versions and cipher suites: %s", gnutls_strerror(result));
    }
    buffer_free(&text);
    return well;
}

/* ---- clients' certificates ------------------------------------------------------------------------------------- */

static bool same_name(const char *allowed, int kind, const char *name, size_t size)
{
    unsigned char address[16];
    if (kind != GNUTLS_SAN_IPADDRESS)
        return strlen(allowed) == size && memcmp(allowed, name, size) == 0;
    const int family = strchr(allowed, ':') ? AF_INET6 : AF_INET;
    return inet_pton(family, allowed, address) == 1 && size == (family == AF_INET6 ? 16u : 4u) &&
           memcmp(address, name, size) == 0;
}

static bool allowed_name(const struct tls *tls, gnutls_x509_crt_t certificate)
{
    char name[512];
    for (unsigned i = 0;; i++) {
        size_t size = sizeof name;
        const int kind = gnutls_x509_crt_get_subject_alt_name(certificate, i, name, &size, NULL);
        if (kind == GNUTLS_E_SHORT_MEMORY_BUFFER)
            continue;
        if (kind < 0)
            return false;
        for (size_t s = 0; s < tls->allowed_sans.n; s++)
            if (same_name(tls->allowed_sans.items[s], kind, name, size))
                return true;
    }
}

static bool has_allowed_name(const struct tls *tls, const gnutls_datum_t *peer)
{
    gnutls_x509_crt_t certificate;
    if (tls->allowed_sans.n == 0)
        return true;
    if (gnutls_x509_crt_init(&certificate) != 0)
        return false;
    const bool allowed =
        gnutls_x509_crt_import(certificate, peer, GNUTLS_X509_FMT_DER) == 0 && allowed_name(tls, certificate);
    gnutls_x509_crt_deinit(certificate);
    return allowed;
}

/* Called during the handshake. 0: go on. */
static int verify_client(gnutls_session_t session)
{
    const struct tls *tls = gnutls_session_get_ptr(session);
    unsigned n = 0, status = 0;
    const gnutls_datum_t *peers = gnutls_certificate_get_peers(session, &n);
    if (tls->client_auth < CLIENT_AUTH_VERIFY_IF_GIVEN)
        return 0;
    if (!peers || !n)
        return tls->client_auth == CLIENT_AUTH_VERIFY_IF_GIVEN ? 0 : GNUTLS_E_CERTIFICATE_REQUIRED;
    gnutls_typed_vdata_st purpose = {
        .type = GNUTLS_DT_KEY_PURPOSE_OID,
        .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT,
    };
    if (gnutls_certificate_verify_peers(session, &purpose, 1, &status) != 0 || status != 0 ||
        !has_allowed_name(tls, peers))
        return GNUTLS_E_CERTIFICATE_ERROR;
    return 0;
}

/* ---- making and using ------------------------------------------------------------------------------------------ */

static bool load(struct tls *tls, const struct web_config *config, char error[WEB_CONFIG_ERROR_MAX])
{
    int result = gnutls_certificate_set_x509_key_file(tls->credentials, config->cert_file, config->key_file,
                                                      GNUTLS_X509_FMT_PEM);
    if (result < 0) {
        snprintf(error, WEB_CONFIG_ERROR_MAX, "certificate %.100s and key %.100s: %s", config->cert_file,
                 config->key_file, gnutls_strerror(result));
        return false;
    }
    if (!config->client_ca_file || !*config->client_ca_file)
        return true;
    result = gnutls_certificate_set_x509_trust_file(tls->credentials, config->client_ca_file, GNUTLS_X509_FMT_PEM);
    if (result > 0)
        return true;
    snprintf(error, WEB_CONFIG_ERROR_MAX, "client_ca_file %.100s: %s", config->client_ca_file,
             result < 0 ? gnutls_strerror(result) : "there is no certificate in it");
    return false;
}

static bool copy_names(struct tls *tls, const struct string_list *names)
{
    tls->allowed_sans.items = calloc(names->n + 1, sizeof(char *));
    for (size_t i = 0; tls->allowed_sans.items && i < names->n; i++, tls->allowed_sans.n++)
        if (!(tls->allowed_sans.items[i] = strdup(names->items[i] ? names->items[i] : "")))
            return false;
    return tls->allowed_sans.items != NULL;
}

struct tls *tls_new(const struct web_config *config, char error[WEB_CONFIG_ERROR_MAX])
{
    struct tls *tls = calloc(1, sizeof *tls);
    snprintf(error, WEB_CONFIG_ERROR_MAX, "out of memory");
    if (!tls || gnutls_certificate_allocate_credentials(&tls->credentials) != 0) {
        free(tls);
        return NULL;
    }
    tls->client_auth = config->client_auth;
    gnutls_certificate_set_verify_function(tls->credentials, verify_client);
    if (copy_names(tls, &config->allowed_sans) && load(tls, config, error) && set_priority(tls, config, error))
        return tls;
    tls_free(tls);
    return NULL;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    gnutls_certificate_free_credentials(tls->credentials);
    if (tls->priority)
        gnutls_priority_deinit(tls->priority);
    for (size_t i = 0; i < tls->allowed_sans.n; i++)
        free(tls->allowed_sans.items[i]);
    free(tls->allowed_sans.items);
    free(tls);
}

bool tls_set_up(struct tls *tls, gnutls_session_t session)
{
    static const gnutls_certificate_request_t requests[] = {
        [CLIENT_AUTH_NONE] = GNUTLS_CERT_IGNORE,
        [CLIENT_AUTH_REQUEST] = GNUTLS_CERT_REQUEST,
        [CLIENT_AUTH_REQUIRE_ANY] = GNUTLS_CERT_REQUIRE,
        [CLIENT_AUTH_VERIFY_IF_GIVEN] = GNUTLS_CERT_REQUEST,
        [CLIENT_AUTH_REQUIRE_AND_VERIFY] = GNUTLS_CERT_REQUIRE,
    };
    if (gnutls_priority_set(session, tls->priority) != 0 ||
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, tls->credentials) != 0)
        return false;
    gnutls_certificate_server_set_request(session, requests[tls->client_auth]);
    gnutls_session_set_ptr(session, tls);
    return true;
}
