"""What a registry has about an image goes along with it: found however it was stored, carried in a
tarball beside the image's, told of, and never left out in silence."""

import base64
import hashlib
import json
import subprocess

import pytest

from archive import Archive
from servers import images, signing

TAG = "example.org/app:v1"


@pytest.fixture
def key():
    return signing.Key()


@pytest.fixture
def line(registry, repository):
    return "%s/%s:v1 x.tar tag=%s" % (registry.host, repository, TAG)


def entries_of(archive):
    return archive.json("index.json")["manifests"]


def kinds_of(archive):
    """What cosign finds in such a layout: kind -> digest."""
    return {entry["annotations"]["kind"].rpartition("/")[2]: entry["digest"]
            for entry in entries_of(archive) if "kind" in entry.get("annotations", {})}


def blob(archive, digest):
    data = archive.files["blobs/sha256/" + digest.partition(":")[2]]
    assert "sha256:" + hashlib.sha256(data).hexdigest() == digest
    return data


def verified(directory, key):
    """As `cosign verify --local-image` goes about it, with openssl's own signature check."""
    index = json.loads((directory / "index.json").read_bytes())["manifests"]
    kinds = {entry["annotations"]["kind"]: entry["digest"] for entry in index if "kind" in entry.get("annotations", {})}
    read = lambda digest: (directory / "blobs/sha256" / digest[7:]).read_bytes()
    image = kinds.get("dev.cosignproject.cosign/imageIndex") or kinds["dev.cosignproject.cosign/image"]
    assert hashlib.sha256(read(image)).hexdigest() == image[7:]
    (directory / "key.pem").write_text(key.pem())
    good = 0
    for layer in json.loads(read(kinds["dev.cosignproject.cosign/sigs"]))["layers"]:
        (directory / "payload").write_bytes(read(layer["digest"]))
        (directory / "signature").write_bytes(base64.b64decode(layer["annotations"][signing.SIGNATURE]))
        done = subprocess.run(["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature",
                               "payload"], cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        claim = json.loads(read(layer["digest"]))["critical"]["image"]["docker-manifest-digest"]
        good += done.returncode == 0 and claim == image
    return good


@pytest.mark.semantics(708)
def test_a_signature_goes_along(mount, registry, repository, line, key, tmp_path):
    image = images.small().push(registry, repository, "v1")
    signature = signing.sign(registry, repository, image.digest, key)
    there = mount()
    assert there.publish("b", line).returncode == 0
    assert there.keys() == ["b/images.ref", "b/x.signatures.tar", "b/x.tar"]
    Archive(there.object("b/x.tar")).check(image, TAG)
    carried = Archive(there.object("b/x.signatures.tar"))
    assert kinds_of(carried) == {"image": image.digest, "sigs": signature.digest}
    names = {entry["digest"]: entry["annotations"]["org.opencontainers.image.ref.name"]
             for entry in entries_of(carried)}
    assert names == {image.digest: TAG,
                     signature.digest: "example.org/app:" + signing.tag_of(image.digest, ".sig")}
    layout = tmp_path / "layout"
    layout.mkdir()
    for name in "x.tar", "x.signatures.tar":
        subprocess.run(["tar", "-xf", there.path / "b" / name, "-C", layout], check=True)
    assert verified(layout, key) == 1 and verified(layout, signing.Key()) == 0

    # told of everywhere
    rows = {row["file"]: row for row in there.rows("b/urls.tsv")}
    assert rows["x.tar"]["signatures"] == "signatures=1"
    assert rows["x.signatures.tar"]["sha256"] == hashlib.sha256(carried.data).hexdigest()
    assert there.run("getfattr", "--only-values", "-n", "user.prerelease.signatures",
                     "b/x.tar").stdout == "signatures=1"
    states = {row["file"]: (row["state"], row["detail"]) for row in there.rows("b/status.tsv")}
    assert states == {"x.tar": ("published", "signatures=1, carried in x.signatures.tar"),
                      "x.signatures.tar": ("published", "-")}
    page = (there.path / "b/report.html").read_text()
    assert "1 signature, in <code>x.signatures.tar</code>" in page
    assert "--local-image x.tar.layout" in page and "docker load --input x.signatures" not in page

    # again: nothing moves, and the same bytes come of it anywhere
    assert there.publish("b", line).returncode == 0
    assert [row["state"] for row in there.rows("b/status.tsv")][2:] == ["unchanged", "unchanged"]
    assert there.publish("c", line).returncode == 0
    assert there.object("c/x.signatures.tar") == carried.data


@pytest.mark.semantics(709)
def test_nothing_found_is_said(mount, registry, repository, line):
    images.small().push(registry, repository, "v1")
    there = mount()
    assert there.publish("b", line).returncode == 0
    assert there.keys() == ["b/images.ref", "b/x.tar"]
    assert there.rows("b/urls.tsv")[0]["signatures"] == "none"
    assert there.why("b") == ("published", "no signatures")
    assert "none found" in (there.path / "b/report.html").read_text()
