/* SPDX-License-Identifier: Apache-2.0
 *
 * libshm's updates with a witness: tallied_X() is libshm_X(), and then the same number into this process's tally.
 *
 * Only this demo needs them, to prove that nothing is lost. In a program of your own write libshm_ for tallied_. */
#ifndef ORCHESTRATOR_TALLIED_H
#define ORCHESTRATOR_TALLIED_H

#include "tally.h"

#include <libshm.h>

/* Where this process tallies from now on. */
void tallied_use(struct tally *tally);

/* Makes a handle (by its address) or a family known under the name and labels of its definition. */
void tallied_register(const void *handle, const char *name, const char *const *labels);

/* For the updates below: adds v to `name` + suffix of a handle that was registered; without a tally does nothing. */
void tallied_receipt(const void *handle, const char *suffix, const char *const *values, double v);

static inline void tallied_counter_add(const libshm_counter *counter, uint64_t n)
{
    libshm_counter_add(counter, n);
    tallied_receipt(counter, "", NULL, (double)n);
}

static inline void tallied_counter_add_with(libshm_family *family, const char *const *values, uint64_t n)
{
    libshm_counter_add_with(family, values, n);
    tallied_receipt(family, "", values, (double)n);
}

static inline void tallied_counter_add_double_with(libshm_family *family, const char *const *values, double v)
{
    v = tally_exact(v);
    libshm_counter_add_double_with(family, values, v);
    tallied_receipt(family, "", values, v);
}

static inline void tallied_histogram_observe(const libshm_histogram *histogram, double v)
{
    v = tally_exact(v);
    libshm_histogram_observe(histogram, v);
    tallied_receipt(histogram, "_count", NULL, 1);
    tallied_receipt(histogram, "_sum", NULL, v);
}

static inline void tallied_histogram_observe_with(libshm_family *family, const char *const *values, double v)
{
    v = tally_exact(v);
    libshm_histogram_observe_with(family, values, v);
    tallied_receipt(family, "_count", values, 1);
    tallied_receipt(family, "_sum", values, v);
}

static inline void tallied_timer_observe(libshm_timer *timer)
{
    tallied_histogram_observe(timer->histogram, libshm_timer_seconds(timer));
}

#define TALLIED_TIME_SCOPE(histogram)                                                                                  \
    __attribute__((cleanup(tallied_timer_observe), unused)) libshm_timer LIBSHM_JOIN(tallied_timer_, __LINE__) =       \
        libshm_timer_start(histogram)

#endif
