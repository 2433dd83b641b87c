"""Retries: no more than needed, as late as asked for, in the log, and counted in status.tsv."""

import functools
import re

import pytest

from archive import Archive
from servers import faults, images

MIB = 1 << 20
CALL_ATTEMPTS = 6       # include/base/call.h
CALL_RETRIES = 64
CLOSING_RETRIES = 16    # fs/publish/publish.c
SLOW_DOWN = faults.s3_error(503, "SlowDown")


@functools.lru_cache()
def pushed(registry):
    return images.Image([images.layer("large", 17 * MIB, compression=None),
                         images.layer("b")]).push(registry, "retries/app", "v1")


class Scene:
    """A mount with a proxy in front of registry and store each."""

    def __init__(self, registry, store, mount, proxy):
        self.image = pushed(registry)
        self.registry, self.s3 = proxy(registry.url), proxy(store.endpoint)
        self.there = mount(endpoint=self.s3.url, sts_endpoint=store.endpoint, stall_timeout=3)
        (self.there.path / "b").mkdir()
        self.registry.clear()
        self.s3.clear()

    def line(self, name="x.tar"):
        return "%s/retries/app:v1 %s tag=a:b" % (self.registry.host, name)

    def publish(self, *names):
        return self.there.publish("b", *map(self.line, names or ["x.tar"]), name="x.ref")

    def retries_logged(self):
        return self.there.log().count(" trying again ")

    def detail(self):
        return self.there.rows("b/status.tsv")[-1]["detail"]

    def assert_whole(self):
        Archive(self.there.object("b/x.tar")).check(self.image, "a:b")


@pytest.fixture
def scene(registry, store, mount, proxy):
    return Scene(registry, store, mount, proxy)


def test_without_retries_nothing_is_said(scene):
    assert scene.publish().returncode == 0
    assert scene.detail() == "no signatures"
    assert scene.retries_logged() == 0


def test_retries_are_logged_and_counted(scene):
    scene.registry.inject(faults.registry_error(503, "UNAVAILABLE"), "GET", "/manifests/")
    scene.s3.inject(SLOW_DOWN, "PUT", "partNumber=", nth=2, count=2)
    scene.s3.inject(faults.LoseReply(), "PUT", r"x\.ref")
    assert scene.publish().returncode == 0
    assert scene.detail() == "no signatures; after 4 retries"
    assert scene.retries_logged() == 4
    scene.assert_whole()


def test_one_retry_is_one(scene):
    scene.s3.inject(SLOW_DOWN, "PUT", "partNumber=")
    assert scene.publish().returncode == 0
    assert scene.detail() == "no signatures; after 1 retry"


def test_failures_tell_their_retries(scene):
    scene.s3.inject(SLOW_DOWN, "PUT", "partNumber=1&", count=None)
    assert scene.publish().returncode == 1
    assert re.search(r"SlowDown.*; after \d+ retries$", scene.detail()), scene.detail()
    assert scene.there.keys() == []


def test_a_parts_retry_is_its_own(scene):
    scene.s3.inject(SLOW_DOWN, "PUT", "partNumber=2&", count=2)
    assert scene.publish().returncode == 0
    scene.assert_whole()
    numbers = [int(re.search(r"partNumber=(\d+)", each.target)[1])
               for each in scene.s3.seen("PUT", "partNumber=")]
    assert sorted(numbers) == sorted([*range(1, max(numbers) + 1), 2, 2]) and max(numbers) > 2
    assert len(scene.s3.seen("POST", r"\?uploads")) == 1
    assert len(scene.s3.seen("POST", "uploadId=")) == 1
    blobs = sum(each.response_bytes for each in scene.registry.seen("GET", "/blobs/"))
    assert blobs <= scene.image.size + 1000     # nothing is fetched twice for it


def _wait(proxy, method, path):
    """How long after the answer to the first such request the second came."""
    first, second = proxy.seen(method, path)[:2]
    return second.started - first.ended


@pytest.mark.parametrize("where", ["registry", "store"])
def test_retry_after_is_honoured(scene, where):
    if where == "registry":
        proxy, method, path = scene.registry, "GET", "/manifests/"
        fault = faults.registry_error(429, "TOOMANYREQUESTS", **{"Retry-After": "2"})
    else:
        proxy, method, path = scene.s3, "POST", r"\?uploads"
        fault = faults.s3_error(503, "SlowDown", **{"Retry-After": "2"})
    proxy.inject(fault, method, path)
    assert scene.publish().returncode == 0
    assert _wait(proxy, method, path) >= 2


def test_retry_after_has_a_floor(scene):
    fault = faults.registry_error(429, "TOOMANYREQUESTS",
                                  "retry-after: 880.092\u00b5s, allowed: 44000/minute")
    scene.registry.inject(fault, "GET", "/manifests/")
    assert scene.publish().returncode == 0
    assert _wait(scene.registry, "GET", "/manifests/") >= 0.1


def test_one_budget_for_all_images_of_a_write(scene):
    names = ["x%d.tar" % at for at in range(24)]
    scene.registry.inject(faults.registry_error(503, "UNAVAILABLE"), "GET", "/manifests/",
                          count=None)
    assert scene.publish(*names).returncode == 1
    asked = len(scene.registry.seen("GET", "/manifests/"))
    # Each may be tried 6 times by itself: 144 requests.
    assert scene.retries_logged() <= CALL_RETRIES - CLOSING_RETRIES
    assert asked <= len(names) + CALL_RETRIES - CLOSING_RETRIES
    assert len(names) * CALL_ATTEMPTS > len(names) + CALL_RETRIES


def test_undoing_has_retries_left(scene):
    """When moving has spent its share, what was begun is aborted all the same."""
    names = ["x%d.tar" % at for at in range(16)]
    scene.s3.inject(SLOW_DOWN, "PUT", "partNumber=", count=None)
    scene.s3.inject(SLOW_DOWN, "DELETE", "uploadId=", count=4)
    assert scene.publish(*names).returncode == 1
    assert scene.there.uploads() == []


def test_a_refusal_that_passes_does_not_lose_the_reference_file(scene):
    scene.s3.inject(faults.s3_error(403, "AccessDenied"), "PUT", r"x\.ref", count=2)
    assert scene.publish().returncode == 0
    assert scene.there.keys() == ["b/x.ref", "b/x.tar"]
    assert scene.detail() == "no signatures; after 2 retries"


def test_a_refusal_that_stays_is_told(scene):
    scene.s3.inject(faults.s3_error(403, "AccessDenied"), "PUT", r"x\.ref", count=None)
    done = scene.publish()
    assert done.returncode == 1 and scene.there.keys() == ["b/x.tar"]
    states = {row["file"]: (row["state"], row["detail"])
              for row in scene.there.rows("b/status.tsv")}
    assert states["x.tar"][0] == "published"
    assert states["x.ref"][0] == "failed"
    assert "the images are published, but storing x.ref failed" in states["x.ref"][1]
    assert "Permission denied" in done.stderr


def test_a_registry_that_resets_its_first_connection_is_not_taken_for_one_with_tls(scene):
    scene.registry.is_mute_to_tls = True
    scene.registry.inject(faults.Reset("before"), "GET", "/manifests/")
    assert scene.publish().returncode == 0
    scene.assert_whole()
    assert scene.detail() == "no signatures; after 2 retries"      # in TLS, and in plain again
