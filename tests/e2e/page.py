#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The page at /, in a real browser, and the JSON that it reads."""
import filecmp
import functools
import gzip
import json
import math
import os
import shutil
import subprocess
import threading
import urllib.parse

from exporter_harness import BUILD, HERE, PATIENCE, Skip, main

SOURCES = os.path.join(HERE, "../browser")
ARTIFACTS = os.path.join(BUILD, "artifacts")


# ---- the JSON -------------------------------------------------------------------------------------------------------

def refuse(word):
    raise AssertionError(f"not JSON: {word}")


def ask(exporter, path, *arguments):
    response = exporter.request(path + "?" + urllib.parse.urlencode(arguments))
    assert response.status == 200, response.status
    assert response.headers["Content-Type"] == "application/json"
    return json.loads(response.body, parse_constant=refuse)


def family(exporter, name, path="/api/v1/series"):
    families = ask(exporter, path, ("name[]", name))["families"]
    assert [one["name"] for one in families] == [name]
    return families[0]


def test_values(place):
    writer = place.writer("shop")
    writer("define", "counter", "orders_total", "kind")
    writer("add", "orders_total", 5, "a")
    writer("add", "orders_total", 2**53, "b")
    writer("add", "orders_total", 2**53 + 1, "c")
    writer("add", "orders_total", 2**64 - 1, "d")
    writer("add", "orders_total", "0.25", "a")
    writer("define", "gauge", "level", "kind")
    for value in "1.5", "nan", "inf", "-inf", "1e300":
        writer("set", "level", value, "is " + value)
    writer("define", "histogram", "wait_seconds", "-", "0.1,1,10")
    for value in "0.05", "0.5", "0.5", "70":
        writer("observe", "wait_seconds", value)
    with place.exporter() as exporter:
        orders = family(exporter, "orders_total")
        assert {one["labels"]["kind"]: one["value"] for one in orders["series"]} == \
            {"a": 5.25, "b": 2**53, "c": str(2**53 + 1), "d": str(2**64 - 1)}
        assert orders["series"][0]["labels"]["segment"] == "shop"
        assert orders["type"] == "counter" and orders["help"] == "Help of orders_total." and not orders["own"]
        assert len({one["id"] for one in orders["series"]}) == 4
        level = family(exporter, "level")
        values = {one["labels"]["kind"]: one["value"] for one in level["series"]}
        assert values["is 1.5"] == 1.5 and values["is 1e300"] == 1e300
        assert values["is inf"] == "+Inf" and values["is -inf"] == "-Inf"
        assert values.get("is nan", "NaN") in ("NaN", 0)
        wait = family(exporter, "wait_seconds")
        assert wait["bounds"] == [0.1, 1, 10]
        assert wait["series"][0]["buckets"] == wait["total"]["buckets"] == [1, 2, 0, 1]
        assert wait["total"]["count"] == wait["series"][0]["count"] == 4
        assert math.isclose(wait["total"]["sum"], 71.05)


def test_what_a_request_can_ask_for(place):
    for name, value in ("a", 1), ("b", 2):
        writer = place.writer(name)
        writer("define", "counter", "orders_total", "kind")
        writer("add", "orders_total", value, "x")
        writer("define", "gauge", "busy", "-", "-", "all")
        writer("set", "busy", "1")
    with place.exporter() as exporter:
        families = ask(exporter, "/api/v1/families")["families"]
        assert {"orders_total", "busy", "shm_segment_up"} < {one["name"] for one in families}
        assert all("series" not in one for one in families)
        assert all(one["own"] == one["name"].startswith("shm_") for one in families)
        orders = family(exporter, "orders_total", "/api/v1/families")
        assert (orders["series_count"], orders["total"]["value"]) == (2, 3)
        only = ask(exporter, "/api/v1/series", ("name[]", "orders_total"), ("segment", "b"))["families"]
        assert [one["value"] for one in only[0]["series"]] == [2] and only[0]["total"]["value"] == 2
        assert ask(exporter, "/api/v1/series", ("name[]", "nothing"))["families"] == []
        status = ask(exporter, "/api/v1/status")
        assert [(one["name"], one["up"]) for one in status["segments"]] == [("a", True), ("b", True)]
        assert all(0 < one["used_bytes"] <= one["max_bytes"] for one in status["segments"])
        assert {(one["segment"], one["pid"], one["alive"]) for one in status["processes"]} == \
            {(name, writer.process.pid, True) for name, writer in zip("ab", place.writers)}
        assert [one["name"] for one in ask(exporter, "/api/v1/status", ("segment", "b"))["segments"]] == ["b"]
        busy = family(exporter, "busy")
        assert {one["labels"]["pid"] for one in busy["series"]} == {str(one.process.pid) for one in place.writers}
        layout = ask(exporter, "/api/v1/status")["layout"]
        assert ask(exporter, "/api/v1/families")["layout"] == layout
        place.writers[0]("add", "orders_total", 1, "another")
        assert ask(exporter, "/api/v1/families")["layout"] != layout
        too_many = "&".join(f"name[]=x{i}" for i in range(100))
        assert exporter.request("/api/v1/series?" + too_many).status == 400


def test_a_segment_that_is_down(place):
    with open(place.path("bad"), "wb") as file:
        file.write(b"LIBSHM\0\0" + b"\xff" * 8192)
    with place.exporter("bad") as exporter:
        segment, = ask(exporter, "/api/v1/status")["segments"]
        assert (segment["name"], segment["up"]) == ("bad", False) and segment["reason"]


def test_everything_is_json(place):
    writer = place.writer("shop")
    writer("define", "counter", "odd_total", "label")
    for value in '"', "\\", "</script>", "\x01\x1f\x7f", "ä€😀", "'&", "\u2028":
        writer("add", "odd_total", 1, value)
    writer("define", "counter", "many_total", "x")
    writer("many", "many_total", 0, 10000)
    with place.exporter() as exporter:
        odd = family(exporter, "odd_total")
        assert {'"', "\\", "</script>", "\x01\x1f\x7f", "ä€😀", "'&", "\u2028"} == \
            {one["labels"]["label"] for one in odd["series"]}
        assert b"<" not in exporter.request("/api/v1/series?name[]=odd_total").body
        assert len(family(exporter, "many_total")["series"]) == 10000
        whole = ask(exporter, "/api/v1/series")["families"]
        assert sum(one["series_count"] for one in whole) == sum(len(one["series"]) for one in whole)


def test_headers(place):
    with place.exporter() as exporter:
        page = exporter.request("/")
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        for response in page, exporter.request("/api/v1/status"):
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["X-Frame-Options"] == "DENY"
            assert response.headers["Referrer-Policy"] == "no-referrer"
        assert exporter.request("/api/v1/status").headers["Cache-Control"] == "no-store"
        assert page.headers["Cache-Control"] == "no-cache"
        etag = page.headers["ETag"]
        for known in etag, f'"x", {etag}':
            again = exporter.request("/", headers={"If-None-Match": known})
            assert (again.status, again.body, again.headers["ETag"]) == (304, b"", etag)
        assert exporter.request("/", headers={"If-None-Match": '"x"'}).status == 200
        compressed = exporter.request("/", headers={"Accept-Encoding": "gzip"})
        assert compressed.headers["Content-Encoding"] == "gzip" and gzip.decompress(compressed.body) == page.body
        assert len(compressed.body) < len(page.body) / 2
        assert exporter.request("/api/v1/families", headers={"Accept-Encoding": "gzip"}).headers["Content-Encoding"] == "gzip"
        for path in "/api", "/api/v1", "/api/v1/", "/api/v1/statuses", "/index.html", "/style.css":
            assert exporter.request(path).status == 404, path
        assert exporter.request("/api/v1/status", "POST").status == 405
        # all in one file
        for word in b"http://", b"https://", b"src=", b"@import", b"@STYLE@", b"@SCRIPT@", b"@METRICS@":
            found = page.body.replace(b"http://www.w3.org/2000/svg", b"").find(word)
            assert found < 0, page.body[found - 40:found + 60]
    with place.exporter("--web.telemetry-path=/a&b") as exporter:
        assert '<a href="/a&amp;b">' in exporter.request("/").text


# ---- in the browser -------------------------------------------------------------------------------------------------

def driver():
    """Where page.mjs can run: a copy beside what npm installs."""
    place, missing = install_driver()
    if missing:
        raise Skip(missing)
    return place


@functools.cache  # a registry out of reach takes long to fail: once for all tests
def install_driver():
    """That place, and None or what is missing."""
    if not shutil.which("chromium"):
        return None, "no chromium"
    if not shutil.which("node") or not shutil.which("npm"):
        return None, "no node or no npm"
    place = os.path.join(BUILD, "browser")
    os.makedirs(place, exist_ok=True)
    lock = os.path.join(place, "installed.json")
    shutil.copy(os.path.join(SOURCES, "page.mjs"), place)
    if not os.path.exists(lock) or not filecmp.cmp(lock, os.path.join(SOURCES, "package-lock.json"), shallow=False):
        for name in "package.json", "package-lock.json":
            shutil.copy(os.path.join(SOURCES, name), place)
        ran = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=place, text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if ran.returncode != 0:
            return None, "npm cannot install playwright-core: " + " ".join(ran.stdout.split())[-300:]
        shutil.copy(os.path.join(SOURCES, "package-lock.json"), lock)
    os.makedirs(ARTIFACTS, exist_ok=True)
    return place, None


def browse(scenario, exporter):
    place = driver()
    ran = subprocess.run(["node", "page.mjs", scenario, f"http://{exporter.address}/", ARTIFACTS], cwd=place, text=True,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         env={**os.environ, "CHROMIUM": shutil.which("chromium")}, timeout=4 * PATIENCE)
    print(ran.stdout, end="")
    assert ran.returncode == 0, scenario


class Traffic(threading.Thread):
    """A worker that writes all the time."""

    def __init__(self, writer):
        super().__init__()
        self.writer, self.stop = writer, threading.Event()
        writer("define", "counter", "orders_total", "kind,region")
        writer("define", "gauge", "busy", "-", "-", "sum")
        writer("define", "histogram", "wait_seconds", "route", "0.001,0.0025,0.005,0.01,0.025,0.05,0.1,0.25,0.5,1,2.5")
        self.write(0)
        self.write(1)

    def write(self, i):
        swing = 2 + math.sin(i / 150)
        self.writer("add", "orders_total", 1 + i % 3, ("red", "green", "blue")[i % 3], ("north", "south")[i % 2])
        self.writer("set", "busy", round(3 * swing))
        self.writer("observe", "wait_seconds", 0.004 * swing ** 3 * (1 + i * 7919 % 13 / 4), ("/", "/pay")[i % 2])

    def run(self):
        i = 2
        while not self.stop.wait(0.004):  # a rhythm, nothing depends on it
            self.write(i)
            i += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.join()


def test_live(place):
    driver()
    with place.exporter() as exporter, Traffic(place.writer("shop")):
        browse("live", exporter)


def test_keys(place):
    driver()
    with place.exporter() as exporter, Traffic(place.writer("shop")):
        browse("keys", exporter)


def test_themes(place):
    driver()
    with place.exporter() as exporter, Traffic(place.writer("shop")):
        browse("themes", exporter)


def test_injection(place):
    driver()
    writer = place.writer("shop")
    writer("define", "counter", "evil_total", "label")
    for value in "<script>window.hacked = 1</script>", '<img src=x onerror="window.hacked = 1">', '"><b>&amp;', "${1}":
        writer("add", "evil_total", 1, value)
    with place.exporter() as exporter:
        browse("injection", exporter)


def test_many_series(place):
    driver()
    writer = place.writer("shop")
    writer("define", "counter", "many_total", "x")
    writer("many", "many_total", 0, 10000)
    with place.exporter() as exporter:
        browse("many_series", exporter)


def test_many_families(place):
    driver()
    with place.exporter() as exporter:
        browse("many_families", exporter)


def test_lost(place):
    driver()
    with place.exporter() as exporter:
        browse("lost", exporter)


main()
