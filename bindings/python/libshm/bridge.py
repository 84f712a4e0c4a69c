# SPDX-License-Identifier: Apache-2.0
"""prometheus_client on a segment: for applications and instrumentations that must keep importing it.

The seam is values.ValueClass, from which client_python makes every counter and gauge. It is not enough: an observation
would arrive as two separate calls, and label sets that only other processes have would never show. So histograms and
summaries observe into the segment as one, and registries collect what is in the segment, of whichever process."""
import gc
import threading
import time
import weakref

from . import _libshm
from .metrics import _MODES, Counter, Enum, Gauge, Histogram, Info, Summary, full_name
from .registry import CollectorRegistry, metrics_of, scrape

_bridge = None


def install(segment, directory, max_bytes, max_series):
    global _bridge
    import prometheus_client
    wanted = (segment, directory, max_bytes, max_series)
    if _bridge is not None:
        if _bridge.wanted != wanted:
            raise RuntimeError(f"libshm.install() was called with {_bridge.wanted} before, now with {wanted}")
        return
    base = prometheus_client.metrics.MetricWrapperBase
    early = sorted({thing._name for thing in gc.get_objects() if issubclass(type(thing), base)})
    if early:
        raise RuntimeError("libshm.install() must be called before the first metric is made; there are already: "
                           + ", ".join(early[:10]))
    _bridge = Bridge(prometheus_client, wanted)
    _bridge.replace_values()
    _bridge.replace_metrics()
    _bridge.replace_collection()


class Bridge:
    def __init__(self, client, wanted):
        self.client, self.wanted = client, wanted
        segment, directory, max_bytes, self.max_series = wanted
        self.registry = CollectorRegistry(segment=segment, directory=directory, max_bytes=max_bytes)
        self.parents = {}
        self.lock = threading.Lock()
        self.functions = weakref.WeakKeyDictionary()

    # ---- families ------------------------------------------------------------------------------------------------------
    _CLASSES = {"counter": Counter, "gauge": Gauge, "histogram": Histogram, "summary": Summary}

    def parent(self, kind, name, documentation, unit, labelnames, bounds=None, mode=_libshm.SHARED):
        """This bridge's metric for a family: defined once, or checked against what it was."""
        with self.lock:
            known = self.parents.get(name)
            definition = (kind, labelnames, bounds, mode)
            if known is not None and known[0] == definition:
                return known[1]
            family = self.registry.define(getattr(_libshm, kind.upper()), name, documentation, unit, labelnames,
                                          bounds=bounds, mode=mode, max_series=self.max_series)
            metric = self._CLASSES[kind].__new__(self._CLASSES[kind])
            metric._bind(family)
            self.parents[name] = (definition, metric)
            return metric

    def parent_of(self, metric):
        """The same for a metric of client_python."""
        kind = metric._type
        return self.parent(kind, full_name(kind, metric._name, "", "", ""), metric._documentation, metric._unit,
                           tuple(metric._labelnames),
                           Histogram._bounds(metric._upper_bounds) if kind == "histogram" else None,
                           _MODES[metric._multiprocess_mode] if kind == "gauge" else _libshm.SHARED)

    def child_of(self, metric):
        parent = self.parent_of(metric)
        return parent.labels(*metric._labelvalues) if metric._labelnames else parent

    # ---- values.ValueClass ---------------------------------------------------------------------------------------------
    def replace_values(self):
        bridge = self

        class SegmentValue:
            """A counter or a gauge."""
            _multiprocess = True

            def __init__(self, typ, metric_name, name, labelnames, labelvalues, help_text, multiprocess_mode="",
                         **kwargs):
                if typ not in ("counter", "gauge"):
                    raise NotImplementedError(f"libshm has no single values of a {typ}: {name}")
                unit = bridge.units.pop((metric_name, threading.get_ident()), "")
                parent = bridge.parent(typ, full_name(typ, metric_name, "", "", ""), help_text, unit,
                                       tuple(labelnames),
                                       mode=_MODES[multiprocess_mode] if typ == "gauge" else _libshm.SHARED)
                self._metric = parent.labels(*labelvalues) if labelnames else parent
                self.inc = self._metric.inc
                if typ == "gauge":
                    self.set = self._metric.set
                    self.inc(0)  # there from the start, as a file's value is

            def set(self, value):  # of a counter: reset()
                if value != 0:
                    raise NotImplementedError("a counter of libshm can be set to 0 only")
                self._metric.reset()

            def get(self):
                return self._metric._get()

            def set_exemplar(self, exemplar):
                pass  # as in client_python's multi-process mode

            def get_exemplar(self):
                return None

        self.units = {}
        self.client.values.ValueClass = SegmentValue

    # ---- classes of metrics --------------------------------------------------------------------------------------------
    def replace_metrics(self):
        bridge, metrics = self, self.client.metrics

        def patch(cls, name):
            """Replaces a method; the new one gets the old one first."""
            def replace(function):
                old = getattr(cls, name)
                new = lambda self, *args, **kwargs: function(old, self, *args, **kwargs)  # noqa: E731
                new.__name__, new.__doc__ = name, old.__doc__
                setattr(cls, name, new)
            return replace

        @patch(metrics.MetricWrapperBase, "__init__")
        def init(old, self, *args, **kwargs):
            old(self, *args, **kwargs)
            if self._is_parent() and self._type in bridge._CLASSES:
                try:
                    bridge.parent_of(self)
                except Exception:
                    registry = kwargs.get("registry")
                    if registry is not None:
                        registry.unregister(self)
                    raise

        def with_unit(cls):
            @patch(cls, "_metric_init")
            def metric_init(old, self):
                key = (self._name, threading.get_ident())  # the seam does not tell the unit
                bridge.units[key] = self._unit
                try:
                    old(self)
                finally:
                    bridge.units.pop(key, None)

        with_unit(metrics.Counter)
        with_unit(metrics.Gauge)

        def distribution_init(old, self):
            self._libshm = bridge.child_of(self)
            self._created = time.time()
            self._sum = _View(lambda: self._libshm._get()[1])
            self._count = _View(lambda: float(self._libshm._get()[0]))
            if self._type == "histogram":
                self._buckets = [_View(lambda i=i: bridge.bucket(self, i)) for i in range(len(self._upper_bounds))]

        def distribution_observe(old, self, amount, exemplar=None):
            self._raise_if_not_observable()
            self._libshm.observe(amount)

        for cls in (metrics.Histogram, metrics.Summary):
            patch(cls, "_metric_init")(distribution_init)
            patch(cls, "observe")(distribution_observe)

        @patch(metrics.Gauge, "set_function")
        def set_function(old, self, f):
            self._raise_if_not_observable()
            bridge.functions[self] = f

        @patch(metrics.Enum, "__init__")
        def enum_init(old, self, *args, **kwargs):
            old(self, *args, **kwargs)
            if self._is_observable():
                enum = Enum(self._name, self._documentation, self._labelnames, registry=bridge.registry,
                            states=self._states)
                self._libshm = enum.labels(*self._labelvalues) if self._labelnames else enum

        @patch(metrics.Enum, "state")
        def enum_state(old, self, state):
            old(self, state)
            self._libshm.state(state)

        @patch(metrics.Info, "info")
        def info_info(old, self, val):
            old(self, val)
            with bridge.lock:
                info = bridge.parents.setdefault(
                    (self._name, "info"),
                    Info(self._name, self._documentation, self._labelnames, registry=bridge.registry))
            (info.labels(*self._labelvalues) if self._labelnames else info).info(val)

        @patch(metrics.MetricWrapperBase, "remove")
        def remove(old, self, *labelvalues):
            missing = 0
            try:
                old(self, *labelvalues)
            except KeyError:
                missing += 1
            try:
                if self._type in bridge._CLASSES:
                    bridge.parent_of(self).remove(*labelvalues)
            except KeyError:
                missing += 1
            if missing == 2:
                raise KeyError(tuple(str(value) for value in labelvalues))

        @patch(metrics.MetricWrapperBase, "clear")
        def clear(old, self):
            old(self)
            if self._type in bridge._CLASSES:
                bridge.parent_of(self).clear()

        @patch(metrics.MetricWrapperBase, "collect")
        def collect(old, self):
            found = list(bridge.collect({self._name}))
            if self._labelvalues:
                labels = set(zip(self._labelnames, self._labelvalues))
                for metric in found:
                    metric.samples = [sample for sample in metric.samples if labels <= set(sample.labels.items())]
            return found

    def bucket(self, metric, i):
        """What an observation has counted in one bucket of one child."""
        labels = dict(zip(metric._labelnames, metric._labelvalues))
        for family in scrape((self.registry.path,), "families"):
            if family[0] == metric._name:
                for values, _, _, (_, counts) in family[6]:
                    if dict(zip(family[4], values)) == labels:
                        return float(counts[i])
        return 0.0

    # ---- collecting ----------------------------------------------------------------------------------------------------
    def collect(self, names=None):
        """Metrics of client_python for the families in the segment, or for those with these names only."""
        for metric, function in list(self.functions.items()):
            metric.set(float(function()))
        metric_class = self.client.metrics_core.Metric
        sample_class = self.client.samples.Sample
        for metric in metrics_of(scrape((self.registry.path,), "families"), metric_class, sample_class):
            if names is None or metric.name in names:
                yield metric

    def replace_collection(self):
        bridge, client = self, self.client
        wrapper = client.metrics.MetricWrapperBase
        of_this_process = (client.ProcessCollector, client.GCCollector)  # would jump with the process that answers

        class MultiProcessCollector:
            """Everything in the segment."""

            def __init__(self, registry, path=None):
                if registry:
                    registry.register(self)

            def collect(self):
                return bridge.collect()

        def collect(self):
            with self._lock:
                collectors = list(self._collector_to_names)
                target_info = self._target_info_metric() if self._target_info else None
            if target_info:
                yield target_info
            wrapped = {collector._name for collector in collectors if isinstance(collector, wrapper)}
            everything = self is client.REGISTRY or any(isinstance(c, MultiProcessCollector) for c in collectors)
            if everything or wrapped:
                yield from bridge.collect(None if everything else wrapped)
            for collector in collectors:
                if isinstance(collector, (wrapper, MultiProcessCollector)):
                    continue
                if self is client.REGISTRY and isinstance(collector, of_this_process):
                    continue
                yield from collector.collect()

        def restricted_collect(self):
            for metric in self._registry.collect():
                restricted = metric._restricted_metric(self._name_set)
                if restricted:
                    yield restricted

        client.registry.CollectorRegistry.collect = collect
        client.registry.RestrictedRegistry.collect = restricted_collect
        import prometheus_client.multiprocess as multiprocess
        multiprocess.MultiProcessCollector = MultiProcessCollector
        multiprocess.mark_process_dead = lambda pid, path=None: None


class _View:
    """A value that some code reads from inside of a histogram or a summary."""
    _multiprocess = True

    def __init__(self, get):
        self.get = get

    def get_exemplar(self):
        return None
