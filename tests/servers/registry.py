"""docker-registry on loopback: open, behind Basic, behind Bearer tokens, and
with its blobs in S3, answered by a redirect to a presigned link as ghcr.io does.
"""

import base64
import crypt
import json
import pathlib
import re
import urllib.parse

import requests

from .process import Process, free_port
from .token_server import ISSUER, TokenServer

USER = "publisher"
PASSWORD = "correct horse: battery"
ECR_USER = "AWS"    # what Amazon's helper calls everybody; known where auth is "basic"


class RegistryAddress:
    """A registry that runs, and how to get in."""

    def __init__(self, host, auth=None):
        self.host = host
        self.url = "http://" + host
        self.auth = auth
        self.user, self.password = (USER, PASSWORD) if auth else (None, None)
        self.tokens = None

    def docker_config(self, user=None, password=None, host=None):
        """A docker `config.json` with this registry's (or other) credentials."""
        if not self.auth and user is None:
            return {"auths": {}}
        pair = "%s:%s" % (user or USER, PASSWORD if password is None else password)
        return {"auths": {host or self.host: {"auth": base64.b64encode(pair.encode()).decode()}}}

    def session(self):
        return RegistrySession(self)


class Registry(RegistryAddress):
    """`auth` is None, "basic" or "token". With `s3` (endpoint, keys, bucket)
    blobs are stored there and served by redirects. Users: USER with PASSWORD."""

    def __init__(self, directory, auth=None, s3=None, address="127.0.0.1"):
        super().__init__("%s:%d" % (address, free_port()), auth)
        self.dir = pathlib.Path(directory)
        self.s3 = s3
        self._process = None

    def start(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        config = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": False}},
            "http": {"addr": self.host, "secret": "one"},
            "storage": {"delete": {"enabled": True}, **self._storage()},
        }
        if self.auth:
            config["auth"] = self._auth()
        # The configuration is YAML, of which JSON is a part.
        path = self.dir / "config.yml"
        path.write_text(json.dumps(config, indent=1))
        self._process = Process(["docker-registry", "serve", path], self.dir / "log",
                                env={"PATH": "/usr/bin:/bin", "HOME": str(self.dir),
                                     "OTEL_TRACES_EXPORTER": "none"})
        try:
            self._process.wait_until(self._answers)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        if self._process:
            self._process.stop()
            self._process = None
        if self.tokens:
            self.tokens.stop()
            self.tokens = None

    def log(self):
        return self._process.log()

    def _answers(self):
        return requests.get(self.url + "/v2/", timeout=5).status_code in (200, 401)

    def _storage(self):
        if not self.s3:
            return {"filesystem": {"rootdirectory": str(self.dir / "data")},
                    "cache": {"blobdescriptor": "inmemory"}}
        endpoint, keys, bucket = self.s3
        return {"s3": {"regionendpoint": endpoint, "region": "us-east-1", "bucket": bucket,
                       "accesskey": keys.access_key, "secretkey": keys.secret_key,
                       "secure": False, "v4auth": True, "rootdirectory": "/registry"},
                "redirect": {"disable": False},
                "cache": {"blobdescriptor": "inmemory"}}

    def _auth(self):
        if self.auth == "basic":
            path = self.dir / "htpasswd"
            salt = crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)
            path.write_text("".join("%s:%s\n" % (user, crypt.crypt(PASSWORD, salt))
                                    for user in (USER, ECR_USER)))
            return {"htpasswd": {"realm": "registry.test", "path": str(path)}}
        self.tokens = TokenServer({USER: PASSWORD}).start()
        bundle = self.dir / "token.pem"
        bundle.write_bytes(self.tokens.certificate())
        return {"token": {"realm": self.tokens.realm, "service": self.tokens.service,
                          "issuer": ISSUER, "rootcertbundle": str(bundle)}}


class RegistrySession:
    """What the tests themselves ask of a registry: push, read, delete."""

    def __init__(self, registry):
        self._registry = registry
        self._http = requests.Session()
        self._http.trust_env = False
        if registry.auth == "basic":
            self._http.auth = (registry.user, registry.password)

    def request(self, method, path, repository, **options):
        url = urllib.parse.urljoin(self._registry.url, path)
        if self._registry.auth == "token":
            options["headers"] = {**options.get("headers", {}), "Authorization": "Bearer " +
                                  self._registry.tokens.token(USER, [
                                      "repository:%s:pull,push,delete" % repository])}
        reply = self._http.request(method, url, timeout=120, **options)
        reply.raise_for_status()
        return reply

    def push_blob(self, repository, digest, data):
        path = "/v2/%s/blobs/%s" % (repository, digest)
        try:
            self.request("HEAD", path, repository)
            return
        except requests.HTTPError:
            pass
        started = self.request("POST", "/v2/%s/blobs/uploads/" % repository, repository)
        location = started.headers["Location"]
        joint = "&" if "?" in location else "?"
        self.request("PUT", location + joint + urllib.parse.urlencode({"digest": digest}),
                     repository, data=data,
                     headers={"Content-Type": "application/octet-stream"})

    def push_manifest(self, repository, reference, media_type, data):
        self.request("PUT", "/v2/%s/manifests/%s" % (repository, reference), repository,
                     data=data, headers={"Content-Type": media_type})

    def blob(self, repository, digest):
        return self.request("GET", "/v2/%s/blobs/%s" % (repository, digest), repository).content

    def manifest(self, repository, reference, accept):
        return self.request("GET", "/v2/%s/manifests/%s" % (repository, reference), repository,
                            headers={"Accept": accept}).content

    def delete_manifest(self, repository, digest):
        self.request("DELETE", "/v2/%s/manifests/%s" % (repository, digest), repository)


def blob_file(registry, digest):
    """Where a registry with its storage on disk keeps a blob, to spoil it there."""
    algorithm, text = re.fullmatch(r"(sha256):([0-9a-f]{64})", digest).groups()
    return (registry.dir / "data/docker/registry/v2/blobs" / algorithm / text[:2] / text
            / "data")
