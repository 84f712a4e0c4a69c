#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
#
# client_python, normal or (with PROMETHEUS_MULTIPROC_DIR set) multiprocess: the questions that libshm is asked.
import os
import random
import shutil
import statistics
import sys
import tempfile
import time

folder = None
if "--multiprocess" in sys.argv:
    folder = tempfile.mkdtemp(prefix="python-", dir=os.environ.get("BENCH_DIRECTORY"))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder

import prometheus_client as client  # after the environment is set

PREFIX = "client_python_multiprocess" if folder else "client_python"
BOUNDS_10 = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
BOUNDS_20 = (0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15,
             0.25, 0.35, 0.5, 0.75, 1, 1.5, 2.5, 3.5, 5, 6.5)
N = 2000


def measure(name, update):
    """Median of chunks, nanoseconds a call; `update` is a list of N calls' arguments and the function."""
    function, arguments = update
    chunks = []
    for _ in range(15):
        start = time.perf_counter_ns()
        for argument in arguments:
            function(argument)
        chunks.append((time.perf_counter_ns() - start) / len(arguments))
    print(f"{PREFIX}_{name}_ns\t{statistics.median(chunks):.6g}\tns")
    return 15 * len(arguments)


def total(name):
    """The sum of the samples of this name, as a scrape gives them."""
    registry = client.REGISTRY
    if folder:
        from prometheus_client import multiprocess
        registry = client.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
    return sum(sample.value for metric in registry.collect() for sample in metric.samples if sample.name == name)


def check(name, done):
    if total(name) != done:
        sys.exit(f"client_python.py: {name}: counted {total(name)}, but {done} were done")


def scrape(n):
    family = client.Counter("bench_requests", "Bench.", ["path", "code"])
    children = [family.labels(f"/api/v1/item/{i // 5}", str(200 + i % 5)) for i in range(n)]
    took = []
    registry = client.REGISTRY
    if folder:
        from prometheus_client import multiprocess
        registry = client.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
    for _ in range(3):
        for child in children:
            child.inc()
        start = time.perf_counter_ns()
        text = client.generate_latest(registry)
        took.append((time.perf_counter_ns() - start) / 1e6)
        assert text.count(b"\nbench_requests_total{") == n
    print(f"{PREFIX}_render_{n // 1000}k_ms\t{statistics.median(took):.6g}\tms")


def main():
    if "--scrape" in sys.argv:
        scrape(int(sys.argv[sys.argv.index("--scrape") + 1]))
        return
    counter = client.Counter("c", "Bench.")
    gauge = client.Gauge("g", "Bench.")
    h10 = client.Histogram("h10", "Bench.", buckets=BOUNDS_10)
    h20 = client.Histogram("h20", "Bench.", buckets=BOUNDS_20)
    family = client.Counter("f", "Bench.", ["profile", "phase"])
    values = [random.random() * random.random() * 8 for _ in range(N)]
    labels = [(f"profile-{random.randrange(4)}", f"phase-{random.randrange(8)}") for _ in range(N)]
    many = [(f"profile-{random.randrange(79)}", f"phase-{random.randrange(128)}") for _ in range(N)]
    done = measure("counter", (counter.inc, [1] * N))
    check("c_total", done)
    measure("gauge_set", (gauge.set, values))
    check("g", values[-1])
    check("h10_count", measure("histogram_10_random", (h10.observe, values)))
    check("h20_count", measure("histogram_20_random", (h20.observe, values)))
    for pair in many:
        family.labels(*pair)
    done = measure("lookup_2_labels_32", (lambda pair: family.labels(*pair).inc(), labels))
    done += measure("lookup_2_labels_10000", (lambda pair: family.labels(*pair).inc(), many))
    check("f_total", done)


try:
    main()
finally:
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
