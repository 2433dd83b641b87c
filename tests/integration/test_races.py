"""Two mounts race for one name: exactly one tarball stands, whole. Both exit 0 if it is the same
image; if not, one of them fails with EEXIST.

PRERELEASEFS_RACES says how often each race is run (10; with SOAK=1, 100).
"""

import concurrent.futures
import contextlib
import hashlib
import os
import threading
import urllib.parse

import pytest

from mounted import wait_until
from servers import faults, images

RACES = int(os.environ.get("PRERELEASEFS_RACES") or (100 if os.environ.get("SOAK") else 10))


class Conditional(faults.Fault):
    """Completions with If-None-Match are answered 412 where the key exists, atomically: one
    after another, for whatever number of proxies shares this. Without `s3` (a client that
    looks) they only wait for each other."""

    WAIT_S = 1

    def __init__(self, s3):
        self._s3 = s3
        self._lock = threading.Lock()
        self._own = threading.local()
        self._together = None

    def begin(self, together):
        """So many completions wait for each other, if they come within WAIT_S."""
        self._together = threading.Barrier(together)

    def at_request(self, conversation, exchange):
        with contextlib.suppress(threading.BrokenBarrierError):
            self._together.wait(self.WAIT_S)
        self._own.is_refused = False
        if not self._s3:
            return
        self._lock.acquire()
        path = urllib.parse.unquote(exchange.target.partition("?")[0])
        _, bucket, key = path.split("/", 2)
        try:
            found = self._s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
            self._own.is_refused = exchange.headers.get("if-none-match") == "*" and key in [
                entry["Key"] for entry in found.get("Contents", [])]
        finally:
            if self._own.is_refused:
                self._lock.release()

    def own_answer(self):
        if self._own.is_refused:
            return faults.s3_error(412, "PreconditionFailed").own_answer()
        return None

    def at_end(self, conversation, exchange):
        if self._s3:
            self._lock.release()


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
