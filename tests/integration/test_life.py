"""A mount's life: who starts it, who is told that it answers, what a dead one leaves."""

import contextlib
import ctypes
import errno
import fcntl
import os
import pathlib
import re
import shlex
import signal
import socket
import struct
import subprocess

import pytest

from mounted import PROGRAM, wait_until

ROOT = pathlib.Path(PROGRAM).parents[1]
UNIT = ROOT / "prereleasefs@.service"
START_LIMIT_S = 15
libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def x_tar(s3, bucket):
    s3.put_object(Bucket=bucket, Key="b/x.tar", Body=b"whole")
    return "b/x.tar"


def answers(there):
    """Asks the program itself: the kernel keeps attributes, and would answer for a dead one."""
    try:
        os.statvfs(there.path)
        return there.is_mounted()
    except OSError:
        return False


def died(there):
    """kill -9, and the kernel keeps the mount."""
    there.uploads_may_remain = True
    there.kill()
    there.wait()
    assert there.is_mounted()
    with pytest.raises(OSError) as caught:
        os.statvfs(there.path)
    assert caught.value.errno == errno.ENOTCONN


def mounts_at(path):
    with open("/proc/self/mountinfo") as mounts:
        return sum(line.split()[4] == str(path) for line in mounts)


def unmounted(there):
    subprocess.run(["fusermount3", "-u", there.path], check=True, timeout=30)
    wait_until(lambda: not there.is_mounted())


def options_of(there, *more):
    given = {name: value for name, value in there.options.items() if value is not None}
    return ",".join([*more, *(name if value is True else "%s=%s" % (name, value)
                              for name, value in given.items())])


# Supervisors

class Supervisor:
    """A socket such as systemd gives to a service, and what arrives there."""

    def __init__(self, name):
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name.replace("@", "\0", 1))
        self.socket.settimeout(START_LIMIT_S)

    def hears(self):
        return self.socket.recv(1000).decode().split("\n")

    def hears_nothing(self):
        self.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            self.socket.recv(1000)


@pytest.mark.parametrize("abstract", [False, True])
@pytest.mark.semantics(1004, 1008)
def test_the_unit_says_when_it_is_ready_and_may_be_started_again(mount, x_tar, tmp_path, abstract):
    """Its own command line, with what its configuration file says; killed, and started again."""
    there = mount(start=False)
    supervisor = Supervisor("@%s" % tmp_path if abstract else str(tmp_path / "notify"))
    configuration = {"BUCKET": there.bucket, "MOUNTPOINT": str(there.path),
                     "OPTIONS": options_of(there)}
    line = re.search(r"^ExecStart=(.*)$", UNIT.read_text(), re.M).group(1)
    words = [re.sub(r"\$\{(\w+)\}", lambda found: configuration[found[1]], word)
             for word in shlex.split(line)]
    there.command = lambda: [PROGRAM, *words[1:]]
    there.environment["NOTIFY_SOCKET"] = supervisor.name
    there.start()
    assert supervisor.hears() == ["READY=1"]
    assert (there.path / x_tar).read_bytes() == b"whole"
    died(there)
    there.start()
    assert supervisor.hears() == ["READY=1"]
    assert (there.path / x_tar).read_bytes() == b"whole" and mounts_at(there.path) == 1
    supervisor.hears_nothing()
    supervisor.socket.settimeout(START_LIMIT_S)
    there.signal(signal.SIGTERM)
    assert supervisor.hears() == ["STOPPING=1"]
    assert there.wait() == 0


@pytest.mark.semantics(1004)
def test_who_unmounts_is_told_of_too_and_a_failure_is_never_ready(mount, tmp_path):
    supervisor = Supervisor(str(tmp_path / "notify"))
    there = mount(environment={"NOTIFY_SOCKET": supervisor.name})
    assert supervisor.hears() == ["READY=1"]
    assert there.unmount() == 0
    assert supervisor.hears() == ["STOPPING=1"]
    assert "no-such-bucket" in mount(start=False, bucket="no-such-bucket",
                                     environment={"NOTIFY_SOCKET": supervisor.name}).refusal()
    supervisor.hears_nothing()
    deaf = mount(environment={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert answers(deaf)
    wait_until(lambda: "the supervisor was not told" in deaf.log())


@pytest.mark.semantics(1005)
def test_the_unit_is_one_that_systemd_takes(tmp_path):
    unit = tmp_path / "prereleasefs@.service"
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=" + PROGRAM, UNIT.read_text(), flags=re.M))
    done = subprocess.run(["systemd-analyze", "--man=no", "verify",
                           str(tmp_path / "prereleasefs@x.service")], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert (done.returncode, [line for line in done.stdout.splitlines() if str(unit) in line
                              or "prereleasefs" in line]) == (0, [])
    assert "Type=notify\n" in unit.read_text() and "Restart=on-failure\n" in unit.read_text()


# mount(8) and fstab

@pytest.fixture
def fstab(tmp_path):
    """fstab(mount, options): `mount MOUNTPOINT` with a line of that in fstab. A program that is
    not installed is named by its path: mount(8) hands on no PATH."""

    def run(there, *more, bucket=None):
        table = tmp_path / "fstab"
        table.write_text("%s %s fuse.%s %s 0 0\n" % (
            bucket or there.bucket, there.path, PROGRAM, options_of(there, *more)))
        return subprocess.run(["mount", "-T", table, there.path], text=True, cwd="/",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=START_LIMIT_S,
                              env=there.environment)
    return run


@pytest.mark.semantics(1006)
def test_fstab(mount, x_tar, fstab):
    there = mount(start=False)
    there.options["log_level"] = None
    done = fstab(there, "_netdev", "noauto", "nofail", "user", "x-systemd.automount",
                 "x-systemd.idle-timeout=600", "x-systemd.requires=network-online.target",
                 "x-gvfs-hide", "comment=ours", "noatime")
    try:
        assert (done.returncode, done.stderr) == (0, "")
        assert (there.path / x_tar).read_bytes() == b"whole"
        line, = [line for line in open("/proc/self/mountinfo") if str(there.path) in line]
        assert " fuse.prereleasefs %s " % there.bucket in line and "nosuid,nodev" in line
        again = fstab(there)
        assert again.returncode != 0 and mounts_at(there.path) == 1
        assert "stands a mount of %s already" % there.bucket in again.stderr
    finally:
        subprocess.run(["umount", there.path], check=True, timeout=30)
    assert not there.is_mounted()
    refused = fstab(there, bucket="no-such-bucket")
    assert refused.returncode != 0 and not there.is_mounted()
    said, = [line for line in refused.stderr.splitlines() if line.startswith("prereleasefs: ")]
    assert "no-such-bucket" in said
    assert fstab(there, "nonsense").returncode != 0


class Automount:
    """What systemd does for x-systemd.automount: an autofs at the mountpoint, whose pipe tells
    that somebody looked inside and waits."""

    READY, CATATONIC = 0x9360, 0x9362            # AUTOFS_IOC_*

    def __init__(self, path):
        self.path = path
        self.pipe, write = os.pipe()
        flags = "fd=%d,pgrp=%d,minproto=5,maxproto=5,direct" % (write, os.getpgrp())
        assert libc.mount(b"test", str(path).encode(), b"autofs", 0, flags.encode()) == 0, \
            os.strerror(ctypes.get_errno())
        os.close(write)
        self.root = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def serve(self, mount):
        """Mounts for the first that comes, and lets it go on."""
        packet = os.read(self.pipe, 4096)
        token = struct.unpack_from("=iiI", packet)[2]       # struct autofs_v5_packet
        try:
            return mount()
        finally:
            fcntl.ioctl(self.root, self.READY, token)

    def close(self):
        fcntl.ioctl(self.root, self.CATATONIC, 0)           # lets go whoever still waits
        os.close(self.root)
        while mounts_at(self.path):
            assert libc.umount2(str(self.path).encode(), 2) == 0
        os.close(self.pipe)


@pytest.mark.semantics(1007)
def test_an_automount_does_not_wait_for_itself(mount, x_tar, fstab):
    there = mount(start=False)
    there.options["log_level"] = None
    with contextlib.closing(Automount(there.path)) as automount:
        reader = subprocess.Popen(["cat", there.path / x_tar], stdout=subprocess.PIPE,
                                  process_group=0)
        done = automount.serve(lambda: fstab(there, "x-systemd.automount", "_netdev"))
        assert (done.returncode, done.stderr) == (0, "")
        assert reader.communicate(timeout=30)[0] == b"whole"
        assert mounts_at(there.path) == 2
        unmounted_at = subprocess.run(["umount", there.path], timeout=30)
        assert unmounted_at.returncode == 0 and mounts_at(there.path) == 1


@pytest.mark.semantics(1003)
def test_the_background_is_entered_when_the_mount_answers(mount, x_tar):
    there = mount(start=False)
    there.options["log_level"] = None

    def start(**options):
        command = [word for word in there.command() if word != "-f"]
        return subprocess.run(command, env=there.environment, text=True, timeout=START_LIMIT_S,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, **options)
    done = start()
    try:
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert (there.path / x_tar).read_bytes() == b"whole"
    finally:
        unmounted(there)
    there.bucket = "no-such-bucket"
    refused = start()
    assert refused.returncode == 1 and len(refused.stderr.splitlines()) == 1
    assert "no-such-bucket" in refused.stderr and not there.is_mounted()


# What is there already

@pytest.mark.semantics(1008)
def test_a_dead_mount_does_not_block_the_next(mount, x_tar):
    there = mount()
    inside = os.open(there.path / "b", os.O_PATH)
    os.stat(there.path)
    died(there)
    os.stat(there.path)                     # answered from the kernel's memory, as if it lived
    there.start()
    wait_until(lambda: answers(there), START_LIMIT_S)
    assert (there.path / x_tar).read_bytes() == b"whole" and mounts_at(there.path) == 1
    assert "a mount whose program had died was taken away" in there.log()
    os.close(inside)


@pytest.mark.semantics(1009)
def test_a_living_mount_is_left_alone(mount, x_tar):
    there = mount()
    second = mount(start=False)
    second.path.rmdir()
    second.path.symlink_to(there.path)
    assert "stands a mount of %s already" % there.bucket in second.refusal()
    assert mounts_at(there.path) == 1
    assert (there.path / x_tar).read_bytes() == b"whole"


@pytest.mark.semantics(1009)
def test_another_programs_dead_mount_is_left_alone(mount, x_tar):
    """Known by its type: one that calls itself by another name is another's."""
    there = mount(subtype="another")
    died(there)
    second = mount(start=False)
    second.path.rmdir()
    second.path.symlink_to(there.path)
    assert "fusermount3 -uz" in second.refusal()
    assert mounts_at(there.path) == 1


@pytest.mark.semantics(1010)
def test_what_is_in_the_mountpoint_is_not_hidden(mount):
    there = mount(start=False)
    (there.path / "precious").write_text("mine")
    assert "is not empty" in there.refusal()


# Who may use it, and for what

def as_nobody(there, *argv):
    return there.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *argv)


@pytest.mark.semantics(802)
def test_allow_other_with_default_permissions(mount, x_tar):
    there = mount(allow_other=True, default_permissions=True)
    for above in there.path.parents[:4]:
        if above != pathlib.Path("/tmp") and above != pathlib.Path("/"):
            above.chmod(above.stat().st_mode | 0o055)
    assert as_nobody(there, "cat", x_tar).stdout == "whole"
    assert "urls.tsv" in as_nobody(there, "ls", "b").stdout
    for refused in (["cat", "b/urls.tsv"], ["mkdir", "c"], ["touch", "b/y"], ["rm", "-f", x_tar],
                    ["cp", x_tar, "b/z"], ["getfattr", "-n", "user.prerelease.url", x_tar]):
        done = as_nobody(there, *refused)
        assert done.returncode == 1 and "Permission denied" in done.stderr, refused
    assert there.sh("cat b/urls.tsv").returncode == 0
    assert there.keys() == ["b/x.tar"]


@pytest.mark.semantics(803)
def test_others_may_not_use_it_otherwise(mount, x_tar):
    there = mount()
    assert (there.path / x_tar).exists()
    for above in there.path.parents[:4]:
        if above != pathlib.Path("/tmp") and above != pathlib.Path("/"):
            above.chmod(above.stat().st_mode | 0o055)
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                           "cat", there.path / x_tar], stderr=subprocess.PIPE, text=True,
                          cwd="/", env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 1 and "Permission denied" in done.stderr


@pytest.mark.semantics(804)
def test_ro_changes_nothing(mount, x_tar):
    there = mount(ro=True, allow_delete=True)
    assert (there.path / x_tar).read_bytes() == b"whole"
    assert there.sh("cat b/urls.tsv").returncode == 0
    file = there.dir / "file"
    file.write_text("127.0.0.1:1/app:v1\n")
    for refused in (["cp", file, "b/images.ref"], ["cp", file, "b/new"], ["mkdir", "c"],
                    ["rm", x_tar], ["rm", "-r", "b"], ["rmdir", "b"], ["mv", x_tar, "b/y.tar"],
                    ["touch", "b/new"], ["touch", x_tar], ["chmod", "600", x_tar],
                    ["chown", "1", x_tar], ["truncate", "-s0", x_tar], ["ln", x_tar, "b/l"],
                    ["ln", "-s", x_tar, "b/l"], ["mkfifo", "b/p"],
                    ["setfattr", "-n", "user.prerelease.sha256", "-v", "x", x_tar]):
        done = there.run(*refused)
        assert done.returncode == 1 and "Read-only file system" in done.stderr, \
            (refused, done.stderr)
    assert there.keys(internal=True) == ["b/x.tar"]
