#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The orchestrator's server, in small. Needs the package libshm: make python.

    PYTHONPATH=build/python python3 examples/orchestrator/server.py [--port=8000] [--host=127.0.0.1]

    curl -X POST http://localhost:8000/runs -d '{"objective": "Test task", "workers": 3, "tasks": 12}'
    curl http://localhost:8000/runs
    curl http://localhost:8000/metrics | grep git_merge

A run is a dispatcher and some workers, each a process of its own. What /metrics shows is merged from all of them, and
from all that have died. `shm-exporter orchestrator` serves the same from outside."""
import argparse
import json
import multiprocessing
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import dispatch
import libshm
import worker
from git_manager import make_repository

CONTEXT = multiprocessing.get_context("spawn")
LIMITS = {"workers": (3, 1, 16), "tasks": (12, 1, 1000), "seed": (None, 0, 2**32)}  # default, least, most


class BadRequest(Exception):
    pass


class Run:
    def __init__(self, objective, workers, tasks, seed):
        self.id = uuid.uuid4().hex[:12]
        self.objective, self.workers, self.tasks = objective, workers, tasks
        self.seed = random.randrange(2**32) if seed is None else seed
        self.result = None
        self.scratch = Path(tempfile.mkdtemp(prefix="libshm-orchestrator-"))
        self.processes, self.channels = [], None

    def start(self):
        repository = self.scratch / "repository"
        repository.mkdir()
        make_repository(repository)
        tasks, results, lock = CONTEXT.Queue(), CONTEXT.Queue(), CONTEXT.Lock()
        self.channels = tasks, results, lock  # a process that starts finds them only while they are here
        report, sender = CONTEXT.Pipe(duplex=False)
        self.processes = [CONTEXT.Process(target=dispatch.main, daemon=True, args=(
            self.id, self.tasks, self.workers, tasks, results, sender, self.seed))]
        self.processes += [CONTEXT.Process(target=worker.main, daemon=True, args=(
            self.objective, repository, lock, tasks, results, self.seed + i + 1)) for i in range(self.workers)]
        for process in self.processes:
            process.start()
        sender.close()
        threading.Thread(target=self.finish, args=(report,), daemon=True).start()

    def finish(self, report):
        try:
            self.result = report.recv()
        except EOFError:
            self.result = {"error": "the dispatcher ended early"}
            for process in self.processes:
                process.terminate()
        self.clean_up()

    def clean_up(self):
        for process in self.processes:
            process.join()
        self.channels = None
        for _ in range(100):  # a worker's last git may still be writing
            shutil.rmtree(self.scratch, ignore_errors=True)
            if not self.scratch.exists():
                return
            time.sleep(0.02)

    def stop(self):
        for process in self.processes:
            process.terminate()
        self.clean_up()

    def describe(self):
        return {"run_id": self.id, "objective": self.objective, "workers": self.workers, "tasks": self.tasks,
                "seed": self.seed, "state": "running" if self.result is None else "finished", "result": self.result}


class Server:
    def __init__(self):
        self.runs = {}
        self.metrics = libshm.make_wsgi_app()

    def stop(self):
        for run in self.runs.values():
            run.stop()

    def start_run(self, environ):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > 65536:
            raise BadRequest("a run is described in at most 65536 bytes")
        try:
            wanted = json.loads(environ["wsgi.input"].read(length) or b"{}")
        except ValueError as error:
            raise BadRequest(f"the body must be JSON: {error}") from None
        if not isinstance(wanted, dict) or not isinstance(wanted.get("objective", ""), str):
            raise BadRequest('a run is an object: {"objective": "Test task", "workers": 3, "tasks": 12}')
        numbers = {}
        for name, (default, least, most) in LIMITS.items():
            value = numbers[name] = wanted.get(name, default)
            if value is not None and (type(value) is not int or not least <= value <= most):
                raise BadRequest(f"{name} must be an integer from {least} to {most}")
        run = Run(wanted.get("objective", ""), **numbers)
        self.runs[run.id] = run
        run.start()
        return run.describe()

    def answer(self, method, path, environ):
        """Status and what goes out as JSON."""
        if path == "/runs" and method == "POST":
            return "202 Accepted", self.start_run(environ)
        if path == "/runs" and method == "GET":
            return "200 OK", [run.describe() for run in self.runs.values()]
        if path.startswith("/runs/") and method == "GET" and path[6:] in self.runs:
            return "200 OK", self.runs[path[6:]].describe()
        if path == "/" and method == "GET":
            return "200 OK", {"POST /runs": "starts a run", "GET /runs": "what became of them",
                              "GET /metrics": "of all processes"}
        return "404 Not Found", {"error": f"there is no {method} {path}"}

    def __call__(self, environ, start_response):
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            return self.metrics(environ, start_response)
        try:
            status, body = self.answer(environ["REQUEST_METHOD"], path, environ)
        except BadRequest as error:
            status, body = "400 Bad Request", {"error": str(error)}
        output = json.dumps(body, indent=2).encode() + b"\n"
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(output)))])
        return [output]


class ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Handler(WSGIRequestHandler):
    def log_message(self, format, *args):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    application = Server()
    try:
        server = make_server(options.host, options.port, application, ThreadingServer, Handler)
    except OSError as error:
        sys.exit(f"server.py: cannot listen on {options.host}:{options.port}: {error.strerror}")
    print(f"http://{options.host}:{server.server_port}/", flush=True)

    def end(number, _frame):
        raise SystemExit(128 + number if number != signal.SIGTERM else 0)

    signal.signal(signal.SIGTERM, end)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        application.stop()


if __name__ == "__main__":
    main()
