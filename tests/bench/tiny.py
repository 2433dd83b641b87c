"""Twenty images of less than a megabyte in one reference file: what is asked of
the servers, and how many round trips one after another that takes."""

import statistics

from . import ways
from .counting import counted
from .rounds import say
from .scene import RTT_MS
from .table import Section, mb, seconds

IMAGES = 20
LAYERS = 3
BYTES = 600 * 1000


def run(scene):
    say("publishing %d tiny images" % IMAGES)
    images = [scene.image("bench/tiny-%02d:1" % at, LAYERS, BYTES, str(at))
              for at in range(IMAGES)]
    with counted(scene.registry.url, scene.store.endpoint) as counter:
        counter_usage = _publish(scene, images, *_ends(counter), counter)
        kinds = counter.kinds()
    del counter_usage

    rows = [["%d images, one file" % IMAGES, *_timed(scene, images)],
            ["one image", *_timed(scene, images[:1])]]
    section = Section("%d images of %d kB in one reference file" % (IMAGES, BYTES // 1000),
                      ["what", "wall s", "CPU s", "wall s, no delay", "wall s, %d ms" % RTT_MS,
                       "round trips", "one after another"], rows)
    total = sum(kinds.values())
    for row, count in zip(rows, (total, None)):
        row.append("%d" % count if count else "-")
    section.notes.append(
        "`no delay` and `%d ms` are through the same delay line; `round trips` is their "
        "difference in round trips: how many requests wait for one another. `one after "
        "another`: how many there are." % RTT_MS)
    requests = Section("Requests for them", ["request", "all", "an image"])
    requests.rows = [[kind, count, "%.2f" % (count / IMAGES)]
                     for kind, count in sorted(kinds.items())]
    requests.rows.append(["all", total, "%.2f" % (total / IMAGES)])
    return [section, requests]


def _ends(counter):
    return counter.host[0], counter.url[1]


def _timed(scene, images):
    direct = [_publish(scene, images, scene.registry.host, scene.store.endpoint)
              for _ in range(scene.scale.runs)]
    walls = {}
    for rtt_ms in (0, RTT_MS):
        with scene.lines(rtt_ms) as (registry, store):
            walls[rtt_ms] = statistics.median(
                _publish(scene, images, registry.host, store.url).wall_s
                for _ in range(scene.scale.runs))
    return [seconds(statistics.median(each.wall_s for each in direct)),
            seconds(statistics.median(each.cpu_s for each in direct)),
            seconds(walls[0]), seconds(walls[RTT_MS]),
            "%.0f" % ((walls[RTT_MS] - walls[0]) / RTT_MS * 1000)]


def _publish(scene, images, host, endpoint, counter=None):
    with scene.bucket() as bucket, scene.mount(bucket, endpoint=endpoint) as mount:
        (mount.path / "build").mkdir()
        if counter:
            counter.clear()
        return ways.publish(mount, "build", *("%s/%s" % (host, image.name) for image in images))
