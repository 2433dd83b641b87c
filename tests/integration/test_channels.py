"""Channels: symbolic links in the mount, which are switched, and lead to a release or a build."""

import os
import subprocess
import threading

import pytest

from mounted import wait_until

SUFFIX = ".rclonelink"


@pytest.fixture
def releases(mount):
    """Two releases of one file each, and an empty directory for channels."""
    there = mount(list_ttl=0)
    for version in ("v1", "v2"):
        (there.path / "releases" / version).mkdir()
        (there.path / "releases" / version / "notes.txt").write_text("notes of %s\n" % version)
    (there.path / "channels").mkdir()
    return there


def audited(there, act):
    return [line for line in there.log().splitlines() if " audit=%s " % act in line]


@pytest.mark.semantics(760, 761, 762)
def test_channel(releases):
    made = releases.run("ln", "-sfn", "../releases/v1", "channels/prod")
    assert (made.returncode, made.stderr) == (0, "")
    assert releases.object("channels/prod" + SUFFIX) == b"../releases/v1"
    prod = releases.path / "channels/prod"
    assert os.readlink(prod) == "../releases/v1" and prod.is_symlink()
    assert releases.run("ls", "channels").stdout == "prod\n"
    assert "prod -> ../releases/v1" in releases.run("ls", "-l", "channels").stdout
    assert releases.run("find", ".", "-type", "l").stdout == "./channels/prod\n"
    assert "notes.txt" in releases.run("ls", "channels/prod/").stdout
    assert (prod / "notes.txt").read_text() == "notes of v1\n"
    assert "releases/v1/notes.txt" in releases.rows("channels/prod/urls.tsv")[0]["url"]
    assert "v1" in (prod / "report.html").read_text()
    assert releases.run("test", "-L", "channels/prod").returncode == 0

    for version, before in (("v2", "v1"), ("v1", "v2")):       # and back again
        done = releases.run("ln", "-sfn", "../releases/" + version, "channels/prod")
        assert (done.returncode, done.stderr) == (0, "")
        assert (prod / "notes.txt").read_text() == "notes of %s\n" % version
        assert os.readlink(prod) == "../releases/" + version
        assert os.lstat(prod).st_size == len("../releases/v1")
        told = audited(releases, "symlink")[-1]
        for word in ("outcome=switched", "path=channels/prod", "from=../releases/" + before,
                     "to=../releases/" + version, "uid=%d" % os.getuid()):
            assert word in told, told
    assert releases.keys() == ["channels/prod" + SUFFIX, "releases/v1/notes.txt",
                               "releases/v2/notes.txt"]
