"""An image whose last layer changed, and the same image under a second name: what
goes to the store, and the time it takes beside a full publish, and beside what the
store itself takes to copy the bytes."""

import sys

from . import ways
from .counting import counted
from .rounds import Rounds, say
from .usage import measure

FULL, CHANGED, RENAMED = "a full publish", "the last layer of five changed", "a second name"
COPIED = "the store's own copy of it"
SLACK_BYTES = 1 << 20


def run(scene):
    first = scene.big
    second = scene.image("bench/big:2", first.layers, first.size, "changed")
    say("publishing %s again" % first)
    rounds = Rounds({}, 0)
    for _ in range(scene.scale.runs):
        _timed(scene, first, second, rounds)
    sent = _sent(scene, first, second)

    section = rounds.section("Publishing again what the bucket holds: an image of %s" % first,
                             FULL)
    section.columns.append("MB sent")
    for row in section.rows:
        row.append("%.2f" % (sent[row[0]] / 1e6) if row[0] in sent else "-")
    layer = first.size // first.layers
    section.at_most("wall: last layer changed / full", rounds.ratio(CHANGED, FULL), 0.25)
    section.at_most("wall: second name / full", rounds.ratio(RENAMED, FULL), 0.25)
    section.at_most("wall: second name / the store's own copy", rounds.ratio(RENAMED, COPIED), 1.1)
    section.at_most("MB sent: last layer changed", sent[CHANGED] / 1e6,
                    (layer + (5 << 20) + SLACK_BYTES) / 1e6)
    section.at_most("MB sent: second name", sent[RENAMED] / 1e6, SLACK_BYTES / 1e6)
    return [section]


def _steps(mount, host, first, second):
    """name of the row -> function"""
    one, two = ("%s/%s" % (host, image.name) for image in (first, second))
    return {
        FULL: lambda: ways.publish(mount, "a", one + " x:1.tar"),
        CHANGED: lambda: ways.publish(mount, "b", two + " x:1.tar"),
        RENAMED: lambda: ways.publish(mount, "a", one + " x:latest.tar", name="latest.ref"),
    }


def _timed(scene, first, second, rounds):
    with scene.bucket() as bucket, scene.mount(bucket) as mount:
        for name, step in _steps(mount, scene.registry.host, first, second).items():
            rounds.add(name, step)
        rounds.add(COPIED, lambda: measure(
            [sys.executable, "-B", "-m", "bench.copier", scene.store.endpoint, bucket, "a/x:1.tar",
             "copied.tar"], env=scene.environment()))


def _sent(scene, first, second):
    found = {}
    with counted(scene.store.endpoint) as counter, scene.bucket() as bucket, \
            scene.mount(bucket, endpoint=counter.url[0]) as mount:
        for name, step in _steps(mount, scene.registry.host, first, second).items():
            counter.clear()
            step()
            found[name] = counter.sent(0)
    return found
