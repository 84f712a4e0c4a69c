/* SPDX-License-Identifier: Apache-2.0
 *
 * What a scrape's request says: Accept, Accept-Encoding, and names in its query, one a line. */
#include "exporter/compress.h"
#include "exporter/format.h"
#include "exporter/negotiate.h"
#include "exporter/selection.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void select_names(char *rest)
{
    static const char *const labels[] = {"segment"}, *const values[] = {"shop"};
    static const libshm_series_view series = {.label_values = values};
    struct selection selection = {0}, other = {0};
    char *name;
    while ((name = strsep(&rest, "\n"))) {
        if (*name == '@' ? !selection_add_segment(&selection, name + 1) : !selection_add_name(&selection, name))
            break;
        if (*name == '@')
            (void)selection_add_segment(&other, name + 1);
        else
            (void)selection_add_name(&other, name);
    }
    check(selection.n_names <= SELECTION_MAX && selection.n_segments <= SELECTION_MAX);
    check(selection_equal(&selection, &other));
    check(selection_all(&selection) == (selection.n_names + selection.n_segments == 0));
    for (uint32_t type = LIBSHM_TYPE_COUNTER; type <= LIBSHM_TYPE_UNKNOWN; type++) {
        libshm_family_view family = {.type = type,
                                     .name = type == LIBSHM_TYPE_COUNTER ? "a_total" : "a_seconds",
                                     .help = "",
                                     .unit = "",
                                     .label_names = labels,
                                     .n_labels = 1,
                                     .series = &series,
                                     .n_series = 1};
        bool has = selection_has_family(&selection, &family);
        check(selection.n_names > 0 || has);
        (void)selection_has_own_series(&selection, &family, &series);
    }
    check(selection.n_segments > 0 || selection_has_segment(&selection, "shop"));
    selection_clear(&selection);
    selection_clear(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *rest = text, type[CONTENT_TYPE_MAX];
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    const char *accept = strsep(&rest, "\n"), *encoding = rest ? strsep(&rest, "\n") : NULL;
    struct content content = negotiate_content(accept);
    check(content.exposition < EXPOSITIONS && content.escaping < ESCAPINGS && content_format(content) < FORMATS);
    content_type(content, type);
    check(memchr(type, 0, sizeof type) && !strpbrk(type, "\r\n"));
    check(negotiate_coding(encoding) < CODINGS);
    select_names(rest);
    free(text);
    return 0;
}
