/* SPDX-License-Identifier: Apache-2.0
 *
 * Which segments there are, see catalogue.h. The pointer is loaded and exchanged with atomic builtins, which
 * ThreadSanitizer understands; what RCU adds is that nobody stands between loading it and taking the reference when the
 * publisher drops its own. */
#include "catalogue.h"

#include <stdlib.h>
#include <string.h>
#include <urcu-bp.h>

static struct catalogue *published;

const struct catalogue *catalogue_get(void)
{
    urcu_bp_read_lock();
    struct catalogue *catalogue = __atomic_load_n(&published, __ATOMIC_ACQUIRE);
    if (catalogue)
        atomic_fetch_add(&catalogue->references, 1);
    urcu_bp_read_unlock();
    return catalogue;
}

void catalogue_put(const struct catalogue *catalogue)
{
    struct catalogue *ours = (struct catalogue *)(uintptr_t)catalogue;
    if (ours && atomic_fetch_sub(&ours->references, 1) == 1)
        free(ours);
}

static void replace(struct catalogue *catalogue)
{
    struct catalogue *old = __atomic_exchange_n(&published, catalogue, __ATOMIC_ACQ_REL);
    if (!old)
        return;
    urcu_bp_synchronize_rcu();
    catalogue_put(old);
}

static bool says(const struct catalogue *catalogue, const struct segment *const *segments, size_t n)
{
    if (!catalogue || catalogue->n != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct catalogue_entry *entry = &catalogue->entries[i];
        if (strcmp(entry->name, segments[i]->name) != 0 || entry->up != (segments[i]->snapshot != NULL) ||
            strcmp(entry->reason, segments[i]->reason) != 0)
            return false;
    }
    return true;
}

void catalogue_publish(const struct segment *const *segments, size_t n)
{
    if (says(published, segments, n))
        return;
    struct catalogue *catalogue = calloc(1, sizeof *catalogue + n * sizeof *catalogue->entries);
    if (!catalogue)
        return; /* what is there now stands a little longer */
    atomic_init(&catalogue->references, 1);
    catalogue->n = n;
    for (size_t i = 0; i < n; i++) {
        struct catalogue_entry *entry = &catalogue->entries[i];
        memcpy(entry->name, segments[i]->name, sizeof entry->name);
        memcpy(entry->reason, segments[i]->reason, sizeof entry->reason);
        entry->up = segments[i]->snapshot != NULL;
    }
    replace(catalogue);
}

void catalogue_withdraw(void)
{
    replace(NULL);
}
