#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Many processes, however they came to be and however they end; threads; coroutines."""
import asyncio
import itertools
import mmap
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import unittest

import support
import libshm
from libshm import Counter, Gauge, Histogram

SEED = int(os.environ.get("SEED", random.SystemRandom().randrange(10**9)))
numbers = itertools.count()


class Case(unittest.TestCase):
    def setUp(self):
        self.registry = libshm.CollectorRegistry(segment=f"processes{next(numbers)}")

    def values(self):
        return support.samples(libshm.generate_latest(self.registry))

    def until(self, condition, what):
        """Waits for something that other processes do."""
        for _ in range(6000):
            if condition():
                return
            time.sleep(0.01)
        self.fail(f"waited in vain: {what}")


def update(segment, n):
    """What a worker does that was not forked: it defines everything anew."""
    registry = libshm.CollectorRegistry(segment=segment)
    counter = Counter("done", "Done.", ["way"], registry=registry)
    for _ in range(n):
        counter.labels(multiprocessing.current_process().name.split("-")[0]).inc()


class Starting(Case):
    def test_fork_spawn_forkserver(self):
        for method in ("fork", "spawn", "forkserver"):
            context = multiprocessing.get_context(method)
            workers = [context.Process(target=update, args=(self.registry._segment.name, 1000), name=f"{method}-{i}")
                       for i in range(3)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
                self.assertEqual(worker.exitcode, 0)
        self.assertEqual(self.values(), {f'done_total{{way="{method}"}}': 3000
                                         for method in ("fork", "spawn", "forkserver")})

    def test_generations_leave_nothing(self):
        counter = Counter("generations", "Generations.", registry=self.registry)
        live = Gauge("live", "Live.", registry=self.registry, multiprocess_mode="livesum")
        live.set(1)
        sizes = []
        for generation in range(60):
            child = os.fork()
            if child == 0:
                counter.inc()
                live.set(100)
                os._exit(0)
            os.waitpid(child, 0)
            sizes.append(os.stat(self.registry.path).st_size)
        self.assertEqual(self.values(), {"generations_total": 60, "live": 1})
        self.assertEqual(sizes[1], sizes[-1])

    def test_a_fork_inside_of_a_tracker(self):
        gauge = Gauge("inside", "Inside.", registry=self.registry, multiprocess_mode="livesum")
        shared = Gauge("inside_shared", "Inside.", registry=self.registry)
        histogram = Histogram("inside_seconds", "Inside.", registry=self.registry, buckets=[60])
        child = 1
        with gauge.track_inprogress(), shared.track_inprogress(), histogram.time():
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                self.assertEqual(self.values()["inside"], 1)
                self.assertEqual(self.values()["inside_shared"], 1)
        if child == 0:
            os._exit(0)
        values = self.values()
        self.assertEqual((values["inside"], values["inside_shared"], values["inside_seconds_count"]), (0, 0, 2))

    def test_serving_in_a_child_that_closed_every_descriptor(self):
        Counter("served", "Served.", registry=self.registry).inc()
        self.values()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(writer, 2)
            os.closerange(3, 1000)
            os.write(2, libshm.generate_latest(self.registry))
            os._exit(0)
        os.close(writer)
        with open(reader, "rb") as file:
            self.assertIn(b"\nserved_total 1\n", file.read())
        os.waitpid(child, 0)

    @unittest.skipUnless(sys.version_info < (3, 13), "_xxsubinterpreters has another name")
    def test_subinterpreters_are_refused(self):
        code = """
import _xxsubinterpreters as interpreters
import libshm
try:
    interpreters.run_string(interpreters.create(), "import libshm")
except interpreters.RunFailedError as error:
    assert "ImportError" in str(error) and "subinterpreter" in str(error), error
else:
    raise AssertionError("it was imported")
libshm.Counter("after_total", "After.").inc()
"""
        support.run(code)


class Dying(Case):
    def test_killed_workers_leave_the_gauge(self):
        gauge = Gauge("active", "Active.", registry=self.registry, multiprocess_mode="livesum")
        gauge.set(0)
        reader, writer = os.pipe()
        children = []
        for _ in range(4):
            child = os.fork()
            if child == 0:
                with gauge.track_inprogress():
                    os.write(writer, b"x")
                    signal.pause()
                os._exit(0)
            children.append(child)
        got = 0
        while got < 4:
            got += len(os.read(reader, 4))
        self.assertEqual(self.values()["active"], 4)
        for i, child in enumerate(children):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            self.until(lambda: self.values()["active"] == 3 - i, "the share of a dead process goes")

    def test_eight_times_100000_increments_with_kills(self):
        """At most one update is counted that was not acknowledged, for each kill; none is lost."""
        print(f"SEED={SEED}", flush=True)
        rng = random.Random(SEED)
        workers, each = 8, 100000
        counter = Counter("increments", "Increments.", ["worker"], registry=self.registry)
        histogram = Histogram("observed", "Observed.", registry=self.registry, buckets=[0.25, 0.5, 0.75])
        tally = memoryview(mmap.mmap(-1, 8 * workers)).cast("Q")

        def work(worker):
            child = counter.labels(worker)
            while tally[worker] < each:
                child.inc()
                tally[worker] += 1
                histogram.observe(0.25)

        def start(worker):
            pid = os.fork()
            if pid == 0:
                try:
                    work(worker)
                finally:
                    os._exit(0)
            running[pid] = worker

        running, kills = {}, 0
        for worker in range(workers):
            start(worker)
        last = {}
        while running:
            time.sleep(rng.random() * 0.02)
            if running and kills < 40:
                victim = rng.choice(sorted(running))
                os.kill(victim, signal.SIGKILL)
            while running:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                worker = running.pop(pid)
                if os.WIFSIGNALED(status):
                    kills += 1
                    start(worker)
            values = self.values()
            for name, value in values.items():
                self.assertGreaterEqual(value, last.get(name, 0), f"{name} went down")
            self.assertEqual(values["observed_count"], values['observed_bucket{le="+Inf"}'])
            self.assertEqual(values["observed_sum"], values["observed_count"] * 0.25)
            last = values
        self.assertGreater(kills, 0)
        values = self.values()
        counted = sum(value for name, value in values.items() if name.startswith("increments_total"))
        self.assertEqual(sum(tally), workers * each)
        self.assertLessEqual(workers * each, counted)
        self.assertLessEqual(counted, workers * each + kills)
        print(f"{kills} kills, {int(counted) - workers * each} unacknowledged increments counted")


class Within(Case):
    def test_threads(self):
        counter = Counter("threads", "Threads.", ["thread"], registry=self.registry)
        gauge = Gauge("threads_now", "Threads.", registry=self.registry, multiprocess_mode="livesum")
        histogram = Histogram("threads_seconds", "Threads.", registry=self.registry, buckets=[1])
        switch = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        self.addCleanup(sys.setswitchinterval, switch)
        stop = threading.Event()

        def work(name):
            for i in range(20000):
                counter.labels(name if i % 2 else "all").inc()
                with gauge.track_inprogress():
                    histogram.observe(0.5)

        def scrape():
            while not stop.is_set():
                values = self.values()
                self.assertEqual(values["threads_seconds_count"], values['threads_seconds_bucket{le="+Inf"}'])

        scrapers = [threading.Thread(target=scrape) for _ in range(2)]
        threads = [threading.Thread(target=work, args=(str(i),)) for i in range(4)]
        for thread in scrapers + threads:
            thread.start()
        for thread in threads:
            thread.join()
        stop.set()
        for thread in scrapers:
            thread.join()
        values = self.values()
        self.assertEqual(values['threads_total{thread="all"}'], 40000)
        self.assertEqual([values[f'threads_total{{thread="{i}"}}'] for i in range(4)], [10000] * 4)
        self.assertEqual((values["threads_now"], values["threads_seconds_count"]), (0, 80000))

    def test_forking_while_threads_scrape_and_define(self):
        stop = threading.Event()

        def busy(number):
            i = 0
            while not stop.is_set():
                i += 1
                Counter(f"busy_{number}_{i % 50}", "Busy.", ["x"], registry=self.registry).labels(str(i % 20)).inc()
                self.values()

        threads = [threading.Thread(target=busy, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        counter = Counter("forked", "Forked.", registry=self.registry)
        for _ in range(40):
            child = os.fork()
            if child == 0:
                signal.alarm(30)
                counter.inc()
                Gauge("child", "Child.", registry=self.registry, multiprocess_mode="livesum").inc()
                os._exit(0 if b"forked_total" in libshm.generate_latest(self.registry) else 1)
            self.assertEqual(os.waitpid(child, 0)[1], 0)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(self.values()["forked_total"], 40)

    def test_interleaved_coroutines(self):
        gauge = Gauge("coroutines", "Coroutines.", registry=self.registry, multiprocess_mode="livesum")
        histogram = Histogram("coroutines_seconds", "Coroutines.", registry=self.registry, buckets=[0.01, 60])
        errors = Counter("coroutines_errors", "Errors.", registry=self.registry)
        seen = []

        async def one(mine, other, error=None):
            with gauge.track_inprogress(), histogram.time(), errors.count_exceptions():
                mine.set()
                await other.wait()
                seen.append(self.values()["coroutines"])
                if error:
                    raise error

        async def cancelled():
            with gauge.track_inprogress():
                await asyncio.Event().wait()

        async def everything():
            a, b = asyncio.Event(), asyncio.Event()
            task = asyncio.create_task(cancelled())
            results = await asyncio.gather(one(a, b), one(b, a, KeyError("x")), return_exceptions=True)
            self.assertIsInstance(results[1], KeyError)
            self.assertEqual(self.values()["coroutines"], 1)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        asyncio.run(everything())
        values = self.values()
        self.assertEqual(seen, [3, 2])
        self.assertEqual((values["coroutines"], values["coroutines_seconds_count"], values["coroutines_errors_total"]),
                         (0, 2, 1))


if __name__ == "__main__":
    support.main()
