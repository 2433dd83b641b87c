"""Every fault at every request of a publish. Each case ends in one of two ways: published
and byte-exact, or cp fails with the right errno, status.tsv says why, nothing is visible and
no upload is left. (One exception, which a test counts: the tarballs of a write whose reference
file cannot be stored remain, whole, and cp fails and says so.)

SOAK=1 runs all cases (tools/soak); without it every SAMPLE-th of each kind of fault.
"""

import os

import pytest

import matrix
from matrix import ALWAYS, ONCE

IS_SOAK = bool(os.environ.get("SOAK"))
SAMPLE = 1 if IS_SOAK else 8    # of the steps that a kind of fault applies to
LANES = int(os.environ.get("LANES", "3"))


@pytest.fixture(scope="module")
def images_pushed(registry):
    matrix.image().push(registry, "matrix/app", "v1")
    matrix.older_image().push(registry, "matrix/older", "v1")


@pytest.fixture(scope="module", params=["moved", "copied"])
def lanes(request, stack, registry, images_pushed, tmp_path_factory):
    with matrix.open_lanes(stack, registry, tmp_path_factory.mktemp("matrix"), LANES,
                           with_copies=request.param == "copied") as opened:
        opened.way = request.param
        yield opened


def sample(cases, name):
    """Every SAMPLE-th, each kind of fault beginning elsewhere."""
    start = sum(name.encode()) % SAMPLE
    return cases[start::SAMPLE] or cases[:1]


def tell(way, name, outcomes):
    ends = [outcome.end for _, outcome in outcomes]
    print("matrix\t%s\t%s\t%d\t%s" % (way, name, len(ends), "\t".join(
        "%s=%d" % (end, ends.count(end)) for end in ("published", "failed", "told"))))


@pytest.mark.parametrize("name", ONCE)
def test_once(lanes, name):
    kind = ONCE[name]
    steps = sample([step for step in lanes.steps if kind.at(step)], name)
    outcomes = lanes.run([(step, kind, 1) for step in steps],
                         remount_every=3 if "region" in name else None)
    assert all(outcome.fired == 1 for _, outcome in outcomes)
    tell(lanes.way, name, outcomes)


@pytest.mark.parametrize("name", ALWAYS)
def test_always(lanes, name):
    kind = ALWAYS[name]
    steps = sample([step for step in lanes.steps if kind.at(step) and step.nth == 1], name)
    outcomes = lanes.run([(step, kind, None) for step in steps],
                         remount_every=3 if "region" in name else None)
    tell(lanes.way, name + " (always)", outcomes)
