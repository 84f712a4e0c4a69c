/* SPDX-License-Identifier: Apache-2.0
 *
 * shm-exporter's command line: arguments separated by line ends. */
#include "exporter/listen.h"
#include "exporter/options.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* What was accepted is within its limits. */
static void look_at(const struct options *options)
{
    check(options->systemd_socket || options->n_listen_addresses >= 1);
    check(options->n_listen_addresses <= LISTENERS_MAX);
    for (size_t i = 0; i < options->n_listen_addresses; i++)
        check(listen_address_valid(options->listen_addresses[i]));
    check(options->telemetry_path[0] == '/' && !strpbrk(options->telemetry_path, "\r\n <>\"?#"));
    check(options->max_connections >= 1);
    (void)options_add_segment_label(options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *argv[64] = {"shm-exporter"}, error[OPTIONS_ERROR_MAX] = "", *text = malloc(size + 1);
    struct options options;
    int argc = 1;
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    for (char *rest = text, *word; argc < 63 && (word = strsep(&rest, "\n"));)
        argv[argc++] = word;
    enum options_result result = options_parse(argc, argv, &options, error);
    if (result == OPTIONS_RUN)
        look_at(&options);
    if (result == OPTIONS_ERROR)
        check(error[0] != 0 && memchr(error, 0, sizeof error) != NULL);
    options_free(&options);
    free(text);
    return 0;
}
