"""How long `ls` and `cat` of generated files take on an idle mount and beside 64 publishes,
in a directory of twenty tarballs and in the very one that is published into; beside a
program that does nothing, and a listing asked of the store without any mount."""

import concurrent.futures
import subprocess
import time

from . import tiny, ways
from .memory import AT_ONCE, publish_at_once, small_images
from .rounds import say
from .table import Section, median

PAUSE_S = 0.02
LIMIT_MS = 200
NOTHING, BARE = "true", "a listing of DIR asked of the store"


def run(scene):
    say("latency, idle and beside %d publishes" % AT_ONCE)
    small_images(scene)
    with scene.bucket() as bucket, scene.mount(bucket, list_ttl=0) as mount:
        ways.publish(mount, "settled", *("%s/%s" % (scene.registry.host, image.name)
                                         for image in tiny.images(scene)))
        (mount.path / "build").mkdir()
        commands = _commands(scene, bucket, mount)
        idle = {what: [_time(command) for _ in range(scene.scale.samples)]
                for what, command in commands.items() if "status" not in what}
        busy = _beside(lambda: publish_at_once(scene, mount), commands)

    section = Section("Milliseconds of a command, beside %d publishes" % AT_ONCE, [
        "command", "idle: median", "idle: most", "busy: median", "busy: most", "samples"])
    for what in commands:
        alone = idle.get(what)
        section.rows.append([what, *(_figures(alone) if alone else ("-", "-")),
                             *_figures(busy[what]), str(len(busy[what]))])
    for what in commands:
        if what not in (NOTHING, BARE):
            section.at_most("ms, busy, median: " + what, median(busy[what]), LIMIT_MS, "%.0f")
    section.notes.append(
        "The mount has list_ttl=0: each command asks the store. `%s` is what the machine needs "
        "to run any program, `%s` what the store needs to answer "
        "a client that holds its connection open." % (NOTHING, BARE))
    return [section]


def _commands(scene, bucket, mount):
    def program(*argv):
        return lambda: subprocess.run([str(arg) for arg in argv], check=False,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    return {
        NOTHING: program("true"),
        BARE: lambda: scene.s3.list_objects_v2(Bucket=bucket, Prefix="settled/", Delimiter="/"),
        "ls DIR": program("ls", mount.path / "settled"),
        "cat DIR/urls.tsv": program("cat", mount.path / "settled/urls.tsv"),
        "ls DIR, the one published into": program("ls", mount.path / "build"),
        "cat status.tsv of that": program("cat", mount.path / "build/status.tsv"),
    }


def _time(command):
    started = time.monotonic()
    command()
    took_ms = (time.monotonic() - started) * 1000
    time.sleep(PAUSE_S)
    return took_ms


def _beside(work, commands):
    """Samples of the commands, in turn, as long as `work` takes."""
    samples = {what: [] for what in commands}
    with concurrent.futures.ThreadPoolExecutor(1) as beside:
        working = beside.submit(work)
        while not working.done():
            for what, command in commands.items():
                samples[what].append(_time(command))
        working.result()
    return samples


def _figures(samples):
    return "%.0f" % median(samples), "%.0f" % max(samples)
