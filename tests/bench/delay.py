"""The same image with a round-trip time between us and both servers: a line that
holds each direction half as long and lets 1 MiB be under way per connection."""

from . import ways
from .rounds import Rounds, say
from .scene import RTT_MS

NEAR, FAR, SKOPEO = ("cp x.ref DIR/, no delay", "cp x.ref DIR/, %d ms" % RTT_MS,
                     "skopeo, aws s3 cp, %d ms" % RTT_MS)
MOVER = "bare mover, %d ms" % RTT_MS


def run(scene):
    image = scene.big
    say("publishing %s over a line of %d ms" % (image, RTT_MS))
    lines_cpu_s = []

    def through(way, rtt_ms):
        def once():
            with scene.lines(rtt_ms) as (registry, store):
                usage = way(scene, image, registry.host, store.url)
                lines_cpu_s.append(registry.cpu_s() + store.cpu_s())
            return usage
        return once

    rounds = Rounds({
        NEAR: through(ways.ours, 0),
        FAR: through(ways.ours, RTT_MS),
        MOVER: through(ways.bare_mover, RTT_MS),
        SKOPEO: through(ways.skopeo, RTT_MS),
    }, scene.scale.runs)
    section = rounds.section("Publishing an image of %s, %d ms away from both servers"
                             % (image, RTT_MS), NEAR)
    section.at_least("wall: skopeo / ours", rounds.ratio(SKOPEO, FAR), 3)
    section.at_most("wall: ours, %d ms / no delay" % RTT_MS, rounds.ratio(FAR, NEAR), 2)
    section.notes.append("All through the same line, which itself takes up to %.1f s of CPU a run "
                         "(not counted above)." % max(lines_cpu_s))
    return [section]
