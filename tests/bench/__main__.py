"""Runs measurements and prints their tables; see tools/bench -h."""

import argparse
import importlib
import pathlib
import shutil
import signal
import sys
import tempfile
import time

from . import page
from .rounds import say
from .scene import SCALES, Scene

SOURCE = pathlib.Path(__file__).resolve().parents[2]
MEASUREMENTS = ("publish", "delay", "tiny", "republish", "memory", "latency", "read", "list")


def arguments():
    parser = argparse.ArgumentParser(prog="tools/bench", description=(
        "Measures prereleasefs beside other ways to do the same and prints tables."))
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*MEASUREMENTS, []],
                        help="what to measure: %s (default: all)" % ", ".join(MEASUREMENTS))
    parser.add_argument("--quick", dest="scale", action="store_const", const="quick",
                        default="usual", help="small, about 3 minutes; to see that it works")
    parser.add_argument("--full", dest="scale", action="store_const", const="full",
                        help="more runs, 100,000 objects, and docker's way")
    parser.add_argument("--runs", type=int, help="of each way")
    parser.add_argument("--objects", type=int, help="to list")
    parser.add_argument("--with-docker", action="store_true", default=None)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md; with NAMEs their sections of it")
    return parser.parse_args()


def scale_of(args):
    scale = SCALES[args.scale]
    for name in ("runs", "objects", "with_docker"):
        if getattr(args, name) is not None:
            setattr(scale, name, getattr(args, name))
    return scale


def measured(args, scale):
    """The tables' text, printed as they come, and the load before each."""
    texts, loads = [], []
    directory = tempfile.mkdtemp(prefix="bench-", dir="/tmp")   # short: it holds sockets
    try:
        with Scene(directory, scale) as scene:
            for name in MEASUREMENTS:
                if args.names and name not in args.names:
                    continue
                loads.append("%s %s" % (name, page.load()))
                for section in importlib.import_module("bench." + name).run(scene):
                    texts.append(section.text())
                    print(texts[-1], flush=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return "\n".join(texts), loads


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))    # and so clean up
    args = arguments()
    started = time.monotonic()
    text, loads = measured(args, scale_of(args))
    took_s = time.monotonic() - started
    say("took %.0f s" % took_s)
    if args.write:
        page.write(SOURCE / "docs" / "benchmarks.md", text,
                   " ".join(["tools/bench", *sys.argv[1:]]), took_s, loads, args.names)


if __name__ == "__main__":
    sys.exit(main())
