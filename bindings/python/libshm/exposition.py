# SPDX-License-Identifier: Apache-2.0
"""Serving: text, WSGI, ASGI, and an HTTP server in a thread."""
import gzip
import os
import socket
import threading
from socketserver import ThreadingMixIn
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from .registry import CollectorRegistry, RestrictedRegistry, open_paths, restrict, scrape

CONTENT_TYPE_LATEST = "text/plain; version=0.0.4; charset=utf-8"


def generate_latest(registry=None):
    """The metrics of every segment that this process has open, or of one registry, as Prometheus text."""
    if registry is None:
        return scrape(open_paths(), "text")
    if isinstance(registry, (CollectorRegistry, RestrictedRegistry)):
        return registry.text()
    raise TypeError(f"registry must be a libshm.CollectorRegistry, not {type(registry).__name__}")


def _check(registry):
    if registry is not None and not isinstance(registry, (CollectorRegistry, RestrictedRegistry)):
        generate_latest(registry)


def _gzip_wanted(accept_encoding):
    return any(part.split(";")[0].strip().lower() == "gzip" for part in (accept_encoding or "").split(","))


def _answer(registry, method, query, accept_encoding, compress):
    """Status, headers and body."""
    if method not in ("GET", "HEAD"):
        body = b"GET or HEAD\n"
        return 405, [("Allow", "GET, HEAD"), ("Content-Type", "text/plain"), ("Content-Length", str(len(body)))], body
    output = generate_latest(registry)
    names = parse_qs(query).get("name[]")
    if names:
        output = restrict(output, names)
    headers = [("Content-Type", CONTENT_TYPE_LATEST)]
    if compress and _gzip_wanted(accept_encoding):
        output = gzip.compress(output, 1)
        headers.append(("Content-Encoding", "gzip"))
    headers.append(("Content-Length", str(len(output))))
    return 200, headers, b"" if method == "HEAD" else output


_REASONS = {200: "200 OK", 405: "405 Method Not Allowed"}


def make_wsgi_app(registry=None, disable_compression=False):
    """A WSGI application that serves generate_latest(registry)."""
    _check(registry)

    def metrics_app(environ, start_response):
        if environ.get("PATH_INFO") == "/favicon.ico":
            start_response("200 OK", [("Content-Length", "0")])
            return [b""]
        status, headers, output = _answer(registry, environ.get("REQUEST_METHOD", "GET"),
                                          environ.get("QUERY_STRING", ""), environ.get("HTTP_ACCEPT_ENCODING"),
                                          not disable_compression)
        start_response(_REASONS[status], headers)
        return [output]

    return metrics_app


def make_asgi_app(registry=None, disable_compression=False):
    """An ASGI application that serves generate_latest(registry)."""
    _check(registry)

    async def metrics_app(scope, receive, send):
        if scope.get("type") == "lifespan":
            while True:
                message = await receive()
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        if scope.get("type") != "http":
            raise ValueError(f"metrics are served over HTTP, not {scope.get('type')!r}")
        encodings = ",".join(value.decode("latin-1") for name, value in scope.get("headers", ())
                             if name.lower() == b"accept-encoding")
        query = scope.get("query_string", b"").decode("latin-1")
        status, headers, output = _answer(registry, scope.get("method", "GET"), query, encodings,
                                          not disable_compression)
        while True:  # the request's body, if it has one
            message = await receive()
            if message.get("type") == "http.disconnect":
                return
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": status,
                    "headers": [(name.lower().encode(), value.encode()) for name, value in headers]})
        await send({"type": "http.response.body", "body": output})

    return metrics_app


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, format, *args):
        pass


def start_wsgi_server(port, addr="0.0.0.0", registry=None):
    """Serves metrics from a daemon thread. Returns the server and the thread; port 0 takes a free one, which is
    server.server_port."""
    family, _, _, _, address = socket.getaddrinfo(addr, port, type=socket.SOCK_STREAM)[0]
    server_class = type("MetricsServer", (_Server,), {"address_family": family})
    server = make_server(address[0], port, make_wsgi_app(registry), server_class, handler_class=_Handler)
    thread = threading.Thread(target=server.serve_forever, name="libshm-metrics", daemon=True)
    thread.start()
    return server, thread


start_http_server = start_wsgi_server


def write_to_textfile(path, registry=None):
    """Writes generate_latest(registry) for the node exporter's textfile collector: all of it or nothing."""
    temporary = f"{path}.{os.getpid()}.{threading.get_ident()}"
    with open(temporary, "wb") as file:
        file.write(generate_latest(registry))
    os.replace(temporary, path)
