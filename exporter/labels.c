/* SPDX-License-Identifier: Apache-2.0
 *
 * Labels as they are exposed, see labels.h. */
#include "labels.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static uint64_t own_namespace;

static void find_own_namespace(void)
{
    struct stat status;
    if (stat("/proc/self/ns/pid", &status) == 0)
        own_namespace = status.st_ino;
}

uint64_t labels_own_pid_namespace(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_own_namespace);
    return own_namespace;
}

static bool taken(const struct labels *labels, const libshm_family_view *family, const char *name)
{
    for (size_t i = 0; i < labels->n; i++)
        if (strcmp(labels->label[i].name, name) == 0)
            return true;
    for (uint32_t i = 0; i < family->n_labels; i++)
        if (strcmp(family->label_names[i], name) == 0)
            return true;
    return false;
}

static void add(struct labels *labels, enum label_origin origin, const char *name)
{
    struct label *label = &labels->label[labels->n++];
    label->place.origin = origin;
    snprintf(label->name, sizeof label->name, "%s", name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct label *)a)->name, ((const struct label *)b)->name);
}

void labels_plan(struct labels *labels, const libshm_family_view *family, bool segment)
{
    labels->n = 0;
    if (segment)
        add(labels, LABEL_SEGMENT, "segment");
    if (family->type == LIBSHM_TYPE_GAUGE && family->gauge_mode == LIBSHM_GAUGE_ALL) {
        add(labels, LABEL_PID, "pid");
        add(labels, LABEL_PID_NS, "pid_ns");
    }
    const size_t added = labels->n;
    for (uint32_t i = 0; i < family->n_labels; i++) {
        char name[LABELS_NAME_MAX];
        size_t prefix = 0;
        snprintf(name, sizeof name, "%s", family->label_names[i]);
        for (size_t a = 0; a < added; a++) {
            if (strcmp(labels->label[a].name, name) != 0)
                continue;
            do {
                memmove(name + 9, name, strlen(name) + 1);
                memcpy(name, "exported_", 9);
            } while (taken(labels, family, name) && ++prefix < LIBSHM_MAX_LABELS);
            break;
        }
        labels->label[labels->n].place.index = i;
        add(labels, LABEL_OWN, name);
    }
    qsort(labels->label, labels->n, sizeof *labels->label, by_name);
}

const char *labels_value(const struct label_place *place, const struct source *source, const libshm_series_view *series,
                         char text[24])
{
    switch (place->origin) {
    case LABEL_OWN:
        return series->label_values[place->index];
    case LABEL_SEGMENT:
        return source->segment;
    case LABEL_PID:
        snprintf(text, 24, "%" PRIu32, series->pid);
        return text;
    case LABEL_PID_NS:
        if (series->pid_ns == labels_own_pid_namespace())
            return NULL;
        snprintf(text, 24, "%" PRIu64, series->pid_ns);
        return text;
    }
    return NULL;
}

static bool has_label(const libshm_family_view *family, const char *name)
{
    for (uint32_t i = 0; i < family->n_labels; i++)
        if (strcmp(family->label_names[i], name) == 0)
            return true;
    return false;
}

bool labels_same(const libshm_family_view *a, const libshm_family_view *b)
{
    if (a->n_labels != b->n_labels)
        return false;
    for (uint32_t i = 0; i < a->n_labels; i++)
        if (!has_label(b, a->label_names[i]))
            return false;
    const bool a_pid = a->type == LIBSHM_TYPE_GAUGE && a->gauge_mode == LIBSHM_GAUGE_ALL;
    const bool b_pid = b->type == LIBSHM_TYPE_GAUGE && b->gauge_mode == LIBSHM_GAUGE_ALL;
    return a_pid == b_pid;
}
