#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""shm-exporter and the directory of segments: what appears, is replaced, disappears, is damaged or is no segment."""
import json
import os
import signal
import subprocess
import tempfile
import time

from exporter_harness import BUILD, EXPORTER, PATIENCE, Exporter, Skip, main


def shop(place, segment, value=1):
    writer = place.writer(segment)
    writer("define", "counter", "orders_total")
    writer("add", "orders_total", value)
    return writer


def log_lines(exporter, message):
    return [line for line in exporter.lines if f'msg="{message}"' in line]


def test_segments_come_and_go(place):
    with place.exporter() as exporter:
        assert exporter.metrics()["shm_exporter_segments"] == "0"
        shop(place, "a", 5)
        metrics = exporter.metrics()
        assert metrics['orders_total{segment="a"}'] == "5"
        assert metrics['shm_segment_up{segment="a"}'] == "1"
        assert metrics["shm_exporter_segments"] == "1"
        shop(place, "b", 6)
        assert exporter.metrics()['orders_total{segment="b"}'] == "6"
        os.unlink(place.path("a"))
        metrics = exporter.metrics()
        assert metrics.named("orders_total") == {'orders_total{segment="b"}': "6"}
        assert metrics["shm_exporter_segments"] == "1"
        shop(place, "a", 7)
        assert exporter.metrics()['orders_total{segment="a"}'] == "7"
        # replaced: another file under the name
        shop(place, "new", 8)
        os.rename(place.path("new"), place.path("a"))
        metrics = exporter.metrics()
        assert metrics.named("orders_total") == {'orders_total{segment="a"}': "8", 'orders_total{segment="b"}': "6"}
        exporter.stop()
        assert len(log_lines(exporter, "segment was replaced")) == 1
        assert len(log_lines(exporter, "segment has gone")) == 1


def test_one_named_segment_has_no_label(place):
    shop(place, "other", 1)
    with place.exporter("shop") as exporter:
        metrics = exporter.metrics()
        assert metrics['shm_segment_up{segment="shop"}'] == "0"
        assert not metrics.named("orders_total")
        shop(place, "shop", 3)
        metrics = exporter.metrics()
        assert metrics.named("orders_total") == {"orders_total": "3"}
        assert metrics['shm_segment_up{segment="shop"}'] == "1"
        os.unlink(place.path("shop"))
        metrics = exporter.metrics()
        assert not metrics.named("orders_total")
        assert metrics['shm_segment_up{segment="shop"}'] == "0"


def test_what_has_gone_is_let_go_without_a_scrape(place):
    shop(place, "shop")
    with place.exporter() as exporter:
        def mapped():
            with open(f"/proc/{exporter.process.pid}/maps", encoding="ascii") as file:
                return place.path("shop") in file.read()
        assert mapped()
        os.unlink(place.path("shop"))
        deadline = time.monotonic() + PATIENCE
        while mapped():
            assert time.monotonic() < deadline, "the file takes up memory for ever"
            time.sleep(0.05)


def test_several_directories(place):
    with tempfile.TemporaryDirectory(dir=place.directory) as second:
        shop(place, "a", 1)
        shop(place, "both", 2)
        first, place.directory = place.directory, second
        shop(place, "both", 3)
        shop(place, "b", 4)
        place.directory = first
        for arguments, label in ([], True), (["both"], False), (["a", "b"], True):
            with place.exporter(f"--shm.dir={second}", *arguments) as exporter:
                metrics = exporter.metrics()
                names = arguments or ["a", "b", "both"]
                values = {"a": "1", "b": "4", "both": "2"}  # the first directory's
                assert metrics.named("orders_total") == {
                    f'orders_total{{segment="{name}"}}' if label else "orders_total": values[name] for name in names}
                assert len(metrics.named("shm_exporter_directory_readable")) == 2
                if "both" in names:
                    assert metrics['shm_exporter_ignored_files{reason="duplicate"}'] == "1"
                    os.rename(place.path("both"), place.path("hidden.x"))
                    series = 'orders_total{segment="both"}' if label else "orders_total"
                    assert exporter.metrics()[series] == "3"
                    os.rename(place.path("hidden.x"), place.path("both"))
                    assert exporter.metrics()[series] == "2"


def test_patterns(place):
    for name in "shop", "shop-2", "test-1", "other":
        shop(place, name)
    for arguments, names in (
            (["--shm.include=shop*"], {"shop", "shop-2"}),
            (["--shm.include=shop*", "--shm.include=test-?"], {"shop", "shop-2", "test-1"}),
            (["--shm.exclude=*-*"], {"shop", "other"}),
            (["--shm.include=shop*", "--shm.exclude=*-[0-9]"], {"shop"}),
            (["--shm.exclude=*", "other", "shop"], {"other", "shop"})):  # names are meant
        with place.exporter(*arguments) as exporter:
            metrics = exporter.metrics()
            assert set(metrics.named("orders_total")) == {f'orders_total{{segment="{name}"}}' for name in names}
            if "other" not in names:
                assert metrics['shm_exporter_ignored_files{reason="pattern"}'] != "0"


def test_service_discovery(place):
    shop(place, "a", 1)
    shop(place, "b", 2)
    with place.exporter() as exporter:
        response = exporter.request("/sd")
        assert response.headers["Content-Type"] == "application/json"
        groups = json.loads(response.body)
        assert [group["targets"] for group in groups] == [[exporter.address]] * 2
        assert [group["labels"]["__meta_shm_segment"] for group in groups] == ["a", "b"]
        for group, value in zip(groups, "12"):
            labels = group["labels"]
            metrics = exporter.metrics(labels["__metrics_path__"] + "?segment=" + labels["__param_segment"])
            assert list(metrics.named("orders_total").values()) == [value]
        for host in 'x"y', "a b", "", "x/y":
            assert exporter.request("/sd", headers={"Host": host}).status == 400, host


def test_label_policy(place):
    shop(place, "a", 1)
    shop(place, "b", 2)
    for arguments, series in (
            ([], {'orders_total{segment="a"}': "1", 'orders_total{segment="b"}': "2"}),
            (["a", "b"], {'orders_total{segment="a"}': "1", 'orders_total{segment="b"}': "2"}),
            (["b"], {"orders_total": "2"}),
            (["--shm.segment-label=always", "b"], {'orders_total{segment="b"}': "2"}),
            (["--shm.segment-label=never"], {"orders_total": "1"})):  # the older one's
        with place.exporter(*arguments) as exporter:
            metrics = exporter.metrics()
            assert metrics.named("orders_total") == series, arguments
            assert metrics["shm_exporter_duplicate_series"] == ("1" if "never" in str(arguments) else "0")


def test_families_are_merged(place):
    for i, segment in enumerate(("c", "a", "b")):  # c is the oldest
        writer = place.writer(segment)
        writer("define", "counter" if segment != "a" else "gauge", "mixed_total" if segment != "a" else "mixed_gauge")
        writer("define", "histogram", "wait_seconds", "-", "0.1,1" if segment != "b" else "0.1,2")
        writer("observe", "wait_seconds", i)
        writer("define", *("histogram both - 1".split() if segment == "b" else ("gauge", "both_bucket")))
        writer("observe" if segment == "b" else "set", "both" if segment == "b" else "both_bucket", 1)
    with place.exporter() as exporter:
        metrics = exporter.metrics()
        # b's bounds are others
        assert set(metrics.named("wait_seconds_count")) == {f'wait_seconds_count{{segment="{s}"}}' for s in "ac"}
        assert metrics.text.count("# TYPE wait_seconds ") == 1
        # b's histogram would have samples with the name of a gauge
        assert set(metrics.named("both")) == {f'both_bucket{{segment="{s}"}}' for s in "ac"}
        assert metrics["shm_exporter_conflicting_families"] == "2"
        names = [line.split()[2] for line in metrics.text.splitlines() if line.startswith("# TYPE")]
        assert names == sorted(names)
        exporter.metrics()
        exporter.stop()
        assert len(log_lines(exporter, "family left out: another one is defined otherwise")) == 2


def test_passes_over_what_is_no_segment(place):
    shop(place, "shop")
    with open(place.path("text"), "w", encoding="ascii") as file:
        file.write("not a segment\n" * 1000)
    open(place.path("empty"), "w", encoding="ascii").close()
    open(place.path(".hidden"), "w", encoding="ascii").close()
    open(place.path("no name"), "w", encoding="ascii").close()
    os.symlink("shop", place.path("link"))
    os.symlink("nowhere", place.path("dangling"))
    os.mkfifo(place.path("fifo"))
    os.mkdir(place.path("directory"))
    with place.exporter() as exporter:
        for _ in range(3):
            metrics = exporter.metrics()
        assert metrics["shm_exporter_segments"] == "1"
        assert metrics['shm_exporter_ignored_files{reason="type"}'] == "4"
        assert metrics['shm_exporter_ignored_files{reason="name"}'] == "2"
        assert metrics['shm_exporter_ignored_files{reason="content"}'] == "2"
        assert list(metrics.named("shm_segment_up")) == ['shm_segment_up{segment="shop"}']
        exporter.stop()
        assert len(log_lines(exporter, "file passed over")) == 8
    for name in "fifo", "link", "directory", "text":  # named, they are down
        with place.exporter(name) as exporter:
            assert exporter.metrics()[f'shm_segment_up{{segment="{name}"}}'] == "0"


def test_a_damaged_segment_does_not_hide_the_others(place):
    shop(place, "good", 4)
    shop(place, "bad")
    with place.exporter() as exporter:
        assert exporter.metrics()['shm_segment_up{segment="bad"}'] == "1"
        with open(place.path("bad"), "r+b") as file:
            file.seek(64)
            file.write(b"\xff" * 64)
        for _ in range(3):
            exporter.metrics()
        exporter.stop()
    with place.exporter() as exporter:
        for _ in range(3):
            metrics = exporter.metrics()
            assert metrics['shm_segment_up{segment="bad"}'] == "0"
            assert metrics['orders_total{segment="good"}'] == "4"
        assert "bad" in exporter.request("/api/v1/status").text
        exporter.stop()
        assert len(log_lines(exporter, "segment cannot be served")) == 1


def test_survives_truncation(place):
    shop(place, "good", 4)
    writer = place.writer("cut")
    writer("define", "counter", "many_total", "x")
    writer("many", "many_total", 0, 3000)
    with place.exporter() as exporter:
        assert len(exporter.metrics().named("many_total")) == 3000
        writer.end(signal.SIGKILL)
        for size in 100000, 8192, 4096, 100, 0:
            os.truncate(place.path("cut"), size)
            for _ in range(2):
                metrics = exporter.metrics()
                assert metrics['orders_total{segment="good"}'] == "4"
        assert metrics['shm_segment_up{segment="good"}'] == "1"
        assert 'shm_segment_up{segment="cut"}' not in metrics  # an empty file is no segment
        os.unlink(place.path("cut"))
        shop(place, "cut", 9)
        assert exporter.metrics()['orders_total{segment="cut"}'] == "9"


def test_missing_directory(place):
    with tempfile.TemporaryDirectory() as parent:
        directory = os.path.join(parent, "later")
        with Exporter(directory=directory) as exporter:
            metrics = exporter.metrics()
            assert metrics[f'shm_exporter_directory_readable{{directory="{directory}"}}'] == "0"
            os.mkdir(directory)
            place.directory, previous = directory, place.directory
            shop(place, "shop", 2)
            metrics = exporter.metrics()
            assert metrics['orders_total{segment="shop"}'] == "2"
            assert metrics[f'shm_exporter_directory_readable{{directory="{directory}"}}'] == "1"
            place.writers[-1].end()
            place.directory = previous
            exporter.stop()
            assert len(log_lines(exporter, "cannot read the directory of the segments")) == 1


def others_may_run(user):
    try:
        done = subprocess.run([EXPORTER, "--version"], user=user, group=user, capture_output=True, check=False)
    except PermissionError:
        return False
    return done.returncode == 0


def test_says_what_it_may_not_read(place):
    if os.geteuid() != 0:
        raise Skip("needs root, to be somebody else")
    nobody = 65534
    shop(place, "secret")
    os.chmod(place.path("secret"), 0o600)
    shop(place, "open", 3)
    os.chmod(place.path("open"), 0o644)
    if not others_may_run(nobody):
        raise Skip(f"another user may not run {BUILD}")
    with place.exporter(user=nobody, group=nobody, extra_groups=[]) as exporter:
        for _ in range(2):
            metrics = exporter.metrics()
        assert metrics['shm_segment_up{segment="secret"}'] == "0"
        assert metrics['orders_total{segment="open"}'] == "3"
        exporter.stop()
        lines = log_lines(exporter, "segment cannot be served")
        assert len(lines) == 1 and "secret" in lines[0], lines


def test_live_gauges_end_with_their_process(place):
    first, second = shop(place, "shop"), place.writer("shop")
    for writer in first, second:
        writer("define", "gauge", "active", "-", "-", "sum")
        writer("define", "gauge", "each", "kind", "-", "all")
        writer("set", "active", 1)
        writer("set", "each", 2, "x")
    pids = [writer.process.pid for writer in (first, second)]
    with place.exporter("shop") as exporter:
        metrics = exporter.metrics()
        assert metrics["active"] == "2"
        assert set(metrics.named("each")) == {f'each{{kind="x",pid="{pid}"}}' for pid in pids}
        first.end(signal.SIGKILL)
        metrics = exporter.metrics()
        assert metrics["active"] == "1"
        assert set(metrics.named("each")) == {f'each{{kind="x",pid="{pids[1]}"}}'}
        assert metrics['shm_segment_processes_alive{segment="shop"}'] == "1"


def test_processes(place):
    writers = [shop(place, "a"), shop(place, "a"), shop(place, "b")]
    pids = [writer.process.pid for writer in writers]
    labels = [f'{{pid="{pid}",segment="{segment}"}}' for pid, segment in zip(pids, "aab")]
    with place.exporter() as exporter:
        assert not exporter.metrics().named("shm_segment_process_cpu")
    with place.exporter("--collector.processes") as exporter:
        metrics = exporter.metrics()
        for name in "cpu_seconds_total", "resident_memory_bytes", "open_fds", "start_time_seconds":
            assert set(metrics.named(f"shm_segment_process_{name}{{")) == \
                {f"shm_segment_process_{name}{label}" for label in labels}, name
        for pid, label in zip(pids, labels):
            assert int(metrics["shm_segment_process_open_fds" + label]) == len(os.listdir(f"/proc/{pid}/fd"))
            assert float(metrics["shm_segment_process_resident_memory_bytes" + label]) > 100000
            assert abs(float(metrics["shm_segment_process_start_time_seconds" + label]) - time.time()) < 10 * PATIENCE
        assert metrics["shm_exporter_unreadable_processes"] == "0"
        assert len(exporter.metrics("/metrics?segment=b").named("shm_segment_process_open_fds")) == 1
        writers[0].end(signal.SIGKILL)
        assert set(exporter.metrics().named("shm_segment_process_open_fds")) == \
            {f"shm_segment_process_open_fds{label}" for label in labels[1:]}
    if os.geteuid() != 0 or not others_may_run(65534):
        return
    for name in "ab":
        os.chmod(place.path(name), 0o644)
    with place.exporter("--collector.processes", user=65534, group=65534, extra_groups=[]) as exporter:
        metrics = exporter.metrics()
        assert len(metrics.named("shm_segment_process_cpu_seconds_total")) == 2
        assert len(metrics.named("shm_segment_process_open_fds")) == 0
        assert metrics["shm_exporter_unreadable_processes"] == "2"


def test_many_segments(place):
    def all_of(directory, n):
        return {f'orders_total{{segment="s{i}"}}': "1" for i in range(n)}

    for i in range(60):
        shop(place, f"s{i}").end()
    with place.exporter() as exporter:
        assert exporter.metrics().named("orders_total") == all_of(place.directory, 60)
        for i in range(60):
            os.unlink(place.path(f"s{i}"))
        assert exporter.metrics().named("orders_total") == {}
        open_files = len(os.listdir(f"/proc/{exporter.process.pid}/fd"))
        assert open_files < 60, open_files


main()
