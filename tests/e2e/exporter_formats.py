#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a request can ask for: format, coding, families, segments; and how many can ask at a time."""
import concurrent.futures
import gzip
import os
import shutil
import socket
import subprocess
import urllib.parse

from exporter_harness import PATIENCE, Skip, main

try:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
    from prometheus_client.parser import text_string_to_metric_families as parse_text
except ImportError:
    parse_openmetrics = parse_text = None

TEXT = "text/plain; version=0.0.4; charset=utf-8"
TEXT_1 = "text/plain; version=1.0.0; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def fill(place, segment="shop"):
    writer = place.writer(segment)
    writer("define", "counter", "orders_total", "kind")
    writer("add", "orders_total", 5, 'a\\b"c')
    writer("define", "gauge", "busy", "-", "-", "sum")
    writer("set", "busy", "2.5")
    writer("define", "histogram", "wait_seconds", "kind", "0.1,1,1000000")
    for value in "0.05", "0.3", "7":
        writer("observe", "wait_seconds", value, "x")
    writer("define", "histogram", "drift_seconds", "-", "-1,0,1")
    writer("observe", "drift_seconds", "-0.5")
    writer("define", "summary", "size_bytes")
    writer("observe", "size_bytes", "1000")
    writer("define", "info", "version_info", "version")
    writer("set", "version_info", 1, "1.2")
    writer("define", "stateset", "mode", "mode")
    writer("set", "mode", 1, "on")
    writer("set", "mode", 0, "off")
    writer("define", "unknown", "whatever")
    writer("set", "whatever", "1e-9")
    return writer


def test_content_types(place):
    with place.exporter() as exporter:
        for accept, expected in (
                (None, TEXT), ("", TEXT), ("*/*", TEXT), ("image/png", TEXT), (";;;", TEXT),
                ("text/plain;version=1.0.0", TEXT_1),
                ("text/plain;version=1.0.0;escaping=dots", TEXT_1 + "; escaping=dots"),
                ("application/openmetrics-text", OPENMETRICS),
                ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8,text/plain;q=0.3",
                 OPENMETRICS + "; escaping=allow-utf-8"),
                ("application/openmetrics-text;q=0.2,text/plain;q=0.3", TEXT)):
            response = exporter.request(headers={} if accept is None else {"Accept": accept})
            assert response.headers.get_all("Content-Type") == [expected], (accept, response.headers["Content-Type"])
            assert response.headers["Vary"] == "Accept, Accept-Encoding"
            assert response.text.endswith("# EOF\n") == expected.startswith(OPENMETRICS)


def test_several_header_fields_are_one_list(place):
    with place.exporter() as exporter, exporter.connect() as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: text/plain;q=0.5\r\n"
                       b"ACCEPT: application/openmetrics-text\r\n\r\n")
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        assert f"Content-Type: {OPENMETRICS}\r\n".encode() in answer


def samples_of(families):
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families for sample in family.samples}


def test_every_format_passes_a_strict_parser(place):
    if not parse_openmetrics:
        raise Skip("no prometheus_client")
    fill(place)
    fill(place, "shop2")
    for flags in [], ["--web.openmetrics-created"], ["shop"]:
        with place.exporter(*flags) as exporter:
            for escaping in ("", ";escaping=underscores", ";escaping=values", ";escaping=allow-utf-8", ";escaping=dots"):
                text = exporter.request(headers={"Accept": "text/plain" + escaping}).text
                openmetrics = exporter.request(headers={"Accept": "application/openmetrics-text" + escaping}).text
                by_text = samples_of(parse_text(text))
                families = list(parse_openmetrics(openmetrics))
                by_openmetrics = {key: value for key, value in samples_of(families).items()
                                  if not key[0].endswith("_created")}
                types = {family.name: family.type for family in families}
                if "dots" not in escaping:
                    assert (types["orders"], types["version"], types["mode"]) == ("counter", "info", "stateset")
                    assert types["shm_segment_rejected"] == "counter"
                    mine = {key for key in by_text if not key[0].startswith("shm_")}
                    # below zero OpenMetrics has no sum, and then no count
                    assert mine - {key for key in mine if key[0] in ("drift_seconds_sum", "drift_seconds_count")} == \
                        {key for key in by_openmetrics if not key[0].startswith("shm_")}
                    assert all(by_text[key] == by_openmetrics[key] for key in mine if key in by_openmetrics)
                assert ("_created" in openmetrics) == (flags == ["--web.openmetrics-created"])


def test_codings(place):
    writer = fill(place)
    writer("define", "counter", "many_total", "x")
    writer("many", "many_total", 0, 1000)
    with place.exporter("shop") as exporter:
        plain = exporter.request("/metrics?name[]=many_total").text
        for accept, coding in (("gzip", "gzip"), ("zstd", "zstd"), ("gzip, deflate, br, zstd", "zstd"),
                               ("gzip;q=0", None), ("br", None), ("identity, gzip;q=0.5", None)):
            response = exporter.request("/metrics?name[]=many_total", headers={"Accept-Encoding": accept})
            assert response.headers["Content-Encoding"] == coding, accept
            assert int(response.headers["Content-Length"]) == len(response.body)
            if coding == "gzip":
                assert gzip.decompress(response.body).decode() == plain
            elif coding == "zstd" and shutil.which("zstd"):
                ran = subprocess.run(["zstd", "-dc"], input=response.body, capture_output=True, check=True)
                assert ran.stdout.decode() == plain
            elif not coding:
                assert response.text == plain
            if coding:
                assert len(response.body) < len(plain) / 4


def test_selections(place):
    fill(place, "a")
    fill(place, "b")
    with place.exporter() as exporter:
        def ask(*arguments):
            return exporter.metrics("/metrics?" + urllib.parse.urlencode(arguments)).samples

        assert set(ask(("name[]", "busy"))) == {'busy{segment="a"}', 'busy{segment="b"}'}
        assert set(ask(("name[]", "busy"), ("name[]", "size_bytes_sum"), ("segment", "b"))) == \
            {'busy{segment="b"}', 'size_bytes_sum{segment="b"}', 'size_bytes_count{segment="b"}'}
        assert set(ask(("name[]", "shm_segment_up"))) == {'shm_segment_up{segment="a"}', 'shm_segment_up{segment="b"}'}
        assert ask(("name[]", "nothing")) == {}
        assert all('segment="a"' in series for series in ask(("segment", "a")))
        assert len(ask(("segment", "a"), ("segment", "b"))) > len(ask(("segment", "a")))
        assert "shm_exporter_series" in ask(("other", "x"), ("name", "busy"))
        too_many = "&".join(f"name[]=x{i}" for i in range(100))
        assert exporter.request("/metrics?" + too_many).status == 400
        assert exporter.request("/metrics?" + too_many).headers["Content-Type"] == "text/plain; charset=utf-8"


def test_mixed_requests_get_their_own(place):
    """Bodies are shared among scrapes that wait together, each with whom it suits."""
    fill(place)
    kinds = [(accept, coding, query) for accept in ("text/plain", "application/openmetrics-text")
             for coding in ("identity", "gzip", "zstd") for query in ("", "?name[]=busy", "?segment=none")]

    def ask(kind):
        accept, coding, query = kind
        return kind, exporter.request("/metrics" + query, headers={"Accept": accept, "Accept-Encoding": coding})

    with place.exporter("--web.max-requests=0", "shop") as exporter, concurrent.futures.ThreadPoolExecutor(16) as pool:
        for (accept, coding, query), response in pool.map(ask, kinds * 30):
            assert response.status == 200
            assert response.headers["Content-Encoding"] == (coding if coding != "identity" else None)
            if coding == "zstd":
                continue
            text = (gzip.decompress(response.body) if coding == "gzip" else response.body).decode()
            assert text.endswith("# EOF\n") == ("openmetrics" in accept)
            assert ("busy 2.5\n" in text) == (query != "?segment=none")
            assert ("whatever" in text) == (query == "")


def test_not_more_than_so_many_at_a_time(place):
    fill(place)
    path = os.path.join(place.scratch, "socket")
    with place.exporter("--web.max-requests=1", "--web.listen-address=127.0.0.1:0",
                        f"--web.listen-address=unix:{path}") as exporter:
        with socket.socket(socket.AF_UNIX) as slow:
            # a client that does not read: its request stays in flight, as it does not fit into the sockets' buffers;
            # that of a UNIX socket is not ended for another
            slow.settimeout(PATIENCE)
            slow.connect(path)
            writer = place.writer("big")
            writer("define", "counter", "many_total", "x")
            writer("many", "many_total", 0, 150000)
            slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            slow.recv(1)
            response = exporter.request()
            assert response.status == 503, response.status
            assert response.headers["Retry-After"] == "1"
            assert exporter.request("/-/healthy").status == 200
        while exporter.request().status == 503:  # until the server has noticed that the client has gone
            pass


def test_scrape_timeout(place):
    with place.exporter() as exporter:
        for value, status in (("10", 200), ("0.5", 200), ("nonsense", 200), ("-1", 200), ("0", 200),
                              ("0.000000001", 503)):
            response = exporter.request(headers={"X-Prometheus-Scrape-Timeout-Seconds": value})
            assert response.status == status, (value, response.status)


main()
