"""Links: who signs them, what they open, when they die, and the files that hold them."""

import datetime
import hashlib
import mmap
import os
import re
import subprocess
import time
import urllib.parse

import pytest

from mounted import wait_until
from servers import images
from servers.ceph import LONG_ROLE

# Keys that a signature, a listing, a table or a page could get wrong.
ODD_NAMES = [
    "app:main.tar", "a+b.tar", "a@b.tar", "a=b.tar", "a~b.tar", "100%.tar", "a%41.tar",
    "two words.tar", "it's.tar", 'say "x".tar', "grün-日本.tar", "<b>&amp;.tar", "a?b=c&d.tar",
    "a#b.tar", "a;b,c.tar", "$(reboot).tar", "back\\slash.tar", "tab\there.tar", "new\nline.tar",
    "-rf", ".hidden", "star*.tar", "brace{1}[2].tar", "!bang^.tar", "`tick`|pipe.tar"]
COLUMNS = ["file", "url", "expires", "size", "sha256", "image", "digest", "platform", "signatures"]


def parts(url):
    """The link's query as a dict."""
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query, strict_parsing=True))


def moment(text):
    """RFC 3339 in UTC, or S3's short form, as seconds."""
    form = "%Y-%m-%dT%H:%M:%SZ" if "-" in text else "%Y%m%dT%H%M%SZ"
    return datetime.datetime.strptime(text, form).replace(
        tzinfo=datetime.timezone.utc).timestamp()


def fetch(url, *options):
    """What curl gets: (status, body, headers)"""
    done = subprocess.run(["curl", "-sS", "-D", "/dev/stderr", *options, url],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    head = done.stderr.decode("latin-1")
    return int(head.split()[1]), done.stdout, head


def unescaped(name):
    return re.sub(r"\\(.)", lambda found: {"t": "\t", "n": "\n"}.get(found[1], found[1]), name)


@pytest.fixture
def published(registry, repository, mount):
    """published(option=...): (mount with two tarballs in b/, the image)"""
    image = images.Image([images.busybox_layer(), images.layer("payload", 300000)])
    image.push(registry, repository, "v1")

    def factory(**options):
        there = mount(**options)
        line = "%s/%s:v1 app:%%s.tar tag=a:b" % (registry.host, repository)
        done = there.publish("b", line % "one", line % "two")
        assert (done.returncode, done.stderr) == (0, "")
        return there, image

    return factory


def test_every_row_downloads_with_plain_curl(published, registry, repository):
    there, image = published()
    rows = there.rows("b/urls.tsv")
    assert list(rows[0]) == COLUMNS
    assert [row["file"] for row in rows] == ["app:one.tar", "app:two.tar"]
    for row in rows:
        status, body, head = fetch(row["url"])
        assert status == 200 and body == there.object("b/" + row["file"])
        assert hashlib.sha256(body).hexdigest() == row["sha256"]
        assert len(body) == int(row["size"])
        assert row["image"] == "%s/%s:v1" % (registry.host, repository)
        assert (row["digest"], row["platform"]) == (image.digest, "linux/amd64")
        assert "%3A" in row["url"].partition("?")[0].rpartition("/")[2]
        name = row["file"].replace(":", "_")
        assert re.search(r'(?i)content-disposition: attachment; filename="?%s"?\r' % name, head)
        assert fetch(row["url"], "-r", "10-19")[:2] == (206, body[10:20])
        assert fetch(row["url"], "-I")[0] == 403


@pytest.mark.semantics(112, 604)
def test_odd_names_are_listed_read_and_linked(mount, s3, bucket):
    for name in ODD_NAMES:
        s3.put_object(Bucket=bucket, Key="odd dir+/" + name, Body=name.encode() * 3)
    there = mount()
    assert sorted(os.listdir(there.path / "odd dir+")) == sorted(
        ODD_NAMES + ["urls.tsv", "report.html", "SHA256SUMS", "download.sh", "download.ps1", "summary.md", "pinned.ref"])
    rows = {unescaped(row["file"]): row for row in there.rows("odd dir+/urls.tsv")}
    assert rows.keys() == set(ODD_NAMES)
    taken = set()
    for name, row in rows.items():
        assert (there.path / "odd dir+" / name).read_bytes() == name.encode() * 3
        status, body, head = fetch(row["url"], "-g")
        assert (status, body) == (200, name.encode() * 3), name
        saved = re.search(r'(?i)content-disposition: attachment; filename="?([^"\r]*)"?\r', head)[1]
        assert re.fullmatch(r"[A-Za-z0-9._+-]+", saved)
        taken.add(saved)
    assert len(taken) == len(ODD_NAMES), "two would be saved under one name"
    assert [row["sha256"] for row in rows.values()] == ["-"] * len(rows)


@pytest.mark.semantics(604)
def test_rows_are_sorted_and_colliding_download_names_differ(mount, s3, bucket):
    for name in ("a_b.tar", "a:b.tar", "a b.tar", "z.txt", "x.ref"):
        s3.put_object(Bucket=bucket, Key="b/" + name, Body=b"")
    there = mount()
    rows = there.rows("b/urls.tsv")
    assert [row["file"] for row in rows] == ["a b.tar", "a:b.tar", "a_b.tar", "z.txt"]
    names = [parts(row["url"])["response-content-disposition"] for row in rows]
    assert len(set(names)) == 4
    assert names[3].endswith(('filename="z.txt"', "filename=z.txt"))
    # A name that is already safe keeps to itself, or all get a hash but the first.
    assert sum(bool(re.search(r'filename="?a_b\.tar"?$', name)) for name in names) == 1


@pytest.mark.parametrize("role, asked, lives", [
    ("S3PresignedURLRole", 900, 900), ("S3PresignedURLRole", 43200, 3600),
    (LONG_ROLE, 43200, 43200), (LONG_ROLE, 7200, 7200)])
@pytest.mark.semantics(605)
def test_expires_is_when_the_session_ends(published, role, asked, lives):
    before = time.time()
    there, _ = published(presign_role="arn:aws:iam:::role/" + role, presign_session=asked)
    row = there.rows("b/urls.tsv")[0]
    dies = moment(row["expires"])
    assert before + lives - 3 <= dies <= time.time() + lives + 3
    query = parts(row["url"])
    assert moment(query["X-Amz-Date"]) + int(query["X-Amz-Expires"]) >= dies
    assert int(query["X-Amz-Expires"]) <= 604800
    if asked > lives:
        assert re.search("presign_profile", there.log()), "no word on how to get 7 days"


@pytest.mark.parametrize("expires", [1, 60, 900, 3000])
@pytest.mark.semantics(605)
def test_expires_is_no_later_than_asked(published, expires):
    there, _ = published(expires=expires)
    before = time.time()
    row = there.rows("b/urls.tsv")[0]
    query = parts(row["url"])
    assert int(query["X-Amz-Expires"]) == expires
    assert moment(row["expires"]) == moment(query["X-Amz-Date"]) + expires
    assert before - 3 <= moment(query["X-Amz-Date"]) <= time.time() + 1


@pytest.mark.semantics(605)
def test_link_dies_when_it_says(published):
    there, _ = published(expires=2)
    row = there.rows("b/urls.tsv")[0]
    assert fetch(row["url"])[0] == 200
    time.sleep(max(0, moment(row["expires"]) - time.time()) + 1.5)
    status, body, _ = fetch(row["url"])
    assert status == 403 and b"<Error>" in body
    # By then there is a fresh one.
    assert fetch(there.rows("b/urls.tsv")[0]["url"])[0] == 200


@pytest.mark.semantics(606)
def test_min_expires_refuses_rather_than_hand_out_a_short_link(published):
    there, _ = published(min_expires=7000)
    with pytest.raises(OSError):
        (there.path / "b/urls.tsv").read_bytes()
    os.stat(there.path / "b/urls.tsv")
    assert "min_expires" in there.log()


@pytest.mark.semantics(608)
def test_links_are_not_minted_with_the_service_account(published, store):
    there, _ = published(prefix="team")
    row = there.rows("b/urls.tsv")[0]
    query = parts(row["url"])
    assert query["X-Amz-Credential"].split("/")[0] != store.publisher.access_key
    assert query["X-Amz-Credential"].split("/", 1)[1] == \
        query["X-Amz-Date"][:8] + "/us-east-1/s3/aws4_request"
    assert query["X-Amz-SignedHeaders"] == "host"


@pytest.mark.semantics(603)
def test_nothing_is_minted_by_listing(published, store, proxy):
    front = proxy(store.endpoint)
    there, _ = published(sts_endpoint=front.url)
    there.rows("b/urls.tsv")
    minted = len(front.seen("POST"))
    for command in (["ls"], ["ls", "-lR"], ["find", ".", "-type", "f"], ["du", "-s", "."]):
        assert there.run(*command).returncode == 0
    for _ in range(3):
        there.rows("b/urls.tsv")
    assert len(front.seen("POST")) == minted
    fresh = there.path / "b"
    assert {"urls.tsv", "report.html", "SHA256SUMS", "status.tsv"} <= set(os.listdir(fresh))


@pytest.mark.semantics(607)
def test_without_a_role_there_are_no_links(registry, repository, mount):
    images.small().push(registry, repository, "v1")
    there = mount(presign_role=None)
    assert there.publish("b", "%s/%s:v1 x.tar" % (registry.host, repository)).returncode == 0
    listed = os.listdir(there.path / "b")
    assert not {"urls.tsv", "report.html", "download.sh", "download.ps1"} & set(listed)
    assert "x.tar" in listed and "SHA256SUMS" in listed
    for name in ("urls.tsv", "report.html", "download.sh"):
        with pytest.raises(PermissionError):
            (there.path / "b" / name).read_bytes()
    assert "presign_role" in there.log()


def test_seven_days_with_a_profile_of_its_own(published, store, bucket):
    reader = store.user("reader-" + bucket)
    store.client().put_bucket_policy(Bucket=bucket, Policy=(
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":'
        '["arn:aws:iam:::user/reader-%s"]},"Action":"s3:GetObject","Resource":'
        '["arn:aws:s3:::%s/*"]}]}' % (bucket, bucket)))
    there, _ = published(presign_role=None, presign_profile="links", files={
        ".aws/credentials": "[links]\naws_access_key_id = %s\naws_secret_access_key = %s\n" % (
            reader.access_key, reader.secret_key)})
    row = there.rows("b/urls.tsv")[0]
    query = parts(row["url"])
    assert query["X-Amz-Expires"] == "604800" and "X-Amz-Security-Token" not in query
    assert query["X-Amz-Credential"].startswith(reader.access_key + "/")
    assert moment(row["expires"]) == moment(query["X-Amz-Date"]) + 604800
    assert fetch(row["url"])[1] == there.object("b/" + row["file"])


@pytest.mark.semantics(602)
def test_open_files_keep_their_content_around_a_publish(published, registry, repository):
    there, _ = published()
    path = there.path / "b/urls.tsv"
    with open(path, "rb") as before:
        size = os.fstat(before.fileno()).st_size
        half = before.read(size // 2)
        line = "%s/%s:v1 app:three.tar tag=a:b" % (registry.host, repository)
        assert there.publish("b", line, name="more.ref").returncode == 0
        with open(path, "rb") as after, \
                mmap.mmap(before.fileno(), 0, prot=mmap.PROT_READ) as old, \
                mmap.mmap(after.fileno(), 0, prot=mmap.PROT_READ) as new:
            assert os.fstat(before.fileno()).st_size == size == len(old)
            whole = half + before.read()
            assert len(whole) == size and old[:] == whole and whole.count(b"\n") == 3
            content = after.read()
            assert os.fstat(after.fileno()).st_size == len(content) == len(new)
            assert new[:] == content and content.count(b"\n") == 4
            assert os.stat(path).st_size in (len(content), size)
    rows = there.rows("b/urls.tsv")
    assert len(rows) == 3


@pytest.mark.parametrize("name", ["urls.tsv", "report.html", "SHA256SUMS", "download.sh"])
@pytest.mark.semantics(601)
def test_generated_files_have_their_exact_size_and_may_not_be_touched(published, name):
    there, _ = published()
    path = there.path / "b" / name
    stat = os.stat(path)
    assert stat.st_mode & 0o777 == 0o444 and stat.st_size == len(path.read_bytes()) > 0
    assert there.run("tar", "cf", there.dir / "t.tar", "b/" + name).returncode == 0
    assert there.run("wc", "-c", "b/" + name).stdout.split()[0] == str(stat.st_size)
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
        with pytest.raises(PermissionError):
            os.open(path, flags)
    with pytest.raises(PermissionError):
        os.open(there.path / "releases" / name, os.O_WRONLY | os.O_CREAT)
    assert there.run("rm", "-f", "b/" + name).returncode == 0
    assert path.read_bytes()


@pytest.mark.semantics(612)
def test_linkmode(published):
    there, _ = published(linkmode="0400")
    assert os.stat(there.path / "b/urls.tsv").st_mode & 0o777 == 0o400
    assert os.stat(there.path / "b/report.html").st_mode & 0o777 == 0o400


@pytest.mark.semantics(609)
def test_sums_verify_what_curl_saved(published, s3, bucket):
    there, _ = published()
    s3.put_object(Bucket=bucket, Key="b/unknown: file.txt", Body=b"?")
    wait_until(lambda: len(there.rows("b/urls.tsv")) == 3, 5)
    desk = there.dir / "desk"
    desk.mkdir()
    for row in there.rows("b/urls.tsv"):
        subprocess.run(["curl", "-fsSOJ", row["url"]], cwd=desk, check=True)
    sums = (there.path / "b/SHA256SUMS").read_bytes()
    (desk / "SHA256SUMS").write_bytes(sums)
    done = subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=desk,
                          stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0
    assert done.stdout == "app_one.tar: OK\napp_two.tar: OK\n"
    assert re.search(rb"(?m)^# .*unknown__file\.txt", sums)


@pytest.mark.semantics(610)
def test_report_is_self_contained_and_complete(published, s3, bucket):
    there, image = published(contact="Release desk <release@example.org>", title="App & friends")
    s3.put_object(Bucket=bucket, Key='b/<img src=x onerror=alert(1)>".tar', Body=b"")
    wait_until(lambda: len(there.rows("b/urls.tsv")) == 3, 5)
    page = (there.path / "b/report.html").read_text()
    assert "<script" not in page.lower() and "<img" not in page
    assert "javascript:" not in page and "onerror=alert(1)&gt;" in page
    assert re.search(r'http-equiv="Content-Security-Policy"', page)
    links = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert links and all(link.startswith(("http://127.0.0.1:", "#", "mailto:")) for link in links)
    for row in there.rows("b/urls.tsv"):
        if row["sha256"] != "-":
            assert row["url"].replace("&", "&amp;") in page
            assert row["sha256"] in page and row["digest"] in page
    for words in ("App &amp; friends", "Release desk &lt;release@example.org&gt;",
                  "linux/amd64", "docker load", "podman load", "ctr", "sha256sum", "403",
                  "confidential"):
        assert words in page, words
    assert urllib.parse.urlsplit(there.rows("b/urls.tsv")[0]["url"]).netloc in page


def test_report_names_branch_and_commit(registry, repository, mount):
    images.small().push(registry, repository, "v1")
    there = mount()
    line = "%s/%s:v1 x.tar" % (registry.host, repository)
    assert there.publish("jps/fix-login/abc1234", line).returncode == 0
    assert there.publish("releases/v1.2.3", line).returncode == 0
    page = (there.path / "jps/fix-login/abc1234/report.html").read_text()
    assert "jps/fix-login" in page and "abc1234" in page
    assert "v1.2.3" in (there.path / "releases/v1.2.3/report.html").read_text()


def test_who_read_one_page_finds_the_next(mount):
    """The kernel says late that a file was closed: what a process has made and read so far does
    not make it a cp -r."""
    there = mount()
    for directory in ("a", "b"):
        (there.path / directory).mkdir()
        (there.path / directory / "x").write_text("x")
    for _ in range(100):
        for directory in ("a", "b"):
            assert (there.path / directory / "urls.tsv").read_bytes()
            (there.path / directory / "SHA256SUMS").read_bytes()


@pytest.mark.semantics(613)
def test_handing_out_links_is_logged_without_them(published, store):
    there, _ = published()
    row = there.rows("b/urls.tsv")[0]
    line, = [line for line in there.log().splitlines()
             if "urls.tsv" in line and re.search(r"\bpid=%d\b" % os.getpid(), line)][:1]
    assert re.search(r"\buid=%d\b" % os.getuid(), line)
    query = parts(row["url"])
    log = there.log()
    for secret in (query["X-Amz-Signature"], query["X-Amz-Security-Token"],
                   store.publisher.secret_key):
        assert secret not in log and urllib.parse.quote(secret, safe="") not in log
