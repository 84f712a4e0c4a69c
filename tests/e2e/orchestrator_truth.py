#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The main job, end to end: what the orchestrator's workers counted by themselves is what /metrics says, also when they
are killed all the while, and every scrape in between makes sense.

SEED=n repeats a run's choices (not its timing)."""
import math
import os
import random
import re
import shutil
import subprocess
import time

from exporter_harness import BUILD, PATIENCE, Skip, main
from prometheus_client.parser import text_string_to_metric_families

WORKERS = 4
MERGES = 30  # until a run has shown enough
MOST = {"tokens": 4096, "dollars": 1, "seconds": 600, "files": 100}  # that one update adds


def canonical(name, labels):
    return (name, *sorted(labels.items()))


def parse_truth(path):
    """({series: value}, kills)"""
    series, kills = {}, None
    with open(path, encoding="utf-8") as file:
        for line in file.read().splitlines():
            if line.startswith("#"):
                kills = int(re.fullmatch(r"# kills (\d+)", line).group(1))
                continue
            families = list(text_string_to_metric_families(line + "\n"))
            assert len(families) == 1 and len(families[0].samples) == 1, line
            sample = families[0].samples[0]
            key = canonical(sample.name, sample.labels)
            assert key not in series, f"twice: {line}"
            assert list(sample.labels) == sorted(sample.labels), line
            series[key] = sample.value
    assert kills is not None, "no line '# kills N'"
    return series, kills


class Scrape:
    """Values of counters, of histograms' parts, and of gauges, by series. What does not make sense in itself fails."""

    def __init__(self, text):
        self.text, self.growing, self.gauges = text, {}, {}
        for family in text_string_to_metric_families(text):
            if family.name.startswith(("shm_exporter_", "shm_segment_")):
                continue
            values = self.gauges if family.type == "gauge" else self.growing
            for sample in family.samples:
                key = canonical(sample.name, sample.labels)
                assert key not in values, f"twice: {key}"
                values[key] = sample.value
            if family.type == "histogram":
                self.check_histogram(family)

    @staticmethod
    def check_histogram(family):
        buckets, counts = {}, {}
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if k != "le"}
            if sample.name.endswith("_bucket"):
                buckets.setdefault(canonical("", labels), []).append((float(sample.labels["le"]), sample.value))
            elif sample.name.endswith("_count"):
                counts[canonical("", labels)] = sample.value
        assert buckets.keys() == counts.keys(), family.name
        for key, found in buckets.items():
            bounds, values = zip(*found)
            assert bounds[-1] == math.inf and list(bounds) == sorted(set(bounds)), (family.name, key, bounds)
            assert list(values) == sorted(values), (family.name, key, values)
            assert values[-1] == counts[key], (family.name, key, values, counts[key])

    def total(self, name):
        return sum(value for key, value in self.growing.items() if key[0] == name)

    def active(self):
        return sum(value for key, value in self.gauges.items() if key[0] == "git_active_merges")


class Run:
    """An orchestrator at work, scraped 20 times a second."""

    def __init__(self, place, *options):
        seed = int(os.environ.get("SEED", 0)) or random.randrange(1, 1 << 31)
        print(f"SEED={seed}", *options, flush=True)
        self.truth_path = os.path.join(place.scratch, "truth")
        self.temporary = os.path.join(place.scratch, "tmp")
        os.makedirs(self.temporary, exist_ok=True)
        self.scrapes = 0
        self.last = None
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "orchestrator"), f"--workers={WORKERS}", f"--seed={seed}", "--segment=job",
             f"--truth={self.truth_path}", *options],
            env={**os.environ, "LIBSHM_DIR": place.directory, "TMPDIR": self.temporary},
            stdout=subprocess.DEVNULL)

    def scrape(self, exporter):
        scrape = Scrape(exporter.metrics().text)
        assert 0 <= scrape.active() <= WORKERS, scrape.active()
        for key, value in self.last.growing.items() if self.last else ():
            now = scrape.growing.get(key)
            assert now is not None, f"gone: {key}"
            assert now >= value, f"went down: {key} from {value!r} to {now!r}"
        self.last = scrape
        self.scrapes += 1
        return scrape

    def work(self, exporter, enough):
        """Until `enough` of a scrape."""
        deadline = time.monotonic() + 3 * PATIENCE
        due = time.monotonic()
        while not enough(self.scrape(exporter)):
            assert self.process.poll() is None, f"it ended with {self.process.returncode}"
            assert time.monotonic() < deadline, "not enough work got done: " + self.last.text
            due = max(due + 0.05, time.monotonic() - 1)
            time.sleep(max(0, due - time.monotonic()))

    def end(self, exporter):
        """Ends it; the scrape after it, the truth and the kills."""
        self.process.terminate()
        assert self.process.wait(timeout=PATIENCE) == 0
        scrape = self.scrape(exporter)
        assert scrape.active() == 0
        assert not any(value for key, value in scrape.gauges.items() if key[0] == "llm_active_requests")
        assert not os.listdir(self.temporary), "it left its scratch repository"
        return scrape, *parse_truth(self.truth_path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=PATIENCE)


def enough_merges(scrape):
    return scrape.total("git_merge_total") >= MERGES and scrape.total("git_conflicts_per_merge_count") >= 1


def is_known_by_the_truth(key):
    return not key[0].endswith("_bucket")


def check_equal(scrape, truth):
    for key, value in truth.items():
        assert scrape.growing.get(key) == value, f"{key}: counted {scrape.growing.get(key)!r}, truth {value!r}"
    for key, value in scrape.growing.items():
        assert not is_known_by_the_truth(key) or key in truth or value == 0, f"counted but not true: {key} {value!r}"


def check_bounds(scrape, truth, kills):
    """Never less than was acknowledged, never more than one update a kill and metric above it."""
    above = {}
    for key in truth.keys() | {key for key in scrape.growing if is_known_by_the_truth(key)}:
        counted, acknowledged = scrape.growing.get(key), truth.get(key, 0)
        assert counted is not None and counted >= acknowledged, f"{key}: counted {counted!r}, truth {acknowledged!r}"
        above[key[0]] = above.get(key[0], 0) + counted - acknowledged
    for name, more in above.items():
        most = 1
        if name == "git_merge_conflicted_files_total":
            most = MOST["files"]
        elif name.endswith(("_total", "_sum")):
            most = next((most for unit, most in MOST.items() if unit in name), 1 if name.endswith("_total") else 100)
        assert more <= kills * most, f"{name}: {more!r} more than acknowledged, {kills} kills"


def test_every_line_of_the_truth_is_in_the_metrics(place):
    with place.exporter("job") as exporter, Run(place, "--seconds=0") as run:
        run.work(exporter, enough_merges)
        scrape, truth, kills = run.end(exporter)
        assert kills == 0
        check_equal(scrape, truth)
        lines = set(scrape.text.splitlines())
        with open(run.truth_path, encoding="utf-8") as file:
            for line in file.read().splitlines():
                assert line in lines or line.startswith("#"), f"not in /metrics to the letter: {line}"
        assert sum(1 for key in truth if key[0] == "dispatch_loop_iterations_total") <= 50
        for name in ("git_checkout_duration_seconds_count", "git_worktree_operations_total", "llm_cost_dollars_total",
                     "llm_unpriced_requests_total", "task_execution_duration_seconds_count"):
            assert scrape.total(name) > 0, name
        print(f"{run.scrapes} scrapes, {len(truth)} series in the truth")


def test_nothing_acknowledged_is_lost_when_workers_are_killed(place):
    with place.exporter("job") as exporter, Run(place, "--seconds=0", "--chaos") as run:
        run.work(exporter, enough_merges)
        scrape, truth, kills = run.end(exporter)
        assert kills > 0
        check_bounds(scrape, truth, kills)
        print(f"{run.scrapes} scrapes, {kills} kills, {len(truth)} series in the truth")


def test_it_replaces_an_old_segment(place):
    for _ in range(2):
        with place.exporter("job") as exporter, Run(place, "--seconds=1") as run:
            assert run.process.wait(timeout=PATIENCE) == 0
            scrape, truth, _ = run.end(exporter)
            check_equal(scrape, truth)


def test_promtool_has_no_objection(place):
    promtool = shutil.which("promtool")
    if not promtool:
        raise Skip("no promtool")
    with place.exporter("job") as exporter, Run(place, "--seconds=0") as run:
        run.work(exporter, lambda scrape: scrape.total("git_merge_total") >= 3)
        scrape, _, _ = run.end(exporter)
        checked = subprocess.run([promtool, "check", "metrics"], input=scrape.text, capture_output=True, text=True)
        assert checked.returncode == 0 and not checked.stdout and not checked.stderr, checked


if __name__ == "__main__":
    main()
