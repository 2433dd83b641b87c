"""The peak of the daemon's memory: one image of a gigabyte, 64 publishes at once,
and an image of many gigabytes between fakes that make and drop its bytes."""

import contextlib
import sys
import types

from servers.process import Process

from . import usage, ways
from .rounds import say
from .scene import MB
from .table import Section, mb, seconds

CEILINGS = {"128M": 128 << 20, "32M": 32 << 20}
ABOVE = 16 << 20    # what may come on top of the ceiling
AT_ONCE = 64


def run(scene):
    section = Section("Peak memory of the daemon", [
        "publishing", "memory=", "wall s", "CPU s", "peak RSS MB", "above memory=, MB"])
    for ceiling in CEILINGS:
        say("memory=%s" % ceiling)
        _row(section, ceiling, "an image of %s" % scene.big,
             ways.ours(scene, scene.big, memory=ceiling))
        _row(section, ceiling, "%d images of %s, %d cp at once" % (
            AT_ONCE, _small(scene), AT_ONCE), _at_once(scene, ceiling))
    size = scene.scale.huge
    _row(section, "128M", "an image of %d MB in 5 layers, between fakes" % (size // MB),
         _huge(scene, size, "128M"))
    return [section]


def _row(section, ceiling, what, taken):
    section.rows.append([what, ceiling, seconds(taken.wall_s), seconds(taken.cpu_s),
                         mb(taken.rss), mb(taken.rss - CEILINGS[ceiling])])
    section.at_most("peak RSS MB: %s, memory=%s" % (what, ceiling), taken.rss / 1e6,
                    (CEILINGS[ceiling] + ABOVE) / 1e6, "%.0f")
    say("  %-60s %5.0f MB" % (what, taken.rss / 1e6))


def _small(scene):
    return scene.image("bench/small-00:1", 2, max(2 * MB, scene.scale.big // AT_ONCE))


def small_images(scene):
    size = _small(scene).size
    return [scene.image("bench/small-%02d:1" % at, 2, size, str(at) * bool(at))
            for at in range(AT_ONCE)]


def publish_at_once(scene, mount):
    """64 programs that each copy in a reference of their own; the last one's end is
    the end. Returns what the daemon took."""
    files = [mount.reference_file("%s/%s" % (scene.registry.host, image.name),
                                  name="%02d.ref" % at)
             for at, image in enumerate(small_images(scene))]
    (mount.path / "build").mkdir(exist_ok=True)
    script = ('cd "$1"; shift; for file; do cp "$file" . & running+=($!); done; '
              'for each in "${running[@]}"; do wait "$each" || failed=1; done; exit $failed')
    return usage.measure(["bash", "-c", script, "bash", mount.path / "build", *files],
                         [mount.pid])


def _at_once(scene, ceiling):
    small_images(scene)
    with scene.bucket() as bucket, scene.mount(bucket, memory=ceiling) as mount:
        return publish_at_once(scene, mount)


def _huge(scene, size, ceiling):
    with contextlib.ExitStack() as stack:
        registry = stack.enter_context(_fake(scene, "bench.fake_registry", "5", str(size)))
        host = stack.enter_context(_fake(scene, "bench.fake_store"))
        store = types.SimpleNamespace(endpoint="http://" + host, role_arn=None,
                                      environment=scene.store.environment,
                                      client=scene.store.client)
        directory = stack.enter_context(scene.bucket())     # for the end's look at uploads
        mount = stack.enter_context(scene.mount(directory, store, memory=ceiling))
        return ways.publish(mount, "build", registry + "/bench/huge:1")


@contextlib.contextmanager
def _fake(scene, module, *args):
    """The host:port of a fake server."""
    server = Process([sys.executable, "-B", "-m", module, *args], scene.path("fake"))
    try:
        server.wait_until(lambda: server.log().endswith("\n"))
        yield server.log().splitlines()[0]
    finally:
        server.stop()
