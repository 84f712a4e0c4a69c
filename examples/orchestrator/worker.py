# SPDX-License-Identifier: Apache-2.0
"""A worker process: takes tasks from a queue, asks a model, changes files in a worktree of its own, merges them."""
import asyncio
import multiprocessing
import queue
import random
import time
from dataclasses import dataclass
from enum import Enum
from types import SimpleNamespace
from typing import Any, Dict

from git_manager import GitManager
from llm_client import MODELS, RateLimitError, invoke_llm
from metrics import task_metrics


class Profile(Enum):
    CODE = "code_worker"
    TEST = "test_worker"
    PLAN = "planner"


class Phase(Enum):
    PLAN = "plan"
    BUILD = "build"
    TEST = "test"


@dataclass
class Task:
    id: str
    assigned_worker_profile: Profile
    phase: Phase
    retry_count: int


def _dict_to_task(fields):
    return Task(fields["id"], Profile(fields["profile"]), Phase(fields["phase"]), fields["retry_count"])


async def handler(task, state, config):
    """Some calls of a model, a change, a merge."""
    manager = config["manager"]
    try:
        for _ in range(random.randrange(1, 4)):
            await invoke_llm(random.choice(MODELS), f"{state['objective']}: {task.phase.value} {task.id}")
        manager.create_worktree(task.id, task.retry_count)
        manager.work(task.id, random.sample(["notes.txt", "plan.txt", "code.txt"], random.randrange(1, 4)))
        merge = await manager.merge_to_main(task.id)
        return SimpleNamespace(status="complete" if merge.success else "blocked")
    finally:
        manager.remove_worktree(task.id)


async def worker_node(state: Dict[str, Any], config: Dict[str, Any] = None):
    task_id = state.get("task_id")
    task_dict = next((t for t in state.get("tasks", []) if t["id"] == task_id), None)
    task = _dict_to_task(task_dict)

    profile = task.assigned_worker_profile
    phase = task.phase

    # Track execution duration
    execution_start = time.time()

    try:
        result = await handler(task, state, config)

        # Record duration
        duration = time.time() - execution_start
        task_metrics.execution_duration.labels(
            worker_profile=profile.value,
            phase=phase.value
        ).observe(duration)

        # Record completion
        status = "success" if result.status == "complete" else "failed"
        task_metrics.completion_total.labels(
            status=status,
            worker_profile=profile.value
        ).inc()

        # Track retry count
        if hasattr(task, 'retry_count') and task.retry_count:
            task_metrics.retry_count.observe(task.retry_count)

        return result

    except Exception:
        duration = time.time() - execution_start
        task_metrics.execution_duration.labels(
            worker_profile=profile.value,
            phase=phase.value
        ).observe(duration)

        task_metrics.completion_total.labels(
            status="error",
            worker_profile=profile.value
        ).inc()

        raise


def main(objective, repository, lock, tasks, results, seed):
    """Until there is None in the queue, or the server is gone."""
    random.seed(seed)
    manager = GitManager(repository, lock)
    while multiprocessing.parent_process().is_alive():
        try:
            fields = tasks.get(timeout=1)
        except queue.Empty:
            continue
        if fields is None:
            return
        state = {"objective": objective, "task_id": fields["id"], "tasks": [fields]}
        try:
            result = asyncio.run(worker_node(state, {"manager": manager}))
            results.put((fields["id"], result.status))
        except (RateLimitError, TimeoutError) as error:
            results.put((fields["id"], type(error).__name__))
