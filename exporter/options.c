/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line, see options.h. Flags are a table; each line has the function that takes its value. */
#include "options.h"
#include "buffer.h"
#include "listen.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef bool take_value(struct options *options, const char *value, char error[OPTIONS_ERROR_MAX]);

static bool take_listen_address(struct options *options, const char *value, char error[OPTIONS_ERROR_MAX])
{
    if (!listen_address_valid(value)) {
        snprintf(error, OPTIONS_ERROR_MAX,
                 "--web.listen-address: '%.100s' must be HOST:PORT, [IPV6]:PORT, :PORT or unix:/PATH, with PORT 0 to "
                 "65535",
                 value);
        return false;
    }
    if (options->n_listen_addresses == LISTENERS_MAX) {
        snprintf(error, OPTIONS_ERROR_MAX, "--web.listen-address: at most %u of them", LISTENERS_MAX);
        return false;
    }
    options->listen_addresses[options->n_listen_addresses++] = value;
    return true;
}

static bool take_systemd_socket(struct options *options, const char *value, char error[OPTIONS_ERROR_MAX])
{
    (void)value, (void)error;
    options->systemd_socket = true;
    return true;
}

static bool take_number(const char *flag, const char *value, size_t least, size_t most, size_t *number,
                        char error[OPTIONS_ERROR_MAX])
{
    const size_t digits = strspn(value, "0123456789");
    *number = digits && digits <= 9 && !value[digits] ? strtoul(value, NULL, 10) : most + 1;
    if (*number >= least && *number <= most)
        return true;
    snprintf(error, OPTIONS_ERROR_MAX, "%s: '%.100s' must be a number from %zu to %zu", flag, value, least, most);
    return false;
}

static bool take_max_connections(struct options *options, const char *value, char error[OPTIONS_ERROR_MAX])
{
    return take_number("--web.max-connections", value, 1, 65536, &options->max_connections, error);
}

static bool take_max_connections_per_ip(struct options *options, const char *value, char error[OPTIONS_ERROR_MAX])
{
    return take_number("--web.max-connections-per-ip", value, 0, 65536, &options->max_connections_per_ip, error);
}

static bool take_request_timeout(struct options *options, const char *value, char error[OPTIONS_ERROR_MAX])
{
    size_t seconds;
    if (!take_number("--web.request-timeout", value, 1, 3600, &seconds, error))
        return false;
    options->request_seconds = (unsigned)seconds;
    return true;
}

static bool take_telemetry_path(struct options *options, const char *value, char error[OPTIONS_ERROR_MAX])
{
    static const char *const taken[] = {"/-/healthy", "/-/ready", "/sd"};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        if (strcmp(value, taken[i]) == 0) {
            snprintf(error, OPTIONS_ERROR_MAX, "--web.telemetry-path: %s has another use", value);
            return false;
        }
    }
    bool plain = value[0] == '/';
    for (const unsigned char *c = (const unsigned char *)value; *c; c++)
        plain = plain && *c > ' ' && *c < 0x7f && !strchr("?#%\"<>", *c);
    if (!plain) {
        snprintf(error, OPTIONS_ERROR_MAX,
                 "--web.telemetry-path: '%.100s' must begin with '/' and be printable ASCII without spaces or ?#%%\"<>",
                 value);
        return false;
    }
    options->telemetry_path = value;
    return true;
}

static bool take_web_config_file(struct options *options, const char *value, char error[OPTIONS_ERROR_MAX])
{
    if (!*value) {
        snprintf(error, OPTIONS_ERROR_MAX, "--web.config.file: needs a file");
        return false;
    }
    options->web_config_file = value;
    return true;
}

static bool take_max_requests(struct options *options, const char *value, char error[OPTIONS_ERROR_MAX])
{
    return take_number("--web.max-requests", value, 0, 999999, &options->max_requests, error);
}

static bool take_created(struct options *options, const char *value, char error[OPTIONS_ERROR_MAX])
{
    (void)value, (void)error;
    options->openmetrics_created = true;
    return true;
}

static bool take_processes(struct options *options, const char *value, char error[OPTIONS_ERROR_MAX])
{
    (void)value, (void)error;
    options->collect_processes = true;
    return true;
}

static bool take_no_sandbox(struct options *options, const char *value, char error[OPTIONS_ERROR_MAX])
{
    (void)value, (void)error;
    options->no_sandbox = true;
    return true;
}

static bool take_directory(struct options *options, const char *value, char error[OPTIONS_ERROR_MAX])
{
    if (!*value) {
        snprintf(error, OPTIONS_ERROR_MAX, "--shm.dir: needs a directory");
        return false;
    }
    if (options->scope.n_directories == DIRECTORIES_MAX) {
        snprintf(error, OPTIONS_ERROR_MAX, "--shm.dir: at most %u of them", DIRECTORIES_MAX);
        return false;
    }
    if (strlen(value) >= PATH_MAX - 128) {
        snprintf(error, OPTIONS_ERROR_MAX, "--shm.dir: the path is too long");
        return false;
    }
    options->scope.directories[options->scope.n_directories++] = value;
    return true;
}

static bool take_pattern(const char *flag, const char *value, struct patterns *patterns, char error[OPTIONS_ERROR_MAX])
{
    if (patterns->n == PATTERNS_MAX || !*value) {
        snprintf(error, OPTIONS_ERROR_MAX, "%s: needs a pattern, at most %u of them", flag, PATTERNS_MAX);
        return false;
    }
    patterns->items[patterns->n++] = value;
    return true;
}

static bool take_include(struct options *options, const char *value, char error[OPTIONS_ERROR_MAX])
{
    return take_pattern("--shm.include", value, &options->scope.include, error);
}

static bool take_exclude(struct options *options, const char *value, char error[OPTIONS_ERROR_MAX])
{
    return take_pattern("--shm.exclude", value, &options->scope.exclude, error);
}

static bool take_segment_label(struct options *options, const char *value, char error[OPTIONS_ERROR_MAX])
{
    static const char *const names[] = {"auto", "always", "never"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(value, names[i]) == 0) {
            options->segment_label = (enum segment_label)i;
            return true;
        }
    }
    snprintf(error, OPTIONS_ERROR_MAX, "--shm.segment-label: '%.100s' must be auto, always or never", value);
    return false;
}

static bool take_log_level(struct options *options, const char *value, char error[OPTIONS_ERROR_MAX])
{
    if (log_level_parse(value, &options->log_level))
        return true;
    snprintf(error, OPTIONS_ERROR_MAX, "--log.level: '%.100s' must be debug, info, warn or error", value);
    return false;
}

static bool take_log_format(struct options *options, const char *value, char error[OPTIONS_ERROR_MAX])
{
    const bool json = strcmp(value, "json") == 0;
    if (!json && strcmp(value, "logfmt") != 0) {
        snprintf(error, OPTIONS_ERROR_MAX, "--log.format: '%.100s' must be logfmt or json", value);
        return false;
    }
    options->log_format = json ? LOG_JSON : LOG_LOGFMT;
    return true;
}

static const struct flag {
    const char *name;
    const char *value; /* what stands for the value in --help; NULL: takes none */
    const char *help;
    take_value *take;
    enum options_result result; /* of a flag without a value */
} flags[] = {
    {"--web.listen-address", "ADDRESS",
     "Where to listen: HOST:PORT, [IPV6]:PORT, :PORT or unix:/PATH; port 0 takes a free one. May be given several "
     "times. Default 127.0.0.1:9464.",
     take_listen_address, OPTIONS_RUN},
    {"--web.systemd-socket", NULL, "Listen on the sockets that systemd hands over.", take_systemd_socket, OPTIONS_RUN},
    {"--web.telemetry-path", "PATH", "Path of the metrics. Default /metrics.", take_telemetry_path, OPTIONS_RUN},
    {"--web.config.file", "FILE",
     "TLS, users and headers, as for other Prometheus exporters. Read again when it changes, or a certificate does.",
     take_web_config_file, OPTIONS_RUN},
    {"--web.max-requests", "N",
     "Answer at most N requests for metrics at a time, others get 503, or end an answer that is not being taken. 0: no "
     "limit. Default 40.",
     take_max_requests, OPTIONS_RUN},
    {"--web.max-connections", "N", "Keep at most N connections at a time; others wait. Default 4096.",
     take_max_connections, OPTIONS_RUN},
    {"--web.max-connections-per-ip", "N",
     "Of those, at most N from one address; more are closed. 0: no limit. Default 2048.", take_max_connections_per_ip,
     OPTIONS_RUN},
    {"--web.request-timeout", "SECONDS",
     "Close a connection on which a request does not come in, or a response is not taken, within so long. Default 60.",
     take_request_timeout, OPTIONS_RUN},
    {"--web.openmetrics-created", NULL, "In OpenMetrics, say with a sample _created when each series began.",
     take_created, OPTIONS_RUN},
    {"--shm.dir", "DIR",
     "Directory of the segments; may be given several times. Default: $LIBSHM_DIR, /run/libshm, "
     "$XDG_RUNTIME_DIR/libshm, /dev/shm/libshm-UID: the "
     "first that applies.",
     take_directory, OPTIONS_RUN},
    {"--shm.include", "PATTERN", "Serve only segments whose names match a shell pattern; may be given several times.",
     take_include, OPTIONS_RUN},
    {"--shm.exclude", "PATTERN", "Do not serve segments whose names match; may be given several times.", take_exclude,
     OPTIONS_RUN},
    {"--shm.segment-label", "WHEN",
     "Label every series with its segment: always, never, or auto, which is always unless one segment was named. "
     "Default auto.",
     take_segment_label, OPTIONS_RUN},
    {"--collector.processes", NULL,
     "Tell CPU time, memory, open files and start of each living process that has a segment open.", take_processes,
     OPTIONS_RUN},
    {"--no-sandbox", NULL, "Keep privileges, files and system calls that are not needed any more once it runs.",
     take_no_sandbox, OPTIONS_RUN},
    {"--log.level", "LEVEL", "Log what is at least so important: debug, info, warn, error. Default info.",
     take_log_level, OPTIONS_RUN},
    {"--log.format", "FORMAT", "How: logfmt or json. Default logfmt.", take_log_format, OPTIONS_RUN},
    {"--version", NULL, "Print the version and exit.", NULL, OPTIONS_VERSION},
    {"--help", NULL, "Print this and exit.", NULL, OPTIONS_HELP},
};

static const struct flag *find_flag(const char *text, size_t length)
{
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (strlen(flags[i].name) == length && memcmp(flags[i].name, text, length) == 0)
            return &flags[i];
    return NULL;
}

static bool take_name(struct options *options, const char *name, char error[OPTIONS_ERROR_MAX])
{
    if (!segment_name_valid(name)) {
        snprintf(error, OPTIONS_ERROR_MAX,
                 "'%.100s' is no name of a segment: letters, digits, '_', '.', '-', at most 64, not '.' or '-' first%s",
                 name, strchr(name, '/') ? "; the directory goes into --shm.dir" : "");
        return false;
    }
    for (size_t i = 0; i < options->scope.n_names; i++)
        if (strcmp(options->names[i], name) == 0)
            return true;
    options->names[options->scope.n_names++] = name;
    return true;
}

enum options_result options_parse(int argc, char **argv, struct options *options, char error[OPTIONS_ERROR_MAX])
{
    *options = (struct options){
        .names = calloc((size_t)argc + 1, sizeof *options->names),
        .telemetry_path = "/metrics",
        .max_requests = 40,
        .max_connections = 4096,
        .max_connections_per_ip = 2048,
        .request_seconds = 60,
        .log_level = LOG_INFO,
    };
    if (!options->names) {
        snprintf(error, OPTIONS_ERROR_MAX, "out of memory");
        return OPTIONS_ERROR;
    }
    options->scope.names = options->names;
    bool only_names = false;
    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i];
        if (only_names || argument[0] != '-' || !argument[1]) {
            if (!take_name(options, argument, error))
                return OPTIONS_ERROR;
            continue;
        }
        if (strcmp(argument, "--") == 0) {
            only_names = true;
            continue;
        }
        const char *value = strchr(argument, '=');
        const struct flag *flag = find_flag(argument, value ? (size_t)(value - argument) : strlen(argument));
        if (!flag) {
            snprintf(error, OPTIONS_ERROR_MAX, "unknown flag %.100s (see --help)", argument);
            return OPTIONS_ERROR;
        }
        if (!flag->value && value) {
            snprintf(error, OPTIONS_ERROR_MAX, "%s takes no value", flag->name);
            return OPTIONS_ERROR;
        }
        if (!flag->value && !flag->take)
            return flag->result;
        if (!flag->value) {
            flag->take(options, NULL, error);
            continue;
        }
        value = value ? value + 1 : i + 1 < argc ? argv[++i] : NULL;
        if (!value) {
            snprintf(error, OPTIONS_ERROR_MAX, "%s needs a value: %s=%s", flag->name, flag->name, flag->value);
            return OPTIONS_ERROR;
        }
        if (!flag->take(options, value, error))
            return OPTIONS_ERROR;
    }
    if (!options->n_listen_addresses && !options->systemd_socket)
        options->listen_addresses[options->n_listen_addresses++] = "127.0.0.1:9464";
    return OPTIONS_RUN;
}

void options_free(struct options *options)
{
    free(options->names);
    options->names = NULL;
}

/* Words of `text`, wrapped at column 80, each line indented by eight. */
static void append_wrapped(struct buffer *out, const char *text)
{
    size_t column = 0;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column && column + 1 + word > 72) {
            buffer_append(out, "\n", 1);
            column = 0;
        }
        buffer_append_string(out, column ? " " : "        ");
        buffer_append(out, text, word);
        column += word + (column != 0);
        text += word;
        text += strspn(text, " ");
    }
    buffer_append(out, "\n", 1);
}

void options_help(struct buffer *out)
{
    buffer_append_string(out, "Usage: shm-exporter [FLAG...] [NAME...]\n\n"
                              "Serves libshm segments as Prometheus metrics: the segments NAME..., or all of\n"
                              "the directory. Segments may appear, be replaced and disappear meanwhile.\n\nFlags:\n");
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        buffer_printf(out, "  %s%s%s\n", flags[i].name, flags[i].value ? "=" : "",
                      flags[i].value ? flags[i].value : "");
        append_wrapped(out, flags[i].help);
    }
}

bool options_add_segment_label(const struct options *options)
{
    if (options->segment_label == SEGMENT_LABEL_AUTO)
        return options->scope.n_names != 1;
    return options->segment_label == SEGMENT_LABEL_ALWAYS;
}
