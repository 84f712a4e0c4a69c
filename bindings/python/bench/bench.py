#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""libshm against prometheus_client, both in one run.

    make bench-python        or: PYTHONPATH=build/python bindings/python/bench/bench.py [--generations=1000] [--plot=FILE]

Updates: the least of many short series of calls in a loop, in CPU time, as ns a call with the loop. Every figure comes
from fresh processes, the three libraries in turn, and the middle of `--rounds` of them is shown.

Scrapes: --series counters, all of them fed by each of --processes processes, while nothing runs; then again while
generations of workers come, count a hundred of the series and die. CPU time of generate_latest(), the least of three. Results go to build/bench/python.tsv (name, value, unit) and, with matplotlib, into a plot."""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

UPDATES = """
import sys, time, timeit
{imports}
counter = Counter("plain", "Plain.")
labelled = Counter("labelled", "Labelled.", ["method", "code"])
histogram = Histogram("seconds", "Seconds.", buckets=(.1, .25, .5, 1, 2.5, 5, 10, 25, 50, 100))
gauge = Gauge("gauge", "Gauge.")
child = labelled.labels("GET", "200")
for name, statement in (("inc", "counter.inc()"), ("child_inc", "child.inc()"),
                        ("labels_inc", "labelled.labels('GET', '200').inc()"),
                        ("labels_by_name_inc", "labelled.labels(method='GET', code='200').inc()"),
                        ("observe", "histogram.observe(0.3)"), ("gauge_set", "gauge.set(1.5)")):
    n = 20000
    best = min(timeit.repeat(statement, globals=globals(), number=n, repeat=25, timer=time.process_time))
    print(name, best / n * 1e9)
"""
CLIENT = "from prometheus_client import Counter, Gauge, Histogram"
LIBRARIES = {
    "libshm": ("from libshm import Counter, Gauge, Histogram", {}),
    "client": (CLIENT, {}),
    "client_multiprocess": (CLIENT, {"PROMETHEUS_MULTIPROC_DIR": "{directory}"}),
}


def scratch():
    return tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)


def measure_updates(rounds):
    """{library: {operation: ns}}"""
    found = {library: {} for library in LIBRARIES}
    for _ in range(rounds):
        for library, (imports, environment) in LIBRARIES.items():
            with scratch() as directory:
                environment = {key: value.format(directory=directory) for key, value in environment.items()}
                output = subprocess.run([sys.executable, "-c", UPDATES.format(imports=imports)], check=True, text=True,
                                        stdout=subprocess.PIPE,
                                        env={**os.environ, "LIBSHM_DIR": directory, **environment}).stdout
            for line in output.splitlines():
                name, value = line.split()
                found[library].setdefault(name, []).append(float(value))
    return {library: {name: statistics.median(values) for name, values in operations.items()}
            for library, operations in found.items()}


# ---- scrapes: run in a process of their own, one for each library ---------------------------------------------------------
def make_counter(library, series):
    if library == "libshm":
        from libshm import Counter
        return Counter("requests", "Requests.", ["path", "code"], max_series=2 * series)
    from prometheus_client import Counter
    return Counter("requests", "Requests.", ["path", "code"], registry=None)


def scrape(library):
    if library == "libshm":
        import libshm
        return libshm.generate_latest()
    from prometheus_client import CollectorRegistry, generate_latest, multiprocess
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return generate_latest(registry)


def feed(counter, first, n, series):
    for i in range(first, first + n):
        i %= series
        counter.labels(f"/path/{i // 10}", str(200 + i % 10)).inc()


def in_child(function, *arguments):
    child = os.fork()
    if child == 0:
        try:
            function(*arguments)
        finally:
            os._exit(0)
    return child


def best_of(n, library):
    times = []
    for _ in range(n):
        start = time.process_time()
        scrape(library)
        times.append(time.process_time() - start)
    return min(times) * 1e3


def measure_scrapes(library, series, processes, generations):
    """Prints `generation milliseconds lines`."""
    counter = make_counter(library, series)
    for child in [in_child(feed, counter, 0, series, series) for _ in range(processes)]:
        os.waitpid(child, 0)
    steps = 10
    for generation in range(generations + 1):
        if generation:
            os.waitpid(in_child(feed, counter, generation * 100, 100, series), 0)
        if generation % max(1, generations // steps) == 0:
            text = scrape(library)
            total = sum(float(line.rpartition(b" ")[2]) for line in text.splitlines() if line.startswith(b"requests_total{"))
            if total != series * processes + 100 * generation:
                sys.exit(f"{library}: {total} of {series * processes + 100 * generation} increments are there")
            print(generation, best_of(3, library), text.count(b"\nrequests_total{"), flush=True)


def run_scrapes(library, options):
    with scratch() as directory:
        output = subprocess.run([sys.executable, __file__, "--scrape", library, f"--series={options.series}",
                                 f"--processes={options.processes}", f"--generations={options.generations}"],
                                check=True, text=True, stdout=subprocess.PIPE,
                                env={**os.environ, "LIBSHM_DIR": directory, "PROMETHEUS_MULTIPROC_DIR": directory}).stdout
    return [(int(generation), float(ms)) for generation, ms, _ in map(str.split, output.splitlines())]


def plot(path, scrapes, options):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "libshm", "font.size": 10})
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
    for library, label, style in (("client", "prometheus_client, multiprocess mode", "o-"), ("libshm", "libshm", "s-")):
        axes.plot(*zip(*scrapes[library]), style, label=label, markersize=3)
    axes.set(yscale="log", xlabel="workers that have come and gone", ylabel="generate_latest(), CPU ms",
             title=f"Scrape of {options.series:,} series, first fed by {options.processes} processes")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--series", type=int, default=10000)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--generations", type=int, default=1000)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--scrape", choices=("libshm", "client"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.scrape:
        return measure_scrapes(options.scrape, options.series, options.processes, options.generations)

    rows = []
    updates = measure_updates(options.rounds)
    print(f"{'ns a call':22}" + "".join(f"{library:>22}" for library in LIBRARIES))
    for name in updates["libshm"]:
        print(f"{name:22}" + "".join(f"{updates[library][name]:22.0f}" for library in LIBRARIES))
        rows += [(f"python_{library}_{name}_ns", updates[library][name], "ns") for library in LIBRARIES]
    scrapes = {library: run_scrapes(library, options) for library in ("libshm", "client")}
    print(f"\n{'scrape, ms':22}{'libshm':>22}{'client_multiprocess':>22}")
    for (generation, ours), (_, theirs) in zip(scrapes["libshm"], scrapes["client"]):
        print(f"after {generation:<16}{ours:22.2f}{theirs:22.1f}")
    first, last = (scrapes["libshm"][0][1], scrapes["client"][0][1]), (scrapes["libshm"][-1][1], scrapes["client"][-1][1])
    rows += [("python_libshm_scrape_ms", first[0], "ms"), ("python_client_multiprocess_scrape_ms", first[1], "ms"),
             ("python_client_multiprocess_scrape/python_libshm_scrape", first[1] / first[0], "ratio"),
             ("python_libshm_scrape_aged/python_libshm_scrape", last[0] / first[0], "ratio"),
             ("python_client_multiprocess_scrape_aged/python_client_multiprocess_scrape", last[1] / first[1], "ratio")]
    if options.results:
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.write_text("".join(f"{name}\t{value:.6g}\t{unit}\n" for name, value, unit in rows))
    if options.plot:
        plot(options.plot, scrapes, options)
    print(f"\nscrape: {first[1] / first[0]:.0f} times as fast; after {options.generations} generations "
          f"{last[0] / first[0]:.2f} times the first, client's {last[1] / first[1]:.2f} times")


if __name__ == "__main__":
    main()
