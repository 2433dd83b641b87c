"""The movers: an image's bytes from a registry to S3, with the digests of each
layer and of the whole file.

    python3 -m bench.mover plain|bare REGISTRY NAME:TAG ENDPOINT BUCKET KEY

Parts of 16 MiB, four threads, ranged GETs into buffers that are used again, one
thread that hashes in the file's order beside them. "plain": by requests and
boto3. "bare": as fast as Python goes, straight into the buffers by http.client,
and UploadPart with an unsigned payload: nothing guards what goes to the store.
They publish a tar of the blobs, retry nothing, check nothing but digests, and
would leave an upload behind if they failed.
"""

import hashlib
import http.client
import json
import os
import queue
import sys
import tarfile
import threading

from . import signed

PART_BYTES = 16 << 20
THREADS = 4
BUFFERS = 8         # so that a part may wait for its turn at the hash
CHUNK_BYTES = 256 << 10     # both hashes see it while a cache holds it
ACCEPT = ("application/vnd.oci.image.manifest.v1+json, "
          "application/vnd.docker.distribution.manifest.v2+json")


class Registry:
    def __init__(self, host, repository):
        self._connection = http.client.HTTPConnection(host)
        self._base = "/v2/%s/" % repository

    def get(self, path, headers):
        return self._ask(path, headers).read()

    def _ask(self, path, headers):
        reply = signed.answer(self._connection, "GET", self._base + path, None, headers)
        if reply.status not in (200, 206):
            raise RuntimeError("%s: %d" % (path, reply.status))
        return reply

    def read_into(self, digest, first, view):
        """Bytes of a blob from `first` on, as many as `view` holds."""
        reply = self._ask("blobs/" + digest, {
            "Range": "bytes=%d-%d" % (first, first + len(view) - 1)})
        while view:
            got = reply.readinto(view)
            if not got:
                raise RuntimeError("the registry sent too little")
            view = view[got:]
        reply.read()


class Extent:
    """Bytes of the file: `data`, or a blob's."""

    def __init__(self, offset, size, data=None, digest=None):
        self.offset, self.size, self.data, self.digest = offset, size, data, digest

    @property
    def end(self):
        return self.offset + self.size


def lay_out(blobs):
    """The extents of a tar of `blobs`: (name, size, bytes or None, digest)."""
    extents = []
    at = 0

    def add(size, data=None, digest=None):
        nonlocal at
        extents.append(Extent(at, size, data, digest))
        at += size

    for name, size, data, digest in blobs:
        header = tarfile.TarInfo(name)
        header.size = size
        header = header.tobuf(tarfile.GNU_FORMAT)
        add(len(header), header)
        add(size, data, digest)
        if size % 512:
            add(-size % 512, bytes(-size % 512))
    add(1024, bytes(1024))
    return extents


class Hasher:
    """Takes parts in any order, hashes in the file's."""

    def __init__(self, extents):
        self._extents = [each for each in extents if each.digest]
        self._file = hashlib.sha256()
        self._blob = None

    def run(self, parts, count):
        waiting = {}
        for expected in range(count):
            while expected not in waiting:
                index, offset, view, done = parts.get()
                waiting[index] = offset, view, done
            offset, view, done = waiting.pop(expected)
            self._hash(offset, view)
            done()
        return self._file.hexdigest()

    def _hash(self, offset, view):
        """Chunk by chunk; a chunk is of one blob, or of none."""
        end = offset + len(view)
        at = offset
        while at < end:
            blob = next((each for each in self._extents if each.end > at), None)
            inside = blob and blob.offset <= at
            limit = blob.end if inside else blob.offset if blob else end
            chunk = view[at - offset:min(at + CHUNK_BYTES, limit, end) - offset]
            self._file.update(chunk)
            if inside:
                self._hash_blob(blob, at, chunk)
            at += len(chunk)

    def _hash_blob(self, blob, at, chunk):
        if at == blob.offset:
            self._blob = hashlib.sha256()
        self._blob.update(chunk)
        if at + len(chunk) == blob.end and "sha256:" + self._blob.hexdigest() != blob.digest:
            raise RuntimeError("%s came out wrong" % blob.digest)


def ends(kind):
    """Classes of the registry and the store."""
    if kind == "bare":
        return Registry, signed.Store
    from . import plain     # boto3 is large, and not for the bare mover to pay
    return plain.Registry, plain.Store


class Move:
    def __init__(self, kind, host, name, endpoint, bucket, key):
        self._make_registry, self._make_store = ends(kind)
        self._host = host
        self._repository, self._tag = name.split(":")
        self._endpoint, self._bucket, self._key = endpoint, bucket, key

    def run(self):
        registry = self._make_registry(self._host, self._repository)
        manifest = registry.get("manifests/" + self._tag, {"Accept": ACCEPT})
        described = json.loads(manifest)
        blobs = [(each["digest"], each["size"], None, each["digest"])
                 for each in described["layers"] + [described["config"]]]
        blobs.append(("manifest.json", len(manifest), manifest, None))
        self._extents = lay_out(blobs)
        size = self._extents[-1].end
        self._parts = [(at, min(at + PART_BYTES, size)) for at in range(0, size, PART_BYTES)]

        self._store = self._make_store(self._endpoint, self._bucket)
        self._upload = self._store.begin_upload(self._key)
        digest, etags = self._move_parts()
        self._store.complete_upload(self._key, self._upload, etags)
        return digest

    def _move_parts(self):
        self._etags = [None] * len(self._parts)
        self._next = iter(range(len(self._parts)))
        self._lock = threading.Lock()
        self._buffers = queue.SimpleQueue()
        for _ in range(min(BUFFERS, len(self._parts))):
            self._buffers.put(bytearray(PART_BYTES))
        self._full = queue.SimpleQueue()
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        digest = Hasher(self._extents).run(self._full, len(self._parts))
        for thread in threads:
            thread.join()
        return digest, self._etags

    def _work(self):
        try:
            registry = self._make_registry(self._host, self._repository)
            store = self._make_store(self._endpoint, self._bucket)
            while True:
                with self._lock:
                    index = next(self._next, None)
                    if index is None:
                        break
                    buffer = self._buffers.get()
                self._move_part(index, buffer, registry, store)
        except BaseException as error:  # a thread that dies alone would let all others wait
            print(repr(error), file=sys.stderr)
            os._exit(1)

    def _move_part(self, index, buffer, registry, store):
        begin, end = self._parts[index]
        view = memoryview(buffer)[:end - begin]
        for extent in self._extents:
            first, last = max(begin, extent.offset), min(end, extent.end)
            if first >= last:
                continue
            window = view[first - begin:last - begin]
            if extent.data is None:
                registry.read_into(extent.digest, first - extent.offset, window)
            else:
                window[:] = extent.data[first - extent.offset:last - extent.offset]
        is_last = iter((False, True))

        def done():     # called by the hasher and, once it is uploaded, from here
            if next(is_last):
                self._buffers.put(buffer)

        self._full.put((index, begin, view, done))
        self._etags[index] = store.upload_part(self._key, self._upload, index + 1, view)
        done()


if __name__ == "__main__":
    print(Move(*sys.argv[1:]).run())
