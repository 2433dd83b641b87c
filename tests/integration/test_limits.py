"""What the program may take: requests for tiny images, memory, files, and what must not grow.

What needs many gigabytes goes between fakes that make and drop the bytes. Memory is
measured of a program without sanitizers (PRERELEASEFS_PLAIN, or build-gcc's).
SOAK=1 (tools/soak limits, publishes) takes larger images and more publishes.
"""

import collections
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import threading
import types

import pytest

from bench import usage
from mounted import PLAIN, wait_until
from servers import faults, images
from servers.process import Process

TESTS = pathlib.Path(__file__).resolve().parents[1]
IS_SOAK = bool(os.environ.get("SOAK"))
MIB = 1 << 20
GB = 1000 ** 3
ABOVE = 16 * MIB        # what may come on top of memory=
AT_ONCE = 64
TINY = 20               # images in one file
LARGE = [(5, 20 * GB), (1, 6 << 30)] if IS_SOAK else [(5, 2 * GB)]      # layers, bytes
PARALLEL = 8            # the default


# ---- twenty tiny images ------------------------------------------------------------------------

class Together(faults.Fault):
    """Requests that go on only when `count` of them are there."""

    def __init__(self, count):
        self.barrier = threading.Barrier(count)

    def at_request(self, conversation, exchange):
        try:
            self.barrier.wait(60)
        except threading.BrokenBarrierError:
            raise faults.Cut("they do not come together") from None


@pytest.fixture(scope="module")
def tiny(registry_token):
    """Twenty repositories of an image each: three layers of its own, under 1 MB."""
    names = ["tiny/app-%d" % at for at in range(TINY)]
    for name in names:
        images.Image([images.layer(name + str(at), 40000) for at in range(3)]).push(
            registry_token, name, "v1")
    return names


class Watched:
    """A mount behind proxies, and the twenty lines."""

    def __init__(self, registry, store, mount, proxy, names):
        self.registry, self.store = proxy(registry.url), proxy(store.endpoint)
        self.mount = mount(endpoint=self.store.url, sts_endpoint=store.endpoint,
                           docker_config=registry.docker_config(host=self.registry.host))
        self.tokens = registry.tokens.requests
        self._lines = ["%s/%s:v1" % (self.registry.host, name) for name in names]
        (self.mount.path / "b").mkdir()
        self.clear()

    def clear(self):
        for each in (self.registry, self.store):
            each.clear()
        self.tokens.clear()

    def publish(self):
        done = self.mount.publish("b", *self._lines)
        assert (done.returncode, done.stderr) == (0, "")
        # Some are made when cp has had its answer.
        self.store.wait_for("DELETE", r"/\.prereleasefs/", TINY + 1)
        wait_until(lambda: all(each.status for each in self.store.seen()), what="the last answer")

    def kinds(self):
        """How often each kind of request was made."""
        return collections.Counter(
            kind(exchange) for proxy in (self.registry, self.store) for exchange in proxy.seen())


def kind(exchange):
    target = exchange.target
    if target.startswith("/v2/"):
        return exchange.method + " " + ("blob" if "/blobs/" in target else
                                        "referrers" if "/referrers/" in target or "/sha256-" in target else
                                        "manifest" if "/manifests/" in target else "ping")
    own = re.search(r"/\.prereleasefs/(\w+)/", target)
    query = re.search(r"[?&](uploads|partNumber|uploadId|list-type)", target)
    return exchange.method + " " + (own[1] if own else query[1] if query else
                                    "reference" if target.endswith(".ref") else "tarball")


@pytest.fixture
def watched(registry_token, store, mount, proxy, tiny):
    return Watched(registry_token, store, mount, proxy, tiny)


def test_a_tiny_image_costs_no_more_requests_than_the_protocols_need(watched):
    watched.publish()
    kinds = watched.kinds()
    lists = kinds.pop("GET list-type")
    assert lists <= 3           # cp's own looks at the directory
    assert kinds == {
        # The registry, per image. docs/decisions/engine.md says what each is for.
        "GET manifest": TINY + 1, "GET blob": 4 * TINY,     # the first tells where tokens are
        "GET referrers": 5 * TINY,      # the API, its fallback tag, three of cosign's
        # The store, per image.
        "HEAD tarball": 4 * TINY, "POST uploads": TINY, "PUT partNumber": TINY,
        "PUT records": TINY, "POST uploadId": TINY,
        "PUT names": TINY, "DELETE names": TINY,    # since this store settles no races
        # The store, per write.
        "PUT intents": 1, "DELETE intents": 1, "PUT reference": 1}
    asked = collections.Counter(each.target for each in watched.registry.seen()
                                if each.status != 401 and "/blobs/" in each.target)
    assert max(asked.values()) == 1
    assert len(watched.tokens) == TINY      # a token opens one repository


def test_tiny_images_share_connections_and_go_side_by_side(watched):
    gates = [
        watched.registry.inject(Together(TINY), "GET", "/manifests/", nth=2, count=TINY),
        watched.store.inject(Together(TINY), "POST", r"\?uploads", count=TINY),
        watched.store.inject(Together(PARALLEL), "PUT", "partNumber=", count=PARALLEL),
        watched.store.inject(Together(TINY), "PUT", "/records/", count=TINY),
        watched.store.inject(Together(TINY), "POST", "uploadId=", count=TINY),
    ]
    watched.publish()
    assert [gate.fired for gate in gates] == [TINY, TINY, PARALLEL, TINY, TINY]
    for proxy in (watched.registry, watched.store):
        seen = proxy.seen()
        assert all(each.status for each in seen)        # no gate was given up
        assert len({each.connection for each in seen}) <= TINY + 2 * PARALLEL


# ---- memory ------------------------------------------------------------------------------------

@pytest.fixture
def fake(tmp_path):
    """fake(module, argument...): the host:port of a fake server of tests/bench."""
    with contextlib.ExitStack() as stack:
        def start(module, *args):
            server = Process(
                [sys.executable, "-B", "-m", "bench." + module, *args],
                tmp_path / ("%s%d" % (module, len(os.listdir(tmp_path)))),
                env={**os.environ, "PYTHONPATH": str(TESTS)})
            stack.callback(server.stop)
            server.wait_until(lambda: server.log().endswith("\n"))
            return server.log().splitlines()[0]

        yield start


@pytest.fixture
def between_fakes(fake, mount, store, bucket):
    """between_fakes(layers, bytes, option=value, ...): a mount of the plain program
    between a store that keeps nothing and a registry of one image; and the
    image's reference."""
    def start(layers, size, *flags, **options):
        there = mount(start=False, program=PLAIN, presign_role=None, log_level="info",
                      endpoint="http://" + fake("fake_store"), **options)
        return there.start(), "%s/x/huge:1" % fake(
            "fake_registry", str(layers), str(size), *flags)

    return start


def publish_at_once(there, reference, count):
    """`count` programs that copy in a file of their own each."""
    (there.path / "b").mkdir()
    copies = [there.start_command("cp", there.reference_file(
        "%s x%d.tar" % (reference, at), name="%d.ref" % at), "b/") for at in range(count)]
    assert [each.wait(900) for each in copies] == [0] * count, there.why("b")


@pytest.mark.parametrize("memory", [128, 32])
def test_memory_is_bounded_with_64_publishes_at_once(between_fakes, memory):
    there, reference = between_fakes(2, 40 * 1000 * 1000, memory="%dM" % memory)
    publish_at_once(there, reference, AT_ONCE)
    assert usage.peak_rss(there.pid) <= memory * MIB + ABOVE


@pytest.mark.parametrize("layers, size", LARGE)
def test_memory_is_bounded_with_a_large_image(between_fakes, layers, size):
    there, reference = between_fakes(layers, size, memory="128M")
    publish_at_once(there, reference, 1)
    assert usage.peak_rss(there.pid) <= 128 * MIB + ABOVE
    row, = there.rows("b/status.tsv")
    assert row["state"] == "published" and int(row["done"]) == int(row["total"]) > size


def test_a_file_that_small_memory_cannot_move_says_how_much_it_needs(between_fakes):
    there, reference = between_fakes(1, 400 * GB, "unhashed", memory="32M")
    done = there.publish("b", reference)
    assert "File too large" in done.stderr
    assert re.search(r"do not fit memory=32M: raise it to \d+M at the least", there.why("b")[1])


if IS_SOAK:     # the store keeps all of it in memory
    def test_a_layer_over_5_gib_in_a_real_store(fake, mount, store):
        there = mount(program=PLAIN)
        done = there.publish("b", "%s/x/huge:1 x.tar" % fake("fake_registry", "1", str(6 << 30)))
        assert (done.returncode, done.stderr) == (0, "")
        assert there.sh("sha256sum --quiet -c <(sed 's|  |  b/|' b/SHA256SUMS)",
                        timeout_s=900).returncode == 0


# ---- files -------------------------------------------------------------------------------------

OPENED = re.compile(r'^\d+ +(open|openat|openat2|creat)\([^"]*"([^"]*)"(.*)$', re.M)


def test_no_file_is_written(registry, repository, mount, tmp_path):
    """As the kernel sees it: nothing but devices and /proc is opened for writing."""
    images.Image([images.layer("files", 12 * MIB, compression=None)]).push(
        registry, repository, "v1")
    trace = tmp_path / "trace"
    there = mount(before=["strace", "-f", "-qq", "-o", trace, "-e",
                          "trace=open,openat,openat2,creat,mkdir,mkdirat,mknod,mknodat,rename,"
                          "renameat,renameat2,link,linkat,symlink,symlinkat,truncate"],
                  environment={"ASAN_OPTIONS": "detect_leaks=0"})     # it cannot be traced as well
    done = there.publish("b", "%s/%s:v1" % (registry.host, repository))
    assert (done.returncode, done.stderr) == (0, "")
    assert there.rows("b/urls.tsv")
    assert there.unmount() == 0
    text = trace.read_text()
    opened = OPENED.findall(text)
    assert len(opened) > 20         # libraries, certificates, configuration
    written = {path for call, path, rest in opened
               if call == "creat" or re.search("O_WRONLY|O_RDWR|O_CREAT", rest)}
    assert "/dev/fuse" in written
    assert {path for path in written if not re.match("/dev/|/proc/", path)} == set()
    others = [line for line in text.splitlines()
              if re.match(r"^\d+ +(mk|rename|link|symlink|truncate)", line)]
    assert others == []


# ---- what must not grow ------------------------------------------------------------------------

def taken(pid):
    """What a process holds: bytes of memory, file descriptors, threads."""
    return (usage.rss(pid), len(os.listdir("/proc/%d/fd" % pid)),
            len(os.listdir("/proc/%d/task" % pid)))


def test_publishes_leak_nothing(registry, repository, mount):
    """Compared when caches and pools are warm, and after many more."""
    warm, all_ = (100, 1000) if IS_SOAK else (20, 60)
    for at in range(2):
        images.small("leak%d" % at).push(registry, repository, "v%d" % at)
    there = mount(program=PLAIN, log_level="warn", overwrite=True)
    # In ten directories, since the kernel holds on to what it has looked at; each time another
    # image than the one that is there.
    script = ('for at in $(seq $1 $2); do mkdir -p "b$((at % 10))" && cd "b$((at % 10))" && '
              'echo "$3:v$((at / 10 % 2)) x.tar tag=a:b" >x.ref && '
              'cat urls.tsv status.tsv >/dev/null && cd .. || exit 1; done')

    def publish(first, last):
        done = there.sh(script, first, last, "%s/%s" % (registry.host, repository),
                        timeout_s=1800)
        assert (done.returncode, done.stderr) == (0, "")
        return taken(there.pid)

    before = publish(1, warm)
    after = publish(warm + 1, all_)
    more = all_ - warm
    print("publishes\t%d more\trss %+d\tfds %+d\tthreads %+d" % (
        more, *(b - a for a, b in zip(before, after))))
    rows = [row for at in range(10) for row in there.rows("b%d/status.tsv" % at)]
    assert [row["state"] for row in rows] == ["published"] * all_
    # Such a row is kept of each.
    assert after[0] - before[0] < MIB + more * 1024
    assert after[1] <= before[1] + 4 and after[2] <= before[2] + 4
