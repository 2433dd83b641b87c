"""Runs measurements and prints their tables; see tools/bench -h."""

import argparse
import importlib
import pathlib
import shutil
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
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    return parser.parse_args()


def scale_of(args):
    scale = SCALES[args.scale]
    for name in ("runs", "objects", "with_docker"):
        if getattr(args, name) is not None:
            setattr(scale, name, getattr(args, name))
    return scale


def main():
    args = arguments()
    names = args.names or MEASUREMENTS
    started = time.monotonic()
    directory = tempfile.mkdtemp(prefix="bench-", dir="/tmp")   # short: it holds sockets
    sections = []
    try:
        with Scene(directory, scale_of(args)) as scene:
            for name in MEASUREMENTS:
                if name in names:
                    made = importlib.import_module("bench." + name).run(scene)
                    print(*(section.text() for section in made), sep="\n", flush=True)
                    sections += made
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    say("took %.0f s" % (time.monotonic() - started))
    if args.write:
        page.write(SOURCE / "docs" / "benchmarks.md", sections, args, scale_of(args))


if __name__ == "__main__":
    sys.exit(main())
