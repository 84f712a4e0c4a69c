/* SPDX-License-Identifier: Apache-2.0
 *
 * The reader's copy of families: definitions and their texts. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libshm/reader_internal.h"
#include "libshm/text.h"

static struct libshm_reader_family *families(const struct libshm_reader *r)
{
    return r->families.data;
}

static const struct libshm_family_entry *family_entry(const struct libshm_reader *r, uint32_t number)
{
    return libshm_view_entry(&r->view, LIBSHM_TABLE_FAMILIES, &r->header.tables[LIBSHM_TABLE_FAMILIES], number);
}

static void family_forget(struct libshm_reader *r, struct libshm_reader_family *f)
{
    void *memory = f->memory;
    if (f->state == LIBSHM_GOOD)
        r->text_bytes -= f->text_size;
    memset(f, 0, sizeof *f);
    free(memory);
}

static bool check_definition(struct libshm_reader *r, const struct libshm_family_entry *e)
{
    if (e->type < LIBSHM_TYPE_COUNTER || e->type > LIBSHM_TYPE_UNKNOWN)
        return libshm_reader_reason(r, "type %u, should be 1 to %u", e->type, LIBSHM_TYPE_UNKNOWN);
    if (e->gauge_mode > (e->type == LIBSHM_TYPE_GAUGE ? LIBSHM_GAUGE_ALL : LIBSHM_GAUGE_SHARED))
        return libshm_reader_reason(r, "gauge mode %u with type %u", e->gauge_mode, e->type);
    if (e->n_labels > LIBSHM_MAX_LABELS || (e->type == LIBSHM_TYPE_STATESET && e->n_labels == 0))
        return libshm_reader_reason(r, "%u labels, should be at most %u", e->n_labels, LIBSHM_MAX_LABELS);
    if (e->n_bounds > (e->type == LIBSHM_TYPE_HISTOGRAM ? LIBSHM_MAX_BOUNDS : 0))
        return libshm_reader_reason(r, "%u bounds with type %u", e->n_bounds, e->type);
    return true;
}

/* Strings and bounds of the family whose text is in the scratch. */
static bool check_family_text(struct libshm_reader *r, const struct libshm_family_entry *e)
{
    const char *text = r->scratch + (3u + e->n_labels) * 2;
    if (!libshm_metric_name_valid(text, r->lengths[0]))
        return libshm_reader_reason(r, "its name is not [a-zA-Z_:][a-zA-Z0-9_:]*, up to %u bytes", LIBSHM_MAX_NAME);
    text += r->lengths[0];
    if (r->lengths[1] > LIBSHM_MAX_HELP || !libshm_utf8_valid(text, r->lengths[1]))
        return libshm_reader_reason(r, "its help is not UTF-8 of up to %u bytes", LIBSHM_MAX_HELP);
    text += r->lengths[1];
    for (uint32_t i = 0; i < r->lengths[2]; i++) {
        char digit_is_fine[2] = {'_', text[i]};
        if (r->lengths[2] > LIBSHM_MAX_UNIT || !libshm_metric_name_valid(digit_is_fine, 2))
            return libshm_reader_reason(r, "its unit is not [a-zA-Z0-9_:]*, up to %u bytes", LIBSHM_MAX_UNIT);
    }
    text += r->lengths[2];
    const char *label[LIBSHM_MAX_LABELS];
    for (uint32_t i = 0; i < e->n_labels; text += r->lengths[3 + i], i++) {
        label[i] = text;
        if (!libshm_label_name_valid(text, r->lengths[3 + i]))
            return libshm_reader_reason(r, "label name %u is invalid or reserved", i);
        for (uint32_t j = 0; j < i; j++)
            if (r->lengths[3 + j] == r->lengths[3 + i] && memcmp(label[j], text, r->lengths[3 + i]) == 0)
                return libshm_reader_reason(r, "label names %u and %u are the same", j, i);
    }
    size_t at = ((size_t)(text - r->scratch) + 7) & ~(size_t)7;
    if (e->n_bounds > 0 && at + e->n_bounds * sizeof(double) > e->text_size)
        return libshm_reader_reason(r, "%u bounds do not fit into its text of %u bytes", e->n_bounds, e->text_size);
    double before = -INFINITY, bound;
    for (uint32_t i = 0; i < e->n_bounds; i++, before = bound) {
        memcpy(&bound, r->scratch + at + i * sizeof bound, sizeof bound);
        if (!isfinite(bound) || bound <= before)
            return libshm_reader_reason(r, "bound %u is not finite or not above the one before", i);
    }
    return true;
}

/* Makes the view of a family from the checked scratch: one block of pointers, bounds and strings. */
static bool build_family(struct libshm_reader *r, struct libshm_reader_family *f, const struct libshm_family_entry *e,
                         uint32_t number, uint64_t status)
{
    uint32_t n_strings = 3u + e->n_labels;
    size_t bytes = 0, source = n_strings * 2;
    for (uint32_t i = 0; i < n_strings; i++)
        bytes += r->lengths[i] + 1u;
    const char **strings = malloc(n_strings * sizeof *strings + e->n_bounds * sizeof(double) + bytes);
    if (!strings)
        return false;
    double *bounds = (double *)(void *)(strings + n_strings);
    char *to = (char *)(bounds + e->n_bounds);
    for (uint32_t i = 0; i < n_strings; i++) {
        memcpy(to, r->scratch + source, r->lengths[i]);
        strings[i] = to;
        source += r->lengths[i];
        to += r->lengths[i];
        *to++ = '\0';
    }
    memcpy(bounds, r->scratch + ((source + 7) & ~(size_t)7), e->n_bounds * sizeof *bounds);
    f->memory = strings;
    f->state = LIBSHM_GOOD;
    f->generation = LIBSHM_STATUS_GENERATION(status);
    f->definition = ++r->definitions;
    f->text_size = e->text_size;
    r->text_bytes += e->text_size;
    f->view = (libshm_family_view){
        .generation = f->generation,
        .number = number,
        .type = e->type,
        .gauge_mode = e->gauge_mode,
        .n_labels = e->n_labels,
        .n_bounds = e->n_bounds,
        .max_series = e->max_series,
        .ttl_ns = e->ttl_ns,
        .created_ns = e->created_ns,
        .name = strings[0],
        .help = strings[1],
        .unit = strings[2],
        .label_names = strings + 3,
        .bounds = bounds,
    };
    libshm_reader_linked();
    return true;
}

static bool check_family(struct libshm_reader *r, const struct libshm_family_entry *e)
{
    return check_definition(r, e) && libshm_reader_copy_text(r, e->text, e->text_size, 3u + e->n_labels) &&
           check_family_text(r, e) &&
           (r->text_bytes + e->text_size <= r->view.length ||
            libshm_reader_reason(r, "the texts together are longer than the file: they overlap"));
}

/* Brings the copy of one family up to date. */
static int follow_family(struct libshm_reader *r, uint32_t number)
{
    struct libshm_reader_family *f = &families(r)[number];
    const struct libshm_family_entry *entry = family_entry(r, number);
    if (!entry && libshm_reader_grown(r))
        entry = family_entry(r, number);
    f->entry = entry;
    for (int tries = 0; entry && tries < LIBSHM_COPY_TRIES; tries++) {
        uint64_t status = libshm_reader_status(&entry->status);
        bool live = LIBSHM_STATUS_STATE(status) == LIBSHM_STATE_LIVE;
        if (f->state == LIBSHM_GOOD && live && f->generation == LIBSHM_STATUS_GENERATION(status)) {
            f->view.max_series = __atomic_load_n(&entry->max_series, __ATOMIC_RELAXED);
            f->view.ttl_ns = __atomic_load_n(&entry->ttl_ns, __ATOMIC_RELAXED);
            return 0;
        }
        family_forget(r, f);
        f->entry = entry;
        if (!live)
            return 0;
        struct libshm_family_entry e;
        libshm_reader_copy(&e, entry, sizeof e);
        bool good = check_family(r, &e);
        if (!libshm_reader_unchanged(&entry->status, status) || (!good && libshm_reader_grown(r)))
            continue;
        if (good)
            return build_family(r, f, &e, number, status) ? 0 : libshm_reader_no_memory(r);
        f->state = LIBSHM_BAD;
        f->generation = LIBSHM_STATUS_GENERATION(status);
        libshm_reader_problem(r, r->problem, "family", number, entry);
        r->bad_families++;
        return 0;
    }
    family_forget(r, f);
    if (entry) {
        r->again = true;
        return 0;
    }
    f->state = LIBSHM_BAD;
    libshm_reader_reason(r, "its part of the table is not in the file");
    libshm_reader_problem(r, r->problem, "family", number, NULL);
    r->bad_families++;
    return 0;
}

int libshm_reader_follow_families(struct libshm_reader *r)
{
    uint32_t count = r->header.tables[LIBSHM_TABLE_FAMILIES].count;
    if (count > r->n_families && !libshm_array_grow(&r->families, count, sizeof(struct libshm_reader_family)))
        return libshm_reader_no_memory(r);
    for (uint32_t n = count; n < r->n_families; n++)
        family_forget(r, &families(r)[n]);
    r->n_families = count;
    for (uint32_t n = 0; n < count; n++) {
        int error = follow_family(r, n);
        if (error)
            return error;
    }
    return 0;
}

int libshm_reader_follow_family(struct libshm_reader *r, uint32_t number)
{
    if (number >= r->n_families) {
        const struct libshm_header *header = r->map;
        struct libshm_table *table = &r->header.tables[LIBSHM_TABLE_FAMILIES];
        uint32_t count = __atomic_load_n(&header->tables[LIBSHM_TABLE_FAMILIES].count, __ATOMIC_ACQUIRE);
        if (number >= count || count > r->view.length / sizeof(struct libshm_family_entry))
            return 0;
        table->count = count;
        table->root = __atomic_load_n(&header->tables[LIBSHM_TABLE_FAMILIES].root, __ATOMIC_RELAXED);
        if (!libshm_array_grow(&r->families, count, sizeof(struct libshm_reader_family)))
            return libshm_reader_no_memory(r);
        r->n_families = count; /* those in between are followed when they are needed */
    }
    return families(r)[number].state == LIBSHM_NOTHING ? follow_family(r, number) : 0;
}
