"""What goes wrong on the way: either it is overcome and the tarball is byte-exact,
or the caller learns of it, with the right errno and a sentence, and nothing remains.
"""

import errno
import functools
import os
import re

import pytest

from archive import Archive
from mounted import wait_until
from servers import faults, images
from servers.registry import USER, blob_file

MIB = 1 << 20
TOOLS = {
    "cp": 'cp "$1" b/x.ref',
    "tee": 'tee b/x.ref < "$1" > /dev/null',
    "dd": 'dd if="$1" of=b/x.ref status=none',
    "echo": 'echo "$(cat "$1")" > b/x.ref',
}


@functools.lru_cache()
def pushed(registry):
    """The image of all these tests, in the registry once."""
    return images.Image([images.layer("large", 9 * MIB, compression=None), images.layer("b"),
                         images.layer("c", 70000)]).push(registry, "faults/app", "v1")


class Scene:
    """A registry with an image and a store, each behind a proxy, and a mount."""

    def __init__(self, registry, store, mount, proxy):
        self.store = store
        self.image = pushed(registry)
        self.registry, self.s3 = proxy(registry.url), proxy(store.endpoint)
        self.reference = self.registry.host + "/faults/app:v1"
        self._mount = mount
        self.there = None

    def mount(self, **settings):
        self.there = self._mount(endpoint=self.s3.url, sts_endpoint=self.store.endpoint,
                                 **settings)
        (self.there.path / "b").mkdir()
        self.registry.clear()
        self.s3.clear()
        return self.there

    def write(self, text):
        """Writes a reference file in one write; returns the errno, or 0."""
        file = os.open(self.there.path / "b/x.ref", os.O_WRONLY | os.O_CREAT)
        try:
            os.write(file, text.encode())
            os.fsync(file)
            return 0
        except OSError as error:
            return error.errno
        finally:
            try:
                os.close(file)
            except OSError:
                pass

    def publish(self):
        return self.write(self.reference + " x.tar tag=a:b\n")

    def assert_whole(self):
        Archive(self.there.object("b/x.tar")).check(self.image, "a:b")
        assert self.there.keys() == ["b/x.ref", "b/x.tar"]
        assert self.there.uploads() == []

    def assert_nothing(self):
        assert self.there.keys() == []
        wait_until(lambda: self.there.uploads() == [], 60, "the upload's abortion")
        assert not (self.there.path / "b/x.tar").exists()
        assert not (self.there.path / "b/x.ref").exists()


@pytest.fixture
def scene(registry, store, mount, proxy):
    return Scene(registry, store, mount, proxy)


def spoil(scene, cause):
    """Arranges the failure; returns (reference line, errno, words of the sentence)."""
    line = scene.reference + " x.tar"
    blob = "/blobs/" + scene.image.layers[1].digest
    if cause == "the registry is down":
        scene.registry.refuse()
        return line, (errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.EIO), scene.registry.host
    if cause == "the tag does not exist":
        return scene.reference.replace(":v1", ":v2") + " x.tar", (errno.ENOENT,), "v2"
    if cause == "the repository does not exist":
        return scene.registry.host + "/no/such:v1 x.tar", (errno.ENOENT,), "no/such"
    if cause == "the registry refuses the credentials":
        scene.registry.inject(faults.registry_error(403, "DENIED"), "GET", "/(v2|blobs)/",
                              count=None)
        return line, (errno.EACCES,), scene.registry.host
    if cause == "a blob is corrupted on its way":
        scene.registry.inject(faults.Flip(), "GET", blob, count=None)
        return line, (errno.EBADMSG,), scene.image.layers[1].digest[7:19]
    if cause == "a blob is missing":
        scene.registry.inject(faults.registry_error(404, "BLOB_UNKNOWN"), "(GET|HEAD)", blob,
                              count=None)
        return line, (errno.ENOENT, errno.EIO), scene.image.layers[1].digest[7:19]
    if cause == "S3 refuses the upload":
        scene.s3.inject(faults.s3_error(403, "AccessDenied"), "(PUT|POST)", r"x\.tar", count=None)
        return line, (errno.EACCES,), "AccessDenied|refuse|denie"
    if cause == "S3 is out of order":
        scene.s3.inject(faults.s3_error(500, "InternalError"), "PUT", "partNumber=", count=None)
        return line, (errno.EIO,), "InternalError|500"
    assert cause == "the line is malformed"
    return "app:v1", (errno.EINVAL,), "app:v1"


CAUSES = ["the registry is down", "the tag does not exist",
          "the registry refuses the credentials", "a blob is corrupted on its way",
          "S3 refuses the upload", "the line is malformed"]


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.semantics(902)
def test_every_tool_fails_and_nothing_remains(scene, tool, cause):
    there = scene.mount()
    line, errors, _ = spoil(scene, cause)
    done = there.sh(TOOLS[tool], there.reference_file(line))
    assert done.returncode != 0
    assert any(os.strerror(number) in done.stderr for number in errors), done.stderr
    scene.assert_nothing()


@pytest.mark.parametrize("cause", CAUSES + ["the repository does not exist", "a blob is missing",
                                            "S3 is out of order"])
@pytest.mark.semantics(901)
def test_errno_and_sentence(scene, cause):
    there = scene.mount()
    line, errors, words = spoil(scene, cause)
    assert scene.write(line + "\n") in errors
    scene.assert_nothing()
    if cause != "the line is malformed":    # which never became a publish
        state, sentence = there.why("b")
        assert state == "failed" and re.search(words, sentence), sentence
    assert re.search(words, there.log())


@pytest.mark.parametrize("text, number", [
    ("ubuntu\n", errno.EINVAL),
    ("ubuntu:22.04\n", errno.EINVAL),
    ("{host}/app\n", errno.EINVAL),
    ("{host}/App:v1\n", errno.EINVAL),
    ("{host}/app:v1 name\n", errno.EINVAL),
    ("{host}/app:v1 name.TAR\n", errno.EINVAL),
    ("{host}/app:v1 a/b.tar\n", errno.EINVAL),
    ("{host}/app:v1 ../b.tar\n", errno.EINVAL),
    ("{host}/app:v1 x.tar platform=linux\n", errno.EINVAL),
    ("{host}/app:v1 x.tar colour=red\n", errno.EINVAL),
    ("{host}/app:v1 x.tar tag=a\n", errno.EINVAL),
    ("{host}/app:v1 x.tar y.tar\n", errno.EINVAL),
    ("{host}/app@sha256:123 x.tar\n", errno.EINVAL),
    ("{host}/app@md5:d41d8cd98f00b204e9800998ecf8427e x.tar\n", errno.EINVAL),
    ("{host}/app:v1 x.tar\0\n", errno.EINVAL),
    ("{host}/../app:v1 x.tar\n", errno.EINVAL),
    ("{host}/app:v1 %s.tar\n" % ("n" * 252), errno.EINVAL),
    ("#" * 65536 + "\n", errno.EFBIG),
    ("# %s\n" % ("-" * 60000) * 2, errno.EFBIG),
])
def test_malformed_files(scene, text, number):
    scene.mount()
    assert scene.write(text.replace("{host}", scene.registry.host)) == number
    scene.assert_nothing()
    assert scene.registry.exchanges == []


@pytest.mark.semantics(416)
def test_handle_that_failed_stays_failed(scene):
    there = scene.mount()
    with open(there.path / "b/x.ref", "wb", buffering=0) as file:
        for line in (b"nonsense\n", scene.reference.encode() + b"\n"):
            with pytest.raises(OSError) as caught:
                file.write(line)
            assert caught.value.errno == errno.EINVAL
        with pytest.raises(OSError):
            os.fsync(file.fileno())
        try:
            file.close()
        except OSError:
            pass
    scene.assert_nothing()


@pytest.mark.parametrize("kind, number", [
    ("schema 1", errno.EPROTONOSUPPORT), ("foreign layer", errno.EPROTONOSUPPORT)])
def test_images_that_cannot_be_published(scene, kind, number):
    there = scene.mount()
    if kind == "schema 1":
        media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws"
        body = b'{"schemaVersion":1,"name":"app","tag":"v1","fsLayers":[]}'
    else:
        media_type = scene.image.media_type
        body = scene.image.manifest.replace(
            b"image.layer.v1.tar+gzip", b"image.layer.nondistributable.v1.tar+gzip")
    scene.registry.inject(faults.Reply(200, body, {"Content-Type": media_type}),
                          "(GET|HEAD)", "/manifests/", count=None)
    assert scene.publish() == number
    assert there.why("b")[0] == "failed"
    scene.assert_nothing()


def test_manifest_that_is_not_what_its_digest_says(scene):
    scene.mount()
    reference = scene.reference.rpartition(":")[0] + "@" + scene.image.digest
    other = images.small("other")
    scene.registry.inject(faults.Reply(200, other.manifest, {"Content-Type": other.media_type}),
                          "GET", "/manifests/", count=None)
    assert scene.write(reference + " x.tar\n") == errno.EBADMSG
    scene.assert_nothing()


def test_blob_that_is_spoilt_in_the_registry_itself(registry, repository, mount):
    image = images.small(repository).push(registry, repository, "v1")
    there = mount()
    blob_file(registry, image.layers[1].digest).write_bytes(bytes(image.layers[1].size))
    done = there.publish("b", "%s/%s:v1 x.tar" % (registry.host, repository))
    assert done.returncode == 1 and os.strerror(errno.EBADMSG) in done.stderr
    assert there.keys() == [] and there.uploads() == []


SLOW_DOWN = faults.s3_error(503, "SlowDown")

# (which proxy, method, path, fault): each happens once and is overcome
PASSING = {
    "registry refuses a connection": ("registry", "GET", "/manifests/", faults.Reset("before")),
    "registry answers 500": ("registry", "GET", "/blobs/", faults.registry_error(500, "UNKNOWN")),
    "registry answers 503 for a manifest":
        ("registry", "GET", "/manifests/", faults.registry_error(503, "UNAVAILABLE")),
    "registry answers 429":
        ("registry", "GET", "/blobs/", faults.registry_error(429, "TOOMANYREQUESTS",
                                                             **{"Retry-After": "1"})),
    "registry answers 429 in words": ("registry", "GET", "/blobs/", faults.registry_error(
        429, "TOOMANYREQUESTS", "retry-after: 880.092µs, allowed: 44000/minute")),
    "blob is cut off": ("registry", "GET", "/blobs/", faults.Reset("middle")),
    "blob is a byte short": ("registry", "GET", "/blobs/", faults.Truncate(1)),
    "blob is a byte short and says so":
        ("registry", "GET", "/blobs/", faults.Truncate(1, admitted=True)),
    "blob has a flipped bit": ("registry", "GET", "/blobs/", faults.Flip()),
    "connection ends after a blob": ("registry", "GET", "/blobs/", faults.Reset("after")),
    "S3 answers 503": ("s3", "PUT", "partNumber=", SLOW_DOWN),
    "S3 answers 500 when the upload begins":
        ("s3", "POST", r"\?uploads", faults.s3_error(500, "InternalError")),
    "S3 answers 400 RequestTimeout":
        ("s3", "PUT", "partNumber=", faults.s3_error(400, "RequestTimeout")),
    "S3 resets in a part": ("s3", "PUT", "partNumber=", faults.Reset("request")),
    "S3's reply to a part is lost": ("s3", "PUT", "partNumber=", faults.LoseReply()),
    "part has a flipped bit": ("s3", "PUT", "partNumber=", faults.Flip("server")),
    "S3 answers 503 to the completion": ("s3", "POST", "uploadId=", SLOW_DOWN),
    "completion's reply is lost": ("s3", "POST", "uploadId=", faults.LoseReply()),
    "completion fails in a 200": ("s3", "POST", "uploadId=", faults.s3_error(
        200, "InternalError")),
    "record's reply is lost": ("s3", "PUT", r"\.prereleasefs/", faults.LoseReply()),
    "reference file meets a 500": ("s3", "PUT", r"x\.ref", faults.s3_error(500, "InternalError")),
}


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.semantics(903)
def test_what_passes_is_overcome(scene, kind):
    where, method, path, fault = PASSING[kind]
    scene.mount()
    rule = getattr(scene, where).inject(fault, method, path)
    assert scene.publish() == 0
    assert rule.fired == 1
    scene.assert_whole()


@pytest.mark.parametrize("where, path", [("registry", "/blobs/"), ("s3", "partNumber=")])
def test_slow_is_not_stalled(scene, where, path):
    scene.mount()
    proxy = getattr(scene, where)
    proxy.inject(faults.Stall("middle" if where == "registry" else "request", seconds=3),
                 "(GET|PUT)", path)
    assert scene.publish() == 0
    scene.assert_whole()


def test_s3_that_says_no_to_the_completion(scene):
    scene.mount()
    scene.s3.inject(faults.s3_error(412, "PreconditionFailed"), "POST", "uploadId=", count=None)
    assert scene.publish() == errno.EEXIST
    scene.assert_nothing()


def test_completion_asks_for_no_replacement(scene):
    scene.mount()
    assert scene.publish() == 0
    completion, = scene.s3.seen("POST", "uploadId=")
    assert completion.headers["if-none-match"] == "*"
    parts = sorted(scene.s3.seen("PUT", "partNumber="),
                   key=lambda each: int(re.search(r"partNumber=(\d+)", each.target)[1]))
    assert len(parts) > 1 and all(each.request_bytes >= 5 * MIB for each in parts[:-1])


def test_blobs_are_asked_for_in_closed_ranges(scene):
    scene.mount()
    assert scene.publish() == 0
    large = scene.registry.seen("GET", "/blobs/" + scene.image.layers[0].digest)
    assert large and all(re.fullmatch(r"bytes=\d+-\d+", each.headers.get("range", "bytes=0-0"))
                         for each in large)
    moved = sum(each.response_bytes for each in scene.registry.seen("GET", "/blobs/"))
    assert moved <= scene.image.size + 1000
    assert {each.method for each in scene.registry.exchanges} <= {"GET", "HEAD"}
    assert not any(USER in str(each.headers) for each in scene.registry.exchanges)


def test_registry_that_ignores_ranges(scene):
    scene.mount()
    layer = scene.image.layers[0]
    scene.registry.inject(faults.Reply(200, layer.blob, {
        "Content-Type": "application/octet-stream"}), "GET", "/blobs/" + layer.digest, count=None)
    assert scene.publish() == 0
    scene.assert_whole()
