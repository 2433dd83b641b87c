"""A branch's own pages: the newest tarball of each image, whichever repository's build it is of."""

import hashlib
import subprocess

import pytest

from mounted import GENERATED
from servers import images
from test_links import fetch

API, WEB, OLD = "aaaaaaa", "bbbbbbb", "0123456789abcdef0123456789abcdef01234567"
FILES = GENERATED - {"status.tsv", "index.html"}


@pytest.fixture
def published(registry, repository, mount):
    """published(option=...): a mount with three builds of one branch."""
    def factory(**options):
        images.small().push(registry, repository, "v1")
        there = mount(**options)
        source = "%s/%s:v1 " % (registry.host, repository)
        for build, names in [(OLD, ["api:1.tar", "web:1.tar", "worker:1.tar"]),
                             (API, ["api:2-amd64.tar", "api:2-arm64.tar.gz"]),
                             (WEB, ["web:2.tar"])]:
            done = there.publish("jps/fix-login/" + build, *[source + name for name in names])
            assert (done.returncode, done.stderr) == (0, "")
        return there

    return factory


@pytest.mark.semantics(577)
def test_a_branch_has_the_newest_of_each_image(published, s3, bucket, store, proxy):
    front = proxy(store.endpoint)
    there = published(endpoint=front.url, sts_endpoint=front.url)
    branch = there.path / "jps/fix-login"
    assert FILES <= {path.name for path in branch.iterdir()}
    rows = there.rows("jps/fix-login/urls.tsv")
    assert [row["file"] for row in rows] == [
        API + "/api:2-amd64.tar", API + "/api:2-arm64.tar.gz", WEB + "/web:2.tar",
        OLD + "/worker:1.tar"]
    for row in rows:
        status, body, head = fetch(row["url"])
        assert status == 200 and body == there.object("jps/fix-login/" + row["file"])
        assert hashlib.sha256(body).hexdigest() == row["sha256"] and row["digest"] != "-"
        assert row["file"].split("/")[1].replace(":", "_") in head
    page = (branch / "report.html").read_text()
    assert "<h1>Prerelease jps/fix-login</h1>" in page and "web:1.tar" not in page
    for build in (API, WEB, OLD):
        assert "<dt>Commit</dt><dd><code>%s</code>" % build in page
    # One script, one list of sums for all of them.
    desk = there.dir / "desk"
    desk.mkdir()
    (desk / "SHA256SUMS").write_bytes((branch / "SHA256SUMS").read_bytes())
    done = subprocess.run(["sh", branch / "download.sh"], cwd=desk, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0 and done.stdout.endswith("4 of 4.\n")
    subprocess.run(["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"], cwd=desk, check=True)
    # Neither the root nor what holds branches has such pages, and nothing is asked to know that.
    for other in ("", "jps", "releases"):
        assert not FILES & {path.name for path in (there.path / other).iterdir()}
    front.clear_record()
    subprocess.run(["ls", branch], check=True, stdout=subprocess.DEVNULL)
    assert len(front.seen("GET")) <= 1

    # What is newer now, from another host, and a guide beside the builds.
    s3.put_object(Bucket=bucket, Key="jps/fix-login/%s/worker:2.tar" % WEB, Body=b"new")
    s3.put_object(Bucket=bucket, Key="jps/fix-login/guide.pdf", Body=b"read me")
    s3.put_object(Bucket=bucket, Key="jps/fix-login/%s/deep/er.tar" % WEB, Body=b"not a build's")
    subprocess.run(["sleep", "1.1"], check=True)       # list_ttl
    assert [row["file"] for row in there.rows("jps/fix-login/urls.tsv")][2:] == [
        "guide.pdf", WEB + "/web:2.tar", WEB + "/worker:2.tar"]


@pytest.mark.semantics(577)
def test_a_branch_is_a_directory_like_any_other(published):
    there = published(allow_delete=True)
    (there.path / "jps/next/ccccccc").mkdir(parents=True)
    # Nothing to make a page of yet: a stat says so without an error, an open with one.
    assert (there.path / "jps/next/urls.tsv").stat().st_size == 0
    with pytest.raises(FileNotFoundError):
        (there.path / "jps/next/urls.tsv").read_bytes()
    done = there.run("cp", "-r", "jps/fix-login", "jps/copy")
    assert (done.returncode, done.stderr) == (0, "")
    # A copy is as new as the copying.
    assert {row["file"].split("/")[1].split(":")[0] for row in there.rows("jps/copy/urls.tsv")} == \
        {"api", "web", "worker"}
    for gone in ("jps/copy", "jps/next", "jps/fix-login"):
        done = there.run("rm", "-r", gone)
        assert (done.returncode, done.stderr) == (0, ""), gone
    assert [key for key in there.keys() if key.startswith("jps/")] == []


@pytest.mark.semantics(578)
def test_pinned_references_publish_the_same_images_when_their_tags_have_moved(
        registry, repository, mount, store, proxy):
    first = images.Image([images.busybox_layer(), images.layer("first", 12000000)])
    first.push(registry, repository, "v1")
    line = "%s/%s:v1 app:%%s" % (registry.host, repository)
    front = proxy("http://" + registry.host)
    there = mount(insecure_registry=front.host)
    source = line.replace(registry.host, front.host)
    done = there.publish("b", source % "main.tar", source % "main.tar.gz tag=a:b")
    assert (done.returncode, done.stderr) == (0, "")
    (there.path / "b/notes.txt").write_text("read me")
    images.small().push(registry, repository, "v1")
    front.clear_record()
    (there.path / "releases/v1").mkdir()
    done = there.run("cp", "b/pinned.ref", "releases/v1/release.ref")
    assert (done.returncode, done.stderr) == (0, ""), there.why("releases/v1")
    before, after = there.rows("b/urls.tsv"), there.rows("releases/v1/urls.tsv")
    assert [(row["file"], row["sha256"], row["digest"]) for row in after] == \
        [(row["file"], row["sha256"], row["digest"]) for row in before if row["file"] != "notes.txt"]
    # The layer was copied inside the store (a small one would not be worth it).
    layer = max(first.blobs().items(), key=lambda blob: len(blob[1]))[0]
    assert not front.seen("GET", layer)
