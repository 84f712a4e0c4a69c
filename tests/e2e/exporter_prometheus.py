#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The exporter's output judged by others: promtool, the parser of python3-prometheus-client, a real Prometheus."""
import json
import math
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request

from exporter_harness import PATIENCE, Skip, main

try:
    from prometheus_client.parser import text_string_to_metric_families
except ImportError:
    text_string_to_metric_families = None

NASTY = 'a\\b"c ,={}# äöü \u2028 end'


def fill(place, segment="shop"):
    """A segment with every type; returns the worker."""
    writer = place.writer(segment)
    writer("define", "counter", "orders_total", "kind,who")
    writer("add", "orders_total", 12345678901234567, "small", NASTY)
    writer("add", "orders_total", "0.25", "small", "")
    writer("define", "gauge", "temperature_celsius")
    writer("set", "temperature_celsius", "-273.15")
    writer("define", "gauge", "busy", "-", "-", "all")
    writer("set", "busy", "1")
    writer("define", "histogram", "wait_seconds", "kind", "0.1,0.5,1,10")
    for value in "0.05", "0.1", "0.3", "7", "1e9":
        writer("observe", "wait_seconds", value, "x")
    writer("define", "summary", "size_bytes")
    writer("observe", "size_bytes", "1000")
    writer("define", "unknown", "whatever")
    writer("set", "whatever", "1e-9")
    writer("define", "gauge", "unset")
    writer("define", "counter", "without_series_total", "x")
    return writer


def promtool(*arguments, text=None):
    if not shutil.which("promtool"):
        raise Skip("no promtool")
    return subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, timeout=PATIENCE)


def test_promtool_has_nothing_to_say(place):
    fill(place)
    fill(place, "shop2")
    with open(place.path("damaged"), "wb") as file:
        file.write(b"LIBSHM\r\n" + b"\xff" * 8184)
    for arguments in [], ["shop"], ["--shm.segment-label=never"], ["absent"], ["--collector.processes"]:
        with place.exporter(*arguments) as exporter:
            for _ in range(2):
                ran = promtool("check", "metrics", text=exporter.request().text)
                assert ran.returncode == 0 and ran.stdout == "" and ran.stderr == "", ran
    ran = promtool("check", "metrics", text="# TYPE x counter\nx 1\n")
    assert ran.returncode != 0, "promtool checks nothing"


def test_client_library_reads_the_same(place):
    if not text_string_to_metric_families:
        raise Skip("no prometheus_client")
    fill(place)
    with place.exporter() as exporter:
        families = {family.name: family for family in text_string_to_metric_families(exporter.request().text)}
    assert families["orders"].type == "counter"
    samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families.values() for s in f.samples}

    def value(name, **labels):
        return samples[name, tuple(sorted({"segment": "shop", **labels}.items()))]

    assert value("orders_total", kind="small", who=NASTY) == 12345678901234567.0
    assert value("orders_total", kind="small", who="") == 0.25
    assert value("temperature_celsius") == -273.15
    assert value("whatever") == 1e-9
    assert [value("wait_seconds_bucket", kind="x", le=le) for le in ("0.1", "0.5", "1.0", "10.0", "+Inf")] == [2, 3, 3, 4, 5]
    assert value("wait_seconds_count", kind="x") == 5
    assert math.isclose(value("wait_seconds_sum", kind="x"), 1000000007.45)
    assert (value("size_bytes_count"), value("size_bytes_sum")) == (1, 1000)
    assert families["wait_seconds"].documentation == "Help of wait_seconds."


class Prometheus:
    """A real one that scrapes `address` ten times a second."""

    def __init__(self, place, address):
        if not shutil.which("prometheus"):
            raise Skip("no prometheus")
        configuration = os.path.join(place.scratch, "prometheus.yml")
        with open(configuration, "w", encoding="utf-8") as file:
            json.dump({"scrape_configs": [{"job_name": "shm", "scrape_interval": "100ms", "scrape_timeout": "100ms",
                                           "static_configs": [{"targets": [address]}]}]}, file)
        with socket.socket() as free:  # it takes no port 0
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={configuration}", f"--web.listen-address=127.0.0.1:{self.port}",
             f"--storage.tsdb.path={os.path.join(place.scratch, 'data')}", "--log.level=warn"],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        self.errors = []
        self.reading = threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True)
        self.reading.start()

    def query(self, expression):
        """{sorted labels: value}"""
        url = f"http://127.0.0.1:{self.port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            result = json.load(answer)["data"]["result"]
        return {tuple(sorted((k, v) for k, v in one["metric"].items() if k not in ("__name__", "instance", "job"))):
                float(one["value"][1]) for one in result}

    def wait_for(self, expression, expected):
        deadline = time.monotonic() + PATIENCE
        result = None
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.errors
            try:
                result = self.query(expression)
                if result == expected:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"{expression}: {result}, not {expected}\n" + "".join(self.errors))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)
        self.reading.join()


def test_a_real_prometheus_stores_the_same(place):
    writer = fill(place)
    segment = ("segment", "shop")
    with place.exporter() as exporter, Prometheus(place, exporter.address) as prometheus:
        prometheus.wait_for("up", {(): 1.0})
        prometheus.wait_for('orders_total{who!=""}', {(("kind", "small"), segment, ("who", NASTY)): 12345678901234567.0})
        prometheus.wait_for("wait_seconds_bucket", {(("kind", "x"), ("le", le), segment): n for le, n in
                                                    (("0.1", 2), ("0.5", 3), ("1.0", 3), ("10.0", 4), ("+Inf", 5))})
        writer("observe", "wait_seconds", "0.7", "x")
        prometheus.wait_for("wait_seconds_count", {(("kind", "x"), segment): 6.0})
        prometheus.wait_for("wait_seconds_bucket{le='1.0'}", {(("kind", "x"), ("le", "1.0"), segment): 4.0})
        pid = ("pid", str(writer.process.pid))
        prometheus.wait_for("busy", {(pid, segment): 1.0})
        writer.end()
        prometheus.wait_for("busy", {})  # gone at once, and marked as gone
        prometheus.wait_for("shm_segment_processes_alive", {(segment,): 0.0})
    assert not [line for line in prometheus.errors if "scrape" in line], prometheus.errors


main()
