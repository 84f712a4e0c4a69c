# SPDX-License-Identifier: Apache-2.0
"""Timers, in-progress counts and exception counts, as context managers and as decorators.

What they remember is in the object itself, nothing in the thread: coroutines of one thread may hold any number of them
across any awaits. Decorated functions get a new object for every call; coroutine functions and generators are measured
until they end, not until they are made."""
import functools
import inspect
import os
from timeit import default_timer

_generation = 0  # of this process: grows with every fork on the way to it


def _forked():
    global _generation
    _generation += 1


os.register_at_fork(after_in_child=_forked)


class Tracker:
    """A context manager that is a decorator, too."""

    def _again(self):
        return self

    def __call__(self, function):
        if inspect.iscoroutinefunction(function):
            @functools.wraps(function)
            async def wrapper(*args, **kwargs):
                with self._again():
                    return await function(*args, **kwargs)
        elif inspect.isasyncgenfunction(function):
            @functools.wraps(function)
            async def wrapper(*args, **kwargs):
                with self._again():
                    async for value in function(*args, **kwargs):
                        yield value
        elif inspect.isgeneratorfunction(function):
            @functools.wraps(function)
            def wrapper(*args, **kwargs):
                with self._again():
                    return (yield from function(*args, **kwargs))
        else:
            @functools.wraps(function)
            def wrapper(*args, **kwargs):
                with self._again():
                    return function(*args, **kwargs)
        return wrapper


class Timer(Tracker):
    """Calls a method of the metric ("observe", "set") with the seconds that passed."""

    def __init__(self, metric, method):
        self._metric, self._method = metric, method
        self._start = None

    def _again(self):
        return Timer(self._metric, self._method)

    def __enter__(self):
        self._start = default_timer()
        return self

    def __exit__(self, kind, value, traceback):
        getattr(self._metric, self._method)(max(default_timer() - self._start, 0))
        return False

    def labels(self, *args, **kwargs):
        """For labels that are known only inside the block."""
        self._metric = self._metric.labels(*args, **kwargs)


class InprogressTracker(Tracker):
    """+1 on entering, -1 on leaving. A child that was forked in between leaves, too, but has not entered: no -1."""

    def __init__(self, gauge):
        self._gauge = gauge
        self._entered = []

    def _again(self):
        return InprogressTracker(self._gauge)

    def __enter__(self):
        self._gauge.inc()
        self._entered.append(_generation)

    def __exit__(self, kind, value, traceback):
        if self._entered.pop() == _generation:
            self._gauge.dec()
        return False


class ExceptionCounter(Tracker):
    """+1 for each exception of these types that passes through."""

    def __init__(self, counter, exception):
        self._counter, self._exception = counter, exception

    def __enter__(self):
        pass

    def __exit__(self, kind, value, traceback):
        if isinstance(value, self._exception):
            self._counter.inc()
        return False
