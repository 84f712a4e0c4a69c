#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Where shm-exporter listens, and how it keeps clients from holding it up."""
import os
import select
import signal
import socket
import subprocess
import time

from exporter_harness import EXPORTER, PATIENCE, main

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def addresses(exporter, n):
    """All addresses that it says it listens on."""
    while sum('msg="listening"' in line for line in exporter.lines) < n:
        line = exporter.process.stderr.readline().decode()
        assert line, "the exporter ended"
        exporter.lines.append(line)
    return [line.split("address=")[1].strip() for line in exporter.lines if 'msg="listening"' in line]


def ask(address):
    """The whole answer to a request for metrics at an address as the log has it."""
    if address.startswith("unix:"):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE)
        client.connect(address[5:])
    else:
        host, port = address.rsplit(":", 1)
        client = socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE)
    with client:
        client.sendall(REQUEST)
        answer = b""
        while piece := client.recv(1 << 16):
            answer += piece
    return answer.decode()


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


def test_several_addresses(place):
    path = os.path.join(place.scratch, "socket")
    extra = ["--web.listen-address=[::1]:0"] if has_ipv6() else []
    with place.exporter(f"--web.listen-address=unix:{path}", "--web.listen-address=localhost:0", *extra) as exporter:
        where = addresses(exporter, 3 + len(extra))
        assert f"unix:{path}" in where
        for address in where:
            assert "shm_exporter_build_info" in ask(address), address
        exporter.stop()
        assert not os.path.exists(path)


def test_a_socket_file_left_behind_is_replaced(place):
    path = os.path.join(place.scratch, "socket")
    with place.exporter(f"--web.listen-address=unix:{path}") as exporter:
        addresses(exporter, 2)
        # in use: refused, and left alone
        ran = subprocess.run([EXPORTER, f"--web.listen-address=unix:{path}", "--shm.dir", place.directory],
                             capture_output=True, text=True, timeout=PATIENCE)
        assert ran.returncode == 1 and "Address already in use" in ran.stderr, ran
        assert "200 OK" in ask(f"unix:{path}")
        exporter.stop(signal.SIGKILL)
    assert os.path.exists(path)
    with place.exporter(f"--web.listen-address=unix:{path}") as exporter:
        addresses(exporter, 2)
        assert "200 OK" in ask(f"unix:{path}")
    with open(path, "w", encoding="ascii"):
        pass
    ran = subprocess.run([EXPORTER, f"--web.listen-address=unix:{path}", "--shm.dir", place.directory],
                         capture_output=True, text=True, timeout=PATIENCE)
    assert ran.returncode == 1 and os.path.exists(path), ran  # not a socket: not ours to remove


def test_socket_activation(place):
    with socket.socket() as listening, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        notify = os.path.join(place.scratch, "notify")
        notified.bind(notify)
        notified.settimeout(PATIENCE)
        # systemd's protocol: descriptor 3, and LISTEN_PID is the process itself
        process = subprocess.Popen(
            ["/bin/sh", "-c", 'exec 3<&"$0"; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"', str(listening.fileno()), EXPORTER,
             "--web.systemd-socket", f"--shm.dir={place.directory}"],
            pass_fds=[listening.fileno()], stderr=subprocess.PIPE, env={**os.environ, "NOTIFY_SOCKET": notify})
        try:
            assert notified.recv(100) == b"READY=1"
            assert "200 OK" in ask("127.0.0.1:%d" % listening.getsockname()[1])
            process.terminate()
            assert notified.recv(100) == b"STOPPING=1"
            process.communicate(timeout=PATIENCE)
            assert process.returncode == 0
        finally:
            process.kill()
            process.communicate()
    ran = subprocess.run([EXPORTER, "--web.systemd-socket", f"--shm.dir={place.directory}"], capture_output=True,
                         text=True, timeout=PATIENCE)
    assert ran.returncode == 1 and "handed over no listening socket" in ran.stderr, ran


def test_a_client_that_finishes_nothing_is_ended(place):
    with place.exporter("--web.request-timeout=1") as exporter:
        with exporter.connect() as dribbling:
            dribbling.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
            ended = False
            deadline = time.monotonic() + PATIENCE
            while not ended and time.monotonic() < deadline:  # never idle, never done
                try:
                    dribbling.sendall(b"x")
                except OSError:
                    ended = True
                ended = ended or bool(select.select([dribbling], [], [], 0.1)[0])
            assert ended
        assert exporter.request().status == 200


def test_a_client_that_reads_a_byte_at_a_time_is_ended(place):
    writer = place.writer("shop")
    writer("define", "counter", "many_total", "x")
    writer("many", "many_total", 0, 200000)
    with place.exporter("--web.request-timeout=1") as exporter, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(PATIENCE)
        slow.connect((exporter.host, exporter.port))
        slow.sendall(REQUEST)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if not slow.recv(1000):
                    break
            except ConnectionError:
                break
            time.sleep(0.02)
        else:
            raise AssertionError("it was never ended")
        assert exporter.request("/-/healthy").status == 200


def test_connection_limits(place):
    with place.exporter("--web.max-connections-per-ip=5") as exporter:
        clients = [exporter.connect() for _ in range(20)]
        closed = [client for client in clients if select.select([client], [], [], 1)[0]]
        assert len(closed) >= 15, len(closed)
        for client in clients:
            client.close()
        while True:  # as soon as it has noticed that they have gone
            try:
                if exporter.request().status == 200:
                    break
            except OSError:
                pass


main()
