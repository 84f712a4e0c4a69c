#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How the orchestrator ends: by a signal, by a kill, by wrong options; and that nothing sticks then."""
import contextlib
import os
import signal
import subprocess
import time

from exporter_harness import BUILD, PATIENCE, main

ORCHESTRATOR = os.path.join(BUILD, "orchestrator")


def await_that(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def state(pid):
    """As in /proc; None: there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def ended(pid):
    return state(pid) in (None, "Z", "X")  # nobody may be there to reap it


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
            return [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def tree(pid):
    return [pid] + [below for child in children(pid) for below in tree(child)]


class Orchestrator:
    def __init__(self, place, *options):
        self.temporary = os.path.join(place.scratch, "tmp")
        os.makedirs(self.temporary, exist_ok=True)
        self.process = subprocess.Popen([ORCHESTRATOR, "--segment=job", *options], stdout=subprocess.DEVNULL,
                                        env={**os.environ, "LIBSHM_DIR": place.directory, "TMPDIR": self.temporary})
        self.pids = set()

    def everybody(self):
        self.pids.update(tree(self.process.pid))
        return self.pids

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=PATIENCE)
        for pid in self.pids:
            if not ended(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def merges(exporter):
    metrics = exporter.metrics()
    return sum(float(value) for value in metrics.named("git_merge_total{").values())


def active(exporter):
    return exporter.metrics().samples.get("git_active_merges")


def check_signal(place, number):
    with place.exporter("job") as exporter, Orchestrator(place, "--workers=3", "--chaos") as job:
        await_that("no merge", lambda: merges(exporter) >= 2)
        pids = set(job.everybody())
        assert len(pids) >= 1 + 3
        assert len(os.listdir(job.temporary)) == 1
        job.process.send_signal(number)
        assert job.process.wait(timeout=PATIENCE) == 0
        assert not os.listdir(job.temporary), "it left its scratch repository"
        assert all(ended(pid) for pid in pids), "it left processes"
        assert os.path.exists(place.path("job")), "it took its segment away"
        assert active(exporter) == "0"


def test_sigterm_ends_all_in_order(place):
    check_signal(place, signal.SIGTERM)


def test_sigint_ends_all_in_order(place):
    check_signal(place, signal.SIGINT)


def test_sighup_ends_all_in_order(place):
    check_signal(place, signal.SIGHUP)


def test_it_goes_on_when_nobody_reads_its_output(place):
    temporary = os.path.join(place.scratch, "tmp")
    os.makedirs(temporary)
    output, end = os.pipe()
    os.close(output)
    with open(end, "wb") as end:
        done = subprocess.run([ORCHESTRATOR, "--segment=job", "--seconds=0.1"], stdout=end, timeout=PATIENCE,
                              env={**os.environ, "LIBSHM_DIR": place.directory, "TMPDIR": temporary})
    assert done.returncode == 0 and not os.listdir(temporary), done


def test_workers_end_with_a_killed_parent(place):
    with place.exporter("job") as exporter, Orchestrator(place, "--workers=3") as job:
        await_that("no merge", lambda: merges(exporter) >= 1)
        job.everybody()
        job.process.kill()
        job.process.wait(timeout=PATIENCE)
        await_that("workers stay", lambda: all(ended(pid) for pid in job.pids))
        assert active(exporter) == "0"


def test_no_merge_is_active_when_all_were_killed_in_one(place):
    with place.exporter("job") as exporter, Orchestrator(place, "--workers=4") as job:
        def frozen_in_a_merge():
            os.kill(job.process.pid, signal.SIGSTOP)
            pids = children(job.process.pid)
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            await_that("not stopped", lambda: all(state(pid) in "TZ" for pid in [job.process.pid, *pids]))
            if active(exporter) == "1":
                return True
            for pid in [*pids, job.process.pid]:
                os.kill(pid, signal.SIGCONT)
            return False

        await_that("no merge", lambda: merges(exporter) >= 1)
        await_that("no merge seen", frozen_in_a_merge)
        assert active(exporter) == "1", "who is stopped is alive"
        for pid in job.everybody():
            with contextlib.suppress(ProcessLookupError):  # the parent's death is told to its workers
                os.kill(pid, signal.SIGKILL)
        await_that("not killed", lambda: all(ended(pid) for pid in job.pids))
        assert active(exporter) == "0"
        job.process.wait(timeout=PATIENCE)


def test_wrong_usage_is_said(place):
    for options, says in (
        (["--workers=0"], "--workers=0: expected a whole number from 1 to 64"),
        (["--workers=65"], "from 1 to 64"),
        (["--workers=1x"], "--workers=1x"),
        (["--workers="], "--workers="),
        (["--seconds=-1"], "--seconds=-1: expected a number of seconds"),
        (["--seconds=inf"], "--seconds=inf"),
        (["--seed=99999999999999999999"], "--seed="),
        (["--truth="], "--truth: expected the name of a file"),
        (["--no-such"], "--no-such"),
        (["more"], "unexpected argument 'more'"),
    ):
        done = subprocess.run([ORCHESTRATOR, *options], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 2 and says in done.stderr and not done.stdout, (options, done)
    for options, says in (
        (["--segment=../job"], "[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"),
        (["--truth=/nonexistent/truth"], "/nonexistent/truth: No such file or directory"),
        (["--prices=/nonexistent/prices"], "/nonexistent/prices: No such file or directory"),
    ):
        done = subprocess.run([ORCHESTRATOR, "--seconds=0.1", *options], capture_output=True, text=True,
                              env={**os.environ, "LIBSHM_DIR": place.directory, "TMPDIR": place.scratch},
                              timeout=PATIENCE)
        assert done.returncode == 1 and says in done.stderr, (options, done)
        assert not os.listdir(place.scratch), "it left its scratch repository"


def test_help_and_version(place):
    del place
    for option, says in (("--help", "--chaos"), ("--version", "libshm")):
        done = subprocess.run([ORCHESTRATOR, option], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0 and says in done.stdout and not done.stderr, done


if __name__ == "__main__":
    main()
