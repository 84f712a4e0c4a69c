/* SPDX-License-Identifier: Apache-2.0
 *
 * What a request wants to see, see selection.h. */
#include "selection.h"

#include <stdlib.h>
#include <string.h>

static bool add(char **list, size_t *n, const char *text)
{
    if (*n == SELECTION_MAX || !(list[*n] = strdup(text)))
        return false;
    ++*n;
    return true;
}

bool selection_add_name(struct selection *selection, const char *name)
{
    return add(selection->names, &selection->n_names, name);
}

bool selection_add_segment(struct selection *selection, const char *name)
{
    return add(selection->segments, &selection->n_segments, name);
}

void selection_clear(struct selection *selection)
{
    while (selection->n_names)
        free(selection->names[--selection->n_names]);
    while (selection->n_segments)
        free(selection->segments[--selection->n_segments]);
}

bool selection_all(const struct selection *selection)
{
    return selection->n_names == 0 && selection->n_segments == 0;
}

static bool same_list(char *const *a, size_t n_a, char *const *b, size_t n_b)
{
    if (n_a != n_b)
        return false;
    for (size_t i = 0; i < n_a; i++)
        if (strcmp(a[i], b[i]) != 0)
            return false;
    return true;
}

bool selection_equal(const struct selection *a, const struct selection *b)
{
    return same_list(a->names, a->n_names, b->names, b->n_names) &&
           same_list(a->segments, a->n_segments, b->segments, b->n_segments);
}

static bool is_sample_of(const char *name, const libshm_family_view *family)
{
    static const char *const suffixes[] = {"_bucket", "_sum", "_count", "_created", "_total", "_info"};
    const size_t n = strlen(family->name);
    if (strcmp(name, family->name) == 0)
        return true;
    if (strncmp(name, family->name, n) == 0) {
        const bool distribution = family->type == LIBSHM_TYPE_HISTOGRAM || family->type == LIBSHM_TYPE_SUMMARY;
        for (size_t i = family->type == LIBSHM_TYPE_HISTOGRAM ? 0 : 1; distribution && i < 4; i++)
            if (strcmp(name + n, suffixes[i]) == 0)
                return true;
        return false;
    }
    /* OpenMetrics calls the counter x_total x */
    const size_t length = strlen(name);
    const char *rest = strncmp(name, family->name, length) == 0 ? family->name + length : "";
    return (family->type == LIBSHM_TYPE_COUNTER && strcmp(rest, "_total") == 0) ||
           (family->type == LIBSHM_TYPE_INFO && strcmp(rest, "_info") == 0);
}

bool selection_has_family(const struct selection *selection, const libshm_family_view *family)
{
    for (size_t i = 0; i < selection->n_names; i++)
        if (is_sample_of(selection->names[i], family))
            return true;
    return selection->n_names == 0;
}

bool selection_has_segment(const struct selection *selection, const char *name)
{
    for (size_t i = 0; i < selection->n_segments; i++)
        if (strcmp(selection->segments[i], name) == 0)
            return true;
    return selection->n_segments == 0;
}

bool selection_has_own_series(const struct selection *selection, const libshm_family_view *family,
                              const libshm_series_view *series)
{
    if (selection->n_segments == 0)
        return true;
    for (uint32_t i = 0; i < family->n_labels; i++)
        if (strcmp(family->label_names[i], "segment") == 0)
            return selection_has_segment(selection, series->label_values[i]);
    return false;
}
