"""Twenty images of less than a megabyte in one reference file: what is asked of
the servers, and how many round trips one after another that takes."""

from . import ways
from .counting import counted
from .rounds import say
from .scene import RTT_MS
from .table import Section, median, seconds

IMAGES = 20
LAYERS = 3
BYTES = 600 * 1000


def run(scene):
    say("publishing %d tiny images" % IMAGES)
    all_ = images(scene)
    kinds = _requests(scene, all_)
    total = sum(kinds.values())

    section = Section("%d images of %d kB in one reference file" % (IMAGES, BYTES // 1000), [
        "what", "wall s", "CPU s", "wall s, no delay", "wall s, %d ms" % RTT_MS, "round trips"])
    section.rows = [["%d images, one file" % IMAGES, *_timed(scene, all_)],
                    ["one image", *_timed(scene, all_[:1])]]
    section.notes.append(
        "`no delay` and `%d ms` are through the same delay line; `round trips` is their "
        "difference in round trips: how many wait for one another. The %d images cost %d "
        "requests in all." % (RTT_MS, IMAGES, total))
    requests = Section("Requests for them", ["request", "all", "an image"])
    requests.rows = [[kind, count, "%.2f" % (count / IMAGES)]
                     for kind, count in [*sorted(kinds.items()), ("all", total)]]
    return [section, requests]


def images(scene):
    return [scene.image("bench/tiny-%02d:1" % at, LAYERS, BYTES, str(at))
            for at in range(IMAGES)]


def _requests(scene, all_):
    with counted(scene.registry.url, scene.store.endpoint) as counter:
        _publish(scene, all_, counter.host[0], counter.url[1], before=counter.clear)
        return counter.kinds()


def _timed(scene, some):
    def runs(host, endpoint):
        return [_publish(scene, some, host, endpoint) for _ in range(scene.scale.runs)]

    direct = runs(scene.registry.host, scene.store.endpoint)
    walls = {}
    for rtt_ms in (0, RTT_MS):
        with scene.lines(rtt_ms) as (registry, store):
            walls[rtt_ms] = median(each.wall_s for each in runs(registry.host, store.url))
    return [seconds(median(each.wall_s for each in direct)),
            seconds(median(each.cpu_s for each in direct)),
            seconds(walls[0]), seconds(walls[RTT_MS]),
            "%.0f" % ((walls[RTT_MS] - walls[0]) / RTT_MS * 1000)]


def _publish(scene, some, host, endpoint, before=lambda: None):
    with scene.bucket() as bucket, scene.mount(bucket, endpoint=endpoint) as mount:
        (mount.path / "build").mkdir()
        before()
        return ways.publish(mount, "build", *("%s/%s" % (host, image.name) for image in some))
