#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The exporter's output judged by others: promtool, the parser of python3-prometheus-client, a real Prometheus."""
import http.server
import json
import math
import os
import shutil
import subprocess
import threading
import time

from exporter_harness import PATIENCE, Skip, main
from prometheus_harness import Prometheus

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
            for accept in ("", "text/plain", "text/plain;version=1.0.0", "text/plain;version=1.0.0;escaping=underscores",
                           "text/plain;version=1.0.0;escaping=dots", "text/plain;version=1.0.0;escaping=values",
                           "text/plain;version=1.0.0;escaping=allow-utf-8"):
                ran = promtool("check", "metrics", text=exporter.request(headers={"Accept": accept}).text)
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


def scraping(*jobs, interval="100ms"):
    """A configuration with jobs (name, address, path), each asked that often."""
    return json.dumps({"scrape_configs": [
        {"job_name": name, "metrics_path": path, "scrape_interval": interval, "scrape_timeout": interval,
         "static_configs": [{"targets": [address]}]} for name, address, path in jobs]})


def test_a_real_prometheus_stores_the_same(place):
    writer = fill(place)
    segment = ("segment", "shop")
    with place.exporter() as exporter, Prometheus(place, scraping(
            ("shm", exporter.address, "/metrics"))) as prometheus:
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


class Chooser(http.server.ThreadingHTTPServer):
    """A proxy before the exporter that asks for /FORMAT with the Accept of that format: Prometheus itself cannot choose."""

    FORMATS = {
        "text": ("text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8"),
        "text1": ("text/plain;version=1.0.0", "text/plain; version=1.0.0; charset=utf-8"),
        "text1-escaped": ("text/plain;version=1.0.0;escaping=underscores",
                          "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"),
        "openmetrics": ("application/openmetrics-text;version=1.0.0",
                        "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "openmetrics-escaped": ("application/openmetrics-text;version=1.0.0;escaping=underscores",
                                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"),
    }
    daemon_threads = True

    def __init__(self, exporter):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.exporter = exporter
        self.answered = {}  # Content-Type of each format
        self.address = "127.0.0.1:%d" % self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path[1:]
            response = self.server.exporter.request(headers={"Accept": self.server.FORMATS[name][0],
                                                             "Accept-Encoding": self.headers["Accept-Encoding"]})
            self.server.answered[name] = response.headers["Content-Type"]
            self.send_response(response.status)
            for field in "Content-Type", "Content-Encoding", "Content-Length":
                if field in response.headers:
                    self.send_header(field, response.headers[field])
            self.end_headers()
            self.wfile.write(response.body)

        def log_message(self, *_):
            pass

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


def test_the_same_from_each_format(place):
    """What of it is stored: every series of the segments, with name, labels and value. Not here: a histogram with bounds
    below zero, of which OpenMetrics has no sum and no count."""
    fill(place)
    fill(place, "shop2")
    own = {"up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling",
           "scrape_series_added"}

    def stored(prometheus, name):
        return {tuple(sorted((k, v) for k, v in labels.items() if k not in ("job", "instance"))): value
                for labels, value in prometheus.samples(f'{{job="{name}"}}')
                if labels["__name__"] not in own and not labels["__name__"].startswith("shm_")}

    with place.exporter() as exporter, Chooser(exporter) as chooser, Prometheus(
            place, scraping(*((name, chooser.address, "/" + name) for name in chooser.FORMATS), interval="1s")) as prometheus:
        for name, (_, content_type) in chooser.FORMATS.items():
            prometheus.wait_for(f'up{{job="{name}"}}', {(): 1.0})
            assert chooser.answered[name] == content_type, (name, chooser.answered[name])
        expected = {series: value for series, value in exporter.metrics().samples.items() if not series.startswith("shm_")}
        deadline = time.monotonic() + PATIENCE
        while len(first := stored(prometheus, "text")) != len(expected) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(first) == len(expected) > 20, (len(first), len(expected))
        assert sorted(map(float, first.values())) == sorted(map(float, expected.values()))
        for name in chooser.FORMATS:
            deadline = time.monotonic() + PATIENCE  # a scrape that fails, on a busy machine, empties it until the next
            while (found := stored(prometheus, name)) != first and time.monotonic() < deadline:
                time.sleep(0.1)
            assert found == first, (name, set(found.items()) ^ set(first.items()))
        assert not [line for line in prometheus.errors if "scrape" in line], prometheus.errors


main()
