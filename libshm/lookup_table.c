/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes of the look-up cache's table. An entry holds its series like any handle; it is forgotten when the series was
 * removed or idles. Trim never waits: what may still be in use is looked at again the next time. */
#include <stdlib.h>
#include <string.h>

#include "libshm/lookup_table.h"

enum { FIRST_SLOTS = 64, MOST_LANES = 256, TRIM_INTERVAL_NS = 1000000000 };

struct libshm_child libshm_forgotten;

static struct libshm_lookup_table *table_new(uint32_t slots)
{
    size_t addresses = slots * sizeof(uint64_t), size = sizeof(struct libshm_lookup_table) + addresses;
    struct libshm_lookup_table *table = aligned_alloc(64, size + slots * sizeof(struct libshm_slot));
    if (table) {
        memset(table, 0, size + slots * sizeof(struct libshm_slot));
        table->mask = slots - 1;
        table->slot = (struct libshm_slot *)(void *)((char *)table + size);
    }
    return table;
}

struct libshm_lookup *libshm_lookup_new(struct libshm_segment *segment)
{
    struct libshm_lookup *lookup = calloc(1, sizeof *lookup);
    uint32_t lanes = segment->per_cpu ? segment->header->cpu_lanes : 0;
    if (lookup)
        lookup->table = table_new(FIRST_SLOTS);
    if (!lookup || !lookup->table || !libshm_grace_init(&lookup->grace, lanes < MOST_LANES ? lanes : MOST_LANES)) {
        libshm_lookup_free(lookup);
        libshm_error_set(LIBSHM_E_MEMORY, "out of memory");
        return NULL;
    }
    lookup->removals_now = &segment->header->removals;
    lookup->removals = __atomic_load_n(lookup->removals_now, __ATOMIC_ACQUIRE);
    return lookup;
}

static void free_waiting(struct libshm_segment *segment, struct libshm_waiting *waiting)
{
    while (waiting->children) {
        struct libshm_child *child = waiting->children;
        waiting->children = libshm_origin(child)->next;
        if (segment)
            libshm_unhold(segment, child->series);
        free(child);
    }
    while (waiting->tables) {
        struct libshm_lookup_table *table = waiting->tables;
        waiting->tables = table->next;
        free(table);
    }
}

static bool is_child(const struct libshm_slot *slot)
{
    return slot->child && slot->child != &libshm_forgotten;
}

void libshm_lookup_free(struct libshm_lookup *lookup)
{
    if (!lookup)
        return;
    free_waiting(NULL, &lookup->now);
    free_waiting(NULL, &lookup->later);
    for (uint32_t i = 0; lookup->table && i <= lookup->table->mask; i++)
        if (is_child(&lookup->table->slot[i]))
            free(lookup->table->slot[i].child);
    free(lookup->table);
    libshm_grace_destroy(&lookup->grace);
    free(lookup);
}

/* ---- in ---- */

static void place(struct libshm_lookup_table *table, uint64_t hash, struct libshm_child *child)
{
    uint32_t i = (uint32_t)hash;
    while (table->slot[i & table->mask].child)
        i++;
    table->slot[i & table->mask].hash = hash;
    __atomic_store_n(&table->slot[i & table->mask].child, child, __ATOMIC_RELEASE); /* the entry before its address */
    table->used++;
}

void libshm_child_address(struct libshm_lookup_table *table, uint64_t address, struct libshm_child *child)
{
    if (!address || (uintptr_t)child >> 48) /* no room for the tag */
        return;
    uint64_t *to = libshm_addressed(table, address, 0); /* all are taken: the first one makes way */
    for (uint32_t way = 0; way < LIBSHM_WAYS; way++) {
        uint64_t *here = libshm_addressed(table, address, way);
        if (*here && (*here ^ address) >> 48)
            continue;
        to = here;
        break;
    }
    libshm_origin(child)->address = address;
    __atomic_store_n(to, (address >> 48 << 48) | (uintptr_t)child, __ATOMIC_RELEASE);
}

static bool make_room(struct libshm_lookup *lookup)
{
    struct libshm_lookup_table *old = lookup->table;
    uint32_t live = 0;
    if ((old->used + 1) * 2 <= old->mask + 1)
        return true;
    for (uint32_t i = 0; i <= old->mask; i++)
        live += is_child(&old->slot[i]);
    uint32_t slots = FIRST_SLOTS;
    while (slots < (live + 1) * 3)
        slots *= 2;
    struct libshm_lookup_table *new = table_new(slots);
    if (!new)
        return false;
    for (uint32_t i = 0; i <= old->mask; i++) {
        if (!is_child(&old->slot[i]))
            continue;
        place(new, old->slot[i].hash, old->slot[i].child);
        libshm_child_address(new, libshm_origin(old->slot[i].child)->address, old->slot[i].child);
    }
    __atomic_store_n(&lookup->table, new, __ATOMIC_RELEASE); /* filled before it is found */
    old->next = lookup->later.tables;
    lookup->later.tables = old;
    return true;
}

struct libshm_child *libshm_child_new(const struct libshm_family *family, const struct libshm_labels *labels,
                                      const struct libshm_found *found)
{
    size_t at = libshm_origin_at(family, labels->bytes);
    struct libshm_child *child = aligned_alloc(64, (at + sizeof(struct libshm_origin) + 63) & ~(size_t)63);
    if (!child)
        return NULL;
    child->family = family;
    child->bytes = labels->bytes;
    child->series = found->number;
    *libshm_origin(child) = (struct libshm_origin){.status = &found->entry->status, .generation = found->generation};
    char *key = libshm_key(child), *to = key + labels->n * 2;
    memcpy(key, labels->length, labels->n * 2);
    for (uint32_t n = 0; n < labels->n; to += labels->length[n] + 1, n++)
        memcpy(to, labels->values[n], labels->length[n] + 1u);
    return child;
}

bool libshm_child_publish(struct libshm_lookup *lookup, const struct libshm_labels *labels, struct libshm_child *child)
{
    if (!make_room(lookup))
        return false;
    place(lookup->table, labels->hash, child);
    libshm_child_address(lookup->table, libshm_address(child->family, labels->values), child);
    return true;
}

/* ---- out ---- */

static bool any(const struct libshm_waiting *waiting)
{
    return waiting->children || waiting->tables;
}

static void free_unreachable(struct libshm_segment *segment, struct libshm_lookup *lookup)
{
    for (int i = 0; i < 2; i++) {
        /* Before the phase that becomes the current one is counted on again, nobody may be in it either: a look-up that
         * read `phase` long ago counts itself in there, and would be taken for one that came after the change. */
        if ((!any(&lookup->now) && !any(&lookup->later)) || !libshm_grace_over(&lookup->grace))
            return;
        free_waiting(segment, &lookup->now);
        if (!any(&lookup->later) || !libshm_grace_start(&lookup->grace))
            return;
        lookup->now = lookup->later;
        lookup->later = (struct libshm_waiting){NULL, NULL};
    }
}

/* Takes what is hidden or removed out of the table. */
static void forget(struct libshm_lookup *lookup)
{
    struct libshm_lookup_table *table = lookup->table;
    bool forgot = false;
    for (uint32_t i = 0; i <= table->mask; i++) {
        struct libshm_child *child = table->slot[i].child;
        if (!is_child(&table->slot[i]))
            continue;
        struct libshm_origin *origin = libshm_origin(child);
        uint64_t status = libshm_status(origin->status);
        if (LIBSHM_STATUS_GENERATION(status) == origin->generation && LIBSHM_STATUS_STATE(status) == LIBSHM_STATE_LIVE)
            continue;
        __atomic_store_n(&table->slot[i].child, &libshm_forgotten, __ATOMIC_RELEASE);
        origin->retired = true;
        origin->next = lookup->later.children;
        lookup->later.children = child;
        forgot = true;
    }
    for (uint32_t i = 0; forgot && i <= table->mask; i++) {
        const struct libshm_child *child = (void *)(uintptr_t)(table->by_address[i] << 16 >> 16);
        if (child && libshm_origin(child)->retired)
            __atomic_store_n(&table->by_address[i], 0, __ATOMIC_RELEASE);
    }
}

void libshm_lookup_trim(struct libshm_segment *segment)
{
    struct libshm_lookup *lookup = segment->lookup;
    uint64_t now = libshm_now_ns(CLOCK_MONOTONIC);
    free_unreachable(segment, lookup);
    if (now - lookup->trimmed_ns < TRIM_INTERVAL_NS && lookup->trimmed_ns != 0)
        return;
    lookup->trimmed_ns = now;
    uint64_t removals = __atomic_load_n(lookup->removals_now, __ATOMIC_ACQUIRE);
    forget(lookup);
    /* Only under the insert lock: else a removal may have been announced that is not made yet, and would be missed. */
    if (segment->lock_fd >= 0)
        __atomic_store_n(&lookup->removals, removals, __ATOMIC_RELEASE);
    free_unreachable(segment, lookup);
}
