"""Images of several platforms, and what buildx says about each: one tarball holds what was asked
for, and every engine takes its own out of it."""

import hashlib
import json

import pytest

from archive import Archive
from servers import images


@pytest.fixture
def index(registry, repository):
    made = images.Index([images.small("arm", architecture="arm64"), images.runnable(),
                         images.small("arm7", architecture="arm", variant="v7")], attest=True)
    return made.push(registry, repository, "v1")


@pytest.fixture
def reference(registry, repository, index):
    return "%s/%s:v1" % (registry.host, repository)


def check_held(archive, held, attestations, index, kept):
    """Every blob of these, none of others; the index where one is kept."""
    expected = {digest for image in [*held, *attestations] for digest in image.blobs()}
    expected |= {image.digest for image in [*held, *attestations]}
    if kept:
        expected.add(index.digest)
    assert {"sha256:" + name.rpartition("/")[2] for name in archive.files
            if name.startswith("blobs/")} == expected


@pytest.mark.semantics(495)
def test_all_platforms(mount, reference, index, docker, podman, containerd, skopeo):
    arm, amd, arm7 = index.images
    there = mount(platform="all")
    tag = "example.org/all:v1"
    assert there.publish("b", reference + " all.tar tag=" + tag).returncode == 0
    archive = Archive(there.object("b/all.tar"))
    archive.check(amd, tag)         # what docker gets
    check_held(archive, index.images, index.attestations, index, True)
    described, = archive.json("index.json")["manifests"]
    assert (described["digest"], described["mediaType"]) == (index.digest, index.media_type)
    row, = there.rows("b/urls.tsv")
    assert (row["digest"], row["platform"]) == (index.digest, "linux/amd64,linux/arm64,linux/arm/v7")
    assert row["sha256"] == hashlib.sha256(archive.data).hexdigest()

    path = there.path / "b/all.tar"
    for engine in docker, podman, containerd:
        engine.load(path)
        if engine is containerd:
            assert engine.manifest_digest(tag) == index.digest
        else:
            assert engine.config_digest(tag) == amd.config_digest
            assert engine.output(tag) == "hello from the container\n"
        engine.remove(tag)
    for image, override in (arm, "--override-arch=arm64"), (amd, "--override-arch=amd64"):
        assert skopeo(override, "inspect", "--raw", "--config",
                      "oci-archive:%s" % path) == image.config

    assert there.publish("b", reference + " all.tar tag=" + tag, name="2.ref").returncode == 0
    assert [each["state"] for each in there.rows("b/status.tsv")] == ["published", "unchanged"]
    assert there.publish("b", reference + " all.tar platform=linux/amd64 tag=" + tag,
                         name="3.ref").returncode != 0
    assert "choose another name" in there.why("b")[1]


@pytest.mark.semantics(735)
def test_all_stays_all_when_it_is_pinned(mount, registry, repository):
    made = images.Index([images.small("arm", architecture="arm64")]).push(registry, repository, "v1")
    there = mount()
    reference = "%s/%s:v1 x.tar platform=all" % (registry.host, repository)
    assert there.publish("b", reference).returncode == 0
    (there.path / "releases/v1").mkdir()
    assert there.run("cp", "b/pinned.ref", "releases/v1/release.ref").returncode == 0
    assert there.object("releases/v1/x.tar") == there.object("b/x.tar")
    assert [there.rows(path + "/urls.tsv")[0]["digest"] for path in ("b", "releases/v1")] == [made.digest] * 2


@pytest.mark.semantics(496, 754)
def test_a_list_of_platforms(mount, registry, reference, index, skopeo):
    arm, amd, _ = index.images
    there = mount(platform="linux/arm64,linux/amd64")   # as the option, in a list of options
    assert there.publish("b", reference + " list.tar.gz").returncode == 0
    archive = Archive.of_gzip(there.object("b/list.tar.gz"))
    archive.check(arm, reference)   # docker gets the first
    check_held(archive, [arm, amd], index.attestations[:2], index, True)
    assert there.rows("b/urls.tsv")[0]["platform"] == "linux/arm64,linux/amd64"
    # Nobody can copy an index of which some is missing: the page copies each platform by itself.
    report = (there.path / "b/report.html").read_text()
    assert "--all" not in report and "crane push" not in report
    (there.dir / "list.tar").write_bytes(archive.data)
    for image in arm, amd:
        name = image.platform["architecture"]
        target = '%s/%s-%s"' % ("$REGISTRY", reference.rpartition("/")[2], name)
        options = ["--override-os", "linux", "--override-arch", name, "copy", "--preserve-digests"]
        assert 'skopeo %s oci-archive:' % " ".join(options) in report and target in report
        skopeo(*options, "--dest-tls-verify=false", "oci-archive:%s" % (there.dir / "list.tar"),
               "docker://%s/copied-%s:1" % (registry.host, name))
        reply = registry.session().request("GET", "/v2/copied-%s/manifests/1" % name, "copied-" + name,
                                           headers={"Accept": image.media_type})
        assert reply.content == image.manifest
    assert there.publish("b", reference + " list.tar.gz platform=linux/amd64,linux/arm64",
                         name="order.ref").returncode != 0
    assert "in another order" in there.why("b")[1]
    assert there.publish("b", reference + " no.tar platform=linux/arm,linux/arm/v7",
                         name="twice.ref").returncode != 0
    assert "names one image twice: linux/arm/v7 is the one" in there.why("b")[1]
    assert there.publish("b", reference + " no.tar platform=linux/amd64,linux/s390x",
                         name="no.ref").returncode != 0
    assert "no image of linux/s390x; platform= can be one of: linux/arm64, linux/amd64, " \
        "linux/arm/v7" in there.why("b")[1]


@pytest.mark.semantics(497)
def test_what_buildx_attests_goes_along(mount, reference, index):
    arm, amd, _ = index.images
    there = mount()
    assert there.publish("b", reference + " one.tar").returncode == 0
    archive = Archive(there.object("b/one.tar"))
    archive.check(amd, reference)
    check_held(archive, [amd], index.attestations[1:2], index, True)
    described, = archive.json("index.json")["manifests"]
    assert described["digest"] == amd.digest
    statement, = index.attestations[1].layers
    assert json.loads(archive.files["blobs/sha256/" + statement.digest[7:]])["predicateType"]


def test_an_attestation_that_a_mirror_left_behind_is_told_of(mount, registry, repository):
    made = images.Index([images.runnable()], attest=True)
    made.push(registry, repository, "v1")
    registry.session().delete_manifest(repository, made.attestations[0].digest)
    there = mount(platform="all")
    assert there.publish("b", "%s/%s:v1 x.tar" % (registry.host, repository)).returncode == 0
    row, = there.rows("b/status.tsv")
    assert (row["state"], row["detail"]) == (
        "published", "the registry has not 1 of the attestations that its index names; no signatures")
