#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""shm-exporter as an HTTP server: paths, methods, headers, many clients at once, slow clients, how it ends."""
import concurrent.futures
import re
import signal
import subprocess
import time

from exporter_harness import EXPORTER, PATIENCE, main

TEXT = "text/plain; version=0.0.4; charset=utf-8"


def test_paths(place):
    with place.exporter() as exporter:
        metrics = exporter.request("/metrics")
        assert (metrics.status, metrics.headers["Content-Type"]) == (200, TEXT)
        assert int(metrics.headers["Content-Length"]) == len(metrics.body)
        page = exporter.request("/")
        assert page.status == 200 and '<a href="/metrics">' in page.text
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        for path in "/-/healthy", "/-/ready":
            assert exporter.request(path).status == 200, path
        for path in "/metrics/", "/Metrics", "/metric", "//metrics", "/-/", "/-/health", "/../metrics", "/favicon.ico":
            response = exporter.request(path)
            assert response.status == 404, (path, response.status)
            assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert exporter.request("/metrics?x=y&z").status == 200


def test_other_telemetry_path(place):
    with place.exporter("--web.telemetry-path", "/a/b") as exporter:
        assert exporter.request("/a/b").headers["Content-Type"] == TEXT
        assert exporter.request("/metrics").status == 404
        assert '<a href="/a/b">' in exporter.request("/").text
    with place.exporter("--web.telemetry-path=/") as exporter:
        assert exporter.request("/").headers["Content-Type"] == TEXT


def test_methods(place):
    with place.exporter() as exporter:
        for path in "/metrics", "/", "/nothing":
            for method in "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "get":
                response = exporter.request(path, method, body=b"x" * 100000 if method in ("POST", "PUT") else None)
                assert response.status == 405, (path, method, response.status)
                assert response.headers["Allow"] == "GET, HEAD"
        for path in "/metrics", "/", "/-/healthy", "/nothing":
            head, get = exporter.request(path, "HEAD"), exporter.request(path)
            assert head.status == get.status and head.body == b""
            assert head.headers["Content-Type"] == get.headers["Content-Type"]
            if path != "/metrics":
                assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_counts_its_answers(place):
    with place.exporter() as exporter:
        exporter.request("/nothing")
        exporter.request("/metrics", "POST")
        exporter.metrics()
        metrics = exporter.metrics()
        assert metrics['shm_exporter_http_requests_total{code="404"}'] == "1"
        assert metrics['shm_exporter_http_requests_total{code="405"}'] == "1"
        assert metrics['shm_exporter_http_requests_total{code="200"}'] == "1"
        assert metrics["shm_exporter_http_requests_in_flight"] == "1"
        assert metrics["shm_exporter_scrape_duration_seconds_count"] == "1"


def test_keeps_connections(place):
    with place.exporter() as exporter, exporter.connect() as client:
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        client.sendall(request * 5)  # pipelined
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 5 or not received.endswith(b"\n"):
            piece = client.recv(65536)
            assert piece, "closed"
            received += piece


def test_many_clients_at_once(place):
    writer = place.writer("shop")
    writer("define", "counter", "many_total", "x")
    writer("many", "many_total", 0, 5000)
    with place.exporter() as exporter, concurrent.futures.ThreadPoolExecutor(16) as pool:
        for metrics in pool.map(lambda _: exporter.metrics(), range(200)):
            assert len(metrics.named("many_total")) == 5000
        metrics = exporter.metrics()
        assert metrics["shm_exporter_http_requests_in_flight"] == "1"
        # scrapes that wait together share a body: fewer bodies than scrapes
        assert int(metrics["shm_exporter_scrape_duration_seconds_count"]) <= 200


def test_what_a_scrape_says_was_read_after_it_asked(place):
    """Also while other scrapes are under way, which it may share a body with."""
    writer = place.writer("shop")
    writer("define", "counter", "many_total", "x")
    writer("define", "counter", "seen_total")
    writer("many", "many_total", 0, 20000)
    stop = False

    def keep_asking(exporter):
        while not stop:
            exporter.metrics()

    with place.exporter() as exporter, concurrent.futures.ThreadPoolExecutor(3) as pool:
        others = [pool.submit(keep_asking, exporter) for _ in range(3)]
        try:
            for i in range(1, 30):
                writer("add", "seen_total", 1)
                assert exporter.metrics()['seen_total{segment="shop"}'] == str(i)
        finally:
            stop = True
        for other in others:
            other.result(timeout=PATIENCE)


def test_slow_clients_hold_up_nobody(place):
    writer = place.writer("shop")
    writer("define", "counter", "many_total", "x")
    writer("many", "many_total", 0, 100000)
    with place.exporter() as exporter:
        slow = [exporter.connect() for _ in range(20)]
        for i, client in enumerate(slow):  # half of them read nothing, half have not finished asking
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + (b"\r\n" if i % 2 else b"X-Slow:"))
        for _ in range(3):
            assert len(exporter.metrics().named("many_total")) == 100000
        start = time.monotonic()
        assert exporter.stop() == 0
        assert time.monotonic() - start < PATIENCE / 2
        for client in slow:
            client.close()


def test_ends_on_a_signal(place):
    for number in signal.SIGTERM, signal.SIGINT:
        with place.exporter() as exporter, exporter.connect() as idle:
            exporter.metrics()
            assert exporter.stop(number) == 0
            assert idle.recv(1) == b""


def test_headers_beyond_the_limit(place):
    with place.exporter() as exporter:
        response = exporter.request(headers={"X-Long": "x" * 65000})
        assert response.status in (413, 431), response.status
        assert exporter.request().status == 200


def test_wrong_use(place):
    for arguments, message in (
            (["--nonsense"], "unknown flag --nonsense"),
            (["--web.listen-address"], "--web.listen-address needs a value"),
            (["--web.listen-address=nowhere"], "must be HOST:PORT"),
            (["a/b"], "is no name of a segment"),
            (["--shm.segment-label=x"], "must be auto, always or never")):
        ran = subprocess.run([EXPORTER, *arguments], capture_output=True, text=True, timeout=PATIENCE)
        assert ran.returncode == 2, ran
        assert message in ran.stderr and ran.stderr.startswith("shm-exporter: "), ran
        assert ran.stdout == ""
    ran = subprocess.run([EXPORTER, "--version"], capture_output=True, text=True, timeout=PATIENCE)
    assert ran.returncode == 0 and re.fullmatch(r"shm-exporter \d+\.\d+\.\d+ .*\n", ran.stdout), ran
    ran = subprocess.run([EXPORTER, "--help"], capture_output=True, text=True, timeout=PATIENCE)
    assert ran.returncode == 0 and "--web.telemetry-path" in ran.stdout, ran


def test_address_in_use(place):
    with place.exporter() as exporter:
        ran = subprocess.run([EXPORTER, "--web.listen-address", exporter.address, "--shm.dir", place.directory],
                             capture_output=True, text=True, timeout=PATIENCE)
        assert ran.returncode == 1 and "Address already in use" in ran.stderr, ran


main()
