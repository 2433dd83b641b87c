"""Many programs that do everything at once in two mounts of one bucket; what must hold is looked at
all the time. tools/soak does it with 64 of them, for LOAD_SECONDS (300)."""

import collections
import contextlib
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

from bench import usage
from load_worker import BEAT, CHANNEL, Worker, content
from mounted import PROGRAM, wait_until
from servers import images

IS_SOAK = bool(os.environ.get("SOAK"))
SECONDS = int(os.environ.get("LOAD_SECONDS") or (300 if IS_SOAK else 5))
PROGRAMS = 64 if IS_SOAK else 16
STALL_S = 30
MIB = 1 << 20
MEMORY_MIB = 64
ABOVE_MIB = 48          # what may come on top of memory=: threads, listings, records, open files
WORKER = pathlib.Path(__file__).with_name("load_worker.py")


def is_sanitized():
    return b"__sanitizer_" in pathlib.Path(PROGRAM).read_bytes()


@contextlib.contextmanager
def fuse_control(place):
    """Where the kernel shows a FUSE mount's requests: waiting(mount) of them have no answer."""
    place.mkdir()
    subprocess.run(["mount", "-t", "fusectl", "none", place], check=True)

    def waiting(there):
        number = os.minor(os.stat(there.path).st_dev)
        return int((place / str(number) / "waiting").read_text())
    try:
        yield waiting
    finally:
        subprocess.run(["umount", place], check=True)


class Programs:
    def __init__(self, place, configuration):
        self.beats = place / "beats"
        self.beats.write_bytes(bytes(BEAT.size * PROGRAMS))
        path = place / "configuration.json"
        path.write_text(json.dumps({**configuration, "beats": str(self.beats)}))
        self.all = [subprocess.Popen(
            [sys.executable, "-B", WORKER, str(number), path], stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for number in range(PROGRAMS)]

    def stalled(self):
        """Those that have waited for one thing for too long, and where in the kernel they are."""
        late = [(number, what.decode().rstrip("\0")) for number, (begun, what)
                in enumerate(BEAT.iter_unpack(self.beats.read_bytes()))
                if begun and time.monotonic() - begun > STALL_S and self.all[number].poll() is None]
        return ["program %d waits in %s: %s" % (number, what, self.where(self.all[number].pid))
                for number, what in late]

    @staticmethod
    def where(pid):
        pids = [pid, *pathlib.Path("/proc/%d/task/%d/children" % (pid, pid)).read_text().split()]
        return ["%s %s" % (pathlib.Path("/proc/%s/cmdline" % each).read_bytes()[-120:],
                           pathlib.Path("/proc/%s/stack" % each).read_text()[:300])
                for each in pids]

    def outcomes(self):
        return [json.loads(each.communicate(timeout=STALL_S)[0].splitlines()[-1])
                for each in self.all]

    def kill(self):
        for each in self.all:
            if each.poll() is None:
                each.kill()


def published(there, registry, count):
    """{name: [reference, sha256]} of small images, the first name's tarball published once."""
    found = {}
    for at in range(count):
        images.small("load-%d" % at).push(registry, "load/app-%d" % at, "v1")
        reference = "%s/load/app-%d:v1" % (registry.host, at)
        assert there.publish("seed", "%s i%d.tar" % (reference, at),
                             name="i%d.ref" % at).returncode == 0
        found["i%d.tar" % at] = [reference, hashlib.sha256(
            there.object("seed/i%d.tar" % at)).hexdigest()]
    return found


def check_bucket(there, known):
    """Every object is whole and right: by its name."""
    for key in there.keys():
        name = key.rpartition("/")[2]
        data = there.object(key)
        if name.startswith("f-"):
            assert data == content(*Worker.meaning(name)), key
        elif name in known:
            assert hashlib.sha256(data).hexdigest() == known[name][1], key
        elif key == CHANNEL + ".rclonelink":
            assert data.startswith((b"../b", b"../releases/v")), data
        else:
            assert name.endswith(".ref"), key


@pytest.mark.semantics(314, 422, 463, 768)
def test_everything_at_once(mount, registry, tmp_path):
    options = {"allow_delete": True, "memory": "%dM" % MEMORY_MIB, "log_level": "info"}
    mounts = [mount(**options), mount(**options)]
    known = published(mounts[0], registry, 4)
    directories = ["b%d" % at for at in range(6)] + ["releases/v%d" % at for at in range(2)]
    for each in mounts:
        for directory in directories:
            (each.path / directory).mkdir(exist_ok=True)
    (mounts[0].path / CHANNEL).parent.mkdir()
    (mounts[0].path / CHANNEL).symlink_to("../b0")
    wait_until((mounts[1].path / CHANNEL).is_symlink)
    (tmp_path / "outside").mkdir()
    programs = Programs(tmp_path, {
        "mounts": [str(each.path) for each in mounts], "directories": directories,
        "images": known, "outside": str(tmp_path / "outside"), "seconds": SECONDS,
        "seed": int(os.environ.get("LOAD_SEED", time.time()))})
    sanitized = is_sanitized()
    try:
        deadline = time.monotonic() + SECONDS + 2 * STALL_S
        while any(each.poll() is None for each in programs.all):
            assert not (late := programs.stalled()), late
            assert time.monotonic() < deadline, "they do not end"
            for each in mounts:
                assert each.is_mounted() and each.poll() is None
                if not sanitized:
                    assert usage.peak_rss(each.pid) < (MEMORY_MIB + ABOVE_MIB) * MIB
            time.sleep(0.5)
        outcomes = programs.outcomes()
    finally:
        programs.kill()
    done, refused = collections.Counter(), collections.Counter()
    for outcome in outcomes:
        done.update(outcome["done"])
        refused.update(outcome["refused"])
    slowest = {name: max(outcome["slowest"].get(name, 0) for outcome in outcomes) for name in done}
    print("\ndone:", dict(done), "\nrefused:", dict(refused), "\nslowest, s:",
          {name: round(took, 1) for name, took in slowest.items()}, "\npeak RSS, MiB:",
          [usage.peak_rss(each.pid) // MIB for each in mounts])
    wrong = [wrong for outcome in outcomes for wrong in outcome["wrong"]]
    assert not wrong, "\n".join(wrong)
    with fuse_control(tmp_path / "fusectl") as waiting:
        for each in mounts:
            wait_until(lambda: waiting(each) == 0, STALL_S, "an answer to the last request")
    for each in mounts:
        wait_until(lambda: not each.uploads(), STALL_S, "the end of the last upload")
    check_bucket(mounts[0], known)
    time.sleep(1.2)         # list_ttl
    for directory in directories:
        shown = [{name for name in os.listdir(each.path / directory) if name != "status.tsv"}
                 for each in mounts]
        assert shown[0] == shown[1], directory
    missing = set(Worker.KINDS) - {kind for kind in Worker.KINDS if done[kind.__name__[3:]]}
    assert not missing or not IS_SOAK, missing
