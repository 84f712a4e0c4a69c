/* SPDX-License-Identifier: Apache-2.0
 *
 * Verifying the tables and the page groups: which pages they have, and that nobody else has them. */
#include "check.h"

#include <inttypes.h>
#include <stdlib.h>

static uint32_t per_leaf(uint32_t table)
{
    return table_leaf_pages[table] * LIBSHM_PAGE / table_entry_size[table];
}

static void check_table(struct check *check, uint32_t table)
{
    const struct libshm_table *words = &check->header->tables[table];
    char what[64];
    uint32_t leaves = table_root_pages[table] * (LIBSHM_PAGE / 4);
    uint32_t claimed = words->count < table_capacity(table) ? words->count : table_capacity(table);
    uint32_t used = (claimed + per_leaf(table) - 1) / per_leaf(table);
    if (words->count > table_capacity(table))
        finding(check, check_offset(check, &words->count), "table of %s: %" PRIu32 " entries; at most %" PRIu32,
                table_name[table], words->count, table_capacity(table));
    snprintf(what, sizeof what, "root of the table of %s", table_name[table]);
    if (words->root == 0) {
        if (words->count)
            finding(check, check_offset(check, &words->root), "table of %s: no root, but %" PRIu32 " entries",
                    table_name[table], words->count);
        check->count[table] = 0;
        return;
    }
    if (claim_pages(check, words->root, table_root_pages[table], OWNER_ROOT, check_offset(check, &words->root), what)) {
        check->count[table] = 0; /* what it leads to is not its own */
        return;
    }
    const uint32_t *root = image_at(&check->image, (uint64_t)words->root * LIBSHM_PAGE, leaves * 4u, 4);
    for (uint32_t leaf = 0; root && leaf < leaves; leaf++) {
        uint64_t from = check_offset(check, &root[leaf]);
        if (leaf >= used && root[leaf] == 0)
            continue;
        snprintf(what, sizeof what, "leaf %" PRIu32 " of the table of %s", leaf, table_name[table]);
        if (leaf >= used)
            finding(check, from, "%s is there, though the table ends before it", what);
        else if (root[leaf] == 0)
            finding(check, from, "%s is missing", what);
        else if (claim_pages(check, root[leaf], table_leaf_pages[table], OWNER_LEAF, from, what) != 0 &&
                 check->count[table] > leaf * per_leaf(table))
            check->count[table] = leaf * per_leaf(table); /* bounds the work to what the file really has */
    }
}

void check_tables(struct check *check)
{
    for (uint32_t table = 0; table < LIBSHM_TABLES; table++)
        check_table(check, table);
}

static int lanes_sound(struct check *check, const struct libshm_group *group, uint32_t number)
{
    const struct libshm_header *header = check->header;
    uint32_t atomic = group->atomic_lanes;
    if (group->cpu_lanes != 0 && group->cpu_lanes != header->cpu_lanes) {
        finding(check, check_offset(check, &group->cpu_lanes),
                "page group %" PRIu32 ": %u CPU lanes; 0 or the header's %" PRIu32 " were expected", number,
                group->cpu_lanes, header->cpu_lanes);
        return 0;
    }
    if (atomic != 1 && (group->cpu_lanes != 0 || atomic != header->atomic_lanes_only)) {
        finding(check, check_offset(check, &group->atomic_lanes),
                "page group %" PRIu32 ": %" PRIu32 " atomic lanes; %s", number, atomic,
                group->cpu_lanes ? "1 was expected beside CPU lanes"
                                 : "1 or the header's atomic_lanes_only were expected");
        return 0;
    }
    return 1;
}

void check_groups(struct check *check)
{
    uint64_t per_cpu = 0;
    for (uint32_t number = 0; number < check->count[LIBSHM_TABLE_GROUPS]; number++) {
        const struct libshm_group *group = table_entry(&check->image, LIBSHM_TABLE_GROUPS, number);
        char what[32];
        if (!group)
            continue; /* said of its leaf */
        must_be_zero(check, &group->reserved, sizeof group->reserved, "reserved of a page group");
        if (!lanes_sound(check, group, number))
            continue;
        uint64_t pages = 1 + (uint64_t)group->atomic_lanes + group->cpu_lanes;
        per_cpu += group->cpu_lanes ? pages * LIBSHM_PAGE : 0;
        snprintf(what, sizeof what, "page group %" PRIu32, number);
        if (group->base % LIBSHM_PAGE) {
            finding(check, check_offset(check, &group->base), "%s: base %" PRIu64 " is not the start of a page", what,
                    group->base);
            continue;
        }
        if (claim_pages(check, group->base / LIBSHM_PAGE, pages, OWNER_GROUP, check_offset(check, &group->base), what))
            continue;
        check->cell_owner[number] = calloc(LIBSHM_CELLS_PER_PAGE, sizeof(uint32_t));
        if (!check->cell_owner[number])
            check->report->out_of_memory = 1;
    }
    if (per_cpu != check->header->per_cpu_bytes)
        finding(check, offsetof(struct libshm_header, per_cpu_bytes),
                "per_cpu_bytes is %" PRIu64 "; the page groups with CPU lanes have %" PRIu64,
                check->header->per_cpu_bytes, per_cpu);
}
