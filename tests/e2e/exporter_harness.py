# SPDX-License-Identifier: Apache-2.0
"""What the end to end tests of shm-exporter share: starting it, asking it, and a worker that writes what it is told.

A test is a function whose name begins with test_; main() runs them all, each in a segment directory of its own."""
import contextlib
import http.client
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
EXPORTER = os.path.join(BUILD, "shm-exporter")
PATIENCE = 60  # seconds until something that should have happened is given up; nothing passes or fails by this alone


class Skip(Exception):
    pass


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode()


class Exporter:
    """A running shm-exporter on a free port of 127.0.0.1."""

    def __init__(self, *arguments, directory, **popen):
        self.log = tempfile.TemporaryFile()
        self.lines = []
        self.process = subprocess.Popen(
            [EXPORTER, "--web.listen-address=127.0.0.1:0", f"--shm.dir={directory}", *arguments],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, **popen)
        self.address = None
        while self.address is None:
            line = self.process.stderr.readline().decode()
            if not line:
                raise AssertionError("the exporter ended: " + "".join(self.lines))
            self.lines.append(line)
            found = re.search(r'msg="listening" address=(\S+)', line)
            if found:
                self.address = found.group(1)
        self.host, port = self.address.rsplit(":", 1)
        self.port = int(port)

    def request(self, path="/metrics", method="GET", headers=None, body=None):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return Response(response.status, response.headers, response.read())
        finally:
            connection.close()

    def metrics(self, path="/metrics"):
        response = self.request(path)
        assert response.status == 200, response.status
        return Metrics(response.text)

    def connect(self):
        return socket.create_connection((self.host, self.port), timeout=PATIENCE)

    def stop(self, number=signal.SIGTERM):
        """Ends it; returns its exit code. The rest of the log is in self.lines."""
        if self.process.returncode is None:
            self.process.send_signal(number)
            rest = self.process.communicate(timeout=PATIENCE)[1].decode()
            self.lines += rest.splitlines(keepends=True)
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        sys.stderr.writelines("    " + line for line in self.lines)


class Metrics:
    """Samples by their text up to the value: 'name{a="b"}' -> value as text."""

    def __init__(self, text):
        self.text = text
        self.samples = {}
        # label values may have other ends of lines; without a family there is no line
        for line in text.rstrip("\n").split("\n") if text else ():
            if line.startswith("#"):
                continue
            series, _, value = line.rpartition(" ")
            assert series not in self.samples, f"twice: {series}"
            self.samples[series] = value

    def __getitem__(self, series):
        return self.samples[series]

    def __contains__(self, series):
        return series in self.samples

    def named(self, prefix):
        return {series: value for series, value in self.samples.items() if series.startswith(prefix)}


_writer = None


def writer_program(scratch):
    """The worker, compiled once."""
    global _writer
    if not _writer:
        _writer = os.path.join(scratch, "exporter_writer")
        flags = shlex.split(os.environ.get("CFLAGS", ""))
        subprocess.run([*shlex.split(os.environ.get("CC", "cc")), "-std=gnu11", "-O1", *flags, "-Iinclude", "-pthread",
                        "-o", _writer, os.path.join(HERE, "exporter_writer.c"), os.path.join(BUILD, "libshm.a")],
                       check=True, cwd=os.path.join(HERE, "../.."))
    return _writer


class Writer:
    """A worker process. `writer("add", "x_total", 5, "label value")`."""

    def __init__(self, segment, directory, scratch):
        self.process = subprocess.Popen([writer_program(scratch), segment], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env={**os.environ, "LIBSHM_DIR": directory})

    def __call__(self, *words):
        self.process.stdin.write("\t".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer == "ok\n", f"{words}: {answer!r}"

    def end(self, number=None):
        if number:
            self.process.send_signal(number)
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=PATIENCE)


class Place:
    """A segment directory and a scratch directory, and what was started there."""

    def __init__(self):
        self.scratch = tempfile.mkdtemp(prefix="libshm-e2e-")
        self.directory = tempfile.mkdtemp(prefix="libshm-e2e-", dir=os.environ.get("LIBSHM_DIR", "/dev/shm"))
        os.chmod(self.directory, 0o755)
        self.writers = []

    def path(self, name):
        return os.path.join(self.directory, name)

    def writer(self, segment):
        self.writers.append(Writer(segment, self.directory, _scratch))
        return self.writers[-1]

    def exporter(self, *arguments, **popen):
        return Exporter(*arguments, directory=self.directory, **popen)

    def close(self):
        for writer in self.writers:
            if writer.process.returncode is None:
                writer.process.kill()
                writer.process.communicate()
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.rmtree(self.scratch, ignore_errors=True)


_scratch = None


@contextlib.contextmanager
def scratch_directory():
    """For what all tests of a process share."""
    global _scratch
    with tempfile.TemporaryDirectory(prefix="libshm-e2e-") as _scratch:
        yield _scratch


def main():
    """Runs the tests of the calling module, or those named on the command line; prints the counts; ends the process."""
    module = sys.modules["__main__"]
    names = sys.argv[1:] or [name for name in vars(module) if name.startswith("test_")]
    passed = failed = skipped = 0
    with scratch_directory():
        for name in names:
            place = Place()
            with contextlib.ExitStack() as stack:
                stack.callback(place.close)
                try:
                    getattr(module, name)(place)
                    passed += 1
                    print(f"ok {name}", flush=True)
                except Skip as reason:
                    skipped += 1
                    print(f"skipped {name}: {reason}", flush=True)
                except Exception:
                    failed += 1
                    traceback.print_exc()
                    print(f"FAILED {name}", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0)
