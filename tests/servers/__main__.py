"""The servers from a shell, for the demo and for work by hand.

    python3 -m servers up --dir DIR [--bucket NAME]    starts store and registry,
        writes DIR/env, and stays until it is told to go (TERM, INT, or `down`)
    python3 -m servers down --dir DIR                  ends it and waits for the end
    python3 -m servers image --dir DIR REPOSITORY:TAG [--mb N]
        makes a runnable image of three layers and N MB and pushes it there
"""

import argparse
import os
import pathlib
import shutil
import signal
import sys
import threading
import time

from . import images
from .registry import RegistryAddress
from .stack import Stack, write_environment


def up(directory, bucket):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "env").unlink(missing_ok=True)
    shutil.rmtree(directory / "s", ignore_errors=True)
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: told.set())
    (directory / "pid").write_text("%d\n" % os.getpid())
    try:
        with Stack(directory / "s") as stack:
            store, registry = stack.store, stack.registry()
            stack.bucket(bucket)
            write_environment(directory / "env", store, registry, bucket)
            print("S3, STS: %s   bucket: %s   registry: %s" % (
                store.endpoint, bucket, registry.host), flush=True)
            told.wait()
    finally:
        (directory / "env").unlink(missing_ok=True)
        shutil.rmtree(directory / "s", ignore_errors=True)
        (directory / "pid").unlink(missing_ok=True)


def down(directory):
    try:
        pid = int((directory / "pid").read_text())
        os.kill(pid, signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError):
        return
    while (directory / "pid").exists():
        time.sleep(0.05)


def image(directory, reference, megabytes):
    host = None
    for line in (directory / "env").read_text().splitlines():
        if line.startswith("export REGISTRY="):
            host = line.partition("=")[2]
    repository, _, tag = reference.rpartition(":")
    # Half of it compresses and half does not, as in most images.
    half = (megabytes << 20) // 2
    made = images.Image([
        images.busybox_layer("hello from " + reference),
        images.Layer(images.tar_of({"opt/": b"", "opt/model": images.random_bytes(half, 1)})),
        images.Layer(images.tar_of({"opt/": b"", "opt/text": b"".join(
            b"%08x the quick brown fox jumps over the lazy dog\n" % at
            for at in range(half // 53))}), None),
    ])
    made.push(RegistryAddress(host), repository, tag)
    print("%s/%s  %d layers, %d bytes, manifest %s" % (
        host, reference, len(made.layers), made.size, made.digest))


def main():
    parser = argparse.ArgumentParser(prog="servers", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("up", "down", "image"))
    parser.add_argument("reference", nargs="?")
    parser.add_argument("--dir", type=pathlib.Path, required=True)
    parser.add_argument("--bucket", default="prerelease")
    parser.add_argument("--mb", type=int, default=40)
    args = parser.parse_intermixed_args()
    if args.verb == "up":
        up(args.dir, args.bucket)
    elif args.verb == "down":
        down(args.dir)
    elif args.reference:
        image(args.dir, args.reference, args.mb)
    else:
        parser.error("image needs REPOSITORY:TAG")
    return 0


if __name__ == "__main__":
    sys.exit(main())
