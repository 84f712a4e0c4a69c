/* SPDX-License-Identifier: Apache-2.0
 *
 * A plugin with updates inlined into it, which unload loads, uses and unloads. */
#include <libshm.h>

#include "plugin.h"

__attribute__((visibility("default"))) void plugin_update(const struct handles *handles, int kind);

void plugin_update(const struct handles *handles, int kind)
{
    switch (kind) {
    case UPDATE_INTEGER:
        libshm_counter_add(&handles->counter, 3);
        break;
    case UPDATE_FRACTIONAL:
        libshm_counter_add_double(&handles->counter, 0.5);
        break;
    case UPDATE_BUCKET:
        libshm_histogram_observe(&handles->histogram, 2);
        break;
    case UPDATE_GAUGE:
        libshm_gauge_add(&handles->gauge, 1);
        break;
    }
}
