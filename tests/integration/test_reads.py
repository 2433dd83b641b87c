"""Reading objects: the right bytes or an error, for what they are worth in requests
and memory.

What comes over plain HTTP is guarded by TCP's checksum alone: a byte that a proxy
flips on the way is not noticed here (over TLS it is). docs/decisions/reading.md.
"""

import concurrent.futures
import contextlib
import errno
import hashlib
import io
import mmap
import os
import random
import signal
import subprocess
import tarfile
import threading

import pytest

from bench.usage import peak_rss
from mounted import PLAIN, within
from servers import faults, images

MIB = 1 << 20
KIB = 1 << 10
ABOVE = 16 * MIB        # what may come on top of memory=
AWS = "/usr/bin/aws"    # Debian's: another may come first in PATH


@pytest.fixture
def put(s3, bucket):
    def factory(key, data):
        return s3.put_object(Bucket=bucket, Key=key, Body=data)["ETag"]
    return factory


class Cost:
    """What reading a key through a proxy has cost so far."""

    def __init__(self, proxy, key):
        self._proxy, self._key = proxy, key

    def __call__(self):
        gets = self._proxy.seen("GET", r"/%s$" % self._key)
        return len(gets), sum(each.response_bytes for each in gets)


def tar_of(count, size):
    """A tar of `count` members of `size` bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for at in range(count):
            member = tarfile.TarInfo("member-%d" % at)
            member.size = size
            tar.addfile(member, io.BytesIO(images.random_bytes(size, at)))
    return buffer.getvalue()


def test_reads_cost_what_they_are_worth(mount, put, store, proxy):
    data = tar_of(20, 2 * MIB)
    for name in ("head", "tar", "random", "cat"):
        put("b/" + name, data)
    line = proxy(store.endpoint)
    there = mount(endpoint=line.url, sts_endpoint=store.endpoint)

    assert there.sh("head -c 1 b/head | wc -c").stdout.strip() == "1"
    requests, size = Cost(line, "b/head")()
    assert requests <= 2 and size <= 256 * KIB

    assert there.run("tar", "tf", "b/tar").stdout.split() == ["member-%d" % at for at in range(20)]
    requests, size = Cost(line, "b/tar")()
    assert requests <= 3 * 20 and size <= 20 * 128 * KIB

    numbers = random.Random(1)
    with open(there.path / "b/random", "rb", buffering=0) as file:
        for _ in range(50):
            offset = numbers.randrange(len(data) // 4096) * 4096
            assert os.pread(file.fileno(), 4096, offset) == data[offset:offset + 4096]
    requests, size = Cost(line, "b/random")()
    assert requests <= 50 and size <= 2 * 50 * 4096

    assert there.sh("sha256sum < b/cat").stdout.split()[0] == hashlib.sha256(data).hexdigest()
    requests, size = Cost(line, "b/cat")()
    assert requests <= 64 and size == len(data)     # nothing twice


def test_eight_readers_share_the_memory_and_none_starves(mount, put, store, proxy):
    count, size, memory = 8, 24 * MIB, 16 * MIB
    contents = [images.random_bytes(size, at) for at in range(count)]
    for at, data in enumerate(contents):
        put("b/%d" % at, data)
    line = proxy(store.endpoint)
    there = mount(endpoint=line.url, sts_endpoint=store.endpoint, memory=memory, program=PLAIN)
    os.listdir(there.path / "b")
    sums, left_behind = {}, []
    progress = [0] * count

    def read(at):
        digest = hashlib.sha256()
        with open(there.path / ("b/%d" % at), "rb", buffering=0) as file:
            while piece := file.read(256 * KIB):
                digest.update(piece)
                progress[at] += len(piece)
        if not sums:
            left_behind.extend(each for each in progress if each < size // 8)
        sums[at] = digest.digest()

    threads = [threading.Thread(target=read, args=(at,)) for at in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sums[at] for at in range(count)] == [hashlib.sha256(data).digest()
                                                 for data in contents]
    assert not left_behind      # when the first was through
    assert peak_rss(there.pid) <= memory + ABOVE
    assert sum(each.response_bytes for each in line.seen("GET", "/b/")) <= 1.5 * count * size


# ---- faults ------------------------------------------------------------------------------------

OTHER = '"0123456789abcdef0123456789abcdef"'
OVERCOME = {
    "reset-before": dict(fault=faults.Reset("before"), count=2),
    "reset-middle": dict(fault=faults.Reset("middle"), count=3),
    "short-body": dict(fault=faults.Truncate(1), count=3),
    "lost-reply": dict(fault=faults.LoseReply()),
    "pause": dict(fault=faults.Stall("middle", 2)),
    "stall": dict(fault=faults.Stall("middle")),
    "internal-error": dict(fault=faults.s3_error(500, "InternalError"), count=2),
    "slow-down": dict(fault=faults.s3_error(503, "SlowDown"), count=2),
}
FATAL = {
    "access-denied": (faults.s3_error(403, "AccessDenied"), {errno.EACCES, errno.EPERM}),
    "unauthorized": (faults.s3_error(401, "AccessDenied"), {errno.EACCES, errno.EPERM}),
    "other-etag": (faults.Header("ETag", OTHER), {errno.ESTALE}),
    "changed": (faults.s3_error(412, "PreconditionFailed"), {errno.ESTALE}),
    "gone": (faults.s3_error(404, "NoSuchKey"), {errno.ESTALE}),
    "no-range": (faults.Header("Content-Range", "bytes 5-9/1000"), {errno.EIO, errno.EPROTO}),
    "range-unsaid": (faults.Header("Content-Range", "none"), {errno.EIO, errno.EPROTO}),
    "redirect": (faults.Reply(302, "", {"Location": "http://127.0.0.1:1/"}), {errno.EPROTO}),
    "admitted-short": (faults.Truncate(9, admitted=True), {errno.EIO}),
}


@pytest.mark.semantics(507)
def test_faults_on_the_way_change_no_byte(mount, put, store, proxy):
    data = images.random_bytes(3 * MIB + 5, 7)
    line = proxy(store.endpoint)
    names = [*OVERCOME, *FATAL, "whole"]
    etags = {name: put("b/" + name, data) for name in names}
    there = mount(endpoint=line.url, sts_endpoint=store.endpoint, stall_timeout=3)
    for name, rule in OVERCOME.items():
        line.inject(method="GET", path="/b/%s$" % name, **rule)
    for name, (fault, _) in FATAL.items():
        line.inject(fault, "GET", "/b/%s$" % name, nth=2, count=None)
    # A store that ignores Range answers with the whole object.
    line.inject(faults.Reply(200, data, {"ETag": etags["whole"]}), "GET", "/b/whole$", count=None)

    def is_right(name):
        return (there.path / "b" / name).read_bytes() == data

    with concurrent.futures.ThreadPoolExecutor(len(names)) as readers:
        right = [*OVERCOME, "whole"]
        assert dict(zip(right, readers.map(is_right, right))) == dict.fromkeys(right, True)
    for name, (_, errnos) in FATAL.items():
        seen = b""
        with pytest.raises(OSError) as caught, open(there.path / "b" / name, "rb", 0) as file:
            while piece := file.read(64 * KIB):
                seen += piece
        assert caught.value.errno in errnos, (name, caught.value)
        assert seen and data.startswith(seen), name
        assert "path=b/%s" % name in there.log(), name


def test_a_file_that_is_deleted_while_open_is_stale(mount, put, s3, bucket):
    put("b/x.tar", bytes(9 * MIB))
    there = mount()
    with open(there.path / "b/x.tar", "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 1, 0) == b"\0"
        s3.delete_object(Bucket=bucket, Key="b/x.tar")
        with pytest.raises(OSError) as caught:
            os.pread(file.fileno(), 1, 8 * MIB)
        assert caught.value.errno == errno.ESTALE


@pytest.mark.semantics(204)
def test_who_reads_a_file_is_not_met_by_who_writes_its_name(mount, put, tmp_path):
    """O_TRUNC makes the kernel forget the size of what is opened so."""
    data = images.random_bytes(3 * MIB, 7)
    put("b/x.tar", data)
    (tmp_path / "same").write_bytes(data)
    (tmp_path / "other").write_bytes(b"other")
    there = mount()
    path = there.path / "b/x.tar"
    list(os.scandir(there.path / "b"))
    for source, status in ("same", 0), ("other", 1), ("same", 0):
        with open(path, "rb", buffering=0) as file, \
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            assert os.pread(file.fileno(), 1, 0) == data[:1]
            assert there.run("cp", tmp_path / source, path).returncode == status
            assert os.fstat(file.fileno()).st_size == len(data)
            assert file.read() == data
            assert mapped[:] == data
    with open(there.path / "b/SHA256SUMS", "rb", buffering=0) as file:
        expected = os.pread(file.fileno(), 1000, 0)
        assert there.run("cp", "-r", there.path / "b", there.path / "c").returncode == 0
        assert there.run("cp", there.path / "b/SHA256SUMS",
                             there.path / "c/SHA256SUMS").returncode == 0
        with open(there.path / "c/SHA256SUMS", "rb", buffering=0) as copied:
            shown = os.pread(copied.fileno(), 1000, 0)
            there.run("cp", there.path / "b/SHA256SUMS", there.path / "c/SHA256SUMS")
            assert shown and os.pread(copied.fileno(), 1000, 0) == shown
        assert os.pread(file.fileno(), 1000, 0) == expected


@pytest.mark.semantics(506)
def test_a_direct_read_can_be_interrupted(mount, put, store, proxy):
    put("b/x.tar", bytes(MIB))
    line = proxy(store.endpoint)
    there = mount(endpoint=line.url, sts_endpoint=store.endpoint)
    release = threading.Event()
    line.inject(faults.Hold(release), "GET", "/b/x.tar$", count=None)
    child = there.start_command("dd", "if=b/x.tar", "of=/dev/null", "bs=64K", "iflag=direct")
    try:
        line.wait_for("GET", "/b/x.tar$")
        child.send_signal(signal.SIGINT)
        assert child.wait(30) != 0
    finally:
        release.set()
        child.kill()
        child.communicate()


@contextlib.contextmanager
def held_read(there, line):
    """A cat that waits for a store that does not answer: with a read of its own,
    since that of the kernel's, which nobody could interrupt, has failed."""
    release = threading.Event()
    line.inject(faults.s3_error(403, "AccessDenied"), "GET", "/b/x.tar$")
    line.inject(faults.Hold(release), "GET", "/b/x.tar$", nth=2, count=None)
    child = there.start_command("cat", "b/x.tar")
    try:
        line.wait_for("GET", "/b/x.tar$", 2)
        yield child
    finally:
        release.set()
        child.kill()
        child.communicate()


@pytest.mark.semantics(506)
def test_a_waiting_read_can_be_interrupted(mount, put, store, proxy):
    put("b/x.tar", bytes(MIB))
    line = proxy(store.endpoint)
    there = mount(endpoint=line.url, sts_endpoint=store.endpoint)
    with held_read(there, line) as child, within(20):
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == -signal.SIGINT
    line.clear()
    assert (there.path / "b/x.tar").read_bytes() == bytes(MIB)


def test_a_mount_that_ends_answers_waiting_reads(mount, put, store, proxy):
    put("b/x.tar", bytes(MIB))
    line = proxy(store.endpoint)
    there = mount(endpoint=line.url, sts_endpoint=store.endpoint)
    with held_read(there, line) as child:
        there.signal(signal.SIGTERM)
        assert child.wait(30) != 0
        assert there.wait() == 0


# ---- programs ----------------------------------------------------------------------------------

def test_programs_read_a_tarball_where_it_is(mount, registry, repository, store, bucket, docker,
                                             skopeo, tmp_path):
    image = images.Image([images.layer("a", 3 * MIB), images.layer("b")])
    image.push(registry, repository, "v1")
    there = mount()
    reference = "%s/%s:v1" % (registry.host, repository)
    assert there.publish("b", reference + " app.tar").returncode == 0
    path = there.path / "b/app.tar"
    data = there.object("b/app.tar")
    digest = hashlib.sha256(data).hexdigest()

    aws = tmp_path / "aws.tar"
    subprocess.run([AWS, "--endpoint-url", store.endpoint, "s3", "cp", "--quiet",
                    "s3://%s/b/app.tar" % bucket, aws], check=True, timeout=60,
                   env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **store.environment()})
    assert there.run("cmp", "b/app.tar", aws).returncode == 0
    assert there.sh("cp b/app.tar $1 && sha256sum < $1", tmp_path / "cp").stdout.split()[0] == digest
    assert there.sh("sha256sum b/app.tar").stdout.split()[0] == digest
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert hashlib.sha256(mapped).hexdigest() == digest

    with open(path, "rb") as file:
        assert reference in docker("load", stdin=file)
    assert docker.config_digest(reference) == image.config_digest
    docker.remove(reference)
    assert b"Layers" in skopeo("inspect", "docker-archive:%s" % path)
