# SPDX-License-Identifier: Apache-2.0
"""The metric classes. labels(), inc(), dec(), set() and observe() are inherited from the extension module."""
import math
import re
import time

from . import _libshm
from .registry import REGISTRY, CollectorRegistry, metrics_of, scrape
from .trackers import ExceptionCounter, InprogressTracker, Timer

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")

# client_python keeps the values of dead processes in the modes that do not begin with "live", until all files are
# removed. In a segment, what a dead process left goes with it, so both spellings mean the same.
_MODES = {
    None: _libshm.SHARED, "shared": _libshm.SHARED, "mostrecent": _libshm.SHARED,
    "all": _libshm.ALL, "liveall": _libshm.ALL,
    "sum": _libshm.SUM, "livesum": _libshm.SUM,
    "min": _libshm.MIN, "livemin": _libshm.MIN,
    "max": _libshm.MAX, "livemax": _libshm.MAX,
}


def full_name(kind, name, namespace, subsystem, unit):
    """A family's name: what client_python would call its samples."""
    name = "_".join(part for part in (namespace, subsystem, name) if part)
    ending = {"counter": "_total", "info": "_info"}.get(kind, "")
    if ending and name.endswith(ending):
        name = name[:-len(ending)]
    if unit and kind in ("info", "stateset"):
        raise ValueError(f"Metric name is of a type that cannot have a unit: {name}")
    if unit and not name.endswith("_" + unit):
        name += "_" + unit
    if not _NAME.match(name):
        raise ValueError(f"Invalid metric name: {name}")
    return name + ending


def label_names(labelnames):
    if isinstance(labelnames, str):
        raise ValueError(f"labelnames is a list of names, not one str: [{labelnames!r}]")
    return tuple(labelnames)


def registry_of(registry):
    if isinstance(registry, CollectorRegistry):
        return registry
    if registry is None:
        raise ValueError("registry=None: a libshm metric lives in a segment; leave registry out for the segment "
                         "'default', or pass libshm.CollectorRegistry(segment=...)")
    raise TypeError(f"registry must be a libshm.CollectorRegistry, not {type(registry).__name__}")


def _collect(metric):
    """The families of a metric, as they are in the segment now."""
    if metric._segment.path is None:
        return []
    families = scrape((metric._segment.path,), "families")
    return list(metrics_of(family for family in families if family[0] == metric._name))


class _Defined:
    """What is common to the classes that the extension module has a type for."""
    __slots__ = ()

    def _define(self, kind, name, documentation, labelnames, namespace, subsystem, unit, registry, **more):
        name = full_name(kind, name, namespace, subsystem, unit)
        family = registry_of(registry).define(getattr(_libshm, kind.upper()), name, documentation, unit,
                                              label_names(labelnames), **more)
        self._bind(family)

    def collect(self):
        return _collect(self)

    def describe(self):
        return [self.collect()[0]] if self.collect() else []


class Counter(_Defined, _libshm.Counter):
    """Counts events and running totals, integers and fractions. It only goes up."""
    __slots__ = ("__weakref__",)

    def __init__(self, name, documentation, labelnames=(), namespace="", subsystem="", unit="", registry=REGISTRY, *,
                 max_series=None, ttl_seconds=None):
        self._define("counter", name, documentation, labelnames, namespace, subsystem, unit, registry,
                     max_series=max_series, ttl_seconds=ttl_seconds)

    def reset(self):
        """From zero, for all processes."""
        self._reset()

    def count_exceptions(self, exception=Exception):
        """Counts the exceptions of a type, or a tuple of them, that leave a block or a function."""
        self._raise_if_not_observable()
        return ExceptionCounter(self, exception)


class Gauge(_Defined, _libshm.Gauge):
    """A value that goes up and down.

    Without a `multiprocess_mode`, all processes share one value: the last set() counts, inc() and dec() add to it.
    Otherwise each process has a value of its own, gone as soon as the process is, and shown is their sum ("livesum"),
    the least ("livemin"), the greatest ("livemax"), or each with the label `pid` ("liveall")."""
    __slots__ = ("__weakref__",)
    _MULTIPROC_MODES = frozenset(mode for mode in _MODES if mode)

    def __init__(self, name, documentation, labelnames=(), namespace="", subsystem="", unit="", registry=REGISTRY,
                 _labelvalues=None, multiprocess_mode=None, *, max_series=None, ttl_seconds=None):
        if multiprocess_mode not in _MODES:
            raise ValueError(f"Invalid multiprocess mode: {multiprocess_mode}; there are "
                             f"{', '.join(sorted(self._MULTIPROC_MODES))}")
        self._define("gauge", name, documentation, labelnames, namespace, subsystem, unit, registry,
                     mode=_MODES[multiprocess_mode], max_series=max_series, ttl_seconds=ttl_seconds)

    def set_to_current_time(self):
        """Sets it to the seconds since 1970."""
        self.set(time.time())

    def track_inprogress(self):
        """Counts how many are in a block or a function."""
        self._raise_if_not_observable()
        return InprogressTracker(self)

    def time(self):
        """Sets it to the seconds that a block or a function takes."""
        return Timer(self, "set")

    def set_function(self, f):
        raise NotImplementedError("a value that only this process can compute would not be there when another process "
                                  "or shm-exporter answers: call set() when it changes")


class Summary(_Defined, _libshm.Distribution):
    """How many values there were, and their sum."""
    __slots__ = ("__weakref__",)

    def __init__(self, name, documentation, labelnames=(), namespace="", subsystem="", unit="", registry=REGISTRY, *,
                 max_series=None, ttl_seconds=None):
        self._define("summary", name, documentation, labelnames, namespace, subsystem, unit, registry,
                     max_series=max_series, ttl_seconds=ttl_seconds)

    def time(self):
        """Observes the seconds that a block or a function takes."""
        return Timer(self, "observe")


class Histogram(_Defined, _libshm.Distribution):
    """How many values there were up to each bound, and their sum."""
    __slots__ = ("__weakref__",)
    DEFAULT_BUCKETS = (.005, .01, .025, .05, .075, .1, .25, .5, .75, 1.0, 2.5, 5.0, 7.5, 10.0, math.inf)

    def __init__(self, name, documentation, labelnames=(), namespace="", subsystem="", unit="", registry=REGISTRY,
                 _labelvalues=None, buckets=DEFAULT_BUCKETS, *, max_series=None, ttl_seconds=None):
        self._define("histogram", name, documentation, labelnames, namespace, subsystem, unit, registry,
                     bounds=self._bounds(buckets), max_series=max_series, ttl_seconds=ttl_seconds)

    @staticmethod
    def _bounds(buckets):
        bounds = tuple(float(bound) for bound in buckets)
        if any(low >= high for low, high in zip(bounds, bounds[1:])):
            raise ValueError("Buckets not in sorted order, or one twice")
        if bounds and bounds[-1] == math.inf:
            bounds = bounds[:-1]
        if not bounds:
            raise ValueError("Must have at least two buckets")
        return bounds

    def time(self):
        """Observes the seconds that a block or a function takes."""
        return Timer(self, "observe")


# ---- info and enum: several series each --------------------------------------------------------------------------------
class _Composed:
    """A metric whose children are objects of this module."""

    def __init__(self, kind, name, documentation, labelnames, namespace, subsystem, unit, registry):
        self._name = full_name(kind, name, namespace, subsystem, unit)
        self._documentation = documentation
        self._labelnames = label_names(labelnames)
        self._labelvalues = ()
        self._registry = registry_of(registry)
        self._segment = self._registry._segment
        self._gauge = None

    def labels(self, *labelvalues, **labelkwargs):
        if not self._labelnames:
            raise ValueError(f"No label names were set when constructing {self._name}")
        if self._labelvalues:
            raise ValueError(f"{self._name} already has labels set; can not chain calls to .labels()")
        if labelvalues and labelkwargs:
            raise ValueError("Can't pass both *args and **kwargs")
        if labelkwargs:
            if sorted(labelkwargs) != sorted(self._labelnames):
                raise ValueError("Incorrect label names")
            labelvalues = tuple(labelkwargs[name] for name in self._labelnames)
        if len(labelvalues) != len(self._labelnames):
            raise ValueError("Incorrect label count")
        child = object.__new__(type(self))
        child._parent = self
        child._labelvalues = tuple(str(value) for value in labelvalues)
        child._adopted()
        return child

    def __getattr__(self, name):  # of a child: all else is its parent's
        parent = self.__dict__.get("_parent")
        if parent is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(parent, name)

    def _adopted(self):
        pass

    def _own(self):
        """Of the series in the segment, those of these label values."""
        n = len(self._labelvalues)
        return [values for values in self._gauge.label_sets() if values[:n] == self._labelvalues]

    def _remove(self, values):
        try:
            self._gauge.remove(*values)
        except KeyError:
            pass  # another process was faster

    def _needs_labels(self):
        if len(self._labelvalues) != len(self._labelnames):
            raise ValueError(f"{self._name} is missing label values")

    def remove(self, *labelvalues):
        if len(labelvalues) != len(self._labelnames) or not labelvalues:
            raise ValueError(f"Incorrect label count (expected {len(self._labelnames)}, got {labelvalues})")
        labelvalues = tuple(str(value) for value in labelvalues)
        mine = [values for values in self._gauge.label_sets() if values[:len(labelvalues)] == labelvalues] \
            if self._gauge else []
        if not mine:
            raise KeyError(labelvalues)
        for values in mine:
            self._remove(values)

    def clear(self):
        if self._gauge:
            self._gauge.clear()

    def collect(self):
        return _collect(self)


class Info(_Composed):
    """Facts about the process as labels of a series that is 1. The keys of the first info() are its label names."""

    def __init__(self, name, documentation, labelnames=(), namespace="", subsystem="", unit="", registry=REGISTRY):
        super().__init__("info", name, documentation, labelnames, namespace, subsystem, unit, registry)
        self._keys = None

    def info(self, val):
        """Sets the facts, a dictionary, for all processes."""
        self._needs_labels()
        root = self.__dict__.get("_parent", self)
        keys = tuple(sorted(val))
        if set(keys) & set(self._labelnames):
            raise ValueError(f"Overlapping labels for Info metric, metric: {self._labelnames} child: {val}")
        if root._gauge is None:
            family = self._registry.define(_libshm.INFO, self._name, self._documentation, "", self._labelnames + keys)
            root._gauge = _libshm.Gauge()
            root._gauge._bind(family)
            root._keys = keys
        if keys != root._keys:
            raise ValueError(f"{self._name} has the keys {', '.join(root._keys)} since its first info(); "
                             f"they cannot become {', '.join(keys)}")
        values = self._labelvalues + tuple(str(val[key]) for key in keys)
        if not values:
            self._gauge.set(1)
            return
        self._gauge.labels(*values).set(1)
        for old in self._own():
            if old != values:
                self._remove(old)


class Enum(_Composed):
    """Which of some states is the one now, for all processes. At first it is the first one."""

    def __init__(self, name, documentation, labelnames=(), namespace="", subsystem="", unit="", registry=REGISTRY,
                 _labelvalues=None, states=None):
        super().__init__("stateset", name, documentation, labelnames, namespace, subsystem, unit, registry)
        if self._name in self._labelnames:
            raise ValueError(f"Overlapping labels for Enum metric: {self._name}")
        if not states:
            raise ValueError(f"No states provided for Enum metric: {self._name}")
        self._states = tuple(str(state) for state in states)
        family = self._registry.define(_libshm.STATESET, self._name, documentation, "",
                                       self._labelnames + (self._name,))
        self._gauge = _libshm.Gauge()
        self._gauge._bind(family)
        if not self._labelnames:
            self._adopted()

    def _adopted(self):
        if not self._own():
            self.state(self._states[0])

    def state(self, state):
        """Sets the state."""
        self._needs_labels()
        if state not in self._states:
            raise ValueError(f"{state!r} is no state of {self._name}: {', '.join(self._states)}")
        for other in self._states:
            if other != state:
                self._gauge.labels(*self._labelvalues, other).set(0)
        self._gauge.labels(*self._labelvalues, state).set(1)
