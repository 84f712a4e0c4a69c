/* SPDX-License-Identifier: Apache-2.0
 *
 * Which segments there are, see catalogue.h. */
#include "catalogue.h"

#include <stdlib.h>
#include <string.h>

static struct shared *published;

struct catalogue *catalogue_get(void)
{
    return (struct catalogue *)shared_get(&published);
}

void catalogue_put(struct catalogue *catalogue)
{
    if (catalogue)
        shared_put(&catalogue->shared);
}

static void destroy(struct shared *shared)
{
    free(shared);
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
    if (says((const struct catalogue *)published, segments, n))
        return;
    struct catalogue *catalogue = calloc(1, sizeof *catalogue + n * sizeof *catalogue->entries);
    if (!catalogue)
        return; /* what is there now stands a little longer */
    shared_init(&catalogue->shared, destroy);
    catalogue->n = n;
    for (size_t i = 0; i < n; i++) {
        struct catalogue_entry *entry = &catalogue->entries[i];
        memcpy(entry->name, segments[i]->name, sizeof entry->name);
        memcpy(entry->reason, segments[i]->reason, sizeof entry->reason);
        entry->up = segments[i]->snapshot != NULL;
    }
    shared_publish(&published, &catalogue->shared);
}

void catalogue_withdraw(void)
{
    shared_publish(&published, NULL);
}
