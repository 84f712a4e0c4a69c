/* SPDX-License-Identifier: Apache-2.0
 *
 * The reader's copy of series: labels, and where the cells are. */
#include <stdlib.h>
#include <string.h>

#include "libshm/reader_internal.h"
#include "libshm/text.h"

static struct libshm_reader_family *families(const struct libshm_reader *r)
{
    return r->families.data;
}

static struct libshm_reader_series *all_series(const struct libshm_reader *r)
{
    return r->series.data;
}

const struct libshm_series_entry *libshm_reader_series_entry(const struct libshm_reader *r, uint32_t number)
{
    return libshm_view_entry(&r->view, LIBSHM_TABLE_SERIES, &r->header.tables[LIBSHM_TABLE_SERIES], number);
}

bool libshm_reader_series_current(const struct libshm_reader *r, uint32_t number)
{
    const struct libshm_series_entry *entry = libshm_reader_series_entry(r, number);
    uint64_t status = entry ? libshm_reader_status(&entry->status) : 0;
    return libshm_reader_status_shown(status) && LIBSHM_STATUS_GENERATION(status) == all_series(r)[number].generation;
}

/* ---- series with the same labels ------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Of the family and the text block in the scratch, which is padded with what follows: `size` counts. */
static uint32_t hash_series(const struct libshm_reader *r, uint32_t family, uint32_t size)
{
    uint64_t hash = mix(r->seed ^ family, UINT64_C(0x9e3779b97f4a7c15) ^ size), word;
    for (uint32_t i = 0; i < size; i += 8) {
        memcpy(&word, r->scratch + i, 8);
        if (size - i < 8)
            word &= (UINT64_C(1) << (size - i) * 8) - 1;
        hash = mix(hash ^ word, r->seed | 1);
    }
    return (uint32_t)(hash ^ hash >> 32);
}

/* b's family is the one that it was copied with. */
static bool same_series(const struct libshm_reader *r, const struct libshm_reader_series *a,
                        const struct libshm_reader_series *b)
{
    if (a->hash != b->hash || a->family != b->family || a->definition != b->definition)
        return false;
    for (uint32_t i = 0; i < families(r)[b->family].view.n_labels; i++)
        if (strcmp(a->memory[i], b->memory[i]) != 0)
            return false;
    return true;
}

/* ---- the index: linear probing, a slot has a number only, the hash is with the series -- */

static uint32_t home(const struct libshm_reader *r, uint32_t hash)
{
    return (uint32_t)((uint64_t)hash * r->n_index >> 32);
}

static uint32_t next(const struct libshm_reader *r, uint32_t slot)
{
    return slot + 1 < r->n_index ? slot + 1 : 0;
}

/* How far behind `from`, in the order of probing. */
static uint32_t distance(const struct libshm_reader *r, uint32_t from, uint32_t slot)
{
    return slot >= from ? slot - from : slot + r->n_index - from;
}

/* Where a series is, or the empty slot where it would be. */
static uint32_t find_slot(const struct libshm_reader *r, uint32_t hash, uint32_t number)
{
    const uint32_t *slots = r->index.data;
    uint32_t i = home(r, hash);
    while (slots[i] != 0 && slots[i] != number)
        i = next(r, i);
    return i;
}

/* Room for all series of the table, at most 4/5 full. Honest labels do not collide, and the hash is keyed. */
static bool index_grow(struct libshm_reader *r, uint32_t count)
{
    if (r->n_index > 0 && count <= r->n_index / 5 * 4)
        return true;
    uint32_t n = r->n_index + r->n_index / 2;
    if (n < count + count / 4 + 16)
        n = count + count / 4 + 16;
    if (!libshm_array_grow(&r->index, n, sizeof(uint32_t)))
        return false;
    uint32_t *slots = r->index.data;
    r->n_index = n;
    memset(slots, 0, n * sizeof *slots);
    for (uint32_t i = 0; i < r->n_series; i++) {
        const struct libshm_reader_series *s = &all_series(r)[i];
        if (s->state == LIBSHM_GOOD)
            slots[find_slot(r, s->hash, i + 1)] = i + 1;
    }
    return true;
}

/* Without tombstones: what follows moves up. */
static void index_remove(struct libshm_reader *r, uint32_t at)
{
    uint32_t *slots = r->index.data;
    for (uint32_t i = next(r, at); slots[i] != 0; i = next(r, i))
        if (distance(r, home(r, all_series(r)[slots[i] - 1].hash), i) >= distance(r, at, i)) {
            slots[at] = slots[i];
            at = i;
        }
    slots[at] = 0;
}

/* The series with these labels that is in the index, number + 1; 0: none. */
static uint32_t find_same(const struct libshm_reader *r, const struct libshm_reader_series *s)
{
    const uint32_t *slots = r->index.data;
    for (uint32_t i = home(r, s->hash); slots[i] != 0; i = next(r, i))
        if (same_series(r, &all_series(r)[slots[i] - 1], s))
            return slots[i];
    return 0;
}

static void series_forget(struct libshm_reader *r, uint32_t number)
{
    struct libshm_reader_series *s = &all_series(r)[number];
    char **memory = s->memory;
    if (s->state == LIBSHM_GOOD) {
        index_remove(r, find_slot(r, s->hash, number + 1));
        r->text_bytes -= s->text_size;
    }
    memset(s, 0, sizeof *s);
    libshm_reader_linked();
    free(memory);
}

/* ---- series --------------------------------------------------------------------------------------------------- */

static uint32_t cells_of(const libshm_family_view *family)
{
    return family->type == LIBSHM_TYPE_HISTOGRAM ? family->n_bounds + 1 : 1;
}

/* Everything but the cells. `orphan`: its family is being removed, which is no problem. */
static bool check_series(struct libshm_reader *r, const struct libshm_series_entry *e, bool *orphan)
{
    *orphan = false;
    if (e->family >= r->n_families)
        return libshm_reader_reason(r, "family %u, and there are %u", e->family, r->n_families);
    const struct libshm_reader_family *f = &families(r)[e->family];
    if (f->state == LIBSHM_NOTHING && f->entry)
        *orphan = LIBSHM_STATUS_STATE(libshm_reader_status(&f->entry->status)) == LIBSHM_STATE_REMOVED;
    if (f->state != LIBSHM_GOOD)
        return libshm_reader_reason(r, "its family %u is %s", e->family,
                                    f->state == LIBSHM_BAD ? "passed over" : "not in use");
    bool live_gauge = f->view.type == LIBSHM_TYPE_GAUGE && f->view.gauge_mode != LIBSHM_GAUGE_SHARED;
    if (e->n_cells != cells_of(&f->view))
        return libshm_reader_reason(r, "%u cells, should be %u", e->n_cells, cells_of(&f->view));
    if (live_gauge != (e->group == LIBSHM_NO_GROUP))
        return libshm_reader_reason(r, "page group %u, should %sbe none", e->group, live_gauge ? "" : "not ");
    uint32_t n = f->view.n_labels;
    if (n == 0)
        return true;
    if (!libshm_reader_copy_text(r, e->text, e->text_size, n))
        return false;
    const char *value = r->scratch + n * 2;
    for (uint32_t i = 0; i < n; value += r->lengths[i], i++)
        if (r->lengths[i] > LIBSHM_MAX_LABEL_VALUE || !libshm_utf8_valid(value, r->lengths[i]))
            return libshm_reader_reason(r, "label value %u is not UTF-8 of up to %u bytes", i, LIBSHM_MAX_LABEL_VALUE);
    return r->text_bytes + e->text_size <= r->view.length ||
           libshm_reader_reason(r, "the texts together are longer than the file: they overlap");
}

/* What `cells` of an entry says, 0 if that is nowhere; which places are right is looked at with the groups. */
static uint32_t cells_place(const struct libshm_series_entry *e)
{
    if (e->group == LIBSHM_NO_GROUP)
        return e->cells <= UINT32_MAX ? (uint32_t)e->cells : 0;
    return e->cells % LIBSHM_CELL == 0 && e->cells / LIBSHM_CELL <= UINT32_MAX ? (uint32_t)(e->cells / LIBSHM_CELL) : 0;
}

static bool build_series(struct libshm_reader *r, const struct libshm_series_entry *e, uint32_t number, uint64_t status)
{
    struct libshm_reader_series *s = &all_series(r)[number];
    const struct libshm_reader_family *f = &families(r)[e->family];
    uint32_t n = f->view.n_labels, size = n * 2;
    char **values = NULL;
    if (n > 0) {
        for (uint32_t i = 0; i < n; i++)
            size += r->lengths[i];
        values = malloc(n * sizeof *values + size - n);
        if (!values)
            return false;
        char *to = (char *)(values + n);
        const char *from = r->scratch + n * 2;
        for (uint32_t i = 0; i < n; i++) {
            values[i] = to;
            memcpy(to, from, r->lengths[i]);
            from += r->lengths[i];
            to += r->lengths[i];
            *to++ = '\0';
        }
    }
    *s = (struct libshm_reader_series){
        .generation = LIBSHM_STATUS_GENERATION(status),
        .memory = values,
        .definition = f->definition,
        .cells = cells_place(e),
        .family = e->family,
        .group = e->group,
        .hash = hash_series(r, e->family, size),
        .text_size = n > 0 ? e->text_size : 0,
        .last_cell = (uint8_t)(e->n_cells - 1), /* 1 to 256, as the family has it */
        .hidden = LIBSHM_STATUS_STATE(status) == LIBSHM_STATE_HIDDEN,
    };
    libshm_reader_linked();
    return true;
}

/* Takes a built series into the index. Of two with the same labels the first one is kept. false: it is the second. */
static bool index_add(struct libshm_reader *r, uint32_t number)
{
    struct libshm_reader_series *s = &all_series(r)[number];
    uint32_t same = find_same(r, s);
    if (same != 0 && same < number + 1 && libshm_reader_series_current(r, same - 1)) {
        series_forget(r, number);
        return libshm_reader_reason(r, "series %u has the same labels", same - 1);
    }
    if (same != 0)
        series_forget(r, same - 1); /* gone by now; or it has the higher number, and is looked at next */
    ((uint32_t *)r->index.data)[find_slot(r, s->hash, number + 1)] = number + 1;
    r->text_bytes += s->text_size;
    s->state = LIBSHM_GOOD;
    return true;
}

/* Copies one series whose copy is not up to date. */
static int copy_series(struct libshm_reader *r, uint32_t number, const struct libshm_series_entry *entry)
{
    series_forget(r, number);
    for (int tries = 0; tries < LIBSHM_COPY_TRIES; tries++) {
        uint64_t status = libshm_reader_status(&entry->status);
        if (!libshm_reader_status_shown(status))
            return 0;
        struct libshm_series_entry e;
        bool orphan;
        libshm_reader_copy(&e, entry, sizeof e);
        int error = libshm_reader_follow_family(r, e.family);
        if (error)
            return error;
        bool good = check_series(r, &e, &orphan);
        if (libshm_reader_unchanged(&entry->status, status) && (good || !libshm_reader_grown(r))) {
            if (good && !build_series(r, &e, number, status))
                return libshm_reader_no_memory(r);
            if (!(good && index_add(r, number)) && !orphan) {
                all_series(r)[number].state = LIBSHM_BAD;
                libshm_reader_problem(r, r->problem, "series", number, entry);
                r->bad_series++;
            }
            return 0;
        }
        r->snapshot.retried_series++;
    }
    r->again = true;
    return 0;
}

int libshm_reader_follow_series(struct libshm_reader *r)
{
    uint32_t count = r->header.tables[LIBSHM_TABLE_SERIES].count;
    if (count > r->n_series && !libshm_array_grow(&r->series, count, sizeof(struct libshm_reader_series)))
        return libshm_reader_no_memory(r);
    for (uint32_t n = count; n < r->n_series; n++)
        series_forget(r, n);
    r->n_series = count;
    if (!index_grow(r, count))
        return libshm_reader_no_memory(r);
    const uint32_t per_leaf = 4 * LIBSHM_PAGE / sizeof(struct libshm_series_entry);
    const struct libshm_series_entry *leaf = NULL;
    for (uint32_t n = 0; n < count; n++) {
        if (n % per_leaf == 0) {
            leaf = libshm_reader_series_entry(r, n);
            if (!leaf && libshm_reader_grown(r))
                leaf = libshm_reader_series_entry(r, n);
        }
        struct libshm_reader_series *s = &all_series(r)[n];
        if (!leaf) {
            series_forget(r, n);
            s->state = LIBSHM_BAD;
            libshm_reader_reason(r, "its part of the table is not in the file");
            libshm_reader_problem(r, r->problem, "series", n, NULL);
            r->bad_series++;
            continue;
        }
        const struct libshm_series_entry *entry = &leaf[n % per_leaf];
        uint64_t status = libshm_reader_status(&entry->status);
        if (s->state == LIBSHM_NOTHING ? !libshm_reader_status_shown(status)
                                       : s->state != LIBSHM_BAD && libshm_reader_status_shown(status) &&
                                             s->generation == LIBSHM_STATUS_GENERATION(status) &&
                                             s->definition == families(r)[s->family].definition) {
            s->hidden = LIBSHM_STATUS_STATE(status) == LIBSHM_STATE_HIDDEN;
            continue;
        }
        int error = copy_series(r, n, entry);
        if (error)
            return error;
    }
    return 0;
}
