"""Reading a published tarball from its first to its last byte, and through a line
with a round-trip time."""

import subprocess

from . import others, ways
from .rounds import Rounds, say
from .scene import RTT_MS
from .usage import measure

OURS, CURL, S3FS, RCLONE = "cat, prereleasefs", "curl", "cat, s3fs", "cat, rclone mount"
KEY = "build/image.tar"


def run(scene):
    sections = []
    with scene.bucket() as bucket:
        _publish(scene, bucket, scene.big)
        sections.append(_near(scene, bucket))
    with scene.bucket() as bucket:
        _publish(scene, bucket, scene.many)
        sections.append(_far(scene, bucket))
    return sections


def _publish(scene, bucket, image):
    with scene.mount(bucket) as mount:
        ways.publish(mount, "build", "%s/%s image.tar" % (scene.registry.host, image.name))


def _near(scene, bucket):
    say("reading a tarball of %s" % scene.big)
    rounds = Rounds({
        OURS: lambda: _cat(scene.mount(bucket)),
        CURL: lambda: _curl(scene, bucket, scene.store.endpoint),
        S3FS: lambda: _cat(others.s3fs(scene, bucket)),
        RCLONE: lambda: _cat(others.rclone(scene, bucket)),
    }, scene.scale.runs)
    section = rounds.section("Reading a tarball of %s" % scene.big, CURL)
    section.at_most("wall: ours / curl", rounds.ratio(OURS, CURL), 1.3)
    section.at_least("wall: s3fs / ours", rounds.ratio(S3FS, OURS), 2)
    section.at_least("wall: rclone / ours", rounds.ratio(RCLONE, OURS), 2)
    return section


def _far(scene, bucket):
    say("reading a tarball of %s over a line of %d ms" % (scene.many, RTT_MS))
    with scene.lines() as (_, store):
        rounds = Rounds({
            OURS: lambda: _cat(scene.mount(bucket, endpoint=store.url)),
            CURL: lambda: _curl(scene, bucket, store.url),
        }, scene.scale.runs)
    section = rounds.section("Reading a tarball of %s, %d ms away" % (scene.many, RTT_MS), CURL)
    section.at_least("wall: curl / ours", rounds.ratio(CURL, OURS), 5)
    return section


def _cat(mounting):
    """A fresh mount each time: nothing of the file is in memory yet."""
    with mounting as mount:
        return measure(["cat", mount.path / KEY], [mount.pid], stdout=subprocess.DEVNULL)


def _curl(scene, bucket, endpoint):
    url = scene.store.client(endpoint=endpoint).generate_presigned_url(
        "get_object", {"Bucket": bucket, "Key": KEY})
    return measure(["curl", "-sf", "-o", "/dev/null", url])
