# SPDX-License-Identifier: Apache-2.0
"""Registries: each is a segment, and what is in it, of whichever process."""
import os
from typing import Dict, List, NamedTuple, Optional

from . import _libshm


class Sample(NamedTuple):
    name: str
    labels: Dict[str, str]
    value: float
    timestamp: Optional[float] = None
    exemplar: None = None


class Metric:
    """A family and its samples, as it was when it was collected."""

    def __init__(self, name: str, documentation: str, typ: str, unit: str = ""):
        self.name, self.documentation, self.type, self.unit = name, documentation, typ, unit
        self.samples: List[Sample] = []

    def __repr__(self):
        return f"Metric({self.name}, {self.documentation}, {self.type}, {self.unit}, {self.samples})"


_ENDINGS = {"counter": "_total", "info": "_info"}


def samples_of(family):
    """The samples of a family as the scraper tells it, as tuples (name, labels, value)."""
    name, _, kind, _, labelnames, les, series = family
    for values, pid, _, value in series:
        labels = dict(zip(labelnames, values))
        if pid is not None:
            labels["pid"] = str(pid)
        if kind not in ("histogram", "summary"):
            yield name, labels, value
            continue
        total, counts = value
        count = 0
        for le, in_bucket in zip(les or (None,), counts):
            count += in_bucket
            if le is not None:
                yield name + "_bucket", {**labels, "le": le}, float(count)
        yield name + "_count", labels, float(count)
        yield name + "_sum", labels, total


def metrics_of(families, make_metric=Metric, make_sample=Sample):
    """What collect() yields: metrics with the names that client_python gives them."""
    for family in families:
        name, documentation, kind, unit = family[:4]
        metric = make_metric(name[:-len(_ENDINGS[kind])] if kind in _ENDINGS else name, documentation, kind, unit)
        metric.samples = [make_sample(*sample) for sample in samples_of(family)]
        yield metric


# ---- scraping --------------------------------------------------------------------------------------------------------
# Readers and prepared text are kept from one scrape to the next. A scraper is used by one thread at a time: a scrape that
# finds none idle makes another one. A forked child makes its own: descriptors may be closed under those it inherited.
_idle: Dict[tuple, list] = {}
os.register_at_fork(after_in_child=_idle.clear)


def scrape(paths, what):
    """What is in the segments at `paths` (a tuple): `what` is "text" or "families"."""
    idle = _idle.setdefault(paths, [])
    try:
        scraper = idle.pop()
    except IndexError:
        if len(_idle) > 64:
            _idle.clear()
        scraper = _libshm.Scraper(paths)
    try:
        return getattr(scraper, what)()
    finally:
        idle.append(scraper)


# ---- registries ------------------------------------------------------------------------------------------------------
_segments: List[_libshm.Segment] = []


def open_paths():
    """Of every segment that this process has open, each once."""
    return tuple(dict.fromkeys(segment.path for segment in _segments if segment.path is not None))


class CollectorRegistry:
    """A segment. `auto_describe` is accepted and means nothing: definitions are checked anyway.

    Registries of the same segment show the same metrics, in whichever process they are."""

    def __init__(self, auto_describe=False, target_info=None, *, segment="default", directory=None, max_bytes=None):
        self._segment = _libshm.Segment(segment, directory, max_bytes or 0)
        self._directory = directory
        self._definitions: Dict[str, tuple] = {}
        self._target_info = None
        _segments.append(self._segment)
        if target_info:
            self.set_target_info(target_info)

    def __repr__(self):
        return f"CollectorRegistry(segment={self._segment.name!r})"

    @property
    def path(self):
        """Of the segment's file, which need not be there yet."""
        if self._segment.path is not None:
            return self._segment.path
        return os.path.join(os.fspath(self._directory or _libshm.directory()), self._segment.name)

    def define(self, kind, name, documentation, unit, labelnames, bounds=None, mode=_libshm.SHARED, max_series=None,
               ttl_seconds=None):
        """A family of this segment. ValueError: this process has defined the name otherwise."""
        known = self._definitions.get(name)
        wanted = (kind, labelnames, bounds, mode)
        if known is not None and known != wanted:
            raise ValueError(f"Duplicated timeseries in {self}: {name} is defined as {describe(known)}; "
                             f"this definition is {describe(wanted)}")
        family = _libshm.Family(self._segment, kind, name, documentation, unit or "", labelnames, bounds, mode,
                                max_series or 0, int(ttl_seconds or 0))
        self._definitions[name] = wanted
        return family

    def collect(self):
        """Yields a Metric for each family in the segment."""
        return metrics_of(scrape((self.path,), "families"))

    def text(self):
        return scrape((self.path,), "text")

    def get_sample_value(self, name, labels=None):
        """The value of one sample, or None. For tests."""
        for family in scrape((self.path,), "families"):
            if name.startswith(family[0]):
                for sample, its_labels, value in samples_of(family):
                    if sample == name and its_labels == (labels or {}):
                        return value
        return None

    def restricted_registry(self, names):
        """Of this registry, the samples with these names only."""
        return RestrictedRegistry(names, self)

    def register(self, collector):
        if isinstance(collector, _libshm.Metric) and collector._segment.name == self._segment.name:
            return  # it is there since it was made
        raise NotImplementedError("a libshm registry is a segment: it takes no collectors, only the metrics that were "
                                  "made in it (registry=... when they are made)")

    def unregister(self, collector):
        raise NotImplementedError("a family stays in its segment; clear() removes all its series")

    def reset(self):
        """Every counter, histogram and summary goes on from zero, for all processes. Gauges stay."""
        self._segment.reset()

    def set_target_info(self, labels):
        from .metrics import Info
        if labels:
            Info("target", "Target metadata", registry=self).info(labels)
        self._target_info = dict(labels) if labels else None

    def get_target_info(self):
        return self._target_info


class RestrictedRegistry:
    def __init__(self, names, registry):
        self._names = frozenset(names)
        self._registry = registry

    def collect(self):
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if sample.name in self._names]
            if metric.samples:
                yield metric

    def text(self):
        return restrict(self._registry.text(), self._names)


def restrict(text, names):
    """Of an exposition, the samples with these names and what announces them."""
    wanted = {name.encode() for name in names}
    output, announced = [], []
    for line in text.splitlines(keepends=True):
        if line.startswith(b"#"):
            announced = announced + [line] if line.startswith(b"# TYPE") else [line]
        elif line.split(b"{", 1)[0].split(b" ", 1)[0] in wanted:
            output += announced + [line]
            announced = []
    return b"".join(output)


_KINDS = {_libshm.COUNTER: "counter", _libshm.GAUGE: "gauge", _libshm.HISTOGRAM: "histogram",
          _libshm.SUMMARY: "summary", _libshm.INFO: "info", _libshm.STATESET: "stateset"}
_MODES = {_libshm.SHARED: "", _libshm.SUM: " (sum)", _libshm.MIN: " (min)", _libshm.MAX: " (max)",
          _libshm.ALL: " (all)"}


def describe(definition):
    kind, labelnames, bounds, mode = definition
    text = _KINDS.get(kind, "?") + _MODES.get(mode, "")
    text += f" with the labels {', '.join(labelnames)}" if labelnames else " without labels"
    return text + (f" and the bounds {', '.join(map(str, bounds))}" if bounds else "")


REGISTRY = CollectorRegistry(auto_describe=True)
