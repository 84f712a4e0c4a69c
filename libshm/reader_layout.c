/* SPDX-License-Identifier: Apache-2.0
 *
 * Which series is shown in which place, and the plan by which cells are read. Made anew when the directory changed; in
 * between, only the views of dynamic families change: those with a TTL, with hidden series, or with a value a process.
 */
#include <stdlib.h>
#include <string.h>

#include "libshm/reader_internal.h"

static struct libshm_reader_family *families(const struct libshm_reader *r)
{
    return r->families.data;
}

static struct libshm_reader_series *all_series(const struct libshm_reader *r)
{
    return r->series.data;
}

static struct libshm_reader_group *groups(const struct libshm_reader *r)
{
    return r->groups.data;
}

/* ---- families in the order of their names ---------------------------------------------------------------------- */

static int by_name(const void *a, const void *b, void *context)
{
    const struct libshm_reader_family *f = context;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    int order = strcmp(f[x].view.name, f[y].view.name);
    return order != 0 ? order : x < y ? -1 : 1;
}

static bool family_current(const struct libshm_reader_family *f)
{
    uint64_t status = __atomic_load_n(&f->entry->status, __ATOMIC_ACQUIRE);
    return LIBSHM_STATUS_STATE(status) == LIBSHM_STATE_LIVE && LIBSHM_STATUS_GENERATION(status) == f->generation;
}

static int order_families(struct libshm_reader *r)
{
    struct libshm_reader_family *f = families(r);
    r->n_shown = 0;
    if (!libshm_array_grow(&r->order, r->n_families + 1u, sizeof(uint32_t)) ||
        !libshm_array_grow(&r->shown, r->n_families + 1u, sizeof(libshm_family_view)))
        return libshm_reader_no_memory(r);
    uint32_t *order = r->order.data, n = 0;
    for (uint32_t i = 0; i < r->n_families; i++) {
        f[i].shown = f[i].filled = 0;
        f[i].dynamic = f[i].duplicate = false;
        if (f[i].state == LIBSHM_GOOD)
            order[n++] = i;
    }
    qsort_r(order, n, sizeof *order, by_name, f);
    for (uint32_t i = 0; i < n; i++) {
        struct libshm_reader_family *first = r->n_shown > 0 ? &f[order[r->n_shown - 1]] : NULL, *next = &f[order[i]];
        if (!first || strcmp(first->view.name, next->view.name) != 0) {
            order[r->n_shown++] = order[i];
            continue;
        }
        next->duplicate = true;
        if (!family_current(first) || !family_current(next)) {
            r->again = true; /* one replaces the other at this moment */
            continue;
        }
        libshm_reader_reason(r, "the same name as family %u, %s", first->view.number, first->view.name);
        libshm_reader_problem(r, r->problem, "family", next->view.number, next->entry);
        r->bad_families++;
    }
    return 0;
}

/* ---- where cells are ------------------------------------------------------------------------------------------ */

/* Page groups never change and do not overlap, so together they are no longer than the file. */
static int copy_groups(struct libshm_reader *r)
{
    const struct libshm_header *header = r->map;
    struct libshm_table *table = &r->header.tables[LIBSHM_TABLE_GROUPS];
    uint32_t count = __atomic_load_n(&header->tables[LIBSHM_TABLE_GROUPS].count, __ATOMIC_ACQUIRE);
    libshm_reader_grown(r); /* everything that a copied series refers to is there by now */
    if (count <= r->view.length / sizeof(struct libshm_group)) {
        table->count = count;
        table->root = __atomic_load_n(&header->tables[LIBSHM_TABLE_GROUPS].root, __ATOMIC_RELAXED);
    }
    r->n_groups = table->count;
    if (!libshm_array_grow(&r->groups, r->n_groups + 1u, sizeof(struct libshm_reader_group)))
        return libshm_reader_no_memory(r);
    uint64_t pages_left = r->view.length / LIBSHM_PAGE;
    for (uint32_t n = 0; n < r->n_groups; n++) {
        struct libshm_reader_group *g = &groups(r)[n];
        const struct libshm_group *entry = libshm_view_entry(&r->view, LIBSHM_TABLE_GROUPS, table, n);
        *g = (struct libshm_reader_group){.first_cell = LIBSHM_CELLS_PER_PAGE};
        if (!entry)
            continue;
        struct libshm_group e;
        libshm_reader_copy(&e, entry, sizeof e);
        uint32_t pages = 1u + e.atomic_lanes + e.cpu_lanes;
        g->base = libshm_view_at(&r->view, e.base, (uint64_t)pages * LIBSHM_PAGE, LIBSHM_PAGE);
        if (!g->base || e.atomic_lanes == 0 || e.atomic_lanes > LIBSHM_MAX_ATOMIC_LANES ||
            (e.atomic_lanes & (e.atomic_lanes - 1)) != 0 || e.cpu_lanes > LIBSHM_MAX_CPU_LANES || pages > pages_left)
            continue;
        pages_left -= pages;
        g->pages = pages;
        g->atomic_lanes = e.atomic_lanes;
        g->cpu_lanes = e.cpu_lanes;
    }
    return 0;
}

/* The cell of a series in its group, or a reason. */
static bool find_cells(struct libshm_reader *r, const struct libshm_reader_series *s, uint32_t *cell)
{
    if (s->group >= r->n_groups || groups(r)[s->group].pages == 0)
        return libshm_reader_reason(r, "page group %u is not one of the %u, or not in the file", s->group, r->n_groups);
    const struct libshm_reader_group *g = &groups(r)[s->group];
    uint64_t lane0 = (uint64_t)(g->base - r->view.base) + (1u + (uint64_t)g->atomic_lanes) * LIBSHM_PAGE;
    uint64_t at = (uint64_t)s->cells * LIBSHM_CELL - lane0; /* below it: that wraps */
    if (at >= LIBSHM_PAGE || at / LIBSHM_CELL + libshm_reader_n_cells(s) > LIBSHM_CELLS_PER_PAGE) {
        const struct libshm_series_entry *e = libshm_reader_series_entry(r, (uint32_t)(s - all_series(r)));
        return libshm_reader_reason(
            r, "%u cells at offset %llu are not in lane 0 of page group %u", libshm_reader_n_cells(s),
            (unsigned long long)(e ? __atomic_load_n(&e->cells, __ATOMIC_RELAXED) : 0), s->group);
    }
    *cell = (uint32_t)(at / LIBSHM_CELL);
    return true;
}

/* ---- places --------------------------------------------------------------------------------------------------- */

#define MOST_LIVE_CELLS (UINT32_C(1) << 20) /* one a series, and so many series there can be */

struct sizes {
    size_t views, dynamic, asleep, buckets, items, live;
};

/* Hidden, and nothing but a first update will show it: its family need not become dynamic for it. */
static bool asleep(const struct libshm_reader_series *s, const libshm_family_view *family)
{
    return s->hidden && !s->moved && family->ttl_ns == 0 && !libshm_reader_live_gauge(family);
}

/* Decides which series have a place and counts them, a family and a group. */
static void count_series(struct libshm_reader *r, struct sizes *sizes)
{
    uint64_t cells_left = r->view.length / (2 * LIBSHM_CELL); /* each has a baseline and a lane of its own */
    for (uint32_t n = 0; n < r->n_series; n++) {
        struct libshm_reader_series *s = &all_series(r)[n];
        s->placed = false;
        if (s->state != LIBSHM_GOOD)
            continue;
        struct libshm_reader_family *f = &families(r)[s->family];
        bool live = libshm_reader_live_gauge(&f->view);
        uint32_t cell = 0;
        bool good = true;
        if (f->duplicate)
            good = libshm_reader_reason(r, "its family %u is passed over", s->family);
        if (good && live && (s->cells == 0 || s->cells > MOST_LIVE_CELLS))
            good = libshm_reader_reason(r, "live cell %u, should be 1 to %u", s->cells, MOST_LIVE_CELLS);
        else if (good && !live)
            good = find_cells(r, s, &cell);
        if (good && !live && libshm_reader_n_cells(s) > cells_left)
            good = libshm_reader_reason(r, "the cells together are longer than the file: they overlap");
        if (!good) {
            if (!libshm_reader_series_current(r, n)) {
                r->again = true;
                continue;
            }
            libshm_reader_problem(r, r->problem, "series", n, libshm_reader_series_entry(r, n));
            r->bad_series++;
            continue;
        }
        s->placed = true;
        if (asleep(s, &f->view))
            sizes->asleep++;
        else
            f->shown++;
        if (live || f->view.ttl_ns != 0)
            f->dynamic = true;
        if (live) {
            sizes->live++;
            continue;
        }
        struct libshm_reader_group *g = &groups(r)[s->group];
        cells_left -= libshm_reader_n_cells(s);
        sizes->items++;
        g->n_items++;
        g->first_cell = cell < g->first_cell ? (uint16_t)cell : g->first_cell;
        g->end_cell = cell + s->last_cell >= g->end_cell ? (uint16_t)(cell + libshm_reader_n_cells(s)) : g->end_cell;
        if (libshm_reader_value_kind(&f->view) == LIBSHM_VALUE_BUCKETS)
            sizes->buckets += libshm_reader_n_cells(s);
    }
}

/* Gives every family the place of its first series, and every group that of its first item. */
static void place_families(struct libshm_reader *r, struct sizes *sizes)
{
    const uint32_t *order = r->order.data;
    uint32_t item = 0;
    for (uint32_t i = 0; i < r->n_shown; i++) {
        struct libshm_reader_family *f = &families(r)[order[i]];
        size_t *next = f->dynamic ? &sizes->dynamic : &sizes->views;
        f->first = (uint32_t)*next;
        *next += f->shown;
    }
    for (uint32_t n = 0; n < r->n_groups; n++) {
        groups(r)[n].first_item = item;
        item += groups(r)[n].n_items;
        groups(r)[n].n_items = 0;
    }
}

/* Puts a series into its place and its item into the plan. */
static void place_series(struct libshm_reader *r, uint32_t number, struct libshm_cell **buckets)
{
    const struct libshm_reader_series *s = &all_series(r)[number];
    struct libshm_reader_family *f = &families(r)[s->family];
    struct libshm_cell *own = NULL;
    bool sleeps = asleep(s, &f->view), dynamic = f->dynamic || sleeps;
    uint32_t place = sleeps ? r->n_dynamic + r->n_asleep++ : f->first + f->filled++, cell = 0;
    enum libshm_value_kind kind = libshm_reader_value_kind(&f->view);
    bool live = libshm_reader_live_gauge(&f->view);
    if (kind == LIBSHM_VALUE_BUCKETS) {
        own = *buckets;
        *buckets += libshm_reader_n_cells(s);
    }
    if (dynamic) {
        ((struct libshm_reader_dynamic *)r->dynamic.data)[place] = (struct libshm_reader_dynamic){
            .value.buckets = own, .entry = libshm_reader_series_entry(r, number), .number = number, .live = live};
    } else {
        libshm_series_view *view = (libshm_series_view *)r->views.data + place;
        *view = libshm_reader_new_view(r, number);
        if (own)
            view->buckets = own;
        r->fixed_cells += libshm_reader_n_cells(s);
    }
    if (live) {
        ((struct libshm_reader_live *)r->live.data)[r->n_live++] =
            (struct libshm_reader_live){.generation = s->generation, .number = s->cells - 1, .dynamic = place};
        return;
    }
    struct libshm_reader_group *g = &groups(r)[s->group];
    find_cells(r, s, &cell);
    ((struct libshm_reader_item *)r->items.data)[g->first_item + g->n_items++] = (struct libshm_reader_item){
        .place = place, .cell = (uint8_t)cell, .last_cell = s->last_cell, .kind = (uint8_t)kind, .dynamic = dynamic};
}

static int by_live_cell(const void *a, const void *b)
{
    const struct libshm_reader_live *x = a, *y = b;
    return x->number != y->number ? (x->number < y->number ? -1 : 1) : x->dynamic < y->dynamic ? -1 : 1;
}

/* A live cell belongs to one series. */
static void order_live(struct libshm_reader *r)
{
    struct libshm_reader_live *live = r->live.data;
    uint32_t kept = 0;
    qsort(live, r->n_live, sizeof *live, by_live_cell);
    for (uint32_t i = 0; i < r->n_live; i++) {
        if (kept == 0 || live[kept - 1].number != live[i].number) {
            live[kept++] = live[i];
            continue;
        }
        struct libshm_reader_dynamic *d = (struct libshm_reader_dynamic *)r->dynamic.data + live[i].dynamic;
        d->lost = true;
        libshm_reader_reason(r, "its live cell %u is that of another series", live[i].number + 1);
        libshm_reader_problem(r, r->problem, "series", d->number, d->entry);
        r->bad_series++;
    }
    r->n_live = kept;
}

int libshm_reader_layout(struct libshm_reader *r)
{
    struct sizes sizes = {0};
    r->n_views = r->n_dynamic = r->n_asleep = r->n_items = r->n_live = r->n_groups = 0;
    r->fixed_cells = 0;
    int error = order_families(r);
    if (!error)
        error = copy_groups(r);
    if (error)
        return error;
    count_series(r, &sizes);
    place_families(r, &sizes);
    if (!libshm_array_grow(&r->views, sizes.views + 1, sizeof(libshm_series_view)) ||
        !libshm_array_grow(&r->dynamic, sizes.dynamic + sizes.asleep + 1, sizeof(struct libshm_reader_dynamic)) ||
        !libshm_array_grow(&r->buckets, sizes.buckets + 1, sizeof(struct libshm_cell)) ||
        !libshm_array_grow(&r->items, sizes.items + 1, sizeof(struct libshm_reader_item)) ||
        !libshm_array_grow(&r->live, sizes.live + 1, sizeof(struct libshm_reader_live)) ||
        !libshm_array_grow(&r->shares, sizes.live + 1, sizeof(struct libshm_reader_share)))
        return libshm_reader_no_memory(r);
    r->incarnation_ns = r->header.incarnation_ns;
    r->n_dynamic = (uint32_t)sizes.dynamic;
    struct libshm_cell *buckets = r->buckets.data;
    for (uint32_t n = 0; n < r->n_series; n++)
        if (all_series(r)[n].placed)
            place_series(r, n, &buckets);
    order_live(r);
    libshm_family_view *shown = r->shown.data;
    for (uint32_t i = 0; i < r->n_shown; i++) {
        const struct libshm_reader_family *f = &families(r)[((uint32_t *)r->order.data)[i]];
        shown[i] = f->view;
        shown[i].series = f->dynamic ? NULL : (libshm_series_view *)r->views.data + f->first;
        shown[i].n_series = f->dynamic ? 0 : f->shown;
    }
    r->n_views = sizes.views;
    r->n_items = (uint32_t)sizes.items;
    r->snapshot.layout_version++;
    return 0;
}

bool libshm_reader_woken(struct libshm_reader *r)
{
    bool woken = false;
    for (uint32_t i = 0; i < r->n_asleep; i++) {
        const struct libshm_reader_dynamic *d = (struct libshm_reader_dynamic *)r->dynamic.data + r->n_dynamic + i;
        if (d->fingerprint == __atomic_load_n(&d->entry->fingerprint, __ATOMIC_ACQUIRE))
            continue;
        all_series(r)[d->number].moved = true;
        woken = true;
    }
    return woken;
}
