"""An image from the registry into the bucket, by all ways."""

from . import ways
from .rounds import Rounds, say

OURS, PLAIN, BARE = "cp x.ref DIR/", "plain mover", "bare mover"
SKOPEO, DOCKER = "skopeo, aws s3 cp", "docker pull, save, gzip, aws s3 cp"


def run(scene):
    return [_one(scene, scene.big, scene.scale.with_docker), _one(scene, scene.many, False)]


def _one(scene, image, with_docker):
    say("publishing %s" % image)
    rounds = Rounds({
        OURS: lambda: ways.ours(scene, image),
        PLAIN: lambda: ways.plain_mover(scene, image),
        BARE: lambda: ways.bare_mover(scene, image),
        SKOPEO: lambda: ways.skopeo(scene, image),
    }, scene.scale.runs)
    if with_docker:     # minutes: once
        rounds.add(DOCKER, lambda: ways.docker(scene, image))
    section = rounds.section("Publishing an image of %s" % image, PLAIN)
    section.at_most("wall: ours / plain mover", rounds.ratio(OURS, PLAIN), 0.85)
    section.at_most("wall: ours / bare mover", rounds.ratio(OURS, BARE), 0.85)
    section.at_most("wall: ours / skopeo", rounds.ratio(OURS, SKOPEO), 0.6)
    if with_docker:
        section.at_least("wall: docker / ours", rounds.ratio(DOCKER, OURS), 25)
    return section
