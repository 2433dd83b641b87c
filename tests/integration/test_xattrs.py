"""Extended attributes of a tarball: what its record says, and a link that no copy carries away."""

import datetime
import errno
import hashlib
import os
import re
import subprocess

import pytest

from servers import images

NOBODY = 65534
PREFIX = "user.prerelease."
LISTED = [PREFIX + name for name in ("digest", "etag", "image", "platform", "sha256",
                                             "signatures")]


@pytest.fixture
def published(registry, repository, mount):
    """published(option=...): (mount with b/x:1.tar, the image)"""
    image = images.small("xattrs")
    image.push(registry, repository, "v1")

    def factory(**options):
        there = mount(**options)
        done = there.publish("b", "%s/%s:v1 x:1.tar" % (registry.host, repository))
        assert (done.returncode, done.stderr) == (0, "")
        return there, image

    return factory


def get(there, name, path="b/x:1.tar"):
    return os.getxattr(there.path / path, PREFIX + name).decode()


@pytest.mark.semantics(701)
def test_getfattr_shows_what_the_record_says_and_mints_nothing(published, registry, repository):
    there, image = published()
    path = there.path / "b/x:1.tar"
    assert sorted(os.listxattr(path)) == LISTED
    shown = there.run("getfattr", "--absolute-names", "-d", "b/x:1.tar")
    assert (shown.returncode, shown.stderr) == (0, "")
    said = dict(re.findall(r'^(\S+?)="(.*)"$', shown.stdout, re.M))
    row, = there.rows("b/urls.tsv")
    data = there.object("b/x:1.tar")
    assert list(said) == LISTED
    assert said[PREFIX + "sha256"] == hashlib.sha256(data).hexdigest() == row["sha256"]
    assert said[PREFIX + "image"] == "%s/%s:v1" % (registry.host, repository)
    assert said[PREFIX + "digest"] == image.digest
    assert said[PREFIX + "platform"] == "linux/amd64"
    assert "X-Amz" not in shown.stdout


@pytest.mark.semantics(702)
def test_url_opens_the_object_and_is_logged(published):
    there, _ = published()
    before = there.log().count("links handed out")
    expires = get(there, "expires")
    assert there.log().count("links handed out") == before
    url = get(there, "url")
    assert there.log().count("links handed out") == before + 1
    assert url not in there.log()
    got = subprocess.run(["curl", "-sSf", url], stdout=subprocess.PIPE, check=True).stdout
    assert got == there.object("b/x:1.tar")
    assert "x_1.tar" in url
    row, = there.rows("b/urls.tsv")
    died = [datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
            for text in (expires, row["expires"])]
    assert abs(died[0] - died[1]) < datetime.timedelta(minutes=2)


@pytest.mark.semantics(703)
def test_no_copy_carries_a_link_away(published, tmp_path):
    there, _ = published()
    there.run("cp", "-a", "b/x:1.tar", tmp_path / "copy", check=True)
    there.run("tar", "--xattrs", "--force-local", "-cf", tmp_path / "t.tar", "b/x:1.tar",
              check=True)
    assert b"X-Amz" not in (tmp_path / "t.tar").read_bytes()
    assert all(b"X-Amz" not in os.getxattr(tmp_path / "copy", name)
               for name in os.listxattr(tmp_path / "copy"))
    assert "links handed out" not in there.log()


@pytest.mark.semantics(704)
def test_without_a_record_there_is_an_etag_alone(mount, s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="b/notes.txt", Body=b"notes")["ETag"]
    s3.put_object(Bucket=bucket, Key="b/y.tar", Body=b"by another tool")
    there = mount()
    for name in ("b/notes.txt", "b/y.tar"):
        assert os.listxattr(there.path / name) == [PREFIX + "etag"]
        assert subprocess.run(["curl", "-sSf", get(there, "url", name)],
                              stdout=subprocess.DEVNULL).returncode == 0
    assert get(there, "etag", "b/notes.txt") == etag
    for name, path in (("sha256", "b/notes.txt"), ("nonsense", "b/y.tar"), ("url", "b"),
                       ("url", "b/urls.tsv")):
        with pytest.raises(OSError) as caught:
            get(there, name, path)
        assert caught.value.errno == errno.ENODATA
    assert os.listxattr(there.path / "b") == []


@pytest.mark.semantics(705)
def test_setting_one_is_accepted_and_dropped(published):
    there, _ = published()
    path = there.path / "b/x:1.tar"
    before = get(there, "sha256")
    os.setxattr(path, PREFIX + "sha256", b"forged")
    os.removexattr(path, PREFIX + "sha256")
    assert get(there, "sha256") == before
    with pytest.raises(OSError) as caught:
        os.setxattr(path, "user.other", b"1")
    assert caught.value.errno == errno.EOPNOTSUPP


@pytest.mark.semantics(706)
def test_linkmode_decides_who_reads_links(published):
    there, _ = published(allow_other=True, linkmode="0440")
    # The way to the mount is closed to others otherwise.
    for way in [there.path, *there.path.parents][1:-1]:
        way.chmod(way.stat().st_mode | 0o055)

    def read(name):
        return subprocess.run(["getfattr", "--only-values", "-n", PREFIX + name, "b/x:1.tar"],
                              cwd=there.path, user=NOBODY, group=NOBODY, extra_groups=[],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    assert read("sha256").stdout == get(there, "sha256")
    for name in ("url", "expires"):
        refused = read(name)
        assert refused.returncode != 0 and "Permission denied" in refused.stderr
        assert get(there, name)


@pytest.mark.semantics(707)
def test_without_a_role_there_is_no_link(published):
    there, _ = published(presign_role=None)
    assert sorted(os.listxattr(there.path / "b/x:1.tar")) == LISTED
    with pytest.raises(PermissionError):
        get(there, "url")
    assert "presign_role=" in there.log()
