"""What listing costs, in requests, and that names are kept no longer and shown no
otherwise than list_ttl allows."""

import concurrent.futures
import errno
import html.parser
import os
import pathlib
import re
import subprocess
import time
import urllib.parse

import pytest

from mounted import wait_until
from servers import images

PAGE = 1000             # keys of a page
MANY = 1100
BUILDS = [("br%d/%07x" % (at % 3, at)) for at in range(24)]
LIST = r"list-type=2"
OWN = ".prereleasefs"
RECORDS = r"/\.prereleasefs/records/"
BUNDLES = r"/\.prereleasefs/bundles/"


@pytest.fixture(scope="module")
def listed(stack):
    """A bucket with one large directory and a tree of builds."""
    s3 = stack.store.client(max_pool_connections=8)
    name = stack.bucket("listed")
    keys = ["many/f%04d.txt" % at for at in range(MANY)] + \
        ["%s/%s.txt" % (build, each) for build in BUILDS for each in "ab"]
    with concurrent.futures.ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda key: s3.put_object(Bucket=name, Key=key, Body=key.encode()), keys))
    yield name
    for first in range(0, len(keys), PAGE):
        s3.delete_objects(Bucket=name, Delete={
            "Objects": [{"Key": key} for key in keys[first:first + PAGE]]})
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
        for entry in page.get("Contents", []):
            s3.delete_object(Bucket=name, Key=entry["Key"])
    s3.delete_bucket(Bucket=name)


@pytest.fixture
def front(proxy, store):
    return proxy(store.endpoint)


def through(front, mount, **options):
    """A mount whose requests are counted; those of mounting are not."""
    there = mount(**{"endpoint": front.url, "list_ttl": 60, **options})
    front.clear_record()
    return there


def asked(front):
    """All requests but for the look for what killed mounts have left, which each begins with."""
    return [each for each in front.seen() if "prereleasefs%2Fintents" not in each.target]


def listings(front):
    """Which directories were listed, from their first page on, and pages in all."""
    seen = [each for each in front.seen("GET", LIST) if OWN not in each.target]
    prefixes = [re.search(r"prefix=([^&]*)", each.target) for each in seen]
    first = [match[1] if match else "" for each, match in zip(seen, prefixes)
             if "continuation-token" not in each.target and "start-after" not in each.target]
    return first, len(seen)


def test_ls_l_asks_for_the_pages_and_nothing_for_each_entry(front, mount, listed):
    there = through(front, mount, bucket=listed)
    lines = there.run("ls", "-l", "many").stdout.splitlines()
    assert len([line for line in lines if ".txt" in line]) == MANY
    first, pages = listings(front)
    assert sorted(first) == ["", "many%2F"] and pages == 3      # ceil(N/1000), and one for the root
    # Generated files need a look for bundles, one for records, and a session at most.
    assert len([each for each in asked(front) if OWN in each.target]) <= 2
    assert len(front.seen("POST")) <= 1
    assert len(asked(front)) <= pages + 3

    before = len(asked(front))
    assert there.sh("for f in many/f*; do stat $f || exit 1; done >/dev/null").returncode == 0
    assert len(asked(front)) == before
    assert there.run("ls", "-l", "many").returncode == 0
    assert len(asked(front)) <= before + 1      # records of what is so new may still come


def test_find_lists_each_directory_once_and_mints_nothing(front, mount, listed):
    there = through(front, mount, bucket=listed)
    found = there.run("find", ".", "-name", "?.txt").stdout.split()
    assert sorted(found) == sorted("./%s/%s.txt" % (build, each)
                                   for build in BUILDS for each in "ab")
    first, pages = listings(front)
    assert len(first) == len(set(first)) == 1 + 3 + len(BUILDS) + len(["many", "releases"])
    assert pages == len(first) + 1          # many/ has a second page
    assert len(asked(front)) == pages       # no record, no session
    assert there.run("find", ".", "-type", "f").returncode == 0
    assert len(asked(front)) == pages


def test_du_costs_a_request_for_each_directory_of_records(front, mount, registry, repository):
    """The first reader of all reads records, and bundles them."""
    for at in range(3):
        images.small("du%d" % at).push(registry, repository, "v%d" % at)
    writer = mount()
    reference = "%s/%s" % (registry.host, repository)
    for build in "b/1", "b/2":
        assert writer.publish(build, *["%s:v%d" % (reference, at) for at in range(3)]
                              ).returncode == 0

    reader = through(front, mount)
    assert reader.run("du", "-a", "b").returncode == 0
    assert len(front.seen("GET", RECORDS)) == 6
    front.wait_for("PUT", BUNDLES, count=2)
    assert reader.unmount() == 0

    other = through(front, mount)
    assert other.run("du", "-a", "b").returncode == 0
    assert len(front.seen("GET", BUNDLES)) == 2
    assert not front.seen("GET", RECORDS) and not front.seen("PUT")
    assert len(front.seen("POST")) <= 1

    # What is new is seen beside the bundle.
    assert writer.publish("b/1", "%s:v0 new.tar tag=new:1" % reference, name="new.ref"
                          ).returncode == 0
    third = through(front, mount)
    rows = third.rows("b/1/urls.tsv")
    assert len(rows) == 4 and all(row["sha256"] != "-" for row in rows)
    assert "new.tar" in [row["file"] for row in rows]
    assert len(front.seen("GET", BUNDLES)) == 1 and len(front.seen("GET", RECORDS)) == 1


def test_read_only_mounts_keep_no_bundles(front, mount, registry, repository):
    images.small("ro").push(registry, repository, "v1")
    reference = "%s/%s:v1" % (registry.host, repository)
    assert mount().publish("b", reference + " x.tar", reference + " y.tar").returncode == 0
    there = through(front, mount, ro=True)
    assert [row["sha256"] == "-" for row in there.rows("b/urls.tsv")] == [False, False]
    assert there.unmount() == 0
    assert not front.seen("PUT")


def test_two_hosts_see_each_other(mount):
    one, two = mount(list_ttl=1, allow_delete=True), mount(list_ttl=1)
    (one.path / "b").mkdir()
    assert not (two.path / "b").exists()
    (one.path / "b/a.txt").write_text("a")
    (one.path / "b/c.txt").write_text("c")
    wait_until(lambda: (two.path / "b/a.txt").exists(), 60)
    assert two.run("ls", "-l", "b").returncode == 0         # the kernel keeps these entries
    (one.path / "b/a.txt").unlink()
    assert not (one.path / "b/a.txt").exists()
    wait_until(lambda: not (two.path / "b/a.txt").exists(), 60)
    assert "a.txt" not in os.listdir(two.path / "b") and (two.path / "b/c.txt").exists()


@pytest.mark.semantics(505)
def test_making_a_file_asks_for_no_listing_beside_that_of_the_look_before(front, mount):
    """The kernel asks for the name once more, and holds the directory meanwhile."""
    there = through(front, mount, list_ttl=0)
    (there.path / "b").mkdir()
    path = there.path / "b/x.txt"

    def asked_for(action):
        before = listings(front)[0].count("b%2F")
        result = action()
        return listings(front)[0].count("b%2F") - before, result

    assert asked_for(path.exists) == (1, False)
    count, file = asked_for(lambda: os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    os.write(file, b"x")
    os.close(file)
    assert count == 0
    assert not path.with_name("y.txt").exists()
    assert subprocess.run(["cp", path, path.with_name("y.txt")], check=False).returncode == 0
    assert path.with_name("y.txt").exists() and path.read_bytes() == b"x"   # seen at once


@pytest.fixture
def kept(mount, s3, bucket):
    """A mount whose kernel keeps the entry of b/x.txt for a minute."""
    def factory(**options):
        s3.put_object(Bucket=bucket, Key="b/x.txt", Body=b"first")
        there = mount(list_ttl=60, **options)
        assert "x.txt" in there.run("ls", "-l", "b").stdout
        return there
    return factory


def test_what_a_kept_name_leads_to_is_never_another_version(kept, s3, bucket):
    """A reader that meets the replaced version tells the mount, which tells the kernel."""
    there = kept()
    s3.put_object(Bucket=bucket, Key="b/x.txt", Body=b"the second")
    with pytest.raises(OSError) as caught:
        (there.path / "b/x.txt").read_bytes()
    assert caught.value.errno == errno.ESTALE
    assert (there.path / "b/x.txt").read_bytes() == b"the second"
    assert os.stat(there.path / "b/x.txt").st_size == 10


def test_own_changes_show_at_once_under_kept_names(kept):
    there = kept(allow_delete=True)
    (there.path / "b/x.txt").unlink()
    assert not (there.path / "b/x.txt").exists()
    (there.path / "b/x.txt").write_bytes(b"written anew")
    assert os.stat(there.path / "b/x.txt").st_size == 12
    assert (there.path / "b/x.txt").read_bytes() == b"written anew"


def test_own_replacements_show_at_once_under_kept_names(kept):
    there = kept(overwrite=True)
    (there.path / "b/x.txt").write_bytes(b"replaced")
    assert os.stat(there.path / "b/x.txt").st_size == 8
    assert (there.path / "b/x.txt").read_bytes() == b"replaced"


def test_nobody_meets_the_inode_of_a_kept_name_that_is_being_written(kept):
    there = kept()
    for _ in range(2):      # the second time, what was listed has been written before
        assert "x.txt" in there.run("ls", "-l", "b").stdout
        with open(there.path / "b/x.txt", "wb", buffering=0) as file:
            file.write(b"fi")
            assert os.stat(there.path / "b/x.txt").st_size == 5
            assert there.run("cat", "b/x.txt", timeout_s=20).stdout == "first"
            assert there.run("touch", "b/x.txt", timeout_s=20).returncode == 0
            assert "etag" in there.run("getfattr", "-d", "b/x.txt", timeout_s=20).stdout
            file.write(b"rst")      # the same bytes again are a success
        assert (there.path / "b/x.txt").read_bytes() == b"first"


def test_a_write_under_a_kept_name_fails_as_under_any(kept):
    there = kept()
    done = there.sh("printf other >b/x.txt; cat b/x.txt")
    assert done.stdout == "first"
    assert there.run("cp", there.reference_file("first", name="x.txt"), "b/").returncode == 1
    assert there.keys() == ["b/x.txt"] and there.object("b/x.txt") == b"first"


def test_acls_are_asked_for_once(front, mount, listed):
    """A file system without ACLs says so: ls does not ask for each file again."""
    there = through(front, mount, bucket=listed)
    traced = subprocess.run(["strace", "-c", "-e", "trace=getxattr,lgetxattr", "ls", "-l",
                             there.path / "many"], stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True, timeout=60, check=True).stderr
    calls = re.findall(r"(\d+) +\d+ l?getxattr", traced)
    assert sum(map(int, calls)) < 20, traced
    with pytest.raises(OSError) as caught:
        os.getxattr(there.path / "many/f0001.txt", "system.posix_acl_access")
    assert caught.value.errno == errno.EOPNOTSUPP


class _Links(html.parser.HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        assert tag != "script"
        if tag == "a":
            self.found.append(dict(attrs)["href"])


def followed(path):
    """Every file that the page at `path` leads to, as a browser would find it."""
    page = path.read_text()
    assert "default-src 'none'" in page and path.stat().st_size == len(page.encode())
    links = [urllib.parse.urlsplit(urllib.parse.urljoin(path.as_uri(), link))
             for link in _Links(page).found]
    assert all(link.scheme == "file" for link in links)
    return [pathlib.Path(urllib.parse.unquote(link.path)) for link in links]


def test_index_html_leads_to_every_build_and_costs_a_flat_listing(front, mount, listed):
    there = through(front, mount, bucket=listed)
    pages = {there.path / "index.html"}
    reports = set()
    for page in iter(lambda: min(pages - reports, default=None), None):
        reports.add(page)           # looked at
        pages |= {link for link in followed(page)
                  if link.name == "index.html" and there.path in link.parents}
        if page == there.path / "index.html":
            flat = [each.target for each in front.seen("GET", LIST)
                    if "delimiter" not in each.target and "intents" not in each.target]
            assert len(flat) == 2       # as many pages as all keys together take
            assert len(asked(front)) == 3 and not front.seen("POST")
    assert len(pages) == 1 + 3          # of the root and its three directories of builds
    root = followed(there.path / "index.html")
    assert {link.parent for link in root if link.name == "report.html"} == \
        {there.path / build for build in BUILDS} | {there.path / "many"} | \
        {(there.path / build).parent for build in BUILDS}       # their branches
    assert all(link.exists() for link in root)
    assert os.stat(there.path / "index.html").st_mode & 0o777 == 0o444


def test_index_html_shows_what_is_new_first_and_escapes_names(mount, s3, bucket):
    odd = "x&y/<b>: \"1\""
    s3.put_object(Bucket=bucket, Key="jps/old/x.tar", Body=b"1")
    there = mount(presign_role=None, list_ttl=60)
    assert "index.html" in os.listdir(there.path)
    before = (there.path / "index.html").read_text()
    time.sleep(1.1)         # times have whole seconds
    (there.path / odd).mkdir(parents=True)
    (there.path / odd / "new.txt").write_text("22")
    text = (there.path / "index.html").read_text()
    assert text != before and "<b>" not in text
    links = followed(there.path / "index.html")
    # Without links no report: the directories themselves.
    assert [link for link in links if link.name != "index.html"] == \
        [there.path / odd, there.path / "jps/old"]
    assert followed(there.path / "jps/index.html")[0] == there.path / "index.html"
    with pytest.raises(PermissionError):
        (there.path / "index.html").write_text("mine")
    (there.path / "index.html").unlink()
    assert (there.path / "index.html").exists() and "index.html" not in os.listdir(
        there.path / "jps/old")
