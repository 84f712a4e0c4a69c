/* SPDX-License-Identifier: Apache-2.0
 *
 * Which handle has which name, and which tally is this process's. */
#include "tallied.h"

#include <stdio.h>
#include <stdlib.h>

#define METRICS_MAX 64

static struct {
    const void *handle;
    const char *name;
    const char *const *labels;
} metrics[METRICS_MAX];
static size_t n_metrics;
static struct tally *own_tally;

void tallied_use(struct tally *tally)
{
    own_tally = tally;
}

void tallied_register(const void *handle, const char *name, const char *const *labels)
{
    size_t i = 0;
    while (i < n_metrics && metrics[i].handle != handle)
        i++;
    if (i == METRICS_MAX)
        return; /* its first receipt complains */
    metrics[i].handle = handle;
    metrics[i].name = name;
    metrics[i].labels = labels;
    n_metrics += i == n_metrics;
}

void tallied_receipt(const void *handle, const char *suffix, const char *const *values, double v)
{
    if (!own_tally)
        return;
    size_t i = 0;
    while (i < n_metrics && metrics[i].handle != handle)
        i++;
    char name[LIBSHM_MAX_NAME + 8];
    /* A witness that missed an update is none: "unregistered" in the truth file is in no /metrics. */
    snprintf(name, sizeof(name), "%s%s", i < n_metrics ? metrics[i].name : "unregistered", suffix);
    tally_add(own_tally, name, i < n_metrics ? metrics[i].labels : NULL, values, v);
}
