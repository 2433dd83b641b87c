"""TLS in front of a server of plain HTTP, with a certificate that is good or bad in one way."""

import contextlib
import datetime
import ipaddress
import pathlib
import shutil
import socket
import ssl
import threading
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY = datetime.timedelta(days=1)
NAMES = ("localhost", "127.0.0.1")


class Authority:
    """Makes certificates. `bundle` is the file by which they are known."""

    def __init__(self, directory, name="tests' authority"):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.bundle = self.dir / "ca.pem"
        self.bundle.write_bytes(_pem(self._sign(self._name, self._key.public_key(), None, -DAY, DAY)))

    def certificate(self, names=NAMES, begins=-DAY, ends=DAY, is_self_signed=False):
        """A file with a certificate for `names` and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
        made = self._sign(subject, key.public_key(), names, begins, ends, key if is_self_signed else None)
        path = self.dir / ("leaf-%d.pem" % made.serial_number)
        path.write_bytes(_pem(made) + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()))
        return path

    def _sign(self, subject, public_key, names, begins, ends, own_key=None):
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder().subject_name(subject)
                   .issuer_name(subject if own_key else self._name).public_key(public_key)
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now + begins).not_valid_after(now + ends)
                   .add_extension(x509.BasicConstraints(names is None, None), critical=True))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(
                [_general_name(name) for name in names]), critical=False)
        return builder.sign(own_key or self._key, hashes.SHA256())


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def _general_name(name):
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


class Front:
    """Listens on loopback; _serve(client) has each that comes, on a thread of its own."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]

    def start(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def stop(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()


def join(client, server):
    """Passes on what comes from either, until both have ended."""
    back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
    back.start()
    _pass_on(client, server)
    back.join()


def _pass_on(source, target):
    with contextlib.suppress(OSError, ValueError):
        shutil.copyfileobj(source.makefile("rb", 0), target.makefile("wb", 0), 1 << 16)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class TlsFront(Front):
    """Passes on to `upstream` what comes through TLS."""

    def __init__(self, upstream, certificate, only_version=None):
        super().__init__()
        parts = urllib.parse.urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        if only_version:    # of those that OpenSSL has switched off, too
            self._context.set_ciphers("ALL:@SECLEVEL=0")
            self._context.minimum_version = self._context.maximum_version = only_version
        self.host = "localhost:%d" % self.port
        self.url = "https://" + self.host

    def _serve(self, client):
        with client, contextlib.suppress(OSError):
            with self._context.wrap_socket(client, server_side=True) as tls, \
                    socket.create_connection(self._upstream) as server:
                join(tls, server)
