"""A fake of what vouches for CI jobs and pods: OpenID Connect discovery and keys, which the store's
STS really asks, and the endpoint at which a job of GitHub Actions asks for its token."""

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

AUDIENCE = "sts.amazonaws.com"
JOB_TOKEN = "token-of-this-fake-job"


class FakeIdentityProvider:
    """`url` is the issuer, `host` how policies name it, `thumbprint` its certificate's. `asked` lists the
    paths that were asked for."""

    def __init__(self):
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fake identity provider")])
        now = datetime.datetime.utcnow()
        self._certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name)
            .public_key(self._key.public_key()).serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.DER))
        self.thumbprint = hashlib.sha1(self._certificate).hexdigest()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.provider = self
        self.host = "127.0.0.1:%d" % self._server.server_port
        self.url = "http://" + self.host
        self.asked = []

    def start(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def token(self, subject, audience=AUDIENCE, lives_s=300):
        now = int(time.time())
        return jwt.encode({"iss": self.url, "aud": audience, "sub": subject, "azp": subject,
                           "iat": now - 5, "exp": now + lives_s}, self._key, algorithm="RS256",
                          headers={"kid": "1"})

    def job(self):
        """What a job with `id-token: write` finds in its environment."""
        return {"ACTIONS_ID_TOKEN_REQUEST_URL": self.url + "/job?api-version=2.0",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": JOB_TOKEN}

    def trust(self):
        """A role's trust policy that lets in whom this vouches for."""
        return json.dumps({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": ["sts:AssumeRoleWithWebIdentity"],
            "Principal": {"Federated": ["arn:aws:iam:::oidc-provider/" + self.host]},
            "Condition": {"StringEquals": {self.host + ":aud": AUDIENCE}}}]}, separators=(",", ":"))

    def answer(self, url, authorization):
        path, _, query = url.partition("?")
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            return 200, {"issuer": self.url, "jwks_uri": self.url + "/keys"}
        if path == "/keys":
            return 200, {"keys": [{"kid": "1", "kty": "RSA", "alg": "RS256", "use": "sig",
                                   "x5c": [base64.b64encode(self._certificate).decode()]}]}
        audience = urllib.parse.parse_qs(query).get("audience")
        if path != "/job" or not audience:
            return 404, {}
        if authorization.lower() != "bearer " + JOB_TOKEN:
            return 401, {}
        return 200, {"value": self.token("repo:owner/name:environment:prerelease", audience[0])}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status, answer = self.server.provider.answer(self.path, self.headers.get("Authorization", ""))
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
