/* SPDX-License-Identifier: Apache-2.0
 *
 * Published objects, see shared.h. The pointer is loaded and exchanged with atomic builtins, which ThreadSanitizer
 * understands; what RCU adds is that nobody stands between loading it and taking the reference when the publisher drops
 * its own. RCU is called out of line: its inline functions assume an alignment that its own arena does not keep. */
#include "shared.h"

#include <urcu-bp.h>

void shared_init(struct shared *shared, void (*destroy)(struct shared *shared))
{
    atomic_init(&shared->references, 1);
    shared->destroy = destroy;
}

void shared_put(struct shared *shared)
{
    if (shared && atomic_fetch_sub(&shared->references, 1) == 1)
        shared->destroy(shared);
}

struct shared *shared_get(struct shared *const *place)
{
    urcu_bp_read_lock();
    struct shared *shared = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    if (shared)
        atomic_fetch_add(&shared->references, 1);
    urcu_bp_read_unlock();
    return shared;
}

void shared_publish(struct shared **place, struct shared *shared)
{
    struct shared *old = __atomic_exchange_n(place, shared, __ATOMIC_ACQ_REL);
    if (!old)
        return;
    urcu_bp_synchronize_rcu();
    shared_put(old);
}
