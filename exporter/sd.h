/* SPDX-License-Identifier: Apache-2.0
 *
 * Service discovery: each segment as a target of its own, in the form of Prometheus's http_sd_configs. */
#ifndef EXPORTER_SD_H
#define EXPORTER_SD_H

#include "buffer.h"
#include "catalogue.h"

/* May `host` (of a request) stand in a target? HOST, HOST:PORT, [IPV6]:PORT. */
bool sd_host_valid(const char *host);

/* One group of targets for each segment, up or not: it is scraped at `host`, with ?segment=NAME. */
void sd_targets(struct buffer *out, const char *host, const char *telemetry_path, const char *scheme,
                const struct catalogue *catalogue);

#endif
