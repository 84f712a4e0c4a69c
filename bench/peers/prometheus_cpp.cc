/* SPDX-License-Identifier: Apache-2.0
 *
 * prometheus-cpp beside libshm, the same questions: counter, histogram, look-up by two labels, two writers on one
 * metric. With --scrape N: a scrape of N series. */
#include "bench.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <libshm.h>
#include <memory>
#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <string>
#include <vector>

static const std::vector<double> bounds_10 = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5};
static const std::vector<double> bounds_20 = {.001, .0025, .005, .0075, .01, .025, .05, .075, .1, .15,
                                              .25,  .35,   .5,   .75,   1,   1.5,  2.5, 3.5,  5,  6.5};
static double values[65536];

static void counter(void *context, long n)
{
    auto &c = *static_cast<prometheus::Counter *>(context);
    for (long i = 0; i < n; i++)
        c.Increment();
}

static void gauge(void *context, long n)
{
    auto &g = *static_cast<prometheus::Gauge *>(context);
    for (long i = 0; i < n; i++)
        g.Set((double)i);
}

static void histogram(void *context, long n)
{
    auto &h = *static_cast<prometheus::Histogram *>(context);
    for (long i = 0; i < n; i++)
        h.Observe(values[i & 65535]);
}

struct lookup {
    prometheus::Family<prometheus::Counter> *family;
    std::vector<std::pair<std::string, std::string>> labels;
    std::vector<unsigned> pick;
    size_t next;
};

static void look_up(void *context, long n)
{
    auto &l = *static_cast<lookup *>(context);
    for (long i = 0; i < n; i++) {
        const auto &pair = l.labels[l.pick[l.next++ & 65535]];
        l.family->Add({{"profile", pair.first}, {"phase", pair.second}}).Increment();
    }
}

static lookup *lookup_new(prometheus::Registry &registry, const char *name, unsigned n, unsigned columns)
{
    auto *l = new lookup{&prometheus::BuildCounter().Name(name).Help("Bench.").Register(registry), {}, {}, 0};
    for (unsigned i = 0; i < n; i++) {
        l->labels.emplace_back("profile-" + std::to_string(i / columns), "phase-" + std::to_string(i % columns));
        l->family->Add({{"profile", l->labels[i].first}, {"phase", l->labels[i].second}});
    }
    uint64_t random = n;
    for (int i = 0; i < 65536; i++)
        l->pick.push_back((unsigned)(bench_random(&random) % n));
    return l;
}

static int scrape(unsigned n)
{
    prometheus::Exposer exposer("127.0.0.1:0");
    auto registry = std::make_shared<prometheus::Registry>();
    auto &family = prometheus::BuildCounter().Name("bench_requests_total").Help("Bench.").Register(*registry);
    std::vector<prometheus::Counter *> counters;
    for (unsigned i = 0; i < n; i++)
        counters.push_back(
            &family.Add({{"path", "/api/v1/item/" + std::to_string(i / 5)}, {"code", std::to_string(200 + i % 5)}}));
    exposer.RegisterCollectable(registry);
    int port = exposer.GetListeningPorts().at(0);
    size_t size = 512u << 20, length;
    auto *buffer = static_cast<char *>(malloc(size));
    for (bool gzip : {false, true}) {
        std::vector<double> ms;
        for (int s = -1; s < 5; s++) {
            for (auto *one : counters)
                one->Increment(s + 3);
            double took = (gzip ? bench_scrape_gzip : bench_scrape)(port, buffer, size, &length) / 1e6;
            if (s >= 0)
                ms.push_back(took);
        }
        if (gzip)
            bench_gunzip(buffer, size, length);
        size_t lines = 0;
        for (const char *at = buffer; (at = strstr(at, "\nbench_requests_total{")); at++)
            lines++;
        bench_check("series in the scrape", (double)lines, n);
        std::string name = "prometheus_cpp_scrape_" + std::to_string(n / 1000) + (gzip ? "k_gzip_ms" : "k_identity_ms");
        bench_report(name.c_str(), bench_median(ms.data(), ms.size()), "ms");
    }
    return 0;
}

/* libshm's in the same process, for the ratio. */
static void shm_counter(void *context, long n)
{
    for (long i = 0; i < n; i++)
        libshm_counter_add(static_cast<libshm_counter *>(context), 1);
}

static void shm_histogram(void *context, long n)
{
    for (long i = 0; i < n; i++)
        libshm_histogram_observe(static_cast<libshm_histogram *>(context), values[i & 65535]);
}

static void compare()
{
    libshm_segment *segment;
    libshm_counter shm_count;
    libshm_histogram shm_observed;
    libshm_metric count = {}, observed = {};
    count.name = "count_total";
    observed.name = "observed";
    count.help = observed.help = "Bench.";
    observed.bounds = bounds_10.data();
    observed.n_bounds = bounds_10.size();
    if (libshm_open("bench", nullptr, &segment) || libshm_counter_define(segment, &count, &shm_count) ||
        libshm_histogram_define(segment, &observed, &shm_observed))
        bench_die("%s", libshm_error_detail());
    prometheus::Registry registry;
    auto &c = prometheus::BuildCounter().Name("c_total").Help("Bench.").Register(registry).Add({});
    auto &g = prometheus::BuildGauge().Name("g").Help("Bench.").Register(registry).Add({});
    auto &h10 = prometheus::BuildHistogram().Name("h10").Help("Bench.").Register(registry).Add({}, bounds_10);
    auto &h20 = prometheus::BuildHistogram().Name("h20").Help("Bench.").Register(registry).Add({}, bounds_20);
    auto *few = lookup_new(registry, "few_total", 32, 8), *many = lookup_new(registry, "many_total", 10000, 128);
    bench_case cases[] = {
        {"counter_inlined", shm_counter, &shm_count, 0, 0, 0},
        {"prometheus_cpp_counter", counter, &c, 0, 0, 0},
        {"histogram_10_random", shm_histogram, &shm_observed, 0, 0, 0},
        {"prometheus_cpp_histogram_10_random", histogram, &h10, 0, 0, 0},
        {"prometheus_cpp_histogram_20_random", histogram, &h20, 0, 0, 0},
        {"prometheus_cpp_gauge_set", gauge, &g, 0, 0, 0},
        {"prometheus_cpp_lookup_2_labels_32", look_up, few, 0, 0, 0},
        {"prometheus_cpp_lookup_2_labels_10000", look_up, many, 0, 0, 0},
    };
    bench_measure(cases, BENCH_COUNT(cases), 15);
    bench_check("prometheus-cpp counter", c.Value(), (double)cases[1].done);
    bench_check("prometheus-cpp histogram", (double)h10.Collect().histogram.sample_count, (double)cases[3].done);
    bench_check("prometheus-cpp histogram", (double)h20.Collect().histogram.sample_count, (double)cases[4].done);
    bench_report_cases(cases, BENCH_COUNT(cases));

    bench_case pair[] = {
        {"counter", shm_counter, &shm_count, 0, 0, 0},
        {"prometheus_cpp_counter", counter, &c, 0, 0, 0},
        {"histogram_10_random", shm_histogram, &shm_observed, 0, 0, 0},
        {"prometheus_cpp_histogram_10_random", histogram, &h10, 0, 0, 0},
    };
    double alone[BENCH_COUNT(pair)];
    bench_measure_beside(pair, BENCH_COUNT(pair), 5, 1, alone);
    bench_check("prometheus-cpp counter", c.Value(), (double)(cases[1].done + pair[1].done));
    bench_check("libshm counter", libshm_counter_value(&shm_count), (double)(cases[0].done + pair[0].done));
    bench_check("prometheus-cpp histogram, two threads", (double)h10.Collect().histogram.sample_count,
                (double)(cases[3].done + pair[3].done));
    uint64_t observations;
    double sum;
    libshm_histogram_value(&shm_observed, &observations, &sum);
    bench_check("libshm histogram", (double)observations, (double)(cases[2].done + pair[2].done));
    bench_report_beside(pair, BENCH_COUNT(pair), 1, alone);
    libshm_close(segment);
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "--scrape"))
        return scrape((unsigned)strtoul(argv[2], nullptr, 10));
    bench_pin(1);
    bench_pin(0);
    bench_directory();
    uint64_t random = 1;
    for (double &value : values) {
        double a = (double)(bench_random(&random) >> 11) * 0x1p-53, b = (double)(bench_random(&random) >> 11) * 0x1p-53;
        value = a * b * 8;
    }
    compare();
    return 0;
}
