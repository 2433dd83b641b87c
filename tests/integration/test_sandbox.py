"""How little the program needs: as a user of no privileges, and with what its unit leaves it."""

import os
import pathlib
import re
import signal
import subprocess

import pytest

from mounted import PLAIN, PROGRAM
from servers import images

UNIT = pathlib.Path(PROGRAM).parents[1] / "prereleasefs@.service"
ID = 65534     # fusermount3 wants one that has a name: nobody's
OTHER = {"user": 61005, "group": 61005, "extra_groups": []}
EXPOSURE_MAX = 40       # tenths of what systemd-analyze security says; 96 without any sandboxing


def setting(name):
    """What the unit says of it, all lines together."""
    return re.findall(r"^%s=(.*)$" % name, UNIT.read_text(), re.M)


def capabilities(name):
    return ",".join(["-all"] + ["+" + each.lower().replace("cap_", "", 1)
                                for each in " ".join(setting(name)).split()])


def system_calls(words):
    """Those of a SystemCallFilter=, its groups resolved."""
    found = set()
    for word in words:
        if word.startswith("@"):
            shown = subprocess.run(["systemd-analyze", "syscall-filter", word], check=True,
                                   stdout=subprocess.PIPE, text=True).stdout
            found |= system_calls(line.strip() for line in shown.splitlines()[1:]
                                  if line.strip() and not line.strip().startswith("#"))
        else:
            found.add(word)
    return found


def allowed_calls():
    first, *more = setting("SystemCallFilter")
    allowed = system_calls(first.split())
    for line in more:
        assert line.startswith("~"), line
        allowed -= system_calls(line[1:].split())
    return allowed


def as_user(*flags):
    return ["setpriv", "--reuid=%d" % ID, "--regid=%d" % ID, "--clear-groups", *flags]


@pytest.fixture(autouse=True)
def device():
    """/dev/fuse for all, as udev makes it; containers often have it for root alone."""
    before = os.stat("/dev/fuse").st_mode & 0o777
    os.chmod("/dev/fuse", before | 0o666)
    yield
    os.chmod("/dev/fuse", before)


@pytest.fixture
def published(mount, registry, repository):
    """published(there): mounted by a user of no name, published into, read."""
    image = images.small()
    image.push(registry, repository, "v1")

    def use(there):
        for way in [there.path, *there.path.parents][:-1]:
            if way != pathlib.Path("/tmp"):
                way.chmod(way.stat().st_mode | 0o055)
        os.chown(there.path, ID, ID)
        there.start()
        script = """cd $1 && mkdir b && cp $2 b/ && cp b/x.tar b/y.tar && ls -l b >&2 &&
            sha256sum < b/y.tar && cat b/urls.tsv"""
        file = there.reference_file("%s/%s:v1 x.tar" % (registry.host, repository))
        # Root itself may not look in without allow_other.
        done = subprocess.run(as_user("bash", "-ec", script, "bash", there.path, file), text=True,
                              cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        sha256, *rows = done.stdout.splitlines()
        assert done.returncode == 0 and "nobody" in done.stderr, done.stderr
        assert len(rows) == 3 and sha256.split()[0] in rows[1]
        return there

    return use


@pytest.mark.semantics(556)
def test_a_user_of_no_privileges_mounts(published, mount):
    there = published(mount(start=False, before=as_user("--bounding-set=-all,+sys_admin,+setuid,"
                                                        "+setgid,+dac_override")))
    status = pathlib.Path("/proc/%d/status" % there.pid).read_text()
    assert re.search(r"^Uid:\t65534\t65534", status, re.M)
    assert re.search(r"^CapEff:\t0+$", status, re.M)
    there.signal(signal.SIGTERM)
    assert there.wait() == 0 and not there.is_mounted()


@pytest.mark.semantics(557)
def test_what_the_unit_leaves_is_enough(published, mount, tmp_path, store):
    """Its user, capabilities and system calls; and a helper that it starts has no capability."""
    calls = tmp_path / "calls"
    keys = store.publisher
    helper = tmp_path / "helper"
    seen = tmp_path / "seen"
    seen.touch()
    seen.chmod(0o666)
    helper.write_text("""#!/bin/sh
grep ^Cap /proc/self/status > %s
echo '{"Version": 1, "AccessKeyId": "%s", "SecretAccessKey": "%s"}'
""" % (seen, keys.access_key, keys.secret_key))
    helper.chmod(0o755)
    there = published(mount(
        start=False, program=PLAIN, allow_other=True, dmode="0777",
        environment={"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
        files={".aws/config": "[default]\ncredential_process = %s\n" % helper},
        before=["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-e", "signal=none",
                "-e", "trace=!" + ",".join("?" + each for each in allowed_calls()), "-o", calls,
                *as_user("--no-new-privs", "--bounding-set=" + capabilities("CapabilityBoundingSet"),
                         "--inh-caps=" + capabilities("AmbientCapabilities"),
                         "--ambient-caps=" + capabilities("AmbientCapabilities"))]))
    assert re.findall(r"Cap(?:Prm|Eff|Amb):\t(\w+)", seen.read_text()) == ["0" * 16] * 3
    # A file of another user's that is killed is not stored, though the kernel will not say why the
    # process ended.
    writer = subprocess.Popen(["python3", "-c", """if True:
        import sys, time
        file = open("b/half", "wb", buffering=0)
        file.write(b"half")
        print("written", flush=True)
        time.sleep(60)"""], cwd=there.path, stdout=subprocess.PIPE, **OTHER)
    assert writer.stdout.readline() == b"written\n"
    writer.terminate()
    writer.wait(10)
    assert there.run("sh", "-c", "echo whole > b/whole", **OTHER).returncode == 0
    there.signal(signal.SIGTERM)
    assert there.wait() == 0 and not there.is_mounted()
    assert there.keys() == ["b/images.ref", "b/whole", "b/x.tar", "b/y.tar"]
    assert calls.read_text() == "", "not among the unit's system calls"


@pytest.mark.semantics(557)
def test_the_units_exposure(tmp_path):
    unit = tmp_path / "prereleasefs@x.service"
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=" + PROGRAM, UNIT.read_text(), flags=re.M))
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                           "--threshold=%d" % EXPOSURE_MAX, unit], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert done.returncode == 0, done.stdout
    assert "Overall exposure level" in done.stdout
    # Each of these would hide the mount from everybody else.
    assert not re.search(r"^(Private(Tmp|Devices|Mounts|IPC|Users|Network)|Protect(System|Home|Proc|"
                         r"Kernel\w+|ControlGroups)|ProcSubset|\w+Paths|\w*Bind\w*Paths|DynamicUser|"
                         r"Root\w+|TemporaryFileSystem)=", unit.read_text(), re.M)
