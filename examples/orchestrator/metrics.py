# SPDX-License-Identifier: Apache-2.0
"""The orchestrator's metrics: what its Python code imports.

    from metrics import git_metrics

    with git_metrics.track_merge() as metadata:
        ...
        metadata["result"] = "success"

Names, labels and buckets are in catalogue.tsv, prices in prices.tsv, both beside this file and shared with the C
programs: C and Python workers can use one segment at the same time."""
import logging
import os
import time
from pathlib import Path
from types import SimpleNamespace

import libshm

HERE = Path(__file__).resolve().parent
REGISTRY = libshm.CollectorRegistry(segment=os.environ.get("ORCHESTRATOR_SEGMENT", "orchestrator"))

git_metrics = SimpleNamespace()
task_metrics = SimpleNamespace()
dispatch_metrics = SimpleNamespace()
llm_metrics = SimpleNamespace()


# ---- the data files ----------------------------------------------------------------------------------------------------
def _rows(name):
    """The lines of a table, split at tabs; "-" is nothing."""
    for line in (HERE / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield ["" if cell == "-" else cell for cell in line.split("\t")]


def _define(name, kind, mode, labels, unit, bounds, max_series, ttl_seconds, documentation):
    more = {"labelnames": labels.split(), "unit": unit, "registry": REGISTRY,
            "max_series": int(max_series or 0), "ttl_seconds": int(ttl_seconds or 0)}
    if kind == "counter":
        return libshm.Counter(name, documentation, **more)
    if kind == "gauge":
        return libshm.Gauge(name, documentation, multiprocess_mode=mode, **more)
    if kind == "histogram":
        return libshm.Histogram(name, documentation, buckets=[float(bound) for bound in bounds.split()], **more)
    raise ValueError(f"catalogue.tsv: {name} has the type {kind}")


for _attribute, *_definition in _rows("catalogue.tsv"):
    _group, _, _attribute = _attribute.partition(".")
    setattr(globals()[_group], _attribute, _define(*_definition))

_prices = {model: (float(prompt), float(completion)) for model, prompt, completion in _rows("prices.tsv")}


# ---- trackers ----------------------------------------------------------------------------------------------------------
class _Tracker:
    """A context manager that gives a dictionary to its block and records what is in there when the block is left,
    however that happens. All it knows is in itself: any number of coroutines may be inside of such blocks."""

    def __init__(self, active):
        self._progress = active.track_inprogress()
        self._metadata = {}

    def __enter__(self):
        self._progress.__enter__()
        self._start = time.perf_counter()
        return self._metadata

    def __exit__(self, kind, value, traceback):
        seconds = max(time.perf_counter() - self._start, 0)
        self._progress.__exit__(kind, value, traceback)
        result = self._metadata.get("result")
        if result is None:
            result = "success" if kind is None else "error"
        self._record(seconds, result)
        return False

    def _optional(self, key, record):
        """Records what the block may have left under `key`. A value that is none must not hide the block's error."""
        value = self._metadata.get(key)
        if value is None:
            return
        try:
            record(value)
        except (TypeError, ValueError) as error:
            logging.getLogger(__name__).warning("metadata[%r] = %r: %s", key, value, error)


class _Merge(_Tracker):
    def __init__(self):
        super().__init__(git_metrics.active_merges)

    def _record(self, seconds, result):
        git_metrics.merge_duration.observe(seconds)
        git_metrics.merge_total.labels(result=result).inc()
        self._optional("files_modified", git_metrics.files_modified.observe)
        self._optional("conflict_count", git_metrics.conflicted_files_total.inc)


class _Request(_Tracker):
    def __init__(self, model, provider):
        self._labels = {"model": model, "provider": provider}
        super().__init__(llm_metrics.active_requests.labels(**self._labels))

    def _record(self, seconds, result):
        llm_metrics.request_duration.labels(**self._labels).observe(seconds)
        llm_metrics.requests_total.labels(**self._labels, result=result).inc()
        for key, kind in (("prompt_tokens", "prompt"), ("completion_tokens", "completion")):
            self._optional(key, lambda n: n and llm_metrics.tokens_total.labels(**self._labels, type=kind).inc(n))
        self._optional("cost", lambda dollars: dollars and
                       llm_metrics.cost_dollars_total.labels(**self._labels).inc(dollars))


git_metrics.track_merge = _Merge
llm_metrics.track_request = _Request


# ---- functions ---------------------------------------------------------------------------------------------------------
def update_task_state_gauges(tasks):
    """tasks_by_state: how many tasks have each task["status"]. A state in which no task is any more reads 0."""
    counts = {}
    for task in tasks:
        status = task["status"]
        status = str(getattr(status, "value", status))
        counts[status] = counts.get(status, 0) + 1
    for status, count in counts.items():
        task_metrics.tasks_by_state.labels(status=status).set(count)
    for (status,) in task_metrics.tasks_by_state.label_sets():
        if status not in counts:
            task_metrics.tasks_by_state.labels(status=status).set(0)


def estimate_llm_cost(model, prompt_tokens, completion_tokens):
    """Dollars; 0.0, and llm_unpriced_requests_total, for a model without a price."""
    price = _prices.get(model)
    if price is None:
        llm_metrics.unpriced_requests_total.labels(model=model).inc()
        return 0.0
    return (prompt_tokens * price[0] + completion_tokens * price[1]) / 1e6
