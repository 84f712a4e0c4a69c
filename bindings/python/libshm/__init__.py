# SPDX-License-Identifier: Apache-2.0
"""Metrics in shared memory: one /metrics for all processes, whatever becomes of them.

    from libshm import Counter, start_http_server

    REQUESTS = Counter("shop_requests_total", "Requests.", ["method"])
    REQUESTS.labels(method="GET").inc()

The classes are used as those of prometheus_client are; docs/python.md tells where they differ. Code that must keep its
`import prometheus_client` calls libshm.install() first.
"""
from . import multiprocess
from ._libshm import VERSION as __version__
from ._libshm import Error, directory, lost_updates, unlink
from .exposition import (CONTENT_TYPE_LATEST, generate_latest, make_asgi_app, make_wsgi_app, start_http_server,
                         start_wsgi_server, write_to_textfile)
from .metrics import Counter, Enum, Gauge, Histogram, Info, Summary
from .registry import REGISTRY, CollectorRegistry, Metric, Sample

__all__ = (
    "CollectorRegistry", "REGISTRY", "Metric", "Sample",
    "Counter", "Gauge", "Summary", "Histogram", "Info", "Enum",
    "CONTENT_TYPE_LATEST", "generate_latest", "make_wsgi_app", "make_asgi_app", "start_http_server",
    "start_wsgi_server", "write_to_textfile", "multiprocess",
    "Error", "directory", "install", "lost_updates", "unlink",
)

_ABSENT = {
    **dict.fromkeys(("push_to_gateway", "pushadd_to_gateway", "delete_from_gateway", "instance_ip_grouping_key"),
                    "post generate_latest() to the gateway yourself"),
    **dict.fromkeys(("ProcessCollector", "PROCESS_COLLECTOR", "PlatformCollector", "PLATFORM_COLLECTOR", "GCCollector",
                     "GC_COLLECTOR"), "what they tell is of one process; a segment is of many"),
    "MetricsHandler": "use make_wsgi_app() or make_asgi_app()",
}


def install(segment="default", directory=None, max_bytes=None, max_series=10000):
    """Puts the metrics of prometheus_client into a segment; to be called before the first one is made. `max_series`: of
    each family."""
    from . import bridge
    bridge.install(segment, directory, max_bytes, max_series)


def __getattr__(name):
    if name in _ABSENT:
        raise AttributeError(f"libshm has no {name}: {_ABSENT[name]}")
    raise AttributeError(f"module 'libshm' has no attribute {name!r}")
