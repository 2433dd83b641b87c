"""A registry of one image whose layers are zeros, made as they are sent: any size.

    python3 -m bench.fake_registry LAYERS BYTES [unhashed]     prints its host:port

"unhashed": the layers' digests are made up; they are not to be moved.
"""

import hashlib
import json
import re
import sys

from servers.images import OCI, digest_of

from .fake_http import serve

PIECE = bytes(1 << 20)


def zeros(size):
    whole, rest = divmod(size, len(PIECE))
    for _ in range(whole):
        yield PIECE
    yield PIECE[:rest]


def digests(sizes):
    """size -> digest of so many zeros, in one pass over the largest."""
    hash_, at, found = hashlib.sha256(), 0, {}
    for size in sorted(sizes):
        for piece in zeros(size - at):
            hash_.update(piece)
        at = size
        found[size] = "sha256:" + hash_.copy().hexdigest()
    return found


class Registry:
    def __init__(self, layers, size, is_hashed=True):
        # Each of another size, or they would be one blob.
        sizes = [size // layers + (at - layers // 2) * 1000003 for at in range(layers)]
        named = digests(sizes) if is_hashed else {
            size: digest_of(b"%d" % size) for size in sizes}
        self._zeros = {named[size]: size for size in sizes}
        config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {
            "type": "layers", "diff_ids": [named[size] for size in sizes]}}).encode()
        self._manifest = json.dumps({
            "schemaVersion": 2, "mediaType": OCI["manifest"],
            "config": {"mediaType": OCI["config"], "digest": digest_of(config),
                       "size": len(config)},
            "layers": [{"mediaType": OCI["layer"], "digest": named[size], "size": size}
                       for size in sizes]}).encode()
        self._config = {digest_of(config): config}

    def handle(self, request, answer):
        name = request.path.rsplit("/", 1)[1]
        if name.startswith("sha256-"):      # where signatures would be: nobody has signed it
            answer(404)
        elif "/manifests/" in request.path:
            answer(200, {"Content-Type": OCI["manifest"], "Docker-Content-Digest":
                         digest_of(self._manifest)}, self._manifest)
        elif name in self._config:
            answer(200, None, self._config[name])
        elif name in self._zeros:
            self._send_zeros(request, answer, self._zeros[name])
        else:
            answer(200 if request.path == "/v2/" else 404)

    @staticmethod
    def _send_zeros(request, answer, size):
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)",
                                            request.headers["range"]).groups())
        answer(206, {"Content-Length": last - first + 1,
                     "Content-Range": "bytes %d-%d/%d" % (first, last, size)},
               zeros(last - first + 1))


if __name__ == "__main__":
    serve(Registry(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] != ["unhashed"]).handle)
