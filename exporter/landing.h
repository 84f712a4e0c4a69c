/* SPDX-License-Identifier: Apache-2.0
 *
 * The page at /. */
#ifndef EXPORTER_LANDING_H
#define EXPORTER_LANDING_H

#include "buffer.h"
#include "catalogue.h"

/* `catalogue` may be NULL. */
void landing_page(struct buffer *out, const char *telemetry_path, const struct catalogue *catalogue);

#endif
