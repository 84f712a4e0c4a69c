#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The web configuration file: TLS, users, headers; that it is read again; and that promtool agrees on what is right."""
import concurrent.futures
import os
import shutil
import ssl
import subprocess
import time

from exporter_harness import EXPORTER, PATIENCE, main
from web_config_harness import Https, basic, bcrypt, certificate, write


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def test_passwords(place):
    config = write(place, "web.yml", f"""basic_auth_users:
  alice: {bcrypt("open sesame")}
  bob: {bcrypt("b:o:b")}
""")
    with place.exporter(f"--web.config.file={config}") as exporter:
        for path in "/metrics", "/", "/-/healthy", "/nothing":
            for headers in ({}, basic("alice", "wrong"), basic("alice", ""), basic("carol", "open sesame"),
                            basic("", ""), basic("alice\0", "open sesame"), {"Authorization": "Basic !!!"},
                            {"Authorization": "Basic"}, {"Authorization": "Bearer x"},
                            basic("alice", bcrypt("open sesame"))):
                response = exporter.request(path, headers=headers)
                assert response.status == 401, (path, headers, response.status)
                assert response.text == "Unauthorized\n" and response.headers["WWW-Authenticate"] == "Basic"
            status = 404 if path == "/nothing" else 200
            assert exporter.request(path, headers=basic("alice", "open sesame")).status == status
            assert exporter.request(path, headers=basic("bob", "b:o:b")).status == status
        assert exporter.request(method="POST", body=b"x" * 100000).status == 401
        assert exporter.request(method="POST", body=b"x" * 100000, headers=basic("alice", "open sesame")).status == 405
        text = exporter.request(headers=basic("alice", "open sesame")).text
        assert 'shm_exporter_http_requests_total{code="401"} 4' in text


def test_guessing_holds_up_nobody(place):
    """Thousands of wrong passwords, while somebody with the right one scrapes."""
    config = write(place, "web.yml", f"basic_auth_users: {{alice: {bcrypt('right', 2 ** 10)}}}\n")
    with place.exporter(f"--web.config.file={config}") as exporter:
        assert exporter.request(headers=basic("alice", "right")).status == 200
        stop = False

        def guess(n):
            statuses = set()
            for i in range(600):
                if stop:
                    break
                statuses.add(exporter.request(headers=basic("alice" if i % 2 else "mallory", f"{n} {i}")).status)
            return statuses

        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            guesses = [pool.submit(guess, n) for n in range(20)]
            slowest = 0
            for _ in range(20):
                start = time.monotonic()
                assert exporter.request(headers=basic("alice", "right")).status == 200
                slowest = max(slowest, time.monotonic() - start)
            stop = True
            assert set().union(*(guess.result() for guess in guesses)) <= {401, 503}
        print(f"  the slowest scrape took {slowest:.3f} s")


def test_headers(place):
    config = write(place, "web.yml", """http_server_config:
  http2: false
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: "max-age=1"
""")
    with place.exporter(f"--web.config.file={config}") as exporter:
        for path in "/metrics", "/", "/nothing":
            response = exporter.request(path)
            assert response.headers["X-Frame-Options"] == "deny"
            assert response.headers["Strict-Transport-Security"] == "max-age=1"


def test_tls(place):
    certificate(place, "server")
    config = write(place, "web.yml", "tls_server_config: {cert_file: server.pem, key_file: server.key}\n")
    writer = place.writer("shop")
    writer("define", "counter", "many_total", "x")
    writer("many", "many_total", 0, 30000)
    with place.exporter(f"--web.config.file={config}") as exporter:
        https = Https(place, exporter)
        status, answer, _ = https.get()
        assert status == 200 and answer.count("many_total{") == 30000
        assert Https(place, exporter, most=ssl.TLSVersion.TLSv1_2).get()[0] == 200
        assert Https(place, exporter, least=ssl.TLSVersion.TLSv1, most=ssl.TLSVersion.TLSv1_1).refused()
        with exporter.connect() as plain:  # no TLS
            plain.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                assert b"200" not in plain.recv(1000)
            except ConnectionError:
                pass
        assert https.get()[0] == 200


def test_tls_versions(place):
    certificate(place, "server")
    for least, most, good, bad in (("TLS13", "TLS13", ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2),
                                   ("TLS12", "TLS12", ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)):
        config = write(place, "web.yml", f"""tls_server_config:
  cert_file: server.pem
  key_file: server.key
  min_version: {least}
  max_version: {most}
  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]
  curve_preferences: [X25519, CurveP256]
  prefer_server_cipher_suites: true
""")
        with place.exporter(f"--web.config.file={config}") as exporter:
            assert Https(place, exporter, least=good, most=good).get()[0] == 200
            assert Https(place, exporter, least=bad, most=bad).refused()


def test_client_certificates(place):
    certificate(place, "server")
    certificate(place, "authority", extensions="keyUsage=keyCertSign")
    certificate(place, "client", issuer="authority", extensions="subjectAltName=DNS:scraper,IP:10.0.0.1")
    certificate(place, "other", issuer="authority", extensions="subjectAltName=DNS:other")
    certificate(place, "stranger")
    for kind, extra, who in (
            ("NoClientCert", "", {None: True, "client": True, "stranger": True}),
            ("RequestClientCert", "", {None: True, "client": True, "stranger": True}),
            ("RequireAnyClientCert", "", {None: False, "client": True, "stranger": True}),
            ("VerifyClientCertIfGiven", "", {None: True, "client": True, "stranger": False}),
            ("RequireAndVerifyClientCert", "", {None: False, "client": True, "other": True, "stranger": False}),
            ("RequireAndVerifyClientCert", "  client_allowed_sans: [scraper]\n",
             {None: False, "client": True, "other": False, "stranger": False}),
            ("RequireAndVerifyClientCert", "  client_allowed_sans: [10.0.0.1]\n", {"client": True, "other": False})):
        authority = "" if kind == "NoClientCert" else "  client_ca_file: authority.pem\n"
        config = write(place, "web.yml", "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
                                         f"  client_auth_type: {kind}\n{authority}{extra}")
        with place.exporter(f"--web.config.file={config}") as exporter:
            for client, welcome in who.items():
                assert Https(place, exporter, client).refused() != welcome, (kind, client)


def test_is_read_again(place):
    certificate(place, "server")
    with open(os.path.join(place.scratch, "server.pem"), encoding="ascii") as file:
        first = ssl.PEM_cert_to_DER_cert(file.read())
    tls = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n"
    config = write(place, "web.yml", tls)
    with place.exporter(f"--web.config.file={config}") as exporter:
        https = Https(place, exporter)
        assert https.get()[2] == first
        certificate(place, "server")

        def changed():
            try:
                return Https(place, exporter).get()[2] != first
            except OSError:
                return False
        until(changed)
        write(place, "web.yml", tls + f"basic_auth_users: {{alice: {bcrypt('secret')}}}\n")
        https = Https(place, exporter)
        until(lambda: https.get()[0] == 401)
        header = "Authorization: %s\r\n" % basic("alice", "secret")["Authorization"]
        assert https.get(headers=header)[0] == 200
        # a change of the password makes the old one worthless, although it was checked before
        write(place, "web.yml", tls + f"basic_auth_users: {{alice: {bcrypt('other')}}}\n")
        until(lambda: https.get(headers=header)[0] == 401)
        # what cannot be used changes nothing
        write(place, "web.yml", "nonsense: true\n")
        while not any("not taken over" in line for line in exporter.lines):
            exporter.lines.append(exporter.process.stderr.readline().decode())
        assert https.get()[0] == 401
        os.unlink(config)
        assert https.get()[0] == 401


HASH = bcrypt("x")
TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key"
FILES = (  # and whether they are right
    ("", True),
    ("{}", True),
    ("tls_server_config:\n", True),
    ("tls_server_config: {}\nbasic_auth_users: {}\nhttp_server_config: {}\n", True),
    (TLS + "}", True),
    (TLS + ", min_version: TLS12, max_version: TLS13}", True),
    (TLS + ", min_version: TLS14}", False),
    (TLS + ", min_version: SSL30}", False),
    (TLS + ", client_auth_type: RequireAnyClientCert}", True),
    (TLS + ", client_auth_type: Maybe}", False),
    (TLS + ", client_ca_file: server.pem}", False),
    (TLS + ", client_ca_file: server.pem, client_auth_type: RequireAndVerifyClientCert}", True),
    (TLS + ", client_ca_file: absent.pem, client_auth_type: RequireAndVerifyClientCert}", False),
    (TLS + ", cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]}", True),
    (TLS + ", cipher_suites: [TLS_MAGIC]}", False),
    (TLS + ", curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]}", True),
    (TLS + ", curve_preferences: [CurveP257]}", False),
    (TLS + ", prefer_server_cipher_suites: true}", True),
    (TLS + ", prefer_server_cipher_suites: [true]}", False),
    (TLS + ", cert_files: x}", False),
    ("tls_server_config: {cert_file: server.pem}", False),
    ("tls_server_config: {key_file: server.key}", False),
    ("tls_server_config: {cert_file: absent.pem, key_file: server.key}", False),
    ("tls_server_config: {cert_file: server.key, key_file: server.key}", False),
    ("tls_server_config: {cert_file: server.pem, key_file: other.key}", False),
    ("tls_server_config: [1, 2]", False),
    ("http_server_config: {http2: true}", True),
    ("http_server_config: {http2: perhaps}", False),
    ("http_server_config: {http3: true}", False),
    ("http_server_config: {headers: {X-Frame-Options: deny, X-XSS-Protection: '1'}}", True),
    ("http_server_config: {headers: {X-Other: deny}}", False),
    (f"basic_auth_users: {{alice: '{HASH}'}}", True),
    (f"basic_auth_users: {{alice: '{HASH}', bob: '{HASH}'}}", True),
    ("basic_auth_users: {alice: secret}", False),
    ("basic_auth_users: {alice: '$1$abc$def'}", False),
    ("basic_auth_users: {alice: ''}", False),
    ("basic_auth_users: [alice]", False),
    ("nonsense: 1", False),
    ("basic_auth_users: {}\nbasic_auth_users: {}", False),
    ("- a\n- b\n", False),
    ("just text", False),
    ("tls_server_config: {cert_file: [}", False),
    ("\t", False),
)


def test_promtool_agrees(place):
    certificate(place, "server")
    certificate(place, "other")
    disagreed = []
    for text, right in FILES:
        path = write(place, "web.yml", text)
        judges = {}
        if shutil.which("promtool"):
            ran = subprocess.run(["promtool", "check", "web-config", path], capture_output=True, text=True,
                                 timeout=PATIENCE)
            judges["promtool"] = ran.returncode == 0
        # an address that cannot be had: what is right gets as far as that
        ran = subprocess.run([EXPORTER, f"--web.config.file={path}", "--web.listen-address=192.0.2.1:1",
                              f"--shm.dir={place.directory}"], capture_output=True, text=True, timeout=PATIENCE)
        assert ran.returncode == 1, ran
        judges["exporter"] = "web configuration cannot be used" not in ran.stderr
        if set(judges.values()) != {right}:
            disagreed.append((text, right, judges, ran.stderr))
    assert not disagreed, disagreed


main()
