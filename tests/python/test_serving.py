#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""generate_latest() and the applications that serve it."""
import asyncio
import gzip
import os
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request
import wsgiref.util
import wsgiref.validate
from pathlib import Path

import support
import libshm
from libshm import CollectorRegistry, Counter, Gauge, Histogram

SHOP = CollectorRegistry(segment="shop")
COUNTER = Counter("orders", "Orders.", ["kind"], registry=SHOP)
Histogram("wait_seconds", "Wait.", registry=SHOP, buckets=[1]).observe(0.5)
COUNTER.labels("a").inc(3)


def wsgi(app, path="/metrics", query="", method="GET", **headers):
    answers = []
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "SCRIPT_NAME": "",
               "SERVER_NAME": "x", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": (1, 0),
               "wsgi.input": sys.stdin.buffer, "wsgi.errors": sys.stderr, "wsgi.multithread": True,
               "wsgi.multiprocess": True, "wsgi.run_once": False, "wsgi.url_scheme": "http", **headers}
    body = app(environ, lambda status, headers: answers.append((status, dict(headers))))
    return (*answers[0], b"".join(body))


def asgi(app, method="GET", query=b"", headers=(), messages=({"type": "http.request", "body": b""},)):
    sent, waiting = [], list(messages)

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(app({"type": "http", "method": method, "path": "/", "query_string": query, "headers": list(headers)},
                    receive, send))
    return sent


class Text(unittest.TestCase):
    def test_every_open_segment(self):
        result = support.run("""
import libshm
from libshm import CollectorRegistry, Counter
one, two = CollectorRegistry(segment="one"), CollectorRegistry(segment="two")
CollectorRegistry(segment="never_used")
Counter("in_one", "One.", registry=one).inc()
Counter("in_both", "Both.", ["x"], registry=one).labels("1").inc()
Counter("in_both", "Both.", ["x"], registry=two).labels("2").inc()
Counter("in_default", "Default.").inc()
print(libshm.generate_latest().decode(), end="")
print("only one:", libshm.generate_latest(one).count(b"# TYPE"))
""")
        self.assertEqual(result.stdout, """# HELP in_both_total Both.
# TYPE in_both_total counter
in_both_total{x="1"} 1
in_both_total{x="2"} 1
# HELP in_default_total Default.
# TYPE in_default_total counter
in_default_total 1
# HELP in_one_total One.
# TYPE in_one_total counter
in_one_total 1
only one: 2
""")

    def test_a_process_that_only_serves(self):
        code = "import libshm; print(libshm.generate_latest(libshm.CollectorRegistry(segment='shop')).decode(), end='')"
        self.assertEqual(support.run(code).stdout.encode(), libshm.generate_latest(SHOP))
        self.assertEqual(support.run(code.replace("shop", "not_there")).stdout, "")
        damaged = Path(os.environ["LIBSHM_DIR"]) / "damaged"
        damaged.write_bytes(b"no segment" * 1000)
        self.addCleanup(damaged.unlink)
        result = support.run(code.replace("shop", "damaged"))
        self.assertEqual(result.stdout, "")
        self.assertIn("RuntimeWarning: a segment is left out", result.stderr)

    def test_a_segment_that_is_replaced(self):
        registry = CollectorRegistry(segment="replaced")
        Counter("old", "Old.", registry=registry).inc()
        self.assertIn(b"old_total 1", libshm.generate_latest(registry))
        libshm.unlink("replaced", force=True)
        self.assertIn(b"old_total 1", libshm.generate_latest(registry))
        support.run("import libshm; libshm.Counter('new', 'New.', "
                    "registry=libshm.CollectorRegistry(segment='replaced')).inc()")
        self.assertIn(b"new_total 1", libshm.generate_latest(registry))

    def test_the_same_as_the_exporter(self):
        """Own code of the exporter does the spelling; here the whole way is compared."""
        exporter = support.BUILD / "shm-exporter"
        if not exporter.exists():
            self.skipTest("shm-exporter was not built")
        registry = CollectorRegistry(segment="compared")
        Gauge("of_each", "Of each.", registry=registry, multiprocess_mode="all").set(0.1)
        Gauge("tiny", "Tiny.", registry=registry).set(1e-300)
        Counter("odd", 'Odd "help" \\ \n.', ["x"], registry=registry).labels('"\\\n').inc(0.3)
        with subprocess.Popen([exporter, "--web.listen-address=127.0.0.1:0", "compared"], stderr=subprocess.PIPE,
                              text=True) as process:
            try:
                line = ""
                while "127.0.0.1:" not in line:
                    line = process.stderr.readline()
                    self.assertTrue(line)
                port = line.partition("127.0.0.1:")[2].split("/")[0].split()[0].strip('",')
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
                    outside = answer.read()
            finally:
                process.terminate()
        inside = libshm.generate_latest(registry)
        self.assertEqual([line for line in outside.splitlines() if b" shm_" not in line and not line.startswith(b"shm_")],
                         inside.splitlines())

    def test_textfile(self):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "shop.prom"
            libshm.write_to_textfile(path, SHOP)
            self.assertEqual(path.read_bytes(), libshm.generate_latest(SHOP))
            self.assertEqual(len(os.listdir(directory)), 1)

    def test_wrong_registries(self):
        import prometheus_client
        for function in (libshm.generate_latest, libshm.make_wsgi_app, libshm.make_asgi_app):
            with self.assertRaisesRegex(TypeError, "must be a libshm.CollectorRegistry"):
                function(prometheus_client.REGISTRY)


class Wsgi(unittest.TestCase):
    def test_answers(self):
        app = libshm.make_wsgi_app(SHOP)
        text = libshm.generate_latest(SHOP)
        self.assertEqual(wsgi(app), ("200 OK", {"Content-Type": libshm.CONTENT_TYPE_LATEST,
                                                "Content-Length": str(len(text))}, text))
        status, headers, body = wsgi(app, HTTP_ACCEPT_ENCODING="br, gzip;q=0.5")
        self.assertEqual((headers["Content-Encoding"], gzip.decompress(body)), ("gzip", text))
        self.assertEqual(wsgi(libshm.make_wsgi_app(SHOP, disable_compression=True), HTTP_ACCEPT_ENCODING="gzip")[2], text)
        self.assertEqual(wsgi(app, method="HEAD")[1:], ({"Content-Type": libshm.CONTENT_TYPE_LATEST,
                                                         "Content-Length": str(len(text))}, b""))
        self.assertEqual(wsgi(app, method="POST")[0], "405 Method Not Allowed")
        self.assertEqual(wsgi(app, path="/favicon.ico")[2], b"")
        self.assertEqual(wsgi(app, query="name[]=orders_total&name[]=wait_seconds_sum")[2], b"""# HELP orders_total Orders.
# TYPE orders_total counter
orders_total{kind="a"} 3
# HELP wait_seconds Wait.
# TYPE wait_seconds histogram
wait_seconds_sum 0.5
""")
        checked = wsgiref.validate.validator(app)
        environ = {}
        wsgiref.util.setup_testing_defaults(environ)
        answer = checked(environ, lambda status, headers, exc=None: lambda data: None)
        self.assertEqual(b"".join(answer), text)
        answer.close()

    def test_server(self):
        server, thread = libshm.start_http_server(0, "127.0.0.1", SHOP)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.assertTrue(thread.daemon)
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        with urllib.request.urlopen(url, timeout=60) as answer:
            self.assertEqual((answer.read(), answer.headers["Content-Type"]),
                             (libshm.generate_latest(SHOP), libshm.CONTENT_TYPE_LATEST))
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url, data=b"x", timeout=60)
        self.assertEqual(caught.exception.code, 405)
        caught.exception.close()


class Asgi(unittest.TestCase):
    def test_answers(self):
        app = libshm.make_asgi_app(SHOP)
        text = libshm.generate_latest(SHOP)
        start, body = asgi(app)
        self.assertEqual((start["status"], body["body"]), (200, text))
        self.assertIn((b"content-type", libshm.CONTENT_TYPE_LATEST.encode()), start["headers"])
        start, body = asgi(app, headers=[(b"accept-encoding", b"gzip")])
        self.assertEqual(gzip.decompress(body["body"]), text)
        self.assertEqual(asgi(app, method="PUT")[0]["status"], 405)
        self.assertEqual(asgi(app, query=b"name[]=orders_total")[1]["body"].count(b"\n"), 3)
        self.assertEqual(asgi(app, messages=[{"type": "http.request", "more_body": True}, {"type": "http.disconnect"}]),
                         [])

    def test_other_scopes(self):
        app = libshm.make_asgi_app(SHOP)
        sent = []
        messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

        async def receive():
            return messages.pop(0)

        async def send(message):
            sent.append(message["type"])

        asyncio.run(app({"type": "lifespan"}, receive, send))
        self.assertEqual(sent, ["lifespan.startup.complete", "lifespan.shutdown.complete"])
        with self.assertRaisesRegex(ValueError, "websocket"):
            asyncio.run(app({"type": "websocket"}, receive, send))


if __name__ == "__main__":
    support.main()
