#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""libshm.install(): code for prometheus_client, unchanged, on a segment."""
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

import support
import libshm

libshm.install(segment="bridge")
import prometheus_client as client
from prometheus_client import multiprocess

HERE = Path(__file__).resolve().parent


def read(registry=client.REGISTRY):
    return support.samples(client.generate_latest(registry))


def in_child(function):
    child = os.fork()
    if child == 0:
        try:
            function()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


class Bridge(unittest.TestCase):
    def test_counter(self):
        counter = client.Counter("b_counter", "Counter.", ["x"], unit="bytes")
        counter.labels("parent").inc(2)
        in_child(lambda: (counter.labels("parent").inc(), counter.labels("child").inc(0.5)))
        values = read()
        self.assertEqual(values['b_counter_bytes_total{x="parent"}'], 3)
        self.assertEqual(values['b_counter_bytes_total{x="child"}'], 0.5)
        self.assertEqual(counter.labels("parent")._value.get(), 3)
        self.assertEqual(client.REGISTRY.get_sample_value("b_counter_bytes_total", {"x": "child"}), 0.5)
        with self.assertRaises(ValueError):
            counter.labels("parent").inc(-1)
        counter.labels("parent").inc(1, exemplar={"trace_id": "x"})
        from prometheus_client.openmetrics.exposition import generate_latest
        text = generate_latest(client.REGISTRY).decode()
        self.assertIn("# TYPE b_counter_bytes counter\n# UNIT b_counter_bytes bytes\n", text)
        counter.remove("child")
        self.assertNotIn('b_counter_bytes_total{x="child"}', read())
        with self.assertRaises(KeyError):
            counter.remove("child")
        counter.clear()
        self.assertNotIn("b_counter_bytes_total{", client.generate_latest().decode())

    def test_gauges(self):
        modes = {mode: client.Gauge(f"b_{mode}", "Gauge.", multiprocess_mode=mode)
                 for mode in client.Gauge._MULTIPROC_MODES}
        plain = client.Gauge("b_plain", "Gauge.")
        for gauge in (plain, *modes.values()):
            gauge.set(3)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            for gauge in (plain, *modes.values()):
                gauge.set(5)
            os.write(writer, b"x")
            signal.pause()
        os.read(reader, 1)
        values = read()
        for mode, value in (("sum", 8), ("livesum", 8), ("min", 3), ("livemin", 3), ("max", 5), ("livemax", 5)):
            self.assertEqual(values[f"b_{mode}"], value)
        for name in ("b_plain", "b_all", "b_liveall"):
            self.assertEqual(values[f'{name}{{pid="{os.getpid()}"}}'], 3)
            self.assertEqual(values[f'{name}{{pid="{child}"}}'], 5)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        values = read()
        self.assertEqual(values["b_livesum"], 3)
        self.assertNotIn(f'b_plain{{pid="{child}"}}', values)
        computed = client.Gauge("b_function", "Gauge.", multiprocess_mode="livesum")
        computed.set_function(lambda: 17)
        self.assertEqual(read()["b_function"], 17)
        with plain.track_inprogress():
            self.assertEqual(plain._value.get(), 4)
        plain.set_to_current_time()
        self.assertGreater(read()[f'b_plain{{pid="{os.getpid()}"}}'], 1e9)

    def test_distributions(self):
        histogram = client.Histogram("b_histogram", "Histogram.", ["x"], buckets=(1, 2))
        summary = client.Summary("b_summary", "Summary.")
        histogram.labels("a").observe(1.5)
        in_child(lambda: (histogram.labels("a").observe(0.5), histogram.labels("b").observe(9), summary.observe(4)))
        with histogram.labels("a").time():
            pass
        metrics = {metric.name: metric for metric in client.REGISTRY.collect()}
        self.assertEqual((metrics["b_histogram"].type, metrics["b_summary"].type), ("histogram", "summary"))
        self.assertEqual(metrics["b_histogram"].documentation, "Histogram.")
        values = read()
        self.assertEqual([values[f'b_histogram_bucket{{le="{le}",x="a"}}'] for le in ("1.0", "2.0", "+Inf")], [2, 3, 3])
        self.assertEqual(values['b_histogram_count{x="b"}'], 1)
        self.assertEqual((values["b_summary_count"], values["b_summary_sum"]), (1, 4))
        self.assertEqual([bucket.get() for bucket in histogram.labels("a")._buckets], [2, 1, 0])
        self.assertGreaterEqual(histogram.labels("a")._sum.get(), 2)
        self.assertEqual((summary._count.get(), summary._sum.get()), (1, 4))
        with self.assertRaises(ValueError):
            histogram.observe(1)

    def test_info_and_enum(self):
        info = client.Info("b_build", "Build.")
        info.info({"version": "1"})
        state = client.Enum("b_state", "State.", ["x"], states=["up", "down"])
        state.labels("1")
        in_child(lambda: (info.info({"version": "2"}), state.labels("1").state("down")))
        values = read()
        self.assertEqual(values['b_build_info{version="2"}'], 1)
        self.assertNotIn('b_build_info{version="1"}', values)
        self.assertEqual(values['b_state{b_state="down",x="1"}'], 1)
        self.assertEqual(values['b_state{b_state="up",x="1"}'], 0)

    def test_registries(self):
        own = client.CollectorRegistry()
        counter = client.Counter("b_own", "Own.", registry=own)
        counter.inc()
        self.assertEqual(read(own), {"b_own_total": 1})
        other = client.CollectorRegistry()
        multiprocess.MultiProcessCollector(other, path="/is/not/looked/at")
        self.assertIn("b_own_total", read(other))
        self.assertNotIn("process_cpu_seconds_total", read())
        restricted = client.REGISTRY.restricted_registry(["b_own_total", "python_info"])
        self.assertEqual({name.split("{")[0] for name in read(restricted)}, {"b_own_total", "python_info"})
        self.assertEqual([metric.name for metric in counter.collect()], ["b_own"])
        multiprocess.mark_process_dead(1)

        class Collector:
            def collect(self):
                yield client.metrics_core.GaugeMetricFamily("b_custom", "Custom.", 5)

        client.REGISTRY.register(Collector())
        self.assertEqual(read()["b_custom"], 5)

    def test_another_definition(self):
        client.Counter("b_mismatch", "Counter.", ["a"])
        with self.assertRaises(ValueError):
            client.Counter("b_mismatch", "Counter.", ["b"])
        elsewhere = client.CollectorRegistry()
        with self.assertRaisesRegex(ValueError, "b_mismatch_total is defined as counter with the labels a"):
            client.Counter("b_mismatch", "Counter.", ["b"], registry=elsewhere)
        self.assertEqual(list(elsewhere.collect()), [])

    def test_install(self):
        libshm.install(segment="bridge")
        with self.assertRaisesRegex(RuntimeError, "before"):
            libshm.install(segment="another")
        result = support.run("import prometheus_client, libshm\n"
                             "prometheus_client.Counter('early', 'Early.')\nlibshm.install()", check=False)
        self.assertIn("must be called before the first metric is made; there are already: early", result.stderr)


class Applications(unittest.TestCase):
    def serve(self, *arguments):
        """Starts a server; returns its URL when it answers."""
        with tempfile.TemporaryDirectory() as directory:
            config = Path(directory) / "gunicorn.conf.py"
            config.write_text("import libshm\nlibshm.install(segment='flask')\n"
                              f"bind = '127.0.0.1:0'\nworkers = 3\npidfile = '{directory}/pid'\n"
                              f"def when_ready(server):\n"
                              f"    open('{directory}/port.new', 'w').write(str(server.LISTENERS[0].sock.getsockname()[1]))\n"
                              f"    import os; os.rename('{directory}/port.new', '{directory}/port')\n"
                              "def child_exit(server, worker):\n"
                              "    from prometheus_client import multiprocess\n"
                              "    multiprocess.mark_process_dead(worker.pid)\n")
            server = subprocess.Popen(["/usr/bin/python3", "-m", "gunicorn", "--config", str(config), "--chdir",
                                       str(HERE), *arguments, "flask_app:app"], stdout=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE, text=True)
            self.addCleanup(server.wait)
            self.addCleanup(server.stderr.close)
            self.addCleanup(server.kill)
            self.addCleanup(server.terminate)
            port = Path(directory) / "port"
            while not port.exists():
                if server.poll() is not None:
                    self.fail(server.stderr.read())
                time.sleep(0.02)
            self.url = f"http://127.0.0.1:{port.read_text()}"
            self.get("/hello")
        return server

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return answer.read().decode()

    def test_flask_under_gunicorn(self):
        try:
            import flask  # noqa: F401
            import gunicorn  # noqa: F401
        except ImportError as error:
            self.skipTest(str(error))
        for arguments in ((), ("--preload",)):
            with self.subTest(arguments):
                self.check_flask(arguments)
            try:
                libshm.unlink("flask", force=True)
            except FileNotFoundError:
                pass

    def check_flask(self, arguments):
        server = self.serve(*arguments)
        pids, made = {}, 1
        while len(pids) < 3 and made < 5000:  # until each of the workers has answered
            pid = int(self.get("/hello"))
            pids[pid] = pids.get(pid, 0) + 1
            made += 1
        pid = int(self.get("/only"))
        os.kill(pid, signal.SIGKILL)  # with what only it has seen
        pages = [support.samples(self.get("/metrics")) for _ in range(10)]
        for page in pages:
            self.assertEqual(page['app_requests_total{code="200",path="/hello"}'], made)
            self.assertEqual(page['app_latency_seconds_count{path="/hello"}'], made)
            self.assertEqual(page['app_latency_seconds_bucket{le="+Inf",path="/hello"}'], made)
            self.assertEqual(page[f'app_only_total{{pid="{pid}"}}'], 1)
            self.assertEqual(page["app_request_bytes_count"], made + 1)
            self.assertEqual(page["app_active"], 0)
        server.terminate()
        server.wait()


if __name__ == "__main__":
    support.main()
