/* SPDX-License-Identifier: Apache-2.0
 *
 * Inline functions with updates in them, which two translation units share: the linker keeps one copy of each, and must
 * drop the restartable sequences of the other together with it. */
#ifndef INLINE_USER_H
#define INLINE_USER_H

#include <libshm.h>
#include <libshm/reader.h>

struct Metrics {
    libshm_counter events;
    libshm_histogram sizes;
    libshm_gauge active;

    void event(double size) const
    {
        libshm_counter_inc(&events);
        libshm_counter_add_double(&events, 0.25);
        libshm_histogram_observe(&sizes, size);
    }
};

inline void change_active(const Metrics &metrics, double by)
{
    libshm_gauge_add(&metrics.active, by);
    metrics.event(by);
}

template <typename Number> void observe_twice(const Metrics &metrics, Number size)
{
    metrics.event(static_cast<double>(size));
    metrics.event(static_cast<double>(size));
}

void other_unit(const Metrics &metrics);

#endif
