/* SPDX-License-Identifier: Apache-2.0
 *
 * Merging families, see merge.h. Everything is found by sorting: families by (name, precedence) to find those of one
 * name, their sample names likewise to find collisions. */
#define _GNU_SOURCE
#include "merge.h"
#include "duplicates.h"
#include "labels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct candidate {
    const char *name;
    size_t precedence; /* of its source: lower wins */
    size_t source, family;
    bool left_out;
};

struct claim { /* a sample name and the family that has it */
    char *name;
    struct candidate *owner;
};

struct seen { /* of a source, when it was merged */
    uint64_t identity, layout;
};

struct merger {
    struct merged merged;
    struct seen *seen;
    size_t n_seen;
};

struct merger *merger_new(void)
{
    return calloc(1, sizeof(struct merger));
}

static void forget(struct merger *merger)
{
    struct merged *merged = &merger->merged;
    for (size_t i = 0; i < merged->n_parts; i++)
        free(merged->parts[i].skip);
    free(merged->families);
    free(merged->parts);
    free(merged->conflicts);
    free(merger->seen);
    *merger = (struct merger){.merged.version = merged->version};
}

void merger_free(struct merger *merger)
{
    if (merger)
        forget(merger);
    free(merger);
}

static bool unchanged(const struct merger *merger, const struct source *sources, size_t n)
{
    if (!merger->seen || merger->n_seen != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (merger->seen[i].identity != sources[i].identity || merger->seen[i].layout != sources[i].layout)
            return false;
    return true;
}

/* ---- who comes first ------------------------------------------------------------------------------------------- */

static int by_age(const void *a, const void *b)
{
    const struct source *const *x = a, *const *y = b;
    if ((*x)->created_ns != (*y)->created_ns)
        return (*x)->created_ns < (*y)->created_ns ? -1 : 1;
    return *x < *y ? -1 : *x > *y;
}

static int by_name_and_precedence(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    if (order)
        return order;
    return x->precedence < y->precedence ? -1 : x->precedence > y->precedence;
}

/* All families of all sources, sorted. */
static struct candidate *list_candidates(const struct source *sources, size_t n_sources, size_t *n)
{
    const struct source **order = calloc(n_sources + 1, sizeof *order);
    *n = 0;
    for (size_t i = 0; i < n_sources; i++)
        *n += sources[i].n_families;
    struct candidate *candidates = calloc(*n + 1, sizeof *candidates), *at = candidates;
    if (order && candidates) {
        for (size_t i = 0; i < n_sources; i++)
            order[i] = &sources[i];
        if (n_sources)
            qsort(order + 1, n_sources - 1, sizeof *order, by_age);
        for (size_t i = 0; i < n_sources; i++)
            for (size_t f = 0; f < order[i]->n_families; f++)
                *at++ = (struct candidate){
                    .name = order[i]->families[f].name,
                    .precedence = i,
                    .source = (size_t)(order[i] - sources),
                    .family = f,
                };
        qsort(candidates, *n, sizeof *candidates, by_name_and_precedence);
    } else {
        free(candidates);
        candidates = NULL;
    }
    free(order);
    return candidates;
}

/* ---- conflicts ------------------------------------------------------------------------------------------------- */

static bool conflict(struct merged *merged, struct candidate *loser, const struct candidate *winner)
{
    loser->left_out = true;
    struct merged_conflict *grown = realloc(merged->conflicts, (merged->n_conflicts + 1) * sizeof *grown);
    if (!grown)
        return false;
    merged->conflicts = grown;
    grown[merged->n_conflicts++] = (struct merged_conflict){
        .source = loser->source,
        .family = loser->family,
        .with_source = winner->source,
        .with_family = winner->family,
    };
    return true;
}

static bool same_definition(const libshm_family_view *a, const libshm_family_view *b)
{
    return a->type == b->type && labels_same(a, b) && a->n_bounds == b->n_bounds &&
           (a->n_bounds == 0 || memcmp(a->bounds, b->bounds, a->n_bounds * sizeof *a->bounds) == 0);
}

/* Leaves out what is defined otherwise than by the first of the same name. */
static bool settle_definitions(struct merged *merged, struct candidate *candidates, size_t n,
                               const struct source *sources)
{
    for (size_t first = 0, i = 1; i < n; i++) {
        if (strcmp(candidates[i].name, candidates[first].name) != 0) {
            first = i;
            continue;
        }
        const libshm_family_view *a = &sources[candidates[first].source].families[candidates[first].family];
        const libshm_family_view *b = &sources[candidates[i].source].families[candidates[i].family];
        if (candidates[i].source == candidates[first].source || !same_definition(a, b))
            if (!conflict(merged, &candidates[i], &candidates[first]))
                return false;
    }
    return true;
}

static int by_claim(const void *a, const void *b)
{
    const struct claim *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    if (order)
        return order;
    if (x->owner->precedence != y->owner->precedence)
        return x->owner->precedence < y->owner->precedence ? -1 : 1;
    return strcmp(x->owner->name, y->owner->name);
}

#define CLAIMS_MAX 5u

/* The sample names of a family, and the names that it has in OpenMetrics: as parts of its name and suffixes. */
static size_t claims_of(const libshm_family_view *family, int *base, const char *suffixes[CLAIMS_MAX])
{
    static const char *const ends[] = {[LIBSHM_TYPE_COUNTER] = "_total", [LIBSHM_TYPE_INFO] = "_info"};
    const uint32_t type = family->type;
    const bool distribution = type == LIBSHM_TYPE_HISTOGRAM || type == LIBSHM_TYPE_SUMMARY;
    const char *end = type == LIBSHM_TYPE_COUNTER || type == LIBSHM_TYPE_INFO ? ends[type] : "";
    const size_t length = strlen(family->name), end_length = strlen(end);
    const bool ends_so = length > end_length && strcmp(family->name + length - end_length, end) == 0;
    size_t n = 0;
    *base = (int)(ends_so ? length - end_length : length);
    suffixes[n++] = "";
    if (*end)
        suffixes[n++] = end;
    if (distribution) {
        suffixes[n++] = "_sum";
        suffixes[n++] = "_count";
    }
    if (type == LIBSHM_TYPE_HISTOGRAM)
        suffixes[n++] = "_bucket";
    if (distribution || type == LIBSHM_TYPE_COUNTER)
        suffixes[n++] = "_created";
    return n;
}

/* Leaves out families with a sample name that a family of a higher precedence has. */
static bool settle_sample_names(struct merged *merged, struct candidate *candidates, size_t n,
                                const struct source *sources)
{
    struct claim *claims = calloc(CLAIMS_MAX * n + 1, sizeof *claims);
    size_t n_claims = 0;
    bool whole = claims != NULL;
    for (size_t i = 0; whole && i < n; i++) {
        if (candidates[i].left_out || (i && strcmp(candidates[i - 1].name, candidates[i].name) == 0))
            continue;
        const libshm_family_view *family = &sources[candidates[i].source].families[candidates[i].family];
        const char *suffixes[CLAIMS_MAX];
        int base;
        const size_t n_suffixes = claims_of(family, &base, suffixes);
        for (size_t s = 0; whole && s < n_suffixes; s++) {
            claims[n_claims].owner = &candidates[i];
            whole = asprintf(&claims[n_claims].name, "%.*s%s", base, family->name, suffixes[s]) >= 0;
            n_claims += whole;
        }
    }
    if (whole)
        qsort(claims, n_claims, sizeof *claims, by_claim);
    for (size_t first = 0, i = 1; whole && i < n_claims; i++) {
        if (strcmp(claims[i].name, claims[first].name) != 0 || claims[first].owner->left_out) {
            first = i;
            continue;
        }
        /* the definition that counts, and with it all that follow it */
        const char *name = claims[i].owner->name;
        for (struct candidate *c = claims[i].owner; whole && c < candidates + n && strcmp(c->name, name) == 0; c++)
            whole = c->left_out || conflict(merged, c, claims[first].owner);
    }
    for (size_t i = 0; i < n_claims; i++)
        free(claims[i].name);
    free(claims);
    return whole;
}

/* ---- the result ------------------------------------------------------------------------------------------------ */

static int by_source(const void *a, const void *b)
{
    const struct merged_part *x = a, *y = b;
    return x->source < y->source ? -1 : x->source > y->source;
}

static bool build(struct merged *merged, const struct candidate *candidates, size_t n)
{
    merged->families = calloc(n + 1, sizeof *merged->families);
    merged->parts = calloc(n + 1, sizeof *merged->parts);
    if (!merged->families || !merged->parts)
        return false;
    for (size_t i = 0; i < n;) {
        const size_t start = i;
        struct merged_part *parts = merged->parts + merged->n_parts;
        size_t n_parts = 0, winner = 0;
        for (; i < n && strcmp(candidates[i].name, candidates[start].name) == 0; i++) {
            if (candidates[i].left_out)
                continue;
            if (!n_parts)
                winner = candidates[i].source;
            parts[n_parts++] = (struct merged_part){.source = candidates[i].source, .family = candidates[i].family};
        }
        if (!n_parts)
            continue;
        qsort(parts, n_parts, sizeof *parts, by_source);
        struct merged_family *family = &merged->families[merged->n_families++];
        *family = (struct merged_family){.parts = parts, .n_parts = n_parts};
        while (parts[family->first].source != winner)
            family->first++;
        merged->n_parts += n_parts;
    }
    return true;
}

const struct merged *merger_merge(struct merger *merger, const struct source *sources, size_t n_sources)
{
    if (unchanged(merger, sources, n_sources))
        return &merger->merged;
    forget(merger);
    struct merged *merged = &merger->merged;
    merged->version++;
    size_t n;
    struct candidate *candidates = list_candidates(sources, n_sources, &n);
    merger->seen = calloc(n_sources + 1, sizeof *merger->seen);
    bool whole = candidates && merger->seen && settle_definitions(merged, candidates, n, sources) &&
                 settle_sample_names(merged, candidates, n, sources) && build(merged, candidates, n) &&
                 duplicates_find(merged, sources);
    free(candidates);
    if (!whole) {
        forget(merger);
        return NULL;
    }
    for (size_t i = 0; i < n_sources; i++)
        merger->seen[i] = (struct seen){.identity = sources[i].identity, .layout = sources[i].layout};
    merger->n_seen = n_sources;
    return merged;
}
