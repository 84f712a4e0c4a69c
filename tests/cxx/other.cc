/* SPDX-License-Identifier: Apache-2.0
 *
 * The second translation unit. */
#include "inline_user.h"

void other_unit(const Metrics &metrics)
{
    metrics.event(1);
    change_active(metrics, 2);
    observe_twice(metrics, 3L);
}
