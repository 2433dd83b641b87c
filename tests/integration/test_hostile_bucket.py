"""Objects below .prereleasefs/ that somebody else wrote: of any content, they neither end a mount nor
mislead it. (Who may write there counts as a publisher: a record that is right in all that can be
checked is believed.)"""

import hashlib
import json
import re
import socket

import pytest

from archive import Archive
from servers import images

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (ERROR|WARN|INFO|DEBUG) [ -~]+")
FALSE = "ee" * 32       # a sha256 that no object here has
JUNK = {
    "empty": b"",
    "binary": bytes(range(256)) * 40,
    "no object": b"[7]",
    "null": b"null",
    "deep": b"[" * 200000,
    "deep objects": b'{"version":' * 100000,
    "wide": b"[" + b"0," * 2000000 + b"0]",
    "huge": b'{"version":1,"key":"' + b"x" * (5 << 20) + b'"}',
    "a later version": b'{"version":99}',
    "no UTF-8": b'{"version":1,"key":"\xff\xfe"}',
    "a forged line": b"\n2026-01-01T00:00:00Z ERROR forged\n\x1b[2J",
}
# What a record says, changed: FALSE must not be believed of any of these.
LIES = {
    "another ETag": {"etag": '"0123456789abcdef0123456789abcdef"'},
    "another key": {"key": "elsewhere/x.tar"},
    "another size": {"size": 12345},
    "a negative size": {"size": -1},
    "a size that is none": {"size": 1e300},
    "a sha256 that is none": {"sha256": FALSE.upper()},
    "a sha256 with more": {"sha256": FALSE + "\t" + FALSE},
    "a forged host": {"publisher": {"host": "a\n2026-01-01T00:00:00Z ERROR forged", "uid": 0}},
    "a forged tag": {"tag": "a:$(reboot)"},
    "a forged reference": {"reference": "a/b:c\tforged\tforged"},
    "a forged platform": {"platform": "\x1b[31mforged"},
    "100,000 layers": {"layers": [{}] * 100000},
    "a layer outside": {"layers": [{"digest": "sha256:" + FALSE, "size": 2**62, "offset": 0,
                                    "blob_offset": 2**62, "media_type": "x"}]},
}


def put(s3, bucket, key, content):
    return s3.put_object(Bucket=bucket, Key=key, Body=content)["ETag"]


def check_log(there):
    """Every line is one of the program's own, and it says nothing about what it did not do."""
    lines = there.log().splitlines()
    assert lines and all(LOG_LINE.fullmatch(line) for line in lines)
    assert not re.search(r"(?m)^\S+ ERROR forged", there.log())


@pytest.fixture
def record(mount, registry, repository, s3, bucket):
    """A true record, as a mount has written it; what else it wrote is gone."""
    images.small().push(registry, repository, "v1")
    there = mount()
    assert there.publish("b", "%s/%s:v1 x.tar" % (registry.host, repository)).returncode == 0
    key, = [key for key in there.keys(internal=True) if "/records/b/x.tar/" in key]
    found = json.loads(there.object(key))
    there.unmount()
    for other in there.keys(internal=True):
        s3.delete_object(Bucket=bucket, Key=other)
    return found


@pytest.mark.semantics(525)
def test_records_and_bundles_of_strangers(mount, s3, bucket, record):
    expected = {}
    cases = {**JUNK, **LIES, "true": {}}
    for at, (name, change) in enumerate(cases.items()):
        directory = "d%02d" % at
        key, body = directory + "/x.tar", b"x" * at
        etag = put(s3, bucket, key, body)
        content = change
        if isinstance(change, dict):
            inner = {each: change[each] for each in change if each in record["image"]}
            lie = {**record, "key": key, "etag": etag, "size": len(body), "sha256": FALSE, **change,
                   "image": {**record["image"], "layers": [], **inner}}
            content = json.dumps(lie).encode()
        where = ".prereleasefs/records/%s/x.tar/%s.json" % (directory, etag.strip('"'))
        put(s3, bucket, where, content)
        expected[directory] = (name, FALSE if name == "true" else "-")
    # Bundles are read where several records are unknown.
    lines = []
    for name, change in LIES.items():
        lines.append(json.dumps({**record, "key": "many/x.tar", "sha256": FALSE, **change,
                                 "image": {**record["image"], "layers": [], **{
                                     each: change[each] for each in change if each in record["image"]}}}))
    bundle = b"\n".join([*(JUNK[name] for name in JUNK if name not in ("huge", "wide")),
                         *(line.encode() for line in lines), JUNK["huge"][:7 << 20]])
    for at in range(3):
        put(s3, bucket, "many/%s.tar" % "xyz"[at], b"y" * at)
    put(s3, bucket, ".prereleasefs/bundles/%s/0-of-1.jsonl" % hashlib.sha256(b"many").hexdigest(), bundle)

    there = mount()
    for directory, (name, sha256) in expected.items():
        row, = there.rows(directory + "/urls.tsv")
        assert row["sha256"] == sha256, name
        assert None not in row and None not in row.values() and "forged" not in str(row), name
        page = (there.path / directory / "report.html").read_text()
        assert (FALSE in page) == (name == "true") and "forged" not in page, name
        assert "forged" not in there.run("getfattr", "-d", directory + "/x.tar").stdout
    assert [row["sha256"] for row in there.rows("many/urls.tsv")] == ["-"] * 3
    check_log(there)


@pytest.mark.semantics(525)
def test_notes_of_strangers_do_not_hinder_a_publish(mount, registry, repository, s3, bucket, record):
    """Index entries for each of an image's layers, intents, and claims on the name."""
    image = images.Image([images.layer("layer-%d" % at, 300000) for at in range(len(JUNK) + 8)])
    image.push(registry, repository, "v2")
    put(s3, bucket, "b/other.tar", b"not what it seems" * 10)
    etag = put(s3, bucket, "b/twin.tar", b"another" * 1000000)
    put(s3, bucket, ".prereleasefs/records/b/twin.tar/%s.json" % etag.strip('"'), json.dumps(
        {**record, "key": "b/twin.tar", "etag": etag, "size": 1}))
    entries = [*JUNK.values(), *(json.dumps({"version": 1, "key": key, "etag": mark}) for key, mark in [
        ("b/other.tar", '"0"'), ("b/nothing.tar", etag), ("b/twin.tar", etag), ("../b/other.tar", etag),
        (".prereleasefs/layers/x", etag), ("", etag), ("b/twin.tar", "x\r\nx-amz-acl: public-read"),
        ("/etc/passwd", etag)])]
    for layer, entry in zip(image.layers, entries):
        put(s3, bucket, ".prereleasefs/layers/%s.tar.json" % layer.digest[7:], entry)
    for at, content in enumerate(JUNK.values()):
        put(s3, bucket, ".prereleasefs/intents/%s/%032x.json" % (socket.gethostname(), at), content)
    claims = ".prereleasefs/names/%s/" % hashlib.sha256(b"c/x.tar").hexdigest()
    for at, content in enumerate([*JUNK.values(), b"no-such-upload\nhost\nc/x.tar\n",
                                  b"\x01\xff?uploads&delete\nhost\n"]):
        put(s3, bucket, claims + str(at), content)
    there = mount()
    done = there.publish("c", "%s/%s:v2 x.tar tag=a:b" % (registry.host, repository))
    assert (done.returncode, done.stderr) == (0, "")
    Archive(there.object("c/x.tar")).check(image, "a:b")
    row, = there.rows("c/urls.tsv")
    assert row["sha256"] == hashlib.sha256(there.object("c/x.tar")).hexdigest()
    check_log(there)
