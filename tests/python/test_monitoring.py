#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Rules, alerts and the dashboard of the demo: promtool's judgement, and every query asked of a real Prometheus that
scraped the demo."""
import json
import math
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.parse
import urllib.request
from pathlib import Path

import support

EXAMPLE = support.TOP / "examples/orchestrator"
DASHBOARD = json.loads((EXAMPLE / "grafana/orchestrator.json").read_text())
PATIENCE = 150  # seconds until a query that should have data is given up


def panels():
    for panel in DASHBOARD["panels"]:
        yield panel
        yield from panel.get("panels", ())


class Rules(unittest.TestCase):
    def setUp(self):
        if not shutil.which("promtool"):
            self.skipTest("no promtool")

    def promtool(self, *arguments):
        result = subprocess.run(["promtool", *arguments], cwd=EXAMPLE / "prometheus", capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_configuration(self):
        self.promtool("check", "config", "--lint-fatal", "prometheus.yml")

    def test_alerts(self):
        self.promtool("test", "rules", "alerts_test.yml")

    def test_every_alert_has_its_cases(self):
        alerts = set(re.findall(r"alert: (\w+)", (EXAMPLE / "prometheus/alerts.yml").read_text()))
        tests = (EXAMPLE / "prometheus/alerts_test.yml").read_text()
        quiet = set(re.findall(r"alertname: (\w+), eval_time: \w+, exp_alerts: \[\]", tests))
        firing = set(re.findall(r"alertname: (\w+)\n +eval_time: \w+\n +exp_alerts:\n", tests))
        self.assertEqual((alerts, alerts), (quiet, firing))


class Dashboard(unittest.TestCase):
    def test_its_form(self):
        self.assertGreaterEqual(DASHBOARD["schemaVersion"], 39)
        self.assertEqual([variable["name"] for variable in DASHBOARD["templating"]["list"]], ["datasource", "job"])
        ids, taken = set(), set()
        for panel in panels():
            self.assertNotIn(panel["id"], ids)
            ids.add(panel["id"])
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24)
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])}
            self.assertFalse(cells & taken, f"{panel['title']} covers another panel")
            taken |= cells
            if panel["type"] == "row":
                continue
            self.assertTrue(panel["description"].endswith("."), panel["title"])
            self.assertEqual(panel["datasource"]["uid"], "${datasource}")
            unit = panel["options"]["yAxis"]["unit"] if panel["type"] == "heatmap" else \
                panel["fieldConfig"]["defaults"]["unit"]
            self.assertTrue(unit)
            for target in panel["targets"]:
                self.assertEqual(target["datasource"]["uid"], "${datasource}")
                self.assertIn('job=~"$job"', target["expr"])

    def test_every_histogram_has_a_heat_map(self):
        histograms = {line.split("\t")[1] for line in (EXAMPLE / "catalogue.tsv").read_text().splitlines()
                      if line.split("\t")[2:3] == ["histogram"]}
        expressions = " ".join(target["expr"] for panel in panels() if panel["type"] == "heatmap"
                               for target in panel["targets"])
        without = {name for name in histograms if name + "_bucket" not in expressions}
        self.assertEqual(without, {  # shown as lines, together with what belongs to them
            "git_checkout_duration_seconds", "git_worktree_creation_duration_seconds", "task_retry_count",
            "dispatch_tasks_dispatched_per_cycle", "dispatch_worker_completions_per_cycle"})


class RealPrometheus(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        programs = [support.BUILD / "orchestrator", support.BUILD / "shm-exporter", shutil.which("prometheus")]
        if not all(program and os.path.exists(program) for program in programs):
            self.skipTest("needs the demo and prometheus")
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.start(programs[0], "--workers=3", "--seed=1", f"--prices={EXAMPLE}/prices.tsv")
        exporter = self.start(programs[1], "--web.listen-address=127.0.0.1:0", "orchestrator", stderr=subprocess.PIPE)
        self.addCleanup(exporter.stderr.close)
        found = None
        while not found:
            line = exporter.stderr.readline()
            self.assertTrue(line, "the exporter ended")
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
        config = (EXAMPLE / "prometheus/prometheus.yml").read_text()
        config = config.replace("127.0.0.1:8000", f"127.0.0.1:{found.group(1)}")
        config = re.sub(r"_interval: \w+", "_interval: 1s", config)
        (self.directory / "prometheus.yml").write_text(config)
        for name in ("recording.yml", "alerts.yml"):
            shutil.copy(EXAMPLE / "prometheus" / name, self.directory)
        self.start_prometheus(programs[2])

    def start(self, *arguments, **popen):
        process = subprocess.Popen(list(map(str, arguments)), **{"stdout": subprocess.DEVNULL, "text": True, **popen})
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        return process

    def start_prometheus(self, program):
        for _ in range(5):  # the free port may be somebody else's by now
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = probe.getsockname()[1]
            self.url = f"http://127.0.0.1:{port}"
            log = open(self.directory / "log", "w+")
            self.addCleanup(log.close)
            process = self.start(program, f"--config.file={self.directory}/prometheus.yml",
                                 f"--storage.tsdb.path={self.directory}/data", f"--web.listen-address=127.0.0.1:{port}",
                                 stderr=log)
            while process.poll() is None:
                try:
                    with urllib.request.urlopen(self.url + "/-/ready", timeout=10):
                        return
                except OSError:
                    time.sleep(0.1)
        self.fail(f"prometheus does not start: {(self.directory / 'log').read_text()}")

    def ask(self, path, **parameters):
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=60) as answer:
            return json.load(answer)["data"]

    def has_data(self, query):
        result = self.ask("query", query=query)["result"]
        return any(math.isfinite(float(sample["value"][1])) for sample in result)

    def test_every_query_has_data(self):
        queries = {}
        for panel in panels():
            for target in panel.get("targets", ()):
                query = target["expr"].replace("$__rate_interval", "1m").replace("$job", ".+")
                self.assertNotIn("$", query)
                queries[query] = f"{panel['title']} {target['refId']}"
        rules = re.findall(r"- record: (\S+)", (EXAMPLE / "prometheus/recording.yml").read_text())
        queries.update({name: "recording rule" for name in rules})
        end = time.monotonic() + PATIENCE
        while queries and time.monotonic() < end:
            for query in [query for query in queries if self.has_data(query)]:
                del queries[query]
            time.sleep(0.5)
        self.assertEqual(queries, {}, "queries without data")
        variable = DASHBOARD["templating"]["list"][1]["query"]["query"]
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable).groups()
        self.assertEqual(self.ask(f"label/{label}/values", **{"match[]": metric}), ["orchestrator"])
        rules = [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]
        self.assertEqual({rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"}, {})
        self.assertEqual([rule["name"] for rule in rules
                          if rule["type"] == "alerting" and rule["state"] == "firing"
                          and rule["name"] in ("ExporterDown", "SegmentNearlyFull", "SegmentLosesUpdates")], [])


if __name__ == "__main__":
    support.main()
