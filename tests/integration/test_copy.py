"""cp inside the mount is a copy inside the store: no byte passes through here, and what is known of
the file comes along. What cannot be one is read and written, by the kernel or by the mount."""

import errno
import hashlib
import json
import os
import signal
import threading
import time

import pytest

from mounted import wait_until
from servers import faults, images

MIB = 1 << 20
# tools/soak: one that no single request may copy, and that the store can hold twice.
LARGE = (5 << 30) + 300 * MIB + 7 if os.environ.get("SOAK") else 129 * MIB + 7
TAR = "/b/x.tar"


class Line:
    """A mount behind a proxy that counts, with an image of 13 MiB published as b/x.tar."""

    def __init__(self, mount, proxy, store, registry, repository, **options):
        self.front = proxy(store.endpoint)
        self.there = mount(endpoint=self.front.url, sts_endpoint=store.endpoint, **options)
        self.registry, self.repository = registry, repository
        self.reference = self.push("one")
        assert self.there.publish("b", self.reference + " x.tar").returncode == 0
        (self.there.path / "releases/v1").mkdir(parents=True)
        self.front.clear_record()

    def push(self, name):
        images.Image([images.layer(name, 13 * MIB, compression=None)]).push(
            self.registry, self.repository, name)
        return "%s/%s:%s" % (self.registry.host, self.repository, name)

    def bytes_read(self, path=TAR):
        return sum(exchange.response_bytes for exchange in self.front.seen("GET", path)
                   if ".prereleasefs" not in exchange.target)

    def record(self, key):
        return [json.loads(self.there.object(found)) for found in self.there.keys(internal=True)
                if found.startswith(".prereleasefs/records/%s/" % key)]


@pytest.fixture
def line(mount, proxy, store, registry, repository):
    return Line(mount, proxy, store, registry, repository)


def row(there, directory, name):
    return next(each for each in there.rows(directory + "/urls.tsv") if each["file"] == name)


def local(there, name, size, seed=1):
    path = there.dir / name
    path.write_bytes(images.random_bytes(size, seed))
    return path


def check_nothing_left(there):
    wait_until(lambda: not there.uploads(), 30, "the abortion")
    wait_until(lambda: not [key for key in there.keys(internal=True) if "/intents/" in key], 30,
               "the tidying")


@pytest.mark.semantics(427, 428)
def test_what_another_tool_stored_is_the_same_by_its_bytes(line, s3):
    there = line.there
    s3.put_object(Bucket=there.bucket, Key="c/x.tar", Body=there.object("b/x.tar"))
    s3.put_object(Bucket=there.bucket, Key="c/y.tar", Body=b"y" * len(there.object("b/x.tar")))
    wait_until(lambda: (there.path / "c/y.tar").exists(), 30)
    assert there.run("cp", "b/x.tar", "c/x.tar").returncode == 0
    built, known = row(there, "b", "x.tar"), row(there, "c", "x.tar")
    for column in ("size", "sha256", "image", "digest", "platform"):
        assert built[column] == known[column]
    assert there.publish("c", line.reference + " x.tar").returncode == 0
    assert there.why("c")[0] == "unchanged"
    assert "File exists" in there.run("cp", "b/x.tar", "c/y.tar").stderr


@pytest.mark.semantics(426, 427, 428)
def test_promotion(line, s3):
    there = line.there
    done = there.run("cp", "b/x.tar", "releases/v1/")
    assert (done.returncode, done.stderr) == (0, "")
    sent = sum(exchange.request_bytes for exchange in line.front.seen("PUT"))
    assert line.bytes_read() == 0 and sent < MIB
    assert there.object("releases/v1/x.tar") == there.object("b/x.tar")

    # Who the image is, its digests and its sha256 came along.
    heads = [s3.head_object(Bucket=there.bucket, Key=key) for key in ("b/x.tar", "releases/v1/x.tar")]
    for name in ("digest", "platform", "tag"):
        assert len({head["Metadata"]["prereleasefs-" + name] for head in heads}) == 1
    assert len({head["ContentType"] for head in heads}) == 1
    built, promoted = row(there, "b", "x.tar"), row(there, "releases/v1", "x.tar")
    assert promoted["image"] == line.reference and "-" not in (promoted["sha256"], promoted["digest"])
    for column in ("size", "sha256", "image", "digest", "platform"):
        assert built[column] == promoted[column]
    assert hashlib.sha256(there.object("releases/v1/x.tar")).hexdigest() == promoted["sha256"]
    assert line.record("releases/v1/x.tar")[-1]["image"] == line.record("b/x.tar")[0]["image"]

    # Once more is a success that moves nothing, also from another mount's point of view.
    line.front.clear_record()
    modified = os.stat(there.path / "releases/v1/x.tar").st_mtime
    assert there.run("cp", "-p", "b/x.tar", "releases/v1/x.tar").returncode == 0
    assert not line.front.seen("POST", "/releases/v1/x.tar") and line.bytes_read() == 0
    assert os.stat(there.path / "releases/v1/x.tar").st_mtime == modified

    # The next image with that layer finds it in the release when the build is gone.
    s3.delete_object(Bucket=there.bucket, Key="b/x.tar")
    line.front.clear_record()
    assert there.publish("c", line.reference + " y.tar tag=other:v1").returncode == 0
    assert [exchange for exchange in line.front.seen("PUT", "/c/y.tar")
            if exchange.headers.get("x-amz-copy-source", "").endswith("/releases/v1/x.tar")]


@pytest.mark.semantics(428, 461)
def test_nothing_is_replaced(line):
    there = line.there
    assert there.publish("c", line.push("two") + " x.tar").returncode == 0
    before = there.object("b/x.tar")
    assert there.run("cp", "b/x.tar", "releases/v1/").returncode == 0
    for target in ("releases/v1/x.tar", "b/x.tar"):
        line.front.clear_record()
        refused = there.run("cp", "c/x.tar", target)
        assert refused.returncode == 1 and "File exists" in refused.stderr
        state, why = there.why(os.path.dirname(target))
        assert state == "failed" and "another image" in why
        assert there.object(target) == before and not line.front.seen("POST", target)
    done = there.run("/usr/bin/python3", "-c", """
import os
with open("b/x.tar", "rb") as source, open("b/x.tar", "wb") as itself:
    while os.copy_file_range(source.fileno(), itself.fileno(), 1 << 30): pass
""")
    assert (done.returncode, done.stderr) == (0, "") and there.object("b/x.tar") == before
    for at, script in enumerate(["cp -a b/x.tar $1/x.tar", "cat b/x.tar >$1/x.tar",
                                 "install b/x.tar $1/", "cp --sparse=always b/x.tar $1/"]):
        directory = "c%d" % at
        (there.path / directory).mkdir()
        done = there.sh(script, directory)
        assert (done.returncode, done.stderr) == (0, ""), script
        assert there.object(directory + "/x.tar") == before
        assert row(there, directory, "x.tar")["sha256"] == row(there, "b", "x.tar")["sha256"]
    check_nothing_left(there)


@pytest.mark.semantics(429, 461)
def test_overwrite_replaces_but_never_under_releases(mount, s3, bucket):
    there = mount(overwrite=True)
    (there.path / "releases").mkdir(exist_ok=True)
    for at, directory in enumerate(("a", "b", "releases/v1")):
        (there.path / directory).mkdir()
        assert there.run("cp", local(there, "x", 6 * MIB, at), directory + "/").returncode == 0
    assert there.run("cp", "a/x", "b/").returncode == 0
    assert there.object("b/x") == there.object("a/x")
    assert row(there, "b", "x")["sha256"] == row(there, "a", "x")["sha256"]
    assert "File exists" in there.run("cp", "a/x", "releases/v1/").stderr
    assert there.object("releases/v1/x") != there.object("a/x")


@pytest.mark.semantics(427, 428)
def test_what_another_tool_stored(mount, s3, bucket):
    """Small or large, with a type and metadata of its own, and no record; one of them in two
    parts, one of a single byte."""
    there = mount()
    sizes = {"a/one": 1, "a/some": 5 * MIB, "a/large": 64 * MIB + 5}
    for seed, (key, size) in enumerate(sizes.items()):
        s3.put_object(Bucket=bucket, Key=key, Body=images.random_bytes(size, seed),
                      ContentType="application/pdf", Metadata={"by": "hand"})
    (there.path / "b").mkdir()
    wait_until(lambda: (there.path / "a/one").exists(), 10)
    done = there.run("cp", "a/one", "a/some", "a/large", "b/")
    assert (done.returncode, done.stderr) == (0, "")
    for key in sizes:
        copied = "b/" + key[2:]
        assert hashlib.sha256(there.object(copied)).digest() == hashlib.sha256(
            there.object(key)).digest()
        head = s3.head_object(Bucket=bucket, Key=copied)
        assert head["ContentType"] == "application/pdf" and head["Metadata"]["by"] == "hand"
        assert head["ETag"].endswith("-2\"" if key == "a/large" else "-1\"")
        assert row(there, "b", key[2:])["sha256"] == "-"
    assert there.run("cp", "a/one", "a/some", "a/large", "b/").returncode == 0     # the same again
    s3.put_object(Bucket=bucket, Key="a/one", Body=b"!")
    time.sleep(1.1)
    assert "File exists" in there.run("cp", "a/one", "b/").stderr


@pytest.mark.semantics(427, 436)
def test_a_large_file_is_copied_in_parts(line):
    there = line.there
    path, block = there.dir / "large.tar", images.random_bytes(MIB, 1)
    sha256 = hashlib.sha256()
    with open(path, "wb") as file:
        for at in range(0, LARGE, MIB):
            piece = (b"%8d" % at + block)[:min(MIB, LARGE - at)]
            file.write(piece)
            sha256.update(piece)
    assert there.run("cp", path, "b/", timeout_s=1200).returncode == 0
    path.unlink()
    line.front.clear_record()
    done = there.run("cp", "b/large.tar", "releases/v1/", timeout_s=1200)
    assert (done.returncode, done.stderr) == (0, "")
    ranges = [exchange.headers.get("x-amz-copy-source-range")
              for exchange in line.front.seen("PUT", "/releases/v1/large.tar")]
    assert len(ranges) > 2 and line.bytes_read("/large.tar") == 0
    assert row(there, "releases/v1", "large.tar")["sha256"] == sha256.hexdigest()
    assert row(there, "releases/v1", "large.tar")["size"] == str(LARGE)
    read = there.run("sha256sum", "releases/v1/large.tar", timeout_s=1200)
    assert read.stdout.split()[0] == sha256.hexdigest()


PARTS = {     # what a program copies with copy_file_range, and what it must get
    "the middle": ("copy(a, to, 5000, 100, 0)", lambda a, b: a[100:5100]),
    "the beginning": ("copy(a, to, 5000, 0, 0)", lambda a, b: a[:5000]),
    "in pieces": ("[copy(a, to, 1 << 20, at, at) for at in range(0, 9 << 20, 1 << 20)]", lambda a, b: a),
    "two files": ("copy(a, to, 9 << 20, 0, 0), copy(b, to, 3000, 0, 9 << 20)", lambda a, b: a + b),
    "and more": ("copy(a, to, 9 << 20, 0, 0), os.pwrite(to, b'more', 9 << 20)", lambda a, b: a + b"more"),
    "after more": ("os.pwrite(to, b'more', 0), copy(a, to, 9 << 20, 0, 4)", lambda a, b: b"more" + a),
    "piece and more": ("copy(a, to, 70000, 0, 0), os.pwrite(to, b'more', 70000)",
                       lambda a, b: a[:70000] + b"more"),
}


@pytest.mark.semantics(430)
def test_what_is_not_the_whole(mount):
    """Never a wrong object: what is no whole file passes through here."""
    there = mount()
    (there.path / "b").mkdir()
    for name, size in (("a", 9 * MIB), ("b", 3000)):
        assert there.run("cp", local(there, name, size, size), "b/" + name).returncode == 0
    a, b = (there.object("b/" + name) for name in "ab")
    for at, (what, (script, expected)) in enumerate(PARTS.items()):
        done = there.run("/usr/bin/python3", "-c", """
import os, sys
def copy(source, to, size, source_offset, to_offset):
    while size:
        copied = os.copy_file_range(source, to, size, source_offset, to_offset)
        assert copied
        size, source_offset, to_offset = size - copied, source_offset + copied, to_offset + copied
a, b = (os.open("b/" + name, os.O_RDONLY) for name in "ab")
to = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_EXCL)
%s
os.close(to)
""" % script, "b/new%d" % at)
        assert (done.returncode, done.stderr) == (0, ""), what
        assert there.object("b/new%d" % at) == expected(a, b), what
        sha256 = hashlib.sha256(expected(a, b)).hexdigest()
        assert row(there, "b", "new%d" % at)["sha256"] == sha256, what
    done = there.sh("cat b/a b/b >b/both && (cat b/b; cat b/a; echo more) >b/child")
    assert (done.returncode, done.stderr) == (0, "")
    assert there.object("b/both") == a + b and there.object("b/child") == b + a + b"more\n"
    check_nothing_left(there)


@pytest.mark.semantics(426, 430)
def test_a_child_may_copy_into_what_its_parent_opened(mount):
    """Whole or in part: it is stored when nobody has it open any more."""
    there = mount()
    (there.path / "b").mkdir()
    assert there.run("cp", local(there, "a", 6 * MIB), "b/").returncode == 0
    done = there.sh("cat b/a >b/whole; (cat b/a) >b/sub; exec 3>b/part; "
                    "python3 -c 'import os; os.copy_file_range(0, 3, 1000)' <b/a; exec 3>&-",
                    shell="bash")
    assert (done.returncode, done.stderr) == (0, "")
    for name, size in (("whole", 6 * MIB), ("sub", 6 * MIB), ("part", 1000)):
        wait_until(lambda name=name: "b/" + name in there.keys(), 20)
        assert there.object("b/" + name) == there.object("b/a")[:size]


STEPS = {     # what is held, what is interrupted then, and whether it stands all the same
    "copying": ("PUT", "partNumber=1", "cp b/x.tar releases/v1/", False),
    "completing": ("POST", r"/releases/v1/x.tar\?uploadId", "cp b/x.tar releases/v1/", True),
    "pouring": ("GET", TAR, "cat b/x.tar b/images.ref >releases/v1/y", False),
}


@pytest.mark.semantics(432)
def test_interrupted_copy_leaves_nothing(line):
    """What was to be completed already is finished."""
    there = line.there
    for step, (method, path, script, stands) in STEPS.items():
        release = threading.Event()
        line.front.clear()
        line.front.inject(faults.Hold(release), method, path)
        child = there.start_command("bash", "-c", "exec " + script)
        line.front.wait_for(method, path)
        os.killpg(child.pid, signal.SIGINT)
        assert child.wait(20) != 0, step
        release.set()
        assert there.run("ls", "releases/v1", timeout_s=10).returncode == 0
        check_nothing_left(there)
        if stands:
            wait_until(lambda: "releases/v1/x.tar" in there.keys(), 10, step)
        else:
            assert len(there.keys()) == (2 if step == "copying" else 3), step
    assert there.keys() == ["b/images.ref", "b/x.tar", "releases/v1/x.tar"]


@pytest.mark.semantics(431)
def test_source_that_changes_meanwhile(line, s3):
    there = line.there
    for how in ("replaced", "removed"):
        release = threading.Event()
        line.front.clear()
        line.front.inject(faults.Hold(release), "PUT", "partNumber=1")
        child = there.start_command("cp", "b/x.tar", "releases/v1/")
        line.front.wait_for("PUT", "partNumber=1")
        if how == "replaced":
            s3.put_object(Bucket=there.bucket, Key="b/x.tar", Body=b"x" * 14 * MIB)
        else:
            s3.delete_object(Bucket=there.bucket, Key="b/x.tar")
        release.set()
        assert child.wait(60) == 1, how
        check_nothing_left(there)
        assert "releases/v1/x.tar" not in there.keys()
        state, why = there.why("releases/v1")
        assert state == "failed" and how in why
        time.sleep(1.1)


def test_lost_answers_are_settled(line):
    there = line.there
    for method, path in (("POST", r"/releases/v1/x.tar\?uploads"), ("PUT", "partNumber=1"),
                         ("POST", r"/releases/v1/x.tar\?uploadId")):
        line.front.inject(faults.LoseReply(), method, path)
    done = there.run("cp", "b/x.tar", "releases/v1/")
    assert (done.returncode, done.stderr) == (0, "")
    assert there.object("releases/v1/x.tar") == there.object("b/x.tar")
    assert row(there, "releases/v1", "x.tar")["digest"] == row(there, "b", "x.tar")["digest"]
    check_nothing_left(there)


@pytest.mark.semantics(435)
def test_from_one_mount_to_another(line, mount, store):
    """The kernel knows no copying between two; the bytes pass through."""
    other = mount()
    (other.path / "c").mkdir()
    done = other.run("cp", line.there.path / "b/x.tar", "c/")
    assert (done.returncode, done.stderr) == (0, "")
    assert other.object("c/x.tar") == other.object("b/x.tar") and line.bytes_read() > 0
    assert row(other, "c", "x.tar")["sha256"] == row(other, "b", "x.tar")["sha256"]


@pytest.mark.semantics(433)
def test_what_is_not_to_be_copied_inside(line):
    """A generated file is no object; a reference file publishes what is written into it."""
    there = line.there
    (there.path / "c").mkdir()
    assert there.run("cp", "b/images.ref", "c/again.ref").returncode == 0
    assert sorted(key for key in there.keys() if key.startswith("c/")) == ["c/again.ref", "c/x.tar"]
    assert there.run("cp", "b/SHA256SUMS", "c/sums").returncode == 0
    assert there.object("c/sums") == (there.path / "b/SHA256SUMS").read_bytes()
    assert there.run("cp", "b/status.tsv", "c/status").returncode == 0
    assert there.object("c/status") == (there.path / "b/status.tsv").read_bytes()
    assert there.run("cp", "b/images.ref", "c/list.txt").returncode == 0
    assert there.object("c/list.txt") == there.object("b/images.ref")
