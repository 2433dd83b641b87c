"""Where measurements happen: a registry and a store on loopback, images in the
one, fresh buckets in the other, mounts, and nothing left of any of it."""

import contextlib
import dataclasses
import itertools
import os
import pathlib
import subprocess
import sys
import time

from mounted import Mount
from servers.ceph import Ceph
from servers.registry import Registry

from . import usage
from .line import Line

MB = 1000 * 1000
STORE_BYTES = 8 << 30
GARBAGE_BYTES = 64 << 20    # what the store may still be collecting when a run begins
GARBAGE_LIMIT_S = 120
RTT_MS = 40


@dataclasses.dataclass
class Scale:
    """How much is measured. Sizes in bytes."""

    runs: int
    big: int                # the image of 5 layers
    many: int               # the image of 40 layers
    huge: int               # the image that is only generated
    objects: int            # that are listed
    samples: int            # of a latency
    with_docker: bool


SCALES = {
    "quick": Scale(1, 200 * MB, 60 * MB, 1000 * MB, 1000, 10, False),
    "usual": Scale(3, 1000 * MB, 300 * MB, 20000 * MB, 5000, 40, False),
    "full": Scale(5, 1000 * MB, 300 * MB, 20000 * MB, 100000, 100, True),
}


@dataclasses.dataclass
class Image:
    name: str       # REPOSITORY:TAG
    layers: int
    size: int
    changed: str = ""

    def __str__(self):
        return "%d MB in %d layers" % (round(self.size / MB), self.layers)


class Scene:
    def __init__(self, directory, scale):
        self.dir = pathlib.Path(directory)
        self.scale = scale
        self._numbers = itertools.count(1)
        self._pushed = set()
        self.store = self.registry = None

    def __enter__(self):
        self.store = Ceph(self.dir / "c", STORE_BYTES).start()
        self.registry = Registry(self.dir / "r").start()
        usage.count_servers(usage.tree(os.getpid())[1:])
        self.s3 = self.store.client(max_pool_connections=32)
        return self

    def __exit__(self, *_):
        for server in (self.registry, self.store):
            if server:
                server.stop()

    def path(self, name):
        """A path in the scene's directory that nothing has yet."""
        return self.dir / ("%s%d" % (name, next(self._numbers)))

    # Images

    @property
    def big(self):
        return self.image("bench/big:1", 5, self.scale.big)

    @property
    def many(self):
        return self.image("bench/many:1", 40, self.scale.many)

    def image(self, name, layers, size, changed=""):
        """The image of that name, pushed when it is first asked for."""
        if name not in self._pushed:
            subprocess.run([sys.executable, "-B", "-m", "bench.generate", self.registry.host,
                            name, str(layers), str(size), changed], check=True,
                           stdout=subprocess.DEVNULL)
            self._pushed.add(name)
        return Image(name, layers, size, changed)

    # Buckets

    @contextlib.contextmanager
    def bucket(self):
        """A new bucket, and a store without garbage before and after: what it
        collects costs the CPU time of whoever runs at that moment."""
        name = "bench-%d" % next(self._numbers)
        self.s3.create_bucket(Bucket=name)
        try:
            yield name
        finally:
            self._remove(name)
            self._wait_for_collection()

    def _remove(self, bucket):
        for upload in self.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
            self.s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"],
                                           UploadId=upload["UploadId"])
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            keys = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
            if keys:
                self.s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
        self.s3.delete_bucket(Bucket=bucket)

    def _wait_for_collection(self):
        deadline = time.monotonic() + GARBAGE_LIMIT_S
        while self.store.bytes_used() > GARBAGE_BYTES and time.monotonic() < deadline:
            time.sleep(0.5)

    # Mounts and lines

    @contextlib.contextmanager
    def mount(self, bucket, store=None, **options):
        """A fresh mount with the program's own defaults."""
        store = store or self.store
        options.setdefault("log_level", "info")
        directory = self.path("m")
        mount = Mount(store, directory, bucket, **options)
        try:
            yield mount.start()
        finally:
            problems = mount.finish()
            if problems:
                print("\n".join(problems), mount.log()[-2000:], sep="\n", file=sys.stderr)

    @contextlib.contextmanager
    def lines(self, rtt_ms=RTT_MS):
        """(line to the registry, line to the store)"""
        made = []
        try:
            for upstream in (self.registry.url, self.store.endpoint):
                made.append(Line(self.dir, upstream, rtt_ms))
            yield made
        finally:
            for line in made:
                line.stop()

    def environment(self, **more):
        """For the ways that are not ours: the same keys, and a home of their own."""
        home = self.dir / "home"
        home.mkdir(exist_ok=True)
        return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8",
                "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "TMPDIR": str(self.dir),
                **self.store.environment(), **more}
