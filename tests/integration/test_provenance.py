"""What an image says of its own making: it is kept, shown, and compared with the directory it is
published into."""

import json
import re

import pytest

from servers import images

LABEL = "org.opencontainers.image."
COMMIT = "abc1234def5678901234567890abcdef12345678"
SOURCE = "https://github.com/owner/app"
RUN = SOURCE + "/actions/runs/1/attempts/1"
CONFIG_SOURCE = {"uri": SOURCE + ".git#refs/heads/main", "digest": {"sha1": COMMIT}}
V0_2 = {"builder": {"id": RUN}, "invocation": {"configSource": CONFIG_SOURCE}}
V1 = {"runDetails": {"builder": {"id": RUN}},
      "buildDefinition": {"externalParameters": {"configSource": CONFIG_SOURCE}}}


def labels(**facts):
    return {LABEL + name: value for name, value in facts.items()}


def record(there, key):
    """What is recorded of the image at that key."""
    found, = [name for name in there.keys(internal=True)
              if name.startswith(".prereleasefs/records/%s/" % key)]
    return json.loads(there.object(found))["image"]


def read(there, *paths):
    return [(there.path / path).read_text() for path in paths]


@pytest.mark.semantics(730, 731, 734)
def test_what_an_image_says_is_kept_shown_and_copied(registry, repository, mount):
    there = mount()
    base = registry.host + "/" + repository
    facts = labels(source=SOURCE, revision=COMMIT, version="1.2.3", created="2026-11-21T01:16:33Z")
    images.small("a", labels=facts).push(registry, repository, "labels")
    images.Index([images.Image([images.layer("b")], labels=labels(version="9"),
                               annotations=labels(version="8", source=SOURCE))],
                 annotations=labels(version="7", source="https://wrong", revision=COMMIT),
                 attest=lambda image: [images.provenance(image, V1, images.SLSA_1)]
                 ).push(registry, repository, "index")
    images.Index([images.small("c"), images.small("c-arm", architecture="arm64")],
                 attest=lambda image: [images.provenance(image, {
                     **V0_2, "builder": {"id": RUN + image.platform["architecture"]}})]
                 ).push(registry, repository, "attested")
    done = there.publish("b/abc1234", base + ":labels a.tar", base + ":index b.tar",
                         base + ":attested c.tar platform=all")
    assert (done.returncode, done.stderr) == (0, "")
    attested = {"builder": RUN, "built_from": CONFIG_SOURCE["uri"], "built_revision": COMMIT}
    assert record(there, "b/abc1234/a.tar")["provenance"] == {
        name.removeprefix(LABEL): value for name, value in facts.items()}
    assert record(there, "b/abc1234/b.tar")["provenance"] == {
        "source": SOURCE, "revision": COMMIT, "version": "9", **attested}
    # Of several platforms it is what docker gets that counts.
    assert record(there, "b/abc1234/c.tar")["provenance"] == {**attested, "builder": RUN + "amd64"}
    assert not any("states revision" in row["detail"] for row in there.rows("b/abc1234/status.tsv"))

    report, summary = read(there, "b/abc1234/report.html", "b/abc1234/summary.md")
    for label, value in (("Stated source", SOURCE), ("Stated revision", COMMIT), ("Stated version", "9"),
                         ("Stated date", "2026-11-21T01:16:33Z"), ("Attested builder", RUN),
                         ("Attested source", CONFIG_SOURCE["uri"]), ("Attested revision", COMMIT)):
        assert "<dt>%s</dt><dd><code>%s</code></dd>" % (label, value) in report
    assert "states another revision" not in report and "**Warning:**" not in summary
    assert summary.count(COMMIT) == 2 and "| As it says itself |" in summary

    (there.path / "releases/v1").mkdir(parents=True)
    assert there.sh("cp b/abc1234/b.tar releases/v1/").returncode == 0
    assert record(there, "releases/v1/b.tar")["provenance"]["built_from"] == CONFIG_SOURCE["uri"]
    assert "Attested builder" in read(there, "releases/v1/report.html")[0]


@pytest.mark.semantics(732)
def test_a_revision_of_another_commit_is_warned_of(registry, repository, mount):
    there = mount()
    base = registry.host + "/" + repository
    images.small("a", labels=labels(revision=COMMIT)).push(registry, repository, "a")
    images.Index([images.small("b")], attest=lambda image: [images.provenance(image, V0_2)]).push(
        registry, repository, "b")
    for directory, warned in (("b/abc1234", []), ("b/" + COMMIT, []), ("b/main", []), ("releases/v1", []),
                              ("b/fff1234", ["a.tar", "b.tar"]), ("b/" + COMMIT[:-1] + "9", ["a.tar", "b.tar"])):
        assert there.publish(directory, base + ":a a.tar", base + ":b b.tar").returncode == 0
        sentence = "it states revision %s, and the directory is of %s" % (COMMIT, directory[2:])
        assert [row["file"] for row in there.rows(directory + "/status.tsv")
                if row["detail"].startswith(sentence + ";")] == warned
        assert sum("states revision" in row["detail"] for row in there.rows(directory + "/status.tsv")) == len(warned)
        report, summary = read(there, directory + "/report.html", directory + "/summary.md")
        assert report.count("This image states another revision") == len(warned)
        assert summary.count("**Warning:**") == len(warned)
        lines = [line for line in there.log().splitlines()
                 if "WARN an image states another revision" in line and "path=%s/" % directory in line]
        assert len(lines) == len(warned) and all("revision=" + COMMIT in line for line in lines)
    # A copy into another commit's directory, and the page of the whole branch
    (there.path / "b/eee1234").mkdir()
    assert there.sh("cp b/abc1234/a.tar b/eee1234/z.tar").returncode == 0
    report, branch = read(there, "b/eee1234/report.html", "b/report.html")
    assert "This image states another revision" in report and "This image states another revision" in branch


@pytest.mark.semantics(733)
def test_what_an_image_says_does_no_harm(registry, repository, mount):
    there = mount()
    base = registry.host + "/" + repository
    evil = '"\'><script>alert(1)</script><img src=x onerror=alert(1)>\u202e|`@me'
    statements = lambda image: [    # noqa: E731
        b"[" * 100000, b"\xff", images.provenance(image, [[[]]]),
        images.provenance(image, {"builder": {"id": evil, "x": "y" * (3 << 20)}}),
        images.provenance(image, {"builder": {"id": "z" * (1 << 20)}, "invocation": {
            "configSource": {"uri": evil, "digest": {"sha1": "fff1234" + evil}}}})]
    image = images.Image([images.layer("a")], annotations=labels(created=evil), labels=labels(
        source="javascript:alert(1)//" + evil, revision="x" * (1 << 20), version="a\nERROR forged\t\x1b[31m",
        created="2026\u0000-01-01"))
    images.Index([image], attest=statements).push(registry, repository, "v1")
    assert there.publish("b/abc1234", base + ":v1 x.tar").returncode == 0
    assert record(there, "b/abc1234/x.tar")["provenance"] == {
        "source": "javascript:alert(1)//" + evil, "created": evil, "built_from": evil,
        "built_revision": "fff1234" + evil}
    detail = there.why("b/abc1234")[1]
    assert detail.startswith("it states revision fff1234") and len(detail) < 400
    assert "; 3 of its provenance statements make no sense or are too large" in detail
    report, summary, status = read(there, "b/abc1234/report.html", "b/abc1234/summary.md", "b/abc1234/status.tsv")
    assert "<script" not in report and "<img" not in report and 'href="javascript' not in report
    assert "<script" not in summary and "<img" not in summary and "](" not in summary and "@me" not in summary
    for text in (report, summary, status, there.log()):
        assert not re.search("[\x1b\u202e]|^ERROR forged", text) and len(text) < 100000
