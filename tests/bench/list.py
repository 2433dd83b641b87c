"""Listing a directory of many objects, walking a tree of builds, and the links of a
directory of many tarballs."""

import concurrent.futures
import hashlib
import itertools
import json
import os
import time

from . import others
from .counting import counted
from .rounds import Rounds, say
from .signed import Store
from .table import Section, mb, median, seconds
from .usage import measure
from .ways import AWS

WRITERS = 8
BUILDS, FILES = 2000, 2     # of the tree, at most; of a build
TARBALLS = 10000            # with records, at most
CPU_LIMIT_S = 0.5           # of their links
LS, FIND = "ls -l", "find -type f"
BUNDLE_PUT = "store: PUT of .prereleasefs/bundles"
CLI = "aws s3 ls --recursive"


def run(scene):
    return [_flat(scene), _tree(scene), _links(scene)]


# ---- listing -----------------------------------------------------------------------------------

def _flat(scene):
    count = scene.scale.objects
    title = "Listing a directory of %d objects" % count
    keys = (("build/image-%06d.tar" % at, b"x") for at in range(count))
    return _compared(scene, title, keys, LS, lambda path: ["ls", "-l", path / "build"])


def _tree(scene):
    builds = min(BUILDS, scene.scale.objects * 2 // 5)
    title = "Walking a tree of %d builds of %d files" % (builds, FILES)
    keys = (("branch-%02d/%07x/app-%d.tar" % (at % 40, at, file), b"x")
            for at in range(builds) for file in range(FILES))
    return _compared(scene, title, keys, FIND, lambda path: ["find", path, "-type", "f"])


def _compared(scene, title, keys, what, command):
    def beside(mounting):
        with mounting as mount:
            return measure(command(mount.path), [mount.pid])

    ours = what + ", prereleasefs"
    with scene.bucket() as bucket:
        say(title + ": putting them")
        _fill(scene, bucket, keys)
        rounds = Rounds({
            ours: lambda: beside(scene.mount(bucket)),
            what + ", s3fs": lambda: beside(others.s3fs(scene, bucket)),
            what + ", rclone mount": lambda: beside(others.rclone(scene, bucket)),
            CLI: lambda: measure([AWS, "--endpoint-url", scene.store.endpoint, "s3", "ls",
                                  "--recursive", "s3://" + bucket], env=scene.environment()),
        }, scene.scale.runs)
    return rounds.section(title, ours)


def _fill(scene, bucket, keys):
    os.environ.update(scene.store.environment())
    left = iter(list(keys))     # next() of a list's iterator needs no lock

    def put():
        store = Store(scene.store.endpoint, bucket)
        for key, body in left:
            store.request("PUT", key, body=body)

    with concurrent.futures.ThreadPoolExecutor(WRITERS) as writers:
        for writer in [writers.submit(put) for _ in range(WRITERS)]:
            writer.result()


# ---- links -------------------------------------------------------------------------------------

def _links(scene):
    count = min(TARBALLS, scene.scale.objects * 2)
    section = Section("urls.tsv of %d tarballs" % count, [
        "reader", "wall s", "CPU s", "servers' CPU s", "peak RSS MB", "GETs", "PUTs"])
    with scene.bucket() as bucket:
        say("putting %d tarballs with records" % count)
        _fill(scene, bucket, itertools.chain.from_iterable(map(_recorded, range(count))))
        first = _read_links(scene, bucket, makes_bundles=True)
        later = [_read_links(scene, bucket) for _ in range(scene.scale.runs)]
    for what, (usage, gets, puts) in (("the first of all", first),
                                      ("a later one, another mount", later[-1])):
        section.rows.append([what, seconds(usage.wall_s), seconds(usage.cpu_s),
                             seconds(usage.servers_s), mb(usage.rss), str(gets), str(puts)])
    section.at_most("CPU s, a later one", median(usage.cpu_s for usage, _, _ in later),
                    CPU_LIMIT_S, "%.2f")
    section.notes.append(
        "`cat urls.tsv` on a mount that has listed the directory and has no record in memory; the "
        "links are signed in it. The first of all reads each record, and leaves bundles behind. GETs "
        "are those of records and bundles, counted by a proxy, through which all bytes pass.")
    return section


def _recorded(at):
    """A tarball and its record, key and bytes of each."""
    body = b"x%d" % at
    key = "jps/fix-login/abc1234/runtime:main-%07d.tar" % at
    etag = hashlib.md5(body).hexdigest()
    digest = "sha256:" + hashlib.sha256(body).hexdigest()
    reference = "ghcr.io/all-hands-ai/runtime:main-%07d" % at
    record = {"version": 1, "key": key, "etag": '"%s"' % etag, "size": len(body),
              "sha256": digest[7:], "published": "2026-11-01T00:00:00Z",
              "publisher": {"host": "build-7", "uid": 1000}, "program": "0.1.0",
              "image": {"format": "tar", "reference": reference, "tag": reference,
                        "platform": "linux/amd64", "source_digest": digest,
                        "manifest_digest": digest, "config_digest": digest,
                        "zstd_layers": False, "layers": []}}
    return [(key, body), (".prereleasefs/records/%s/%s.json" % (key, etag),
                          json.dumps(record, separators=(",", ":")).encode())]


def _read_links(scene, bucket, makes_bundles=False):
    """What `cat urls.tsv` took, GETs, PUTs; of a mount that has listed the directory."""
    with counted(scene.store.endpoint) as counter, \
            scene.mount(bucket, endpoint=counter.url[0], list_ttl=600) as mount:
        directory = mount.path / "jps/fix-login/abc1234"
        os.listdir(directory)
        counter.clear()
        usage = measure(["grep", "-c", "\tsha256:", directory / "urls.tsv"], [mount.pid])
        while makes_bundles and not counter.kinds()[BUNDLE_PUT]:
            time.sleep(0.1)
        time.sleep(1 if makes_bundles else 0)       # the others of them
        kinds = counter.kinds()
    return (usage, sum(count for kind, count in kinds.items() if " GET " in kind),
            kinds[BUNDLE_PUT])
