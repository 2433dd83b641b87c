"""Every fault at every request of a publish. Each case ends in one of two ways: published
and byte-exact, or cp fails with the right errno, status.tsv says why, nothing is visible and
no upload is left. (One exception, which a test counts: the tarballs of a write whose reference
file cannot be stored remain, whole, and cp fails and says so.)

SOAK=1 runs all cases (tools/soak); without it every SAMPLE-th of each kind of fault.
"""

import concurrent.futures
import hashlib
import os
import threading

import pytest

import matrix
from matrix import ALWAYS, ONCE, Conditional
from mounted import wait_until
from servers import images

IS_SOAK = bool(os.environ.get("SOAK"))
SAMPLE = 1 if IS_SOAK else 8    # of the steps that a kind of fault applies to
RACES = 100 if IS_SOAK else 10
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


# ---- two mounts, one name ----------------------------------------------------------------

class Contest:
    """Two mounts of one bucket, each behind a proxy of its own."""

    def __init__(self, registry, store, mount, proxy, has_conditions):
        self.store = store
        self.fronts = [proxy(store.endpoint) for _ in range(2)]
        self.mounts = [mount(endpoint=front.url, sts_endpoint=store.endpoint, list_ttl=0)
                       for front in self.fronts]
        self.registry = registry
        self._s3 = store.client()
        self._completions = Conditional(self._s3 if has_conditions else None)

    def race(self, directory, repositories, is_close):
        """Both publish under one name; `is_close`: no completion goes on before both are there.
        Returns the exit statuses' stories: 0 or the errno's words."""
        for there in self.mounts:
            (there.path / directory).mkdir()
        self._completions.begin(2 if is_close else 1)
        for front in self.fronts:
            front.clear()
            front.inject(self._completions, "POST", "uploadId=", count=None)
        start = threading.Barrier(2)

        def publish(at):
            line = "%s/%s:v1 x.tar tag=race:v1" % (self.registry.host, repositories[at])
            file = self.mounts[at].reference_file(line, name="r%d.ref" % at)
            start.wait()
            return self.mounts[at].run("cp", file, directory + "/")

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return list(pool.map(publish, range(2)))

    def digest(self, directory):
        body = self._s3.get_object(Bucket=self.mounts[0].bucket, Key=directory + "/x.tar")["Body"]
        return hashlib.sha256(body.read()).hexdigest()

    def completed(self, at):
        return len(self.fronts[at].seen("POST", "uploadId=")) > 0


@pytest.fixture(scope="module")
def rivals(registry):
    """The sha256 of what each rival's tarball must be."""
    for at in range(2):
        images.small("rival-%d" % at).push(registry, "matrix/rival-%d" % at, "v1")
    return ["matrix/rival-0", "matrix/rival-1"]


@pytest.fixture(params=["conditions", "no conditions"])
def contest(request, registry, store, mount, proxy):
    made = Contest(registry, store, mount, proxy, request.param == "conditions")
    made.has_conditions = request.param == "conditions"
    return made


def test_race_of_the_same_image(contest, rivals):
    digests = set()
    for at in range(RACES):
        directory = "same%d" % at
        done = contest.race(directory, [rivals[0]] * 2, is_close=at % 2 == 1)
        assert [each.returncode for each in done] == [0, 0], [each.stderr for each in done]
        digests.add(contest.digest(directory))
    assert len(digests) == 1
    wait_until(lambda: contest.mounts[0].uploads() == [], 20, "the losers' abortion")


def test_race_of_different_images(contest, rivals):
    expected = []
    for at in range(2):
        assert contest.mounts[at].publish("alone%d" % at, "%s/%s:v1 x.tar tag=race:v1" % (
            contest.registry.host, rivals[at])).returncode == 0
        expected.append(contest.digest("alone%d" % at))
    caught_before = caught_after = missed = 0
    for at in range(RACES):
        directory = "other%d" % at
        done = contest.race(directory, rivals, is_close=at % 2 == 1)
        lost = [number for number in range(2) if done[number].returncode]
        stands = expected.index(contest.digest(directory))      # whole, and one of the two
        for number in lost:
            assert "File exists" in done[number].stderr, done[number].stderr
            assert contest.mounts[number].why(directory)[0] == "failed"
        if not lost and not contest.has_conditions:
            missed += 1     # the store replaced one that had been looked at already
            continue
        assert lost == [1 - stands], (lost, stands)
        if contest.completed(lost[0]):
            caught_after += 1
        else:
            caught_before += 1
        assert sorted(key for key in contest.mounts[0].keys() if key.startswith(directory)) == [
            "%s/r%d.ref" % (directory, stands), directory + "/x.tar"]
    wait_until(lambda: contest.mounts[0].uploads() == [], 20, "the losers' abortion")
    print("race\t%s\tcaught before=%d\tat or after completion=%d\tmissed=%d" % (
        "conditions" if contest.has_conditions else "no conditions", caught_before, caught_after,
        missed))
