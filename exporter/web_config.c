/* SPDX-License-Identifier: Apache-2.0
 *
 * The web configuration file, see web_config.h. Every section is a table of fields; what is in no table is an error. */
#define _GNU_SOURCE
#include "web_config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

const char *const web_header_names[WEB_HEADERS] = {"Content-Security-Policy", "X-Frame-Options",
                                                   "X-Content-Type-Options", "X-XSS-Protection",
                                                   "Strict-Transport-Security"};

struct reading {
    yaml_document_t document;
    struct web_config *config;
    const char *path;
    char *error;
};

typedef bool take_value(struct reading *reading, const char *name, yaml_node_t *value);

struct field {
    const char *name;
    take_value *take;
};

static bool fail(struct reading *reading, const yaml_node_t *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool fail(struct reading *reading, const yaml_node_t *node, const char *format, ...)
{
    va_list arguments;
    int n = snprintf(reading->error, WEB_CONFIG_ERROR_MAX, "%.120s:%zu: ", reading->path, node->start_mark.line + 1);
    va_start(arguments, format);
    vsnprintf(reading->error + n, WEB_CONFIG_ERROR_MAX - (size_t)n, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

static const char *scalar(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static bool is_null(const yaml_node_t *node)
{
    const char *text = scalar(node);
    return text && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*text || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0);
}

static bool take_string(struct reading *reading, const char *name, yaml_node_t *value, char **string)
{
    const char *text = scalar(value);
    if (!text)
        return fail(reading, value, "%s must be a string", name);
    if (strlen(text) != value->data.scalar.length)
        return fail(reading, value, "%s must not have a NUL in it", name);
    if (is_null(value))
        return true;
    free(*string);
    *string = strdup(text);
    return *string ? true : fail(reading, value, "out of memory");
}

/* Relative to the directory of the file. */
static bool take_path(struct reading *reading, const char *name, yaml_node_t *value, char **path)
{
    char *text = NULL;
    if (!take_string(reading, name, value, &text))
        return false;
    const char *slash = strrchr(reading->path, '/');
    if (!text || !*text || *text == '/' || !slash) {
        free(*path);
        *path = text;
        return true;
    }
    const int n = asprintf(path, "%.*s/%s", (int)(slash - reading->path), reading->path, text);
    free(text);
    return n >= 0 ? true : fail(reading, value, "out of memory");
}

static bool take_bool(struct reading *reading, const char *name, yaml_node_t *value, bool *result)
{
    const char *text = scalar(value);
    if (text && strcmp(text, "true") == 0)
        *result = true;
    else if (text && (strcmp(text, "false") == 0 || is_null(value)))
        *result = false;
    else
        return fail(reading, value, "%s must be true or false", name);
    return true;
}

static bool take_list(struct reading *reading, const char *name, yaml_node_t *value, struct string_list *list)
{
    if (is_null(value))
        return true;
    if (value->type != YAML_SEQUENCE_NODE)
        return fail(reading, value, "%s must be a list", name);
    const yaml_node_item_t *items = value->data.sequence.items.start;
    const size_t n = (size_t)(value->data.sequence.items.top - items);
    list->items = calloc(n + 1, sizeof *list->items);
    for (size_t i = 0; list->items && i < n; i++, list->n++)
        if (!take_string(reading, name, yaml_document_get_node(&reading->document, items[i]), &list->items[i]))
            return false;
    return list->items ? true : fail(reading, value, "out of memory");
}

/* One of `names`; its place. */
static bool take_word(struct reading *reading, const char *name, yaml_node_t *value, const char *const *names, size_t n,
                      size_t *place)
{
    const char *text = scalar(value);
    for (size_t i = 0; text && i < n; i++) {
        if (strcmp(text, names[i]) == 0) {
            *place = i;
            return true;
        }
    }
    return fail(reading, value, "%s: %.60s is none of %s ... %s", name, text ? text : "this", names[0], names[n - 1]);
}

/* ---- sections -------------------------------------------------------------------------------------------------- */

static bool take_fields(struct reading *reading, const char *section, yaml_node_t *node, const struct field *fields,
                        size_t n)
{
    if (is_null(node))
        return true;
    if (node->type != YAML_MAPPING_NODE)
        return fail(reading, node, "%s must be a mapping", section);
    const yaml_node_pair_t *start = node->data.mapping.pairs.start;
    for (const yaml_node_pair_t *pair = start; pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = yaml_document_get_node(&reading->document, pair->key);
        const char *name = scalar(key);
        if (!name)
            return fail(reading, key, "%s: a field's name must be a string", section);
        for (const yaml_node_pair_t *before = start; before < pair; before++)
            if (strcmp(scalar(yaml_document_get_node(&reading->document, before->key)), name) == 0)
                return fail(reading, key, "%s: %.60s is there twice", section, name);
        const struct field *field = fields;
        while (field < fields + n && field->name && strcmp(field->name, name) != 0)
            field++;
        if (field == fields + n)
            return fail(reading, key, "%s: there is no field %.60s", section, name);
        if (!field->take(reading, name, yaml_document_get_node(&reading->document, pair->value)))
            return false;
    }
    return true;
}

static bool take_cert_file(struct reading *reading, const char *name, yaml_node_t *value)
{
    return take_path(reading, name, value, &reading->config->cert_file);
}

static bool take_key_file(struct reading *reading, const char *name, yaml_node_t *value)
{
    return take_path(reading, name, value, &reading->config->key_file);
}

static bool take_client_ca_file(struct reading *reading, const char *name, yaml_node_t *value)
{
    return take_path(reading, name, value, &reading->config->client_ca_file);
}

static bool take_client_auth(struct reading *reading, const char *name, yaml_node_t *value)
{
    static const char *const names[] = {"NoClientCert", "RequestClientCert", "RequireAnyClientCert",
                                        "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"};
    size_t place = 0;
    if (scalar(value) && !*scalar(value))
        return true;
    if (!take_word(reading, name, value, names, sizeof names / sizeof *names, &place))
        return false;
    reading->config->client_auth = (enum client_auth)place;
    return true;
}

static bool take_version(struct reading *reading, const char *name, yaml_node_t *value)
{
    static const char *const names[] = {"TLS10", "TLS11", "TLS12", "TLS13"};
    size_t place = 0;
    if (!take_word(reading, name, value, names, sizeof names / sizeof *names, &place))
        return false;
    *(strcmp(name, "min_version") == 0 ? &reading->config->min_version : &reading->config->max_version) =
        (unsigned)place;
    return true;
}

static bool take_cipher_suites(struct reading *reading, const char *name, yaml_node_t *value)
{
    return take_list(reading, name, value, &reading->config->cipher_suites);
}

static bool take_curves(struct reading *reading, const char *name, yaml_node_t *value)
{
    return take_list(reading, name, value, &reading->config->curves);
}

static bool take_allowed_sans(struct reading *reading, const char *name, yaml_node_t *value)
{
    return take_list(reading, name, value, &reading->config->allowed_sans);
}

static bool take_precedence(struct reading *reading, const char *name, yaml_node_t *value)
{
    return take_bool(reading, name, value, &reading->config->prefer_server_cipher_suites);
}

static bool take_tls(struct reading *reading, const char *name, yaml_node_t *value)
{
    static const struct field fields[] = {
        {"cert_file", take_cert_file},
        {"key_file", take_key_file},
        {"client_auth_type", take_client_auth},
        {"client_ca_file", take_client_ca_file},
        {"client_allowed_sans", take_allowed_sans},
        {"min_version", take_version},
        {"max_version", take_version},
        {"cipher_suites", take_cipher_suites},
        {"curve_preferences", take_curves},
        {"prefer_server_cipher_suites", take_precedence},
    };
    const struct web_config *config = reading->config;
    if (!take_fields(reading, name, value, fields, sizeof fields / sizeof *fields))
        return false;
    const bool cert = config->cert_file && *config->cert_file, key = config->key_file && *config->key_file;
    const bool ca = config->client_ca_file && *config->client_ca_file;
    if (!cert && !key && !ca && config->client_auth == CLIENT_AUTH_NONE)
        return true; /* an empty section is none */
    if (!cert || !key)
        return fail(reading, value, "%s: %s is missing", name, cert ? "key_file" : "cert_file");
    if (ca && config->client_auth == CLIENT_AUTH_NONE)
        return fail(reading, value, "%s: client_ca_file without a client_auth_type", name);
    if (config->allowed_sans.n && config->client_auth != CLIENT_AUTH_REQUIRE_AND_VERIFY)
        return fail(reading, value, "%s: client_allowed_sans needs client_auth_type RequireAndVerifyClientCert", name);
    if (config->min_version > config->max_version)
        return fail(reading, value, "%s: min_version is above max_version", name);
    reading->config->tls = true;
    return true;
}

static bool take_header(struct reading *reading, const char *name, yaml_node_t *value)
{
    for (size_t i = 0; i < WEB_HEADERS; i++) {
        if (strcasecmp(name, web_header_names[i]) != 0)
            continue;
        if (!take_string(reading, name, value, &reading->config->headers[i]))
            return false;
        const char *text = reading->config->headers[i];
        for (; text && *text; text++)
            if ((unsigned char)*text < ' ' || *text == 0x7f)
                return fail(reading, value, "%s must not have control characters in it", name);
        return true;
    }
    return fail(reading, value, "the header %.60s cannot be configured", name);
}

static bool take_headers(struct reading *reading, const char *name, yaml_node_t *value)
{
    static const struct field any[] = {{NULL, take_header}};
    return take_fields(reading, name, value, any, 1);
}

static bool take_http2(struct reading *reading, const char *name, yaml_node_t *value)
{
    bool ignored; /* HTTP/1.1 is all there is */
    return take_bool(reading, name, value, &ignored);
}

static bool take_http(struct reading *reading, const char *name, yaml_node_t *value)
{
    static const struct field fields[] = {{"http2", take_http2}, {"headers", take_headers}};
    return take_fields(reading, name, value, fields, sizeof fields / sizeof *fields);
}

/* $2b$10$ and 53 characters of salt and hash */
static bool is_bcrypt(const char *hash)
{
    static const char alphabet[] = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    if (strncmp(hash, "$2", 2) != 0 || !hash[2] || !strchr("abxy", hash[2]) || hash[3] != '$')
        return false;
    if (strspn(hash + 4, "0123456789") != 2 || hash[6] != '$')
        return false;
    const int cost = atoi(hash + 4);
    return cost >= 4 && cost <= 31 && strlen(hash) == 60 && strspn(hash + 7, alphabet) == 53;
}

static bool take_user(struct reading *reading, const char *name, yaml_node_t *value)
{
    struct web_config *config = reading->config;
    struct web_user *users = realloc(config->users, (config->n_users + 1) * sizeof *users);
    if (!users)
        return fail(reading, value, "out of memory");
    config->users = users;
    struct web_user *user = &users[config->n_users++];
    *user = (struct web_user){.name = strdup(name)};
    if (!take_string(reading, "a password", value, &user->hash))
        return false;
    if (!user->name || !user->hash || !is_bcrypt(user->hash))
        return fail(reading, value, "basic_auth_users: the password of %.60s must be a bcrypt hash", name);
    return true;
}

static bool take_users(struct reading *reading, const char *name, yaml_node_t *value)
{
    static const struct field any[] = {{NULL, take_user}};
    return take_fields(reading, name, value, any, 1);
}

/* ---- the file -------------------------------------------------------------------------------------------------- */

static bool take_document(struct reading *reading)
{
    static const struct field fields[] = {
        {"tls_server_config", take_tls}, {"http_server_config", take_http}, {"basic_auth_users", take_users}};
    yaml_node_t *root = yaml_document_get_root_node(&reading->document);
    return !root || take_fields(reading, "the file", root, fields, sizeof fields / sizeof *fields);
}

static bool load(struct reading *reading, FILE *file)
{
    yaml_parser_t parser;
    bool well = yaml_parser_initialize(&parser);
    if (!well) {
        snprintf(reading->error, WEB_CONFIG_ERROR_MAX, "out of memory");
        return false;
    }
    yaml_parser_set_input_file(&parser, file);
    well = yaml_parser_load(&parser, &reading->document);
    if (!well) {
        snprintf(reading->error, WEB_CONFIG_ERROR_MAX, "%.120s:%zu: %.120s", reading->path,
                 parser.problem_mark.line + 1, parser.problem ? parser.problem : "cannot be read");
    } else {
        well = take_document(reading);
        yaml_document_delete(&reading->document);
    }
    yaml_parser_delete(&parser);
    return well;
}

struct web_config *web_config_read(const char *path, char error[WEB_CONFIG_ERROR_MAX])
{
    FILE *file = fopen(path, "re");
    if (!file) {
        snprintf(error, WEB_CONFIG_ERROR_MAX, "%.200s: %s", path, strerror(errno));
        return NULL;
    }
    struct reading reading = {.path = path, .error = error, .config = calloc(1, sizeof *reading.config)};
    bool well = reading.config != NULL;
    if (well) {
        reading.config->min_version = 2;
        reading.config->max_version = 3;
        well = load(&reading, file);
    } else {
        snprintf(error, WEB_CONFIG_ERROR_MAX, "out of memory");
    }
    fclose(file);
    if (well)
        return reading.config;
    web_config_free(reading.config);
    return NULL;
}

static void free_list(struct string_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->items[i]);
    free(list->items);
}

void web_config_free(struct web_config *config)
{
    if (!config)
        return;
    free(config->cert_file);
    free(config->key_file);
    free(config->client_ca_file);
    free_list(&config->cipher_suites);
    free_list(&config->curves);
    free_list(&config->allowed_sans);
    for (size_t i = 0; i < WEB_HEADERS; i++)
        free(config->headers[i]);
    for (size_t i = 0; i < config->n_users; i++) {
        free(config->users[i].name);
        free(config->users[i].hash);
    }
    free(config->users);
    free(config);
}
