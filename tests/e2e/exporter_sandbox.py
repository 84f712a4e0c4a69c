#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a running exporter has given up; and that it goes without."""
import os
import subprocess
import tempfile

from exporter_harness import PATIENCE, Exporter, Skip, main


def status_of(exporter, field):
    """Of every thread."""
    values = set()
    for thread in os.listdir(f"/proc/{exporter.process.pid}/task"):
        with open(f"/proc/{exporter.process.pid}/task/{thread}/status", encoding="ascii") as file:
            values.update(line.split()[1] for line in file if line.startswith(field + ":"))
    return values


def sandboxed(exporter):
    lines = [line for line in exporter.lines if 'msg="sandbox"' in line]
    if not lines:
        raise Skip("built with a sanitizer")
    return lines[0]


def test_gives_up_privileges(place):
    with place.exporter() as exporter:
        line = sandboxed(exporter)
        assert status_of(exporter, "NoNewPrivs") == {"1"}
        dac_read_search = 1 << 2
        assert all(int(value, 16) & ~dac_read_search == 0 for value in status_of(exporter, "CapPrm"))
        assert all(int(value, 16) & ~dac_read_search == 0 for value in status_of(exporter, "CapEff"))
        if "seccomp=on" in line:
            assert status_of(exporter, "Seccomp") == {"2"}
        exporter.metrics()


def test_can_be_kept(place):
    with place.exporter("--no-sandbox") as exporter:
        assert any('msg="no sandbox"' in line for line in exporter.lines)
        assert status_of(exporter, "NoNewPrivs") == {"0"}
        exporter.metrics()


def test_maps_segments_read_only(place):
    writer = place.writer("shop")
    writer("define", "counter", "orders_total")
    with place.exporter() as exporter:
        exporter.metrics()
        with open(f"/proc/{exporter.process.pid}/maps", encoding="ascii") as file:
            modes = {line.split()[1] for line in file if place.path("shop") in line}
        assert modes and all("w" not in mode for mode in modes), modes


def test_reads_nothing_else(place):
    """A link in the directory would lead out of it, if it were followed; Landlock is there if ever it is."""
    with tempfile.TemporaryDirectory() as elsewhere:
        os.symlink(elsewhere, place.path("link"))
        with place.exporter("link") as exporter:
            assert exporter.metrics()['shm_segment_up{segment="link"}'] == "0"


def test_a_directory_that_comes_later(place):
    directory = os.path.join(place.directory, "not", "yet")
    with Exporter(directory=directory) as exporter:
        exporter.metrics()
        os.makedirs(directory)
        place.directory, previous = directory, place.directory
        writer = place.writer("shop")
        writer("define", "counter", "orders_total")
        writer("add", "orders_total", 3)
        assert exporter.metrics()['orders_total{segment="shop"}'] == "3"
        place.directory = previous


def test_long_enough_to_do_everything(place):
    """Every thread, every format and coding, sockets of both kinds, a new segment, the end."""
    path = os.path.join(place.scratch, "socket")
    writer = place.writer("shop")
    writer("define", "counter", "many_total", "x")
    writer("many", "many_total", 0, 50000)
    with place.exporter("--collector.processes", f"--web.listen-address=unix:{path}") as exporter:
        for accept in "text/plain", "application/openmetrics-text":
            for coding in "identity", "gzip", "zstd":
                assert exporter.request(headers={"Accept": accept, "Accept-Encoding": coding}).status == 200
        for page in "/", "/sd", "/-/ready", "/api/v1/status", "/api/v1/families", "/api/v1/series?name[]=many_total":
            assert exporter.request(page).status == 200, page
        place.writer("second")("define", "counter", "x_total")
        assert exporter.metrics()["shm_exporter_segments"] == "2"
        subprocess.run(["curl", "-sf", "-o", "/dev/null", "--unix-socket", path, "http://x/metrics"], check=True,
                       timeout=PATIENCE)
        assert exporter.stop() == 0
        assert not os.path.exists(path)
        assert not [line for line in exporter.lines if "level=error" in line], exporter.lines


main()
