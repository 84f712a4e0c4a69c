#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The code that this project started from, tests/origin/: every Python block of it runs as it stands, with stand-ins for
the names that it leaves out, and changes /metrics by exactly what it should.

Two things are no Python or no code in there: the `...` in the signature of continuous_dispatch_loop, the only text that
is taken out, and what its "existing dispatch logic" works on, for which `state`, `ready_tasks` and `completed` stand."""
import asyncio
import re
import subprocess
import sys
import typing
import unittest
from pathlib import Path
from types import ModuleType, SimpleNamespace

import support

sys.path.insert(0, str(support.TOP / "examples/orchestrator"))
import libshm
import metrics

ORIGIN = support.TOP / "tests/origin/metrics-instrumentation-examples.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", ORIGIN.read_text(encoding="utf-8"), re.M | re.S)
SIGNATURE = "async def continuous_dispatch_loop(run_id: str, ...) -> None:"


class Clock(ModuleType):
    """Stands for the module time: it goes on only when a test says so."""
    now = 1000.0

    def time(self):
        return self.now

    perf_counter = time

    def passes(self, seconds):
        self.now += seconds


clock = Clock("time")


class Expected:
    """What /metrics should have changed by."""

    def __init__(self):
        self.deltas = {}
        self.bounds = {}
        for line in (support.TOP / "examples/orchestrator/catalogue.tsv").read_text().splitlines():
            if not line.startswith("#"):
                cells = line.split("\t")
                self.bounds[cells[1]] = [float(bound) for bound in cells[6].split()] if cells[6] != "-" else []

    def add(self, name, amount=1, **labels):
        text = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()) if key != "le")
        if "le" in labels:
            text += ("," if text else "") + f'le="{labels["le"]}"'
        name += f"{{{text}}}" if text else ""
        self.deltas[name] = self.deltas.get(name, 0) + amount

    def observe(self, name, value, **labels):
        for bound in self.bounds[name]:
            if value <= bound:
                self.add(name + "_bucket", le=bound, **labels)
        self.add(name + "_bucket", le="+Inf", **labels)
        self.add(name + "_count", **labels)
        self.add(name + "_sum", value, **labels)


def read():
    return support.samples(libshm.generate_latest())


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        sys.modules["time"], self.time = clock, sys.modules["time"]
        metrics.time, self.metrics_time = clock, metrics.time
        self.before = read()
        self.expected = Expected()

    def tearDown(self):
        sys.modules["time"] = self.time
        metrics.time = self.metrics_time

    def check(self):
        after = read()
        changed = {name: value - self.before.get(name, 0) for name, value in after.items()
                   if value != self.before.get(name, 0)}
        self.assertEqual(changed, {name: delta for name, delta in self.expected.deltas.items() if delta})
        self.before = after
        self.expected = Expected()


def define(first, last, **names):
    """Runs blocks as one module that has these names already, and returns it."""
    names = {"time": clock, **names}
    for block in BLOCKS[first:last]:
        exec(compile(block, str(ORIGIN), "exec"), names)
    return SimpleNamespace(**names)


class Copy(unittest.TestCase):
    def test_every_block_is_here(self):
        self.assertEqual(len(BLOCKS), 6)
        self.assertEqual(sum(block.count(SIGNATURE) for block in BLOCKS), 1)
        shared = support.TOP.parent / "shared/seed-metrics-instrumentation-examples.md"
        if shared.exists():
            self.assertEqual(ORIGIN.read_bytes(), shared.read_bytes())

    def test_help_and_buckets_of_the_text(self):
        """The output that the text shows, as far as it does: same lines but for the numbers."""
        with metrics.git_metrics.track_merge():
            pass
        metrics.task_metrics.execution_duration.labels(worker_profile="code_worker", phase="build").observe(3)
        served = {re.sub(r" [0-9.]+$", "", line) for line in libshm.generate_latest().decode().splitlines()}
        shown = [line for line in ORIGIN.read_text().split("```")
                 if line.startswith("\n# HELP")][0].strip().splitlines()
        lines = [re.sub(r" [0-9.]+$", "", line) for line in shown if line.strip("...")]
        self.assertEqual(len(lines), 9)
        self.assertEqual([line for line in lines if line not in served], [])


# ---- git_manager.py ----------------------------------------------------------------------------------------------------
class Result(SimpleNamespace):
    pass


class Files(list):
    """Conflicted files; resolving them takes its time and may fail."""

    def __init__(self, files, error=None):
        super().__init__(files)
        self.error = error

    def __iter__(self):
        clock.passes(4)
        if self.error:
            raise self.error
        return super().__iter__()


class GitManager(Case):
    def setUp(self):
        super().setUp()
        self.merge = SimpleNamespace(returncode=0)
        self.error = {}
        self.log = []

        def run(arguments, *_, **__):
            clock.passes({"checkout": 0.25, "merge": 2, "worktree": 0.5}[arguments[1]])
            if arguments[1] in self.error:
                raise self.error[arguments[1]]
            return self.merge

        self.module = define(
            0, 3, subprocess=SimpleNamespace(run=run, CalledProcessError=subprocess.CalledProcessError),
            MergeResult=Result, WorktreeInfo=Result, Path=Path, List=typing.List,
            logger=SimpleNamespace(error=self.log.append), wt_path=Path("/wt"), branch_name="task",
            info=Result(branch_name="task"))
        self.manager = SimpleNamespace(
            worktrees={"1": Result(branch_name="task-1", files_modified=["a", "b", "c"])}, main_branch="main",
            repo_path=Path("/repo"), _get_conflicted_files=lambda: self.files)
        self.files = Files(["a", "b"])

    def merged(self, result, seconds):
        self.expected.observe("git_merge_duration_seconds", seconds)
        self.expected.add("git_merge_total", result=result)

    def test_no_worktree(self):
        result = asyncio.run(self.module.merge_to_main(self.manager, "none"))
        self.assertEqual((result.success, result.error_message), (False, "No worktree found"))
        self.merged("error", 0)
        self.check()

    def test_success(self):
        result = asyncio.run(self.module.merge_to_main(self.manager, "1"))
        self.assertTrue(result.success)
        self.merged("success", 2.25)
        self.expected.observe("git_checkout_duration_seconds", 0.25)
        self.expected.observe("git_merge_files_modified", 3)
        self.check()

    def conflict(self, result, seconds):
        self.merged(result, seconds)
        self.expected.observe("git_checkout_duration_seconds", 0.25)
        self.expected.observe("git_conflicts_per_merge", 2)
        self.expected.add("git_merge_conflicted_files_total", 2)

    def test_conflict_resolved(self):
        self.merge.returncode = 1
        result = asyncio.run(self.module.merge_to_main(self.manager, "1"))
        self.assertTrue(result.llm_resolved)
        self.conflict("success", 6.25)
        self.expected.observe("git_conflict_resolution_duration_seconds", 4)
        self.expected.add("git_conflict_resolution_total", method="llm", result="success")
        self.check()

    def test_conflict_not_resolved(self):
        self.merge.returncode = 1
        self.files.error = RuntimeError("no idea")
        result = asyncio.run(self.module.merge_to_main(self.manager, "1"))
        self.assertTrue(result.conflict)
        self.assertEqual(self.log, ["LLM conflict resolution failed: no idea"])
        self.conflict("conflict", 6.25)
        self.expected.observe("git_conflict_resolution_duration_seconds", 4)
        self.expected.add("git_conflict_resolution_total", method="llm", result="failure")
        self.check()

    def test_exceptions_pass_untouched(self):
        for step, seconds in (("checkout", 0.25), ("merge", 2.25)):
            self.error = {step: OSError(step)}
            with self.assertRaises(OSError) as caught:
                asyncio.run(self.module.merge_to_main(self.manager, "1"))
            self.assertIs(caught.exception, self.error[step])
            self.merged("error", seconds)
            if step == "merge":
                self.expected.observe("git_checkout_duration_seconds", 0.25)
            self.check()

    def test_cancelled_while_resolving(self):
        self.merge.returncode = 1
        reached = asyncio.Event()

        async def forever(repo_path, files):
            reached.set()
            await asyncio.Event().wait()

        self.module.merge_to_main.__globals__["_llm_resolve_conflict"] = forever

        async def cancel():
            task = asyncio.create_task(self.module.merge_to_main(self.manager, "1"))
            await reached.wait()
            self.assertEqual(read()["git_active_merges"], 1)
            clock.passes(10)
            task.cancel()
            await task

        with self.assertRaises(asyncio.CancelledError):
            asyncio.run(cancel())
        self.conflict("conflict", 12.25)
        self.check()

    def test_two_interleaved_merges(self):
        self.merge.returncode = 1
        order = []

        async def main():
            first, second = asyncio.Event(), asyncio.Event()
            gates = [(first, second), (second, None)]

            async def resolve(repo_path, files):
                opens, waits = gates.pop(0)
                order.append(read()["git_active_merges"])
                opens.set()
                if waits:  # the first to enter is the last to leave
                    await waits.wait()
                    clock.passes(8)
                return bool(waits)

            self.module.merge_to_main.__globals__["_llm_resolve_conflict"] = resolve
            return await asyncio.gather(self.module.merge_to_main(self.manager, "1"),
                                        self.module.merge_to_main(self.manager, "1"))

        results = asyncio.run(main())
        self.assertEqual([result.success for result in results], [True, False])
        self.assertEqual(order, [1, 2])
        # the second enters 2.25 s after the first, leaves at once; then 8 s pass for the first
        self.conflict("conflict", 2.25)
        self.conflict("success", 12.5)
        self.expected.add("git_conflict_resolution_total", method="llm", result="success")
        self.expected.add("git_conflict_resolution_total", method="llm", result="failure")
        self.check()

    def test_worktree(self):
        self.assertEqual(self.module.create_worktree(self.manager, "1").branch_name, "task")
        self.expected.observe("git_worktree_creation_duration_seconds", 0.5)
        self.expected.add("git_worktree_operations_total", operation="create", result="success")
        self.check()
        self.error = {"worktree": subprocess.CalledProcessError(128, "git")}
        with self.assertRaises(subprocess.CalledProcessError):
            self.module.create_worktree(self.manager, "1")
        self.expected.observe("git_worktree_creation_duration_seconds", 0.5)
        self.expected.add("git_worktree_operations_total", operation="create", result="error")
        self.check()
        self.error = {"worktree": OSError("not caught by the text")}
        with self.assertRaises(OSError):
            self.module.create_worktree(self.manager, "1")
        self.check()


# ---- worker.py ---------------------------------------------------------------------------------------------------------
class Worker(Case):
    def setUp(self):
        super().setUp()
        self.status, self.error, self.reached = "complete", None, None

        async def handler(task, state, config):
            clock.passes(8)
            if self.reached:
                self.reached.set()
                await asyncio.Event().wait()
            if self.error:
                raise self.error
            return SimpleNamespace(status=self.status)

        def task(fields):
            return SimpleNamespace(assigned_worker_profile=SimpleNamespace(value="code_worker"),
                                   phase=SimpleNamespace(value="build"),
                                   **{key: value for key, value in fields.items() if key == "retry_count"})

        self.module = define(3, 4, Dict=typing.Dict, Any=typing.Any, RunnableConfig=object, handler=handler,
                             _dict_to_task=task)

    def run_node(self, **fields):
        return asyncio.run(self.module.worker_node({"task_id": 7, "tasks": [{"id": 3}, {"id": 7, **fields}]}))

    def recorded(self, status):
        self.expected.observe("task_execution_duration_seconds", 8, phase="build", worker_profile="code_worker")
        self.expected.add("task_completion_total", status=status, worker_profile="code_worker")

    def test_success_and_retries(self):
        self.assertEqual(self.run_node().status, "complete")
        self.recorded("success")
        self.check()
        self.run_node(retry_count=0)
        self.recorded("success")
        self.check()
        self.run_node(retry_count=2)
        self.recorded("success")
        self.expected.observe("task_retry_count", 2)
        self.check()

    def test_failed(self):
        self.status = "blocked"
        self.run_node(retry_count=3)
        self.recorded("failed")
        self.expected.observe("task_retry_count", 3)
        self.check()

    def test_exception(self):
        self.error = KeyError("x")
        with self.assertRaises(KeyError) as caught:
            self.run_node(retry_count=3)
        self.assertIs(caught.exception, self.error)
        self.recorded("error")
        self.check()

    def test_cancelled(self):
        async def cancel():
            self.reached = asyncio.Event()
            task = asyncio.create_task(self.module.worker_node({"task_id": 7, "tasks": [{"id": 7}]}))
            await self.reached.wait()
            task.cancel()
            await task

        with self.assertRaises(asyncio.CancelledError):
            asyncio.run(cancel())
        self.check()  # the text records nothing then


# ---- dispatch.py -------------------------------------------------------------------------------------------------------
class Steps:
    """Stands for what the dispatch logic would have changed: another length, another state in each cycle."""

    def __init__(self, *values, seconds=0):
        self.values, self.seconds = list(values), seconds

    def __len__(self):
        clock.passes(self.seconds)
        return self.values.pop(0)

    def get(self, key, default):
        assert key == "tasks"
        return self.values.pop(0)


class Dispatch(Case):
    def setUp(self):
        metrics.task_metrics.tasks_by_state.clear()
        super().setUp()

    def test_the_loop(self):
        block = BLOCKS[4].replace(SIGNATURE, SIGNATURE.replace(", ...", ""))
        self.assertEqual(len(BLOCKS[4]) - len(block), len(", ..."))

        class Ticking(Clock):
            """Half a second passes between any two looks."""
            def time(self):
                clock.passes(0.5)
                return clock.now

        names = {"time": Ticking("time"), "max_iterations": 3, "ready_tasks": Steps(2, 0, 100), "completed": Steps(0, 1, 7),
                 "state": Steps([{"status": "active"}, {"status": "active"}, {"status": "pending"}],
                                [{"status": "active"}, {"status": "complete"}], [])}
        exec(compile(block, str(ORIGIN), "exec"), names)
        asyncio.run(names["continuous_dispatch_loop"]("run-1"))
        for _ in range(3):
            self.expected.observe("dispatch_loop_cycle_duration_seconds", 0.5)
        self.expected.add("dispatch_loop_iterations_total", 3, run_id="run-1")
        for dispatched, done in ((2, 0), (0, 1), (100, 7)):
            self.expected.observe("dispatch_tasks_dispatched_per_cycle", dispatched)
            self.expected.observe("dispatch_worker_completions_per_cycle", done)
        self.check()
        self.assertEqual({name: value for name, value in self.before.items() if name.startswith("tasks_by_state")},
                         {f'tasks_by_state{{status="{status}"}}': 0 for status in ("active", "pending", "complete")})

    def test_task_states(self):
        metrics.update_task_state_gauges([{"status": "active"}] * 3 + [{"status": "failed"}])
        values = read()
        self.assertEqual((values['tasks_by_state{status="active"}'], values['tasks_by_state{status="failed"}']), (3, 1))
        metrics.update_task_state_gauges([{"status": "failed"}] * 2)
        values = read()
        self.assertEqual((values['tasks_by_state{status="active"}'], values['tasks_by_state{status="failed"}']), (0, 2))
        metrics.update_task_state_gauges([])


# ---- llm_client.py -----------------------------------------------------------------------------------------------------
class RateLimitError(Exception):
    pass


class LLM(Case):
    LABELS = {"model": "gpt-4o", "provider": "openai"}

    def setUp(self):
        super().setUp()
        self.response, self.error, self.wait = SimpleNamespace(), None, None

        async def ainvoke(prompt):
            clock.passes(0.75)
            if self.wait:
                await self.wait(prompt)
            if self.error:
                raise self.error
            return self.response

        self.module = define(5, 6, llm=SimpleNamespace(ainvoke=ainvoke), RateLimitError=RateLimitError)

    def config(self, model="gpt-4o"):
        return SimpleNamespace(model_name=model, provider="openai")

    def requested(self, result, seconds=0.75, **labels):
        labels = labels or self.LABELS
        self.expected.observe("llm_request_duration_seconds", seconds, **labels)
        self.expected.add("llm_requests_total", result=result, **labels)

    def test_success_with_tokens(self):
        self.response.response_metadata = {"usage": {"prompt_tokens": 4000, "completion_tokens": 1000}}
        self.assertIs(asyncio.run(self.module.invoke_llm(self.config(), "hello")), self.response)
        self.requested("success")
        self.expected.add("llm_tokens_total", 4000, type="prompt", **self.LABELS)
        self.expected.add("llm_tokens_total", 1000, type="completion", **self.LABELS)
        self.expected.add("llm_cost_dollars_total", (4000 * 2.5 + 1000 * 10) / 1e6, **self.LABELS)
        self.check()

    def test_a_model_without_a_price(self):
        self.response.response_metadata = {"usage": {"prompt_tokens": 5}}
        asyncio.run(self.module.invoke_llm(self.config("house-model"), "hello"))
        labels = {"model": "house-model", "provider": "openai"}
        self.requested("success", **labels)
        self.expected.add("llm_tokens_total", 5, type="prompt", **labels)
        self.expected.add("llm_unpriced_requests_total", model="house-model")
        self.check()

    def test_no_usage(self):
        asyncio.run(self.module.invoke_llm(self.config(), "hello"))
        self.requested("success")
        self.check()

    def test_errors(self):
        for error, result in ((RateLimitError(), "rate_limit"), (TimeoutError(), "timeout"), (KeyError(), "error")):
            self.error = error
            with self.assertRaises(type(error)) as caught:
                asyncio.run(self.module.invoke_llm(self.config(), "hello"))
            self.assertIs(caught.exception, error)
            self.requested(result)
            if result == "rate_limit":
                self.expected.add("llm_rate_limit_events_total", **self.LABELS)
            self.check()

    def test_cancelled(self):
        async def cancel():
            reached = asyncio.Event()

            async def forever(prompt):
                reached.set()
                await asyncio.Event().wait()

            self.wait = forever
            task = asyncio.create_task(self.module.invoke_llm(self.config(), "hello"))
            await reached.wait()
            self.assertEqual(read()['llm_active_requests{model="gpt-4o",provider="openai"}'], 1)
            task.cancel()
            await task

        with self.assertRaises(asyncio.CancelledError):
            asyncio.run(cancel())
        self.requested("error")
        self.check()

    def test_two_interleaved_requests(self):
        seen = []

        async def main():
            events = {"first": asyncio.Event(), "second": asyncio.Event()}

            async def wait(prompt):
                seen.append(read()['llm_active_requests{model="gpt-4o",provider="openai"}'])
                events[prompt].set()
                if prompt == "first":
                    await events["second"].wait()
                    clock.passes(1.25)

            self.wait = wait
            await asyncio.gather(self.module.invoke_llm(self.config(), "first"),
                                 self.module.invoke_llm(self.config(), "second"))

        asyncio.run(main())
        self.assertEqual(seen, [1, 2])
        self.requested("success", 0.75)
        self.requested("success", 2.75)
        self.check()


class Metadata(Case):
    def test_what_is_no_number_does_not_hide_the_error(self):
        with self.assertLogs("metrics", "WARNING"), self.assertRaises(LookupError):
            with metrics.git_metrics.track_merge() as metadata:
                metadata.update(result=None, files_modified="many", conflict_count=-1)
                raise LookupError
        self.expected.observe("git_merge_duration_seconds", 0)
        self.expected.add("git_merge_total", result="error")
        self.check()


if __name__ == "__main__":
    support.main()
