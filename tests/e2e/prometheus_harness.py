# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus on a free port of 127.0.0.1."""
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request

from exporter_harness import PATIENCE, Skip


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Prometheus:
    """`configuration` is the text of its file. An agent has no query API; everybody else can be asked."""

    def __init__(self, place, configuration, *arguments, agent=False):
        if not shutil.which("prometheus"):
            raise Skip("no prometheus")
        directory = tempfile.mkdtemp(dir=place.scratch)
        path = os.path.join(directory, "prometheus.yml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(configuration)
        if shutil.which("promtool"):
            ran = subprocess.run(["promtool", "check", "config", path], capture_output=True, text=True, timeout=PATIENCE)
            assert ran.returncode == 0, ran
        storage = ["--enable-feature=agent", f"--storage.agent.path={directory}/data"] if agent else \
            [f"--storage.tsdb.path={directory}/data"]
        self.errors = []
        while not self.start([f"--config.file={path}", "--log.level=warn", *storage, *arguments]):
            pass

    def start(self, arguments):
        """It takes no port 0. Whether it had the port that was free a moment ago."""
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        del self.errors[:]
        self.process = subprocess.Popen(["prometheus", f"--web.listen-address={self.address}", *arguments],
                                        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        self.reading = threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True)
        self.reading.start()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self.reading.join()
                assert any("address already in use" in line for line in self.errors), "".join(self.errors)
                return False
            try:
                with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=PATIENCE):
                    return True
            except OSError:
                time.sleep(0.05)
        raise AssertionError("prometheus does not get ready: " + "".join(self.errors))

    def samples(self, expression):
        """[(labels, value as text)]"""
        url = f"http://{self.address}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return [(one["metric"], one["value"][1]) for one in json.load(answer)["data"]["result"]]

    def query(self, expression):
        """{sorted labels: value}, without those that every scraped series has"""
        return {tuple(sorted((k, v) for k, v in labels.items() if k not in ("__name__", "instance", "job"))): float(value)
                for labels, value in self.samples(expression)}

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
