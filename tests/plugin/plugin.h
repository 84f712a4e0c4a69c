/* SPDX-License-Identifier: Apache-2.0
 *
 * What the plugin and its host agree on. */
#ifndef PLUGIN_H
#define PLUGIN_H

#include <libshm.h>

struct handles {
    libshm_counter counter;
    libshm_histogram histogram;
    libshm_gauge gauge;
};

enum { UPDATE_INTEGER, UPDATE_FRACTIONAL, UPDATE_BUCKET, UPDATE_GAUGE, UPDATE_KINDS };

typedef void plugin_update_function(const struct handles *handles, int kind);

#endif
