#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""examples/orchestrator/server.py: runs of several processes, and what /metrics says of them, from inside the server and
from shm-exporter beside it. And C and Python workers in one segment."""
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

import support
import libshm

EXAMPLE = support.TOP / "examples/orchestrator"


def ask(url, data=None, method=None):
    request = urllib.request.Request(url, data=data, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


def children(pid):
    """Of a process, and theirs."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == pid:
            found += [int(entry)] + children(int(entry))
    return found


class Server(unittest.TestCase):
    def setUp(self):
        if os.path.exists(libshm.CollectorRegistry(segment="orchestrator").path):
            libshm.unlink("orchestrator", force=True)
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.server = self.start([sys.executable, str(EXAMPLE / "server.py"), "--port=0"],
                                 env={**os.environ, "TMPDIR": self.scratch.name})
        self.url = self.server.stdout.readline().strip().rstrip("/")
        self.assertTrue(self.url.startswith("http://127.0.0.1:"), self.url)

    def start(self, arguments, **popen):
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, **popen)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def run_to_its_end(self, **wanted):
        run = json.loads(ask(self.url + "/runs", json.dumps(wanted).encode()))
        while run["state"] != "finished":
            time.sleep(0.1)
            run = json.loads(ask(f"{self.url}/runs/{run['run_id']}"))
        return run

    def test_runs(self):
        done = []
        for seed in (1, 2):
            done.append(self.run_to_its_end(objective="Test task", workers=3, tasks=9, seed=seed))
            self.assertEqual(sum(done[-1]["result"].values()), 9, done[-1])
        values = support.samples(ask(self.url + "/metrics"))
        total = lambda prefix: sum(value for name, value in values.items() if name.startswith(prefix))  # noqa: E731
        self.assertEqual(values["git_active_merges"], 0)
        self.assertEqual(total("llm_active_requests"), 0)
        completed = total("task_completion_total")
        self.assertGreaterEqual(completed, 18)
        self.assertEqual(total('task_completion_total{status="success"'), sum(run["result"]["complete"] for run in done))
        self.assertEqual(total("task_execution_duration_seconds_count"), completed)
        self.assertEqual(total("git_merge_total"), values["git_merge_duration_seconds_count"])
        self.assertEqual(values['git_worktree_operations_total{operation="create",result="success"}'],
                         values['git_worktree_operations_total{operation="remove",result="success"}'])
        self.assertEqual(total("llm_requests_total"), total("llm_request_duration_seconds_count"))
        self.assertGreater(total("llm_cost_dollars_total"), 0)
        for run in done:
            self.assertGreaterEqual(values[f'dispatch_loop_iterations_total{{run_id="{run["run_id"]}"}}'], 2)
        self.assertEqual({name: value for name, value in values.items() if name.startswith("tasks_by_state")
                          and ("active" in name or "pending" in name) and value}, {})
        self.compare_with_the_exporter(values)
        self.end()

    def end(self):
        """Nothing is left then."""
        self.server.terminate()
        self.assertEqual(self.server.wait(60), 0)
        self.assertEqual(os.listdir(self.scratch.name), [])

    def compare_with_the_exporter(self, values):
        exporter = self.start([str(support.BUILD / "shm-exporter"), "--web.listen-address=127.0.0.1:0", "orchestrator"],
                              stderr=subprocess.PIPE)
        self.addCleanup(exporter.stderr.close)
        address = ""
        while "127.0.0.1:" not in address:
            address = exporter.stderr.readline()
            self.assertTrue(address, "the exporter ended")
        port = address.partition("127.0.0.1:")[2].split("/")[0].strip("\" ,\n").split()[0].strip('"')
        outside = support.samples(ask(f"http://127.0.0.1:{port}/metrics"))
        self.assertEqual({name: value for name, value in outside.items() if not name.startswith("shm_")}, values)

    def test_ending_in_the_middle_of_a_run(self):
        run = json.loads(ask(self.url + "/runs", b'{"objective": "x", "workers": 2, "tasks": 1000}'))
        while True:
            values = support.samples(ask(self.url + "/metrics"))
            if values.get("git_merge_duration_seconds_count", 0) > 3:
                break
            time.sleep(0.02)
        processes = [pid for pid in children(self.server.pid)]
        self.end()
        for pid in processes:
            for _ in range(1000):  # the one that cleans up semaphores ends after the server
                if not os.path.exists(f"/proc/{pid}"):
                    break
                time.sleep(0.01)
            else:
                self.fail(f"process {pid} was left behind")
        values = support.samples(libshm.generate_latest(libshm.CollectorRegistry(segment="orchestrator")))
        self.assertEqual(values["git_active_merges"], 0)
        self.assertTrue(run["run_id"])

    def test_mistakes(self):
        for body, message in ((b"{", "JSON"), (b"[]", "object"), (b'{"workers": 0}', "workers must be"),
                              (b'{"tasks": true}', "tasks must be"), (b'{"objective": 1}', "object")):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                ask(self.url + "/runs", body)
            self.assertEqual(caught.exception.code, 400)
            self.assertIn(message, json.loads(caught.exception.read())["error"])
        for path, method in (("/nothing", "GET"), ("/runs", "DELETE")):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                ask(self.url + path, method=method)
            self.assertEqual(caught.exception.code, 404)
            caught.exception.close()


class Shared(unittest.TestCase):
    def test_c_and_python_workers_in_one_segment(self):
        program = support.BUILD / "orchestrator"
        if not program.exists():
            self.skipTest("the orchestrator in C was not built")
        registry = libshm.CollectorRegistry(segment="both")
        with subprocess.Popen([program, "--workers=2", "--seconds=4", "--seed=1", "--segment=both",
                               f"--prices={EXAMPLE / 'prices.tsv'}"], stdout=subprocess.DEVNULL) as orchestrator:
            while b"git_merge_total{" not in libshm.generate_latest(registry):
                self.assertIsNone(orchestrator.poll(), "it ended early")
                time.sleep(0.05)
            support.run("""
import sys
sys.path.insert(0, sys.argv[1])
import metrics
for _ in range(1000):
    with metrics.git_metrics.track_merge() as metadata:
        metadata["result"] = "python"
    with metrics.llm_metrics.track_request(model="snake", provider="python") as metadata:
        metadata.update(prompt_tokens=5, completion_tokens=7, cost=0.5)
""", EXAMPLE, ORCHESTRATOR_SEGMENT="both")
            self.assertEqual(orchestrator.wait(), 0)
        values = support.samples(libshm.generate_latest(registry))
        self.assertEqual(values['git_merge_total{result="python"}'], 1000)
        merges = sum(value for name, value in values.items() if name.startswith("git_merge_total"))
        self.assertEqual(values["git_merge_duration_seconds_count"], merges)
        self.assertGreater(merges, 1000)
        self.assertEqual(values['llm_tokens_total{model="snake",provider="python",type="completion"}'], 7000)
        self.assertEqual(values['llm_cost_dollars_total{model="snake",provider="python"}'], 500)


if __name__ == "__main__":
    support.main()
