"""Every fault at every request of a publish. Each case ends in one of two ways: published
and byte-exact, or cp fails with the right errno, status.tsv says why, nothing is visible and
no upload is left. (One exception, which a test counts: the tarballs of a write whose reference
file cannot be stored remain, whole, and cp fails and says so.)

SOAK=1 runs all cases (tools/soak). Without it a sample runs, the same each time: every kind of
fault, what passes at SAMPLE requests, what stays at one, in turn of a publish that moves layers,
of one that copies them and of one that copies the whole of another name.
"""

import contextlib
import functools
import os

import pytest

import matrix
from matrix import ABORT, ALWAYS, ONCE, WAYS

IS_SOAK = bool(os.environ.get("SOAK"))
LANES = int(os.environ.get("LANES", "3"))
SAMPLE = 2


@pytest.fixture(scope="module")
def images_pushed(registry):
    matrix.image().push(registry, "matrix/app", "v1")
    matrix.older_image().push(registry, "matrix/older", "v1")


@pytest.fixture(scope="module")
def lanes(stack, registry, images_pushed, tmp_path_factory):
    """The lanes of a way, opened when they are first asked for."""
    with contextlib.ExitStack() as opened:
        yield functools.lru_cache(lambda way: opened.enter_context(matrix.open_lanes(
            stack, registry, tmp_path_factory.mktemp("matrix"), LANES, way)))


class Row:
    """A kind of fault, met once or always by requests of one way of publishing."""

    def __init__(self, way, name, is_once):
        self.way, self.is_once = way, is_once
        self.kind = (ONCE if is_once else ALWAYS)[name]
        self.name = name if is_once else name + " (always)"

    def cases(self, steps):
        """(name, step, kind, count)"""
        # What may never be aborted is left to the next mount: see test_killed.py.
        steps = [step for step in steps if self.kind.at(step) and
                 (self.is_once or (step.nth == 1 and not step.is_("abort")))]
        assert steps, "no request for " + self.name
        if not IS_SOAK:
            wanted = SAMPLE if self.is_once else 1
            start = sum(self.name.encode())     # each kind begins elsewhere
            steps = [steps[(start + at * len(steps) // wanted) % len(steps)]
                     for at in range(min(wanted, len(steps)))]
        return [(self.name, step, self.kind, 1 if self.is_once else None) for step in steps]


def rows():
    found = [Row(way, name, kinds is ONCE) for kinds in (ONCE, ALWAYS)
             for at, name in enumerate(kinds) for way in kinds[name].ways
             if IS_SOAK or way == kinds[name].ways[at % len(kinds[name].ways)]]
    return found + [Row("undone", name, True) for name in ONCE if ONCE[name].at(ABORT)
                    and (IS_SOAK or name in ("reply lost", "403", "header of 1 MB"))]


def groups():
    """What a test runs: in the soak a row, else all rows of a way."""
    found = {}
    for row in sorted(rows(), key=lambda row: (*WAYS, "undone").index(row.way)):
        found.setdefault(row.way + (": " + row.name if IS_SOAK else ""), []).append(row)
    return [pytest.param(group, id=name) for name, group in found.items()]


@pytest.mark.parametrize("group", groups())
def test_every_case_ends_well(lanes, group):
    opened = lanes(group[0].way)
    outcomes = opened.run([case for row in group for case in row.cases(opened.steps)],
                          remount_every=3 if IS_SOAK and "region" in group[0].name else None)
    for row in group:
        ends = [outcome.end for name, outcome in outcomes if name == row.name]
        print("matrix\t%s\t%s\t%d\t%s" % (row.way, row.name, len(ends), "\t".join(
            "%s=%d" % (end, ends.count(end)) for end in ("published", "failed", "told"))))
        assert not row.is_once or all(outcome.fired == 1 for name, outcome in outcomes
                                      if name == row.name)
