/* SPDX-License-Identifier: Apache-2.0
 *
 * The first translation unit: defines the metrics, updates them from both, checks the values. */
#include "inline_user.h"

#include <cstdio>

static int check(int error, const char *what)
{
    if (error)
        std::fprintf(stderr, "%s: %s: %s\n", what, libshm_strerror(error), libshm_error_detail());
    return error;
}

int main()
{
    static const double bounds[] = {1, 2, 5};
    libshm_metric counter = libshm_metric(), histogram = libshm_metric(), gauge = libshm_metric();
    counter.name = "cxx_events_total";
    counter.help = "Events.";
    histogram.name = "cxx_size";
    histogram.help = "Sizes.";
    histogram.bounds = bounds;
    histogram.n_bounds = 3;
    gauge.name = "cxx_active";
    gauge.help = "Active.";

    libshm_segment *segment;
    Metrics metrics = Metrics();
    if (check(libshm_open("cxx", nullptr, &segment), "open") ||
        check(libshm_counter_define(segment, &counter, &metrics.events), "counter") ||
        check(libshm_histogram_define(segment, &histogram, &metrics.sizes), "histogram") ||
        check(libshm_gauge_define(segment, &gauge, &metrics.active), "gauge"))
        return 1;

    metrics.event(1);
    change_active(metrics, 2);
    observe_twice(metrics, 3);
    other_unit(metrics);
    {
        LIBSHM_TIME_SCOPE(&metrics.sizes);
        LIBSHM_PROGRESS_SCOPE(&metrics.active);
    }

    uint64_t count;
    double sum;
    libshm_histogram_value(&metrics.sizes, &count, &sum);
    const double events = libshm_counter_value(&metrics.events), active = libshm_gauge_value(&metrics.active);
    const bool right = events == 10 && active == 4 && count == 9 && sum >= 18 && sum < 19;
    if (!right)
        std::fprintf(stderr, "events %g (10), active %g (4), count %llu (9), sum %g (18 and a moment)\n", events,
                     active, static_cast<unsigned long long>(count), sum);
    libshm_close(segment);
    return right ? 0 : 1;
}
