/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line. */
#ifndef EXPORTER_OPTIONS_H
#define EXPORTER_OPTIONS_H

#include "discover.h"
#include "log.h"

#include <stdbool.h>
#include <stddef.h>

#define LISTENERS_MAX 16u

enum segment_label {
    SEGMENT_LABEL_AUTO, /* unless exactly one segment was named */
    SEGMENT_LABEL_ALWAYS,
    SEGMENT_LABEL_NEVER,
};

struct options {
    const char **names; /* what `scope` has of them */
    struct scope scope; /* no directory: the library's rule */
    const char *listen_addresses[LISTENERS_MAX];
    size_t n_listen_addresses; /* at least one, unless systemd_socket */
    bool systemd_socket;       /* listen on what systemd hands over */
    size_t max_connections, max_connections_per_ip;
    unsigned request_seconds; /* for a request to come in, and for a response to be taken */
    const char *telemetry_path;
    const char *web_config_file; /* NULL: none */
    size_t max_requests;         /* for metrics at a time; 0: no limit */
    bool openmetrics_created;
    bool collect_processes;
    bool no_sandbox;
    enum segment_label segment_label;
    enum log_level log_level;
    enum log_format log_format;
};

enum options_result {
    OPTIONS_RUN,
    OPTIONS_HELP,
    OPTIONS_VERSION,
    OPTIONS_ERROR,
};

#define OPTIONS_ERROR_MAX 256

/* Reads argv[1..argc). Strings of `options` point into argv. OPTIONS_ERROR: `error` says what is wrong and what would
 * be right. options_free also after an error. */
enum options_result options_parse(int argc, char **argv, struct options *options, char error[OPTIONS_ERROR_MAX]);
void options_free(struct options *options);

/* The text of --help. */
struct buffer;
void options_help(struct buffer *out);

/* Does every series get a label `segment`? */
bool options_add_segment_label(const struct options *options);

#endif
