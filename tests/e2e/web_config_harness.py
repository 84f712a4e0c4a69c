# SPDX-License-Identifier: Apache-2.0
"""Web configuration files, passwords, certificates, and the exporter asked over TLS."""
import base64
import os
import shutil
import ssl
import subprocess
import warnings

from exporter_harness import Skip

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import crypt


def bcrypt(password, rounds=2 ** 5):
    return crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=rounds))


def write(place, name, text):
    path = os.path.join(place.scratch, name)
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".new", path)
    return path


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def certificate(place, name, issuer=None, extensions="subjectAltName=DNS:localhost,IP:127.0.0.1"):
    """name.pem and name.key, made by openssl, signed by `issuer` or by itself."""
    if not shutil.which("openssl"):
        raise Skip("no openssl")
    path = os.path.join(place.scratch, name)
    signed = ["-CA", os.path.join(place.scratch, issuer + ".pem"), "-CAkey",
              os.path.join(place.scratch, issuer + ".key")] if issuer else []
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", f"/CN={name}", "-addext", extensions, "-keyout", path + ".key.new", "-out",
                    path + ".pem.new", *signed], check=True, capture_output=True)
    os.rename(path + ".key.new", path + ".key")
    os.rename(path + ".pem.new", path + ".pem")


class Https:
    """The exporter asked over TLS."""

    def __init__(self, place, exporter, client=None, ca="server", least=None, most=None):
        self.exporter = exporter
        self.context = ssl.create_default_context(cafile=os.path.join(place.scratch, ca + ".pem"))
        if client:
            self.context.load_cert_chain(os.path.join(place.scratch, client + ".pem"),
                                         os.path.join(place.scratch, client + ".key"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if least:
                self.context.minimum_version = least
            if most:
                self.context.maximum_version = most

    def get(self, path="/metrics", headers=""):
        """Status, the whole answer, and the certificate that the server had. Raises OSError if it is refused."""
        with self.exporter.connect() as plain, self.context.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n".encode())
            answer = b""
            while piece := client.recv(1 << 16):
                answer += piece
            if not answer:
                raise OSError("closed without an answer")
            return int(answer.split()[1]), answer.decode(), client.getpeercert(True)

    def refused(self):
        try:
            self.get()
        except OSError:
            return True
        return False
