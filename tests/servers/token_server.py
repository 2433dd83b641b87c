"""A token server for registries that want Bearer tokens.

Anonymous callers may pull what stands under `public/`; users with the right
password may pull and push everything; a wrong password is refused, as ghcr.io
does, also for what is public. Tokens are signed with a key made on the spot.
"""

import base64
import datetime
import hashlib
import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "prereleasefs tests"


class TokenServer:
    """`expires_s` is how long its tokens live, from now on and at any time
    changeable; `requests` lists the query of each request and who asked, `issued` the tokens."""

    def __init__(self, users, expires_s=300):
        self.users = dict(users)
        self.expires_s = expires_s
        self.announce_expiry = True     # without it, clients must assume 60 s
        self.token_field = "token"      # some servers answer "access_token"
        self.requests = []
        self.issued = []
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.tokens = self
        self.realm = "http://127.0.0.1:%d/token" % self._server.server_port
        self.service = "registry.test"

    def start(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def certificate(self):
        """PEM of a self-signed certificate of the key, which the registry trusts."""
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, ISSUER)])
        now = datetime.datetime.utcnow()
        certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
                       .public_key(self._key.public_key()).serial_number(1)
                       .not_valid_before(now - datetime.timedelta(days=1))
                       .not_valid_after(now + datetime.timedelta(days=30))
                       .sign(self._key, hashes.SHA256()))
        return certificate.public_bytes(serialization.Encoding.PEM)

    def key_id(self):
        """The key's name as the registry computes it: 240 bits of the public
        key's SHA-256 in base32, in groups of four."""
        der = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        text = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode()
        return ":".join(text[at:at + 4] for at in range(0, len(text), 4))

    def token(self, user, scopes):
        access = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            granted = [action for action in actions.split(",")
                       if user or (action == "pull" and name.startswith("public/"))]
            access.append({"type": kind, "name": name, "actions": granted})
        now = int(time.time())
        self.issued.append(jwt.encode(
            {"iss": ISSUER, "sub": user or "", "aud": self.service, "iat": now,
             "nbf": now - 10, "exp": now + self.expires_s, "jti": str(time.monotonic_ns()),
             "access": access},
            self._key, algorithm="RS256", headers={"kid": self.key_id()}))
        return self.issued[-1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        tokens = self.server.tokens
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        user, known = self._who()
        tokens.requests.append({"user": user, "known": known, "query": query})
        if url.path != "/token" or query.get("service") != [tokens.service]:
            return self._answer(400, {"details": "no such service"})
        if not known:
            return self._answer(401, {"details": "incorrect username or password"})
        scopes = [scope for value in query.get("scope", []) for scope in value.split()]
        answer = {tokens.token_field: tokens.token(user, scopes)}
        if tokens.announce_expiry:
            answer["expires_in"] = tokens.expires_s
        self._answer(200, answer)

    def _who(self):
        """(user or None for anonymous, whether that is acceptable)"""
        header = self.headers.get("Authorization")
        if header is None:
            return None, True
        scheme, _, value = header.partition(" ")
        if scheme.lower() != "basic":
            return None, False
        user, _, password = base64.b64decode(value).decode().partition(":")
        return user, self.server.tokens.users.get(user) == password

    def _answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass
