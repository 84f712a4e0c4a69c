# SPDX-License-Identifier: Apache-2.0
"""Worktrees and merges in a real repository. Tasks that touch the same lines conflict."""
import logging
import random
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List

from llm_client import MODELS, invoke_llm
from metrics import git_metrics

logger = logging.getLogger(__name__)
IDENTITY = ["-c", "user.name=orchestrator", "-c", "user.email=orchestrator@localhost", "-c", "commit.gpgsign=false"]


@dataclass
class WorktreeInfo:
    path: Path
    branch_name: str
    files_modified: List[str] = field(default_factory=list)


@dataclass
class MergeResult:
    success: bool
    task_id: str
    error_message: str = ""
    conflict: bool = False
    llm_resolved: bool = False


def git(*arguments, cwd):
    return subprocess.run(["git", *IDENTITY, *arguments], cwd=cwd, check=True, capture_output=True, text=True)


def make_repository(path):
    git("init", "--quiet", "--initial-branch=main", ".", cwd=path)
    for name in ("notes.txt", "plan.txt", "code.txt"):
        (path / name).write_text("".join(f"line {i}\n" for i in range(20)))
    git("add", ".", cwd=path)
    git("commit", "--quiet", "-m", "Start", cwd=path)


class GitManager:
    main_branch = "main"

    def __init__(self, repo_path, lock):
        self.repo_path, self.lock = Path(repo_path), lock
        self.worktrees: Dict[str, WorktreeInfo] = {}

    def create_worktree(self, task_id: str, retry_number: int = 0) -> WorktreeInfo:
        """Create worktree (with metrics)."""
        branch_name = f"task-{task_id}-{retry_number}"
        wt_path = self.repo_path.parent / f"worktree-{branch_name}"
        start_time = time.time()

        try:
            with self.lock:
                subprocess.run(
                    ["git", "worktree", "add", "--quiet", "--force", "-b", branch_name, str(wt_path), "main"],
                    cwd=self.repo_path,
                    check=True, capture_output=True
                )
            info = self.worktrees[task_id] = WorktreeInfo(wt_path, branch_name)

            # Record success
            git_metrics.worktree_creation_duration.observe(time.time() - start_time)
            git_metrics.worktree_operations_total.labels(
                operation="create",
                result="success"
            ).inc()

            return info

        except subprocess.CalledProcessError:
            # Record failure
            git_metrics.worktree_creation_duration.observe(time.time() - start_time)
            git_metrics.worktree_operations_total.labels(
                operation="create",
                result="error"
            ).inc()
            raise

    def remove_worktree(self, task_id):
        info = self.worktrees.pop(task_id, None)
        if not info:
            return
        with self.lock:
            result = subprocess.run(["git", "worktree", "remove", "--force", str(info.path)], cwd=self.repo_path,
                                    capture_output=True)
        git_metrics.worktree_operations_total.labels(
            operation="remove", result="success" if result.returncode == 0 else "error").inc()

    def work(self, task_id, files):
        """What a worker changes in its worktree: a line of each file, among them some that others change, too."""
        info = self.worktrees[task_id]
        for name in files:
            lines = (info.path / name).read_text().splitlines()
            lines[random.randrange(len(lines))] = f"changed by {task_id}"
            (info.path / name).write_text("\n".join(lines) + "\n")
        git("commit", "--quiet", "--all", "-m", f"Task {task_id}", cwd=info.path)
        info.files_modified = list(files)

    def _get_conflicted_files(self):
        return git("diff", "--name-only", "--diff-filter=U", cwd=self.repo_path).stdout.split()

    def _abort(self):
        subprocess.run(["git", "merge", "--abort"], cwd=self.repo_path, capture_output=True)

    async def merge_to_main(self, task_id: str) -> MergeResult:
        """Merge a task's branch to main (with metrics)."""

        # Track the merge operation
        with git_metrics.track_merge() as metadata:
            info = self.worktrees.get(task_id)
            if not info:
                metadata["result"] = "error"
                return MergeResult(success=False, task_id=task_id,
                                   error_message="No worktree found")

            with self.lock:
                checkout_start = time.time()
                subprocess.run(["git", "checkout", "--quiet", self.main_branch], cwd=self.repo_path, check=True)
                git_metrics.checkout_duration.observe(time.time() - checkout_start)

                # Attempt merge
                result = subprocess.run(
                    ["git", *IDENTITY, "merge", info.branch_name, "--no-ff", "-m", f"Merge {task_id}"],
                    cwd=self.repo_path,
                    capture_output=True
                )

                if result.returncode == 0:
                    # SUCCESS
                    metadata["result"] = "success"
                    metadata["files_modified"] = len(info.files_modified)
                    metadata["conflict_count"] = 0
                    return MergeResult(success=True, task_id=task_id)
                else:
                    # CONFLICT
                    conflicted_files = self._get_conflicted_files()
                    conflict_count = len(conflicted_files)

                    metadata["result"] = "conflict"
                    metadata["conflict_count"] = conflict_count
                    git_metrics.conflicts_per_merge.observe(conflict_count)

                    # Try LLM resolution
                    if await _llm_resolve_conflict(self.repo_path, conflicted_files):
                        git("commit", "--quiet", "--all", "--no-edit", cwd=self.repo_path)
                        metadata["result"] = "success"
                        git_metrics.conflict_resolution_total.labels(
                            result="success",
                            method="llm"
                        ).inc()
                        return MergeResult(success=True, task_id=task_id, llm_resolved=True)
                    else:
                        self._abort()
                        git_metrics.conflict_resolution_total.labels(
                            result="failure",
                            method="llm"
                        ).inc()
                        return MergeResult(success=False, task_id=task_id, conflict=True)


async def _llm_resolve_conflict(repo_path: Path, conflicted_files: List[str]) -> bool:
    """Use LLM to resolve merge conflicts (with metrics)."""

    resolution_start = time.time()

    try:
        for file_path in conflicted_files:
            path = repo_path / file_path
            answer = await invoke_llm(random.choice(MODELS), path.read_text())
            path.write_text("".join(line for line in answer.content.splitlines(keepends=True)
                                    if not line.startswith(("<<<<<<<", "=======", ">>>>>>>"))))

        # Record success
        duration = time.time() - resolution_start
        git_metrics.conflict_resolution_duration.observe(duration)

        return True

    except Exception as e:
        duration = time.time() - resolution_start
        git_metrics.conflict_resolution_duration.observe(duration)
        logger.error(f"LLM conflict resolution failed: {e}")
        return False
