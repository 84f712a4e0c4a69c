/* SPDX-License-Identifier: Apache-2.0
 *
 * What a snapshot shows. The views of most families are where the layout put them. Dynamic families, those with a TTL,
 * with hidden series or with a value a process, get theirs anew every time. */
#include <time.h>

#include "libshm/reader_internal.h"

static struct libshm_reader_family *families(const struct libshm_reader *r)
{
    return r->families.data;
}

static struct libshm_reader_series *all_series(const struct libshm_reader *r)
{
    return r->series.data;
}

/* Not kept: it is in the entry. Who uses it looks afterwards whether the entry is still what was copied. */
static uint64_t created(const struct libshm_reader *r, uint32_t number)
{
    const struct libshm_series_entry *entry = libshm_reader_series_entry(r, number);
    uint64_t ns = entry ? __atomic_load_n(&entry->created_ns, __ATOMIC_RELAXED) : 0;
    const struct libshm_reader_family *f = &families(r)[all_series(r)[number].family];
    bool gauge = libshm_reader_value_kind(&f->view) == LIBSHM_VALUE_GAUGE; /* a reset keeps gauges */
    return gauge || ns > r->incarnation_ns ? ns : r->incarnation_ns;
}

libshm_series_view libshm_reader_new_view(const struct libshm_reader *r, uint32_t number)
{
    static const char *const none[1];
    const struct libshm_reader_series *s = &all_series(r)[number];
    return (libshm_series_view){
        .generation = s->generation,
        .number = number,
        .label_values = s->memory ? (const char *const *)s->memory : none,
        .created_ns = created(r, number),
    };
}

/* After a reset. */
static void renew(const struct libshm_reader *r, libshm_series_view *view)
{
    uint64_t ns = created(r, view->number);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (libshm_reader_series_current(r, view->number))
        view->created_ns = ns;
}

static bool visible(const struct libshm_reader *r, const struct libshm_reader_dynamic *d, const libshm_family_view *f,
                    uint64_t now)
{
    uint64_t status = __atomic_load_n(&d->entry->status, __ATOMIC_ACQUIRE);
    uint32_t state = LIBSHM_STATUS_STATE(status);
    if (d->lost || (state != LIBSHM_STATE_LIVE && state != LIBSHM_STATE_HIDDEN) ||
        LIBSHM_STATUS_GENERATION(status) != all_series(r)[d->number].generation)
        return false;
    if (d->live) /* goes with its processes, whatever the TTL */
        return f->gauge_mode == LIBSHM_GAUGE_SUM || d->processes > 0;
    /* A sweep stores the time before the fingerprint: with a new fingerprint comes its time. */
    uint64_t fingerprint = __atomic_load_n(&d->entry->fingerprint, __ATOMIC_ACQUIRE);
    uint64_t moved = __atomic_load_n(&d->entry->moved_ns, __ATOMIC_RELAXED);
    if (fingerprint != d->fingerprint)
        return true;
    return state == LIBSHM_STATE_LIVE && (f->ttl_ns == 0 || now <= moved || now - moved <= f->ttl_ns);
}

/* One more view of a dynamic series; *changed when there was another in its place. */
static bool add_moving(struct libshm_reader *r, const libshm_series_view *view, size_t before, bool *changed)
{
    if (!libshm_array_grow(&r->moving, r->n_moving + 1, sizeof *view))
        return false;
    libshm_series_view *old = (libshm_series_view *)r->moving.data + r->n_moving;
    if (r->n_moving >= before || old->number != view->number || old->process != view->process)
        *changed = true;
    *old = *view;
    r->n_moving++;
    return true;
}

static bool show_series(struct libshm_reader *r, const struct libshm_reader_dynamic *d, const libshm_family_view *f,
                        size_t before, bool *changed)
{
    libshm_series_view view = libshm_reader_new_view(r, d->number);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (!libshm_reader_series_current(r, d->number))
        return true;
    view.integer = d->value.integer;
    view.fractional = d->value.fractional;
    if (d->value.buckets)
        view.buckets = d->value.buckets;
    r->snapshot.cells_used += libshm_reader_n_cells(&all_series(r)[d->number]);
    if (!d->live || f->gauge_mode != LIBSHM_GAUGE_ALL)
        return add_moving(r, &view, before, changed);
    const struct libshm_reader_share *share = (const struct libshm_reader_share *)r->all.data + d->first_all;
    const libshm_process_view *processes = r->processes.data;
    for (uint32_t i = 0; i < d->processes; i++) {
        view.fractional = share[i].value;
        view.pid = processes[share[i].process].pid;
        view.pid_ns = processes[share[i].process].pid_ns;
        view.process = processes[share[i].process].serial;
        if (!add_moving(r, &view, before, changed))
            return false;
    }
    return true;
}

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int libshm_reader_show(struct libshm_reader *r)
{
    size_t before = r->n_moving;
    bool changed = false;
    uint64_t now = monotonic_ns();
    const uint32_t *order = r->order.data;
    libshm_family_view *shown = r->shown.data;
    bool incarnation = r->incarnation_ns != r->header.incarnation_ns;
    r->incarnation_ns = r->header.incarnation_ns;
    r->n_moving = 0;
    r->snapshot.n_series = 0;
    r->snapshot.cells_used = r->fixed_cells;
    for (uint32_t i = 0; i < r->n_shown; i++) {
        struct libshm_reader_family *f = &families(r)[order[i]];
        shown[i].overflowed = __atomic_load_n(&f->entry->overflowed, __ATOMIC_RELAXED);
        if (!f->dynamic) {
            libshm_series_view *views = (libshm_series_view *)r->views.data + f->first;
            for (uint32_t n = 0; incarnation && n < shown[i].n_series; n++)
                renew(r, &views[n]);
            r->snapshot.n_series += shown[i].n_series;
            continue;
        }
        size_t first = r->n_moving;
        for (uint32_t n = 0; n < f->shown; n++) {
            const struct libshm_reader_dynamic *d = (struct libshm_reader_dynamic *)r->dynamic.data + f->first + n;
            if (visible(r, d, &f->view, now) && !show_series(r, d, &f->view, before, &changed))
                return libshm_reader_no_memory(r);
        }
        changed = changed || shown[i].n_series != r->n_moving - first;
        shown[i].n_series = r->n_moving - first;
        r->snapshot.n_series += shown[i].n_series;
    }
    size_t at = 0;
    for (uint32_t i = 0; i < r->n_shown; i++) { /* the array is where it stays now */
        if (!families(r)[order[i]].dynamic)
            continue;
        shown[i].series =
            at < r->n_moving ? (libshm_series_view *)r->moving.data + at : NULL; /* no array yet: no sum */
        at += shown[i].n_series;
    }
    if (changed || before != r->n_moving)
        r->snapshot.layout_version++;
    return 0;
}

void libshm_reader_drop_changed(struct libshm_reader *r)
{
    libshm_family_view *shown = r->shown.data;
    for (uint32_t i = 0; i < r->n_shown; i++) {
        const struct libshm_reader_family *f = &families(r)[((uint32_t *)r->order.data)[i]];
        libshm_series_view *views = (libshm_series_view *)r->views.data + f->first;
        size_t kept = 0;
        for (size_t n = 0; !f->dynamic && n < shown[i].n_series; n++)
            if (libshm_reader_series_current(r, views[n].number))
                views[kept++] = views[n];
        if (!f->dynamic)
            shown[i].n_series = kept;
    }
    r->snapshot.layout_version++;
}
