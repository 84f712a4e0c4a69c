# SPDX-License-Identifier: Apache-2.0
"""The dispatcher of one run: hands ready tasks to the workers and takes their results, cycle by cycle."""
import asyncio
import multiprocessing
import queue
import random
import time

from metrics import dispatch_metrics, task_metrics, update_task_state_gauges

MOST_RETRIES = 5


def make_tasks(run_id, n):
    kinds = [("planner", "plan"), ("code_worker", "build"), ("test_worker", "test")]
    return [{"id": f"{run_id}-{i}", "profile": kinds[i % 3][0], "phase": kinds[i % 3][1], "status": "pending",
             "retry_count": 0} for i in range(n)]


def take_results(state, results):
    """The tasks that workers have handed back since the last cycle."""
    by_id = {task["id"]: task for task in state["tasks"]}
    completed = []
    while True:
        try:
            task_id, status = results.get_nowait()
        except queue.Empty:
            return completed
        task = by_id[task_id]
        if status == "complete":
            task["status"] = "complete"
        elif task["retry_count"] < MOST_RETRIES:
            task["status"] = "pending"
            task["retry_count"] += 1
        else:
            task["status"] = "failed"
        completed.append(task)


async def continuous_dispatch_loop(run_id: str, state, tasks, results, workers, max_iterations=100000) -> None:
    iteration = 0

    while iteration < max_iterations:
        iteration += 1
        cycle_start = time.time()

        completed = take_results(state, results)
        active = sum(task["status"] == "active" for task in state["tasks"])
        pending = [task for task in state["tasks"] if task["status"] == "pending"]
        ready_tasks = pending[:max(0, 2 * workers - active)]
        for task in ready_tasks:
            task["status"] = "active"
            tasks.put(dict(task))

        # Record cycle metrics
        cycle_duration = time.time() - cycle_start
        dispatch_metrics.loop_cycle_duration.observe(cycle_duration)
        dispatch_metrics.loop_iterations.labels(run_id=run_id).inc()

        # Update task state gauges
        update_task_state_gauges(state.get("tasks", []))

        # Track dispatches and completions
        dispatch_metrics.tasks_dispatched_per_cycle.observe(len(ready_tasks))
        dispatch_metrics.worker_completions_per_cycle.observe(len(completed))

        if not pending and not active or not multiprocessing.parent_process().is_alive():
            return
        await asyncio.sleep(0.05)


def main(run_id, n_tasks, workers, tasks, results, report, seed):
    random.seed(seed)
    state = {"tasks": make_tasks(run_id, n_tasks)}
    try:
        asyncio.run(continuous_dispatch_loop(run_id, state, tasks, results, workers))
    finally:
        for _ in range(workers):
            tasks.put(None)
    report.send({status: sum(task["status"] == status for task in state["tasks"])
                 for status in ("complete", "failed")})
