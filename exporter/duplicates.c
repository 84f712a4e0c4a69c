/* SPDX-License-Identifier: Apache-2.0
 *
 * Series that two segments have alike, see duplicates.h. A hash set over the label values of a family's series, filled
 * from the oldest segment to the newest. */
#include "duplicates.h"
#include "labels.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    const struct member *member; /* NULL: free */
    const libshm_series_view *series;
};

struct member { /* a part, oldest first */
    struct merged_part *part;
    const struct source *source;
    const libshm_family_view *family;
    struct labels labels;
};

static int by_age(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    if (x->part->source == 0 || y->part->source == 0)
        return (x->part->source != 0) - (y->part->source != 0);
    if (x->source->created_ns != y->source->created_ns)
        return x->source->created_ns < y->source->created_ns ? -1 : 1;
    return x->part->source < y->part->source ? -1 : x->part->source > y->part->source;
}

static uint64_t hash_string(uint64_t hash, const char *string)
{
    do
        hash = (hash ^ (unsigned char)*string) * UINT64_C(0x100000001b3); /* FNV-1a */
    while (*string++);
    return hash;
}

static uint64_t hash_series(const struct entry *entry)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    const struct labels *labels = &entry->member->labels;
    for (size_t i = 0; i < labels->n; i++) {
        char text[24];
        const char *value = labels_value(&labels->label[i].place, entry->member->source, entry->series, text);
        hash = hash_string(hash, value ? value : "");
    }
    return hash ^ hash >> 29;
}

/* The members' labels have the same names in the same order. */
static bool same_series(const struct entry *a, const struct entry *b)
{
    for (size_t i = 0; i < a->member->labels.n; i++) {
        char text_a[24], text_b[24];
        const char *x = labels_value(&a->member->labels.label[i].place, a->member->source, a->series, text_a);
        const char *y = labels_value(&b->member->labels.label[i].place, b->member->source, b->series, text_b);
        if (strcmp(x ? x : "", y ? y : "") != 0)
            return false;
    }
    return true;
}

static bool mark(const struct member *members, size_t n_members, struct entry *table, size_t mask, size_t *duplicates)
{
    for (size_t m = 0; m < n_members; m++) {
        const libshm_family_view *family = members[m].family;
        for (size_t s = 0; s < family->n_series; s++) {
            const struct entry entry = {.member = &members[m], .series = &family->series[s]};
            size_t at = hash_series(&entry) & mask;
            while (table[at].member && !same_series(&table[at], &entry))
                at = (at + 1) & mask;
            if (!table[at].member) {
                table[at] = entry;
                continue;
            }
            struct merged_part *part = members[m].part;
            if (!part->skip)
                part->skip = calloc(family->n_series, sizeof *part->skip);
            if (!part->skip)
                return false;
            part->skip[s] = true;
            ++*duplicates;
        }
    }
    return true;
}

static bool find_in_family(struct merged_part *parts, size_t n_parts, const struct source *sources, size_t *duplicates)
{
    struct member *members = calloc(n_parts, sizeof *members);
    size_t n_series = 0, slots = 16;
    for (size_t i = 0; members && i < n_parts; i++) {
        members[i] = (struct member){
            .part = &parts[i],
            .source = &sources[parts[i].source],
            .family = merged_view(&parts[i], sources),
        };
        labels_plan(&members[i].labels, members[i].family, false);
        n_series += members[i].family->n_series;
    }
    while (slots < 2 * n_series)
        slots *= 2;
    struct entry *table = calloc(slots, sizeof *table);
    bool whole = members && table;
    if (whole) {
        qsort(members, n_parts, sizeof *members, by_age);
        whole = mark(members, n_parts, table, slots - 1, duplicates);
    }
    free(table);
    free(members);
    return whole;
}

bool duplicates_find(struct merged *merged, const struct source *sources)
{
    struct merged_part *parts = merged->parts;
    for (size_t i = 0; i < merged->n_families; parts += merged->families[i++].n_parts) {
        const size_t n_parts = merged->families[i].n_parts;
        if (n_parts < 2 || sources[parts[0].source].segment)
            continue;
        if (!find_in_family(parts, n_parts, sources, &merged->duplicate_series))
            return false;
    }
    return true;
}
