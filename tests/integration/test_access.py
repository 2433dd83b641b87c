"""Who may do what in a mount that others see too, and what the log keeps of it.

Two users who are in no passwd file: `member` is of the mount's group, `guest` is not."""

import re
import subprocess

import pytest

from mounted import wait_until
from servers import images

GROUP = 61000
MEMBER = {"user": 61001, "group": 61001, "extra_groups": [GROUP]}
GUEST = {"user": 61002, "group": 61002, "extra_groups": []}
URL = "user.prerelease.url"
FORGED = "a\n2026-01-01T00:00:00Z INFO published audit=publish outcome=published uid=0 pid=1"


def audit(there, act=None):
    """The audit's lines as dicts, by the rule that docs/log.md gives: what stands before the first
    quote was not written by whoever chose a name."""
    found = []
    for line in there.log().splitlines():
        head = re.match(r'[^"]* audit=(\S+) outcome=(\S+)', line)
        if head and act in (None, head[1]):
            pairs = re.findall(r' (\w+)=("(?:[^"\\]|\\.)*"|\S+)', line)
            found.append({name: value for name, value in pairs})
    return found


@pytest.fixture
def shared(mount):
    """A mount for all users; its group may publish."""
    def factory(**options):
        options = {"allow_other": True, "gid": GROUP, "dmode": "0775", **options}
        there = mount(**options)
        for way in [there.path, *there.path.parents][1:-1]:     # open to others only for as long
            way.chmod(way.stat().st_mode | 0o055)               # as this test's directory lives
        return there
    return factory


@pytest.fixture
def line(registry, repository):
    images.small().push(registry, repository, "v1")
    return "%s/%s:v1 x:1.tar" % (registry.host, repository)


def refused(there, who, *argv):
    done = there.run(*argv, **who)
    return done.returncode != 0 and "Permission denied" in done.stderr


@pytest.mark.semantics(802, 550, 551, 552)
def test_groups_publish_and_guests_look(shared, line):
    there = shared(allow_delete=True)
    done = there.run("mkdir", "b", **MEMBER)
    assert (done.returncode, done.stderr) == (0, "")
    file = there.reference_file(line)
    notes = there.dir / "notes.txt"
    notes.write_text("notes\n")
    for _ in range(2):      # the same again is a success for them, too
        for source in (file, notes):
            done = there.run("cp", source, "b/", **MEMBER)
            assert (done.returncode, done.stderr) == (0, "")
    listed = there.run("ls", "b", **GUEST).stdout.split()
    assert {"x:1.tar", "images.ref", "notes.txt", "urls.tsv"} <= set(listed)
    assert there.run("cat", "b/notes.txt", **GUEST).stdout == "notes\n"
    assert there.run("getfattr", "-n", "user.prerelease.sha256", "b/x:1.tar", **GUEST
                     ).returncode == 0
    links = (["cat", "b/urls.tsv"], ["cat", "b/report.html"], ["getfattr", "-n", URL, "b/x:1.tar"],
             ["getfattr", "-n", "user.prerelease.expires", "b/x:1.tar"])
    for command in (*links, ["cp", file, "b/more.ref"], ["cp", file, "b/images.ref"],
                    ["touch", "b/new"], ["mkdir", "c"], ["rm", "-f", "b/x:1.tar"],
                    ["rm", "-f", "b/notes.txt"], ["mv", "b/x:1.tar", "b/y.tar"],
                    ["rmdir", "releases"], ["truncate", "-s0", "b/notes.txt"]):
        assert refused(there, GUEST, *command), command
    assert there.keys() == ["b/images.ref", "b/notes.txt", "b/x:1.tar"]
    for who in (MEMBER, {}):
        assert all(there.run(*command, **who).returncode == 0 for command in links)
    assert there.run("rm", "-f", "b/notes.txt", **MEMBER).returncode == 0


@pytest.mark.semantics(706, 612)
@pytest.mark.parametrize("mode, readers", [
    ("0400", "owner"), ("0440", "owner member"), ("0404", "owner guest"), ("0444", "owner member guest")])
def test_linkmode_counts_for_files_and_attributes_alike(shared, s3, bucket, mode, readers):
    s3.put_object(Bucket=bucket, Key="b/x.tar", Body=b"")
    owner = {"user": 61003, "group": 61003, "extra_groups": []}
    there = shared(linkmode=mode, uid=61003)
    for name, who in (("owner", owner), ("member", MEMBER), ("guest", GUEST)):
        for command in (["cat", "b/urls.tsv"], ["getfattr", "-n", URL, "b/x.tar"]):
            assert refused(there, who, *command) == (name not in readers.split()), (name, command)


@pytest.mark.semantics(613, 901, 553, 554)
def test_one_line_says_who_did_what(shared, line, registry, repository):
    there = shared(allow_delete=True, log_level="error")
    (there.path / "b").mkdir()
    file = there.reference_file(line)
    other = there.reference_file(line.replace(":v1 ", ":v2 "), name="other.ref")
    images.small("other").push(registry, repository, "v2")
    notes = there.dir / "notes.txt"
    notes.write_text("notes\n")

    def done(*argv, status=0):
        child = there.start_command(*argv, **MEMBER)
        text = child.communicate(timeout=60)
        assert child.returncode == status, text
        lines = audit(there)[done.seen:]
        done.seen += len(lines)
        assert all(each["uid"] == "61001" and each["pid"] == str(child.pid) for each in lines)
        return [(each["audit"], each["outcome"], each.get("errno"), each["path"].strip('"'))
                for each in lines]
    done.seen = 0

    tarball = "b/x:1.tar"
    assert done("cp", file, "b/") == [("publish", "published", None, tarball)]
    assert done("cp", file, "b/") == [("publish", "unchanged", None, tarball)]
    assert done("cp", other, "b/", status=1) == [("publish", "failed", "EEXIST", tarball)]
    assert {each["reference"] for each in audit(there)} == {
        line.split()[0], line.split()[0].replace(":v1", ":v2")}
    assert re.fullmatch("sha256:[0-9a-f]{64}", audit(there)[0]["digest"])
    assert done("cp", notes, "b/") == [("store", "stored", None, "b/notes.txt")]
    assert done("cp", notes, "b/") == [("store", "unchanged", None, "b/notes.txt")]
    assert done("cp", file, "b/notes.txt", status=1) == [
        ("store", "failed", "EEXIST", "b/notes.txt")]
    assert done("cp", "b/notes.txt", "b/copy") == [("copy", "copied", None, "b/copy")]
    assert audit(there, "copy")[0]["from"] == "b/notes.txt"
    assert done("mv", "b/copy", "b/moved") == [("rename", "renamed", None, "b/copy")]
    assert audit(there, "rename")[0]["to"] == "b/moved"
    assert done("mv", "b/images.ref", "b/again.ref") == [
        ("rename", "left-to-mv", None, "b/images.ref"), ("publish", "unchanged", None, tarball),
        ("delete", "deleted", None, "b/images.ref")]
    assert done("rm", "b/moved") == [("delete", "deleted", None, "b/moved")]
    assert done("cat", "b/urls.tsv") == [("links", "handed-out", None, "b/urls.tsv")]
    assert done("getfattr", "--only-values", "-n", URL, tarball) == [
        ("links", "handed-out", None, tarball)]
    assert done("rm", "-f", "b/urls.tsv") == []         # nothing happened
    assert done("ls", "-l", "b") == []
    for secret in ("X-Amz-", "Signature", "AWSAccessKey"):
        assert secret not in there.log()


@pytest.mark.semantics(613, 554)
def test_what_is_refused_is_told_too(shared, s3, bucket):
    s3.put_object(Bucket=bucket, Key="b/x.tar", Body=b"")
    there = shared(presign_role=None, linkmode="0444", dmode="0777")
    for command in (["cat", "b/urls.tsv"], ["getfattr", "-n", URL, "b/x.tar"],
                    ["rm", "-f", "b/x.tar"], ["mv", "b/x.tar", "b/y.tar"]):
        assert there.run(*command, **GUEST).returncode == 1
    assert [(each["audit"], each["outcome"], each["errno"], each["uid"])
            for each in audit(there)] == [
        ("links", "failed", "EACCES", "61002"), ("links", "failed", "EACCES", "61002"),
        ("delete", "failed", "EPERM", "61002"), ("rename", "failed", "EPERM", "61002")]


@pytest.mark.semantics(555)
def test_names_forge_no_line(shared):
    there = shared(allow_delete=True, dmode="0777")
    for name in (FORGED, "b audit=delete outcome=deleted uid=0", 'q" audit=x outcome=y uid=0 "',
                 "\x1b[2Ka\r\u202eb", "n" * 255):
        path = there.path / name
        done = subprocess.run(["touch", path], **GUEST)
        assert done.returncode == 0
        wait_until(lambda: audit(there, "store")[-1:] and path.exists(), 10)
        assert there.run("rm", path, **GUEST).returncode == 0
    lines = audit(there)
    assert [each["audit"] for each in lines] == ["store", "delete"] * 5
    assert all(each["uid"] == "61002" and each["outcome"] in ("stored", "deleted")
               for each in lines)
    assert all(" " <= char <= "~" for char in there.log().replace("\n", ""))


@pytest.mark.semantics(561)
def test_a_comma_in_an_option_lets_nobody_in(mount, s3, bucket):
    there = mount(fsname="a\\,allow_other")
    with open("/proc/self/mountinfo") as mounts:
        line, = [line for line in mounts if line.split()[4] == str(there.path)]
    assert line.split(" - ")[1].split()[1] == "a,allow_other"
    assert "allow_other" not in line.split(" - ")[1].split()[2]


@pytest.mark.semantics(550, 761, 762)
def test_groups_switch_channels(shared):
    there = shared()
    done = there.sh("mkdir channels; ln -s ../releases/v1 channels/prod; ln -sfn ../releases/v2 channels/prod", **MEMBER)
    assert (done.returncode, done.stderr) == (0, "")
    assert [(line["outcome"], line["uid"], line["to"]) for line in audit(there, "symlink")] == [
        ("made", "61001", "../releases/v1"), ("made", "61001", "../releases/v2"), ("switched", "61001", "../releases/v2")]
    assert there.run("readlink", "channels/prod", **GUEST).stdout == "../releases/v2\n"
    for argv in (["ln", "-sfn", "../releases/v1", "channels/prod"], ["ln", "-s", "x", "channels/x"], ["rm", "-f", "channels/prod"]):
        assert refused(there, GUEST, *argv), argv
    assert there.keys() == ["channels/prod.rclonelink"]
