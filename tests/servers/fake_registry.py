"""A registry that lies: it answers what a test puts there, be it true or not. No real one can."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .images import OCI, digest_of

ENDLESS = object()      # a body that never ends


class FakeRegistry:
    """`blobs` and `manifests` (of "REPOSITORY:TAG" or "REPOSITORY@DIGEST") map to bytes, or to what
    answers: (status, headers, body). `requests` lists what was asked."""

    def __init__(self):
        self.blobs, self.manifests, self.requests = {}, {}, []
        self.others = {}        # of whole paths
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.registry = self
        self.host = "127.0.0.1:%d" % self._server.server_port

    def start(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def add(self, repository, image, manifest=None, config=None, media_type=OCI["manifest"]):
        """The image as `v1`, with another manifest or config than it has: a function changes what
        was parsed, bytes replace it."""
        self.blobs.update(image.blobs())
        body = json.loads(image.manifest)
        if config is not None:
            data = config if isinstance(config, bytes) else _changed(json.loads(image.config), config)
            self.blobs[digest_of(data)] = data
            body["config"].update(digest=digest_of(data), size=len(data))
        data = manifest if isinstance(manifest, (bytes, tuple)) else _changed(body, manifest)
        self.manifests[repository + ":v1"] = data if isinstance(data, tuple) else (
            200, {"Content-Type": media_type}, data)

    def answer(self, path):
        if path in self.others:
            return self.others[path]
        found = re.fullmatch("/v2/(.+)/manifests/(.+)", path)
        if found:
            repository, reference = found.groups()
            joint = "@" if ":" in reference else ":"
            return self.manifests.get(repository + joint + reference)
        found = re.fullmatch("/v2/.+/blobs/(.+)", path)
        if found:
            return self.blobs.get(found[1])
        return b"{}" if path == "/v2/" else None


def _changed(value, change):
    return json.dumps((change and change(value)) or value, separators=(",", ":")).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self):
        try:
            super().handle()
        except ConnectionError:
            pass    # who is lied to leaves early

    def do_GET(self):
        registry = self.server.registry
        registry.requests.append((self.command, self.path, dict(self.headers)))
        answer = registry.answer(self.path)
        if answer is None:
            answer = 404, {}, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}'
        elif isinstance(answer, bytes):
            answer = self._ranged(answer)
        self._send(*answer)

    do_HEAD = do_GET

    def _ranged(self, data):
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not found:
            return 200, {}, data
        first, last = int(found[1]), min(int(found[2]), len(data) - 1)
        if first > last:
            return 416, {"Content-Range": "bytes */%d" % len(data)}, b""
        return 206, {"Content-Range": "bytes %d-%d/%d" % (first, last, len(data))}, data[first:last + 1]

    def _send(self, status, headers, body):
        self.send_response(status)
        if body is ENDLESS:
            self.close_connection = True
        else:
            headers = {"Content-Length": str(len(body)), **headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            while body is ENDLESS:
                self.wfile.write(b" " * (1 << 20))
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, *args):
        pass
