#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A scrape among clients that misbehave by the thousand; and what a refusal tells, which is nothing."""
import json
import os
import re
import resource
import select
import socket
import ssl
import subprocess
import sys
import time

from exporter_harness import HERE, PATIENCE, Skip, main
from web_config_harness import Https, basic, bcrypt, certificate, write

GOOD_SECONDS = 1
ATTACKS = 3  # until one during which the machine had time for the scrapes
MORE_KIB = 64 * 1024
SERIES = 10000
STUCK, LARGE = 60, 100000  # clients that do not read, and the series of what they ask for


def descriptors(exporter):
    return len(os.listdir(f"/proc/{exporter.process.pid}/fd"))


def memory(exporter):
    with open(f"/proc/{exporter.process.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def scrape(exporter, password):
    """Seconds that it took, on a connection of its own."""
    start = time.monotonic()
    response = exporter.request(headers=password)
    seconds = time.monotonic() - start
    assert response.status == 200, response.text
    assert response.body.count(b"\nmany_total{") == SERIES
    return seconds


def attack(exporter, password):
    """What the crowd was answered, how long each scrape meanwhile took, and the most memory that was seen."""
    crowd = subprocess.Popen(
        [sys.executable, os.path.join(HERE, "exporter_crowd.py"), exporter.host, str(exporter.port),
         password["Authorization"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert crowd.stdout.readline() == "ready\n"
        crowd.stdin.write("go\n")
        crowd.stdin.flush()
        times, most = [], 0
        while not times or not select.select([crowd.stdout], [], [], 0.05)[0]:
            times.append(scrape(exporter, password))
            most = max(most, memory(exporter))
        return json.loads(crowd.stdout.readline()), times, most
    finally:
        crowd.kill()
        crowd.communicate()


def test_crowds(place):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 4096:
        raise Skip("not enough file descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    writer = place.writer("shop")
    writer("define", "counter", "many_total", "x")
    writer("many", "many_total", 0, SERIES)
    password = basic("alice", "right")
    config = write(place, "web.yml", f"basic_auth_users: {{alice: {bcrypt('right', 2 ** 4)}}}\n")
    with place.exporter(f"--web.config.file={config}") as exporter:
        scrape(exporter, password)
        files, before = descriptors(exporter), memory(exporter)
        for _ in range(ATTACKS):
            answers, times, most = attack(exporter, password)
            print(f"  {len(times)} scrapes, median {sorted(times)[len(times) // 2]:.3f} s, slowest {max(times):.3f} s; "
                  f"{before} KiB, at most {most - before} more; {answers}", flush=True)
            assert set(answers["guess"]) <= {"401", "503"} and sum(answers["guess"].values()) == 10000, answers
            assert set(answers["long"]) <= {"431", "413", "closed"}, answers
            assert set(answers["pipelined"]) == {"200"}, answers
            assert set(answers["half-closed"]) <= {"200", "closed"}, answers
            assert most - before < MORE_KIB
            deadline = time.monotonic() + PATIENCE
            while descriptors(exporter) > files:
                assert time.monotonic() < deadline, f"{descriptors(exporter)} descriptors, {files} before"
                time.sleep(0.05)
            if max(times) <= GOOD_SECONDS:
                break
        else:
            raise AssertionError(f"in each of {ATTACKS} attacks a scrape took longer than {GOOD_SECONDS} s")


def stuck(exporter, clients):
    """As many clients ask for a body that does not fit into the sockets' buffers, and read nothing."""
    for _ in range(STUCK):
        client = socket.socket()
        clients.append(client)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE)
        client.connect((exporter.host, exporter.port))
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    for client in clients:
        client.recv(1, socket.MSG_PEEK)  # its answer is under way, or it was ended or refused
    time.sleep(0.5)  # they are stuck: what nobody reads for so long


def test_clients_that_do_not_read(place):
    writer = place.writer("shop")
    writer("define", "counter", "many_total", "x")
    writer("many", "many_total", 0, LARGE)
    with place.exporter() as exporter:
        for _ in range(ATTACKS):
            clients, times = [], []
            try:
                stuck(exporter, clients)
                for _ in range(5):
                    start = time.monotonic()
                    response = exporter.request()
                    times.append(time.monotonic() - start)
                    assert response.status == 200, response.status
                    assert response.body.count(b"\nmany_total{") == LARGE
            finally:
                for client in clients:
                    client.close()
            print(f"  among {STUCK} clients that do not read: slowest {max(times):.3f} s", flush=True)
            if max(times) <= GOOD_SECONDS:
                break
        else:
            raise AssertionError(f"in each of {ATTACKS} attacks a scrape took longer than {GOOD_SECONDS} s")


def raw(exporter, request):
    """The whole answer, without what differs by the clock."""
    with exporter.connect() as client:
        client.sendall(request)
        answer = b""
        try:
            while piece := client.recv(1 << 16):
                answer += piece
        except ConnectionError:
            pass
    return re.sub(rb"\r\nDate: [^\r]*", b"", answer)


def test_refusals_tell_nothing(place):
    """A refusal is the same whatever was behind it, and has nothing in it of the request, the machine or the program."""
    password = basic("alice", "right")
    config = write(place, "web.yml", f"basic_auth_users: {{alice: {bcrypt('right', 2 ** 4)}}}\n")
    place.writer("shop")("define", "counter", "orders_total")
    outside = (b"/../../etc/passwd", b"/metrics/../../etc/passwd", b"/%2e%2e/%2e%2e/etc/passwd", b"/..%2f..%2fetc/passwd",
               b"//etc/passwd", b"/etc/passwd%00", b"/shop", b"/api/v1/", b"/api/v1/../status", b"/<script>", b"*",
               place.path("shop").encode(), b"http://127.0.0.1/etc/passwd")
    methods = b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PATCH", b"PROPFIND", b"get", b"<script>"

    def request(path, credentials=None, method=b"GET"):
        authorization = b"Authorization: %s\r\n" % credentials["Authorization"].encode() if credentials else b""
        return method + b" " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + authorization + b"\r\n"

    with place.exporter(f"--web.config.file={config}") as exporter:
        def same(status, requests):
            answers = {request: raw(exporter, request) for request in requests}
            assert len(set(answers.values())) == 1, answers
            answer = set(answers.values()).pop()
            assert answer.startswith(b"HTTP/1.1 %d " % status), answer
            for word in b"etc", b"shop", b"script", b"alice", b"bcrypt", b"hash", b"shm", b"microhttpd", b"Server:", b"/":
                assert word not in answer.split(b"\r\n", 1)[1].replace(b"text/plain", b""), (word, answer)

        nobody = [None, basic("alice", "wrong"), basic("alice", ""), basic("mallory", "right"), basic("", "right")]
        same(401, [request(path, who) for path in (b"/metrics", b"/", b"/-/healthy", *outside) for who in nobody])
        same(401, [request(b"/metrics", None, method) for method in methods])
        same(404, [request(path, password) for path in outside])
        same(405, [request(path, password, method) for method in methods for path in (b"/metrics", *outside)])
        assert exporter.request(headers=password).status == 200


def test_without_a_client_certificate_nothing_is_said(place):
    for name in "server", "stranger":
        certificate(place, name)
    certificate(place, "authority", extensions="keyUsage=keyCertSign")
    certificate(place, "client", issuer="authority")
    config = write(place, "web.yml", "tls_server_config: {cert_file: server.pem, key_file: server.key, client_auth_type: "
                                     "RequireAndVerifyClientCert, client_ca_file: authority.pem}\n")
    with place.exporter(f"--web.config.file={config}") as exporter:
        assert Https(place, exporter, "client").get()[0] == 200
        for who in None, "stranger":
            for most in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
                assert Https(place, exporter, who, most=most).refused(), (who, most)
        plain = raw(exporter, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP" not in plain and len(plain) < 20, plain  # an alert, at most
        assert Https(place, exporter, "client").get()[0] == 200


main()
