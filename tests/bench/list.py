"""Listing a directory of many objects."""

import concurrent.futures
import itertools
import os

from . import others
from .rounds import Rounds, say
from .signed import Store
from .usage import measure
from .ways import AWS

WRITERS = 8
OURS, S3FS, RCLONE = "ls -l, prereleasefs", "ls -l, s3fs", "ls -l, rclone mount"
CLI = "aws s3 ls --recursive"


def run(scene):
    count = scene.scale.objects
    with scene.bucket() as bucket:
        say("putting %d objects" % count)
        _fill(scene, bucket, count)
        say("listing them")
        rounds = Rounds({
            OURS: lambda: _ls(scene.mount(bucket)),
            S3FS: lambda: _ls(others.s3fs(scene, bucket)),
            RCLONE: lambda: _ls(others.rclone(scene, bucket)),
            CLI: lambda: measure([AWS, "--endpoint-url", scene.store.endpoint, "s3", "ls",
                                  "--recursive", "s3://" + bucket], env=scene.environment()),
        }, scene.scale.runs)
    return [rounds.section("Listing a directory of %d objects" % count, OURS)]


def _ls(mounting):
    with mounting as mount:
        return measure(["ls", "-l", mount.path / "build"], [mount.pid])


def _fill(scene, bucket, count):
    os.environ.update(scene.store.environment())
    numbers = itertools.count()

    def put():
        store = Store(scene.store.endpoint, bucket)
        while (number := next(numbers)) < count:
            store.request("PUT", "build/image-%06d.tar" % number, body=b"x")

    with concurrent.futures.ThreadPoolExecutor(WRITERS) as writers:
        for writer in [writers.submit(put) for _ in range(WRITERS)]:
            writer.result()
