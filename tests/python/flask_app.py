# SPDX-License-Identifier: Apache-2.0
"""An application that knows nothing of libshm: Flask and prometheus_client as their documentation shows them."""
import os
import time

from flask import Flask, request
from prometheus_client import Counter, Gauge, Histogram, Summary, make_wsgi_app
from werkzeug.middleware.dispatcher import DispatcherMiddleware

REQUESTS = Counter("app_requests", "Requests by path.", ["path", "code"])
LATENCY = Histogram("app_latency_seconds", "Time to answer.", ["path"], buckets=(0.5, 1, 60))
BYTES = Summary("app_request_bytes", "Bytes of the requests.")
ACTIVE = Gauge("app_active", "Requests in progress.", multiprocess_mode="livesum")
ONLY = Counter("app_only", "Of one process.", ["pid"])

app = Flask(__name__)


@app.before_request
def before():
    request.environ["started"] = time.monotonic()
    ACTIVE.inc()


@app.after_request
def after(response):
    LATENCY.labels(request.path).observe(time.monotonic() - request.environ["started"])
    REQUESTS.labels(request.path, response.status_code).inc()
    BYTES.observe(len(request.query_string))
    ACTIVE.dec()
    return response


@app.route("/hello")
def hello():
    return f"{os.getpid()}\n"


@app.route("/only")
def only():
    """A series that just one of the processes has."""
    ONLY.labels(pid=os.getpid()).inc()
    return f"{os.getpid()}\n"


app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/metrics": make_wsgi_app()})
