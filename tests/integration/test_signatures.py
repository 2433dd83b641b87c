"""What a registry has about an image goes along with it: found however it was stored, carried in a
tarball beside the image's, told of, and never left out in silence."""

import base64
import hashlib
import json
import re
import subprocess

import pytest

from archive import Archive
from mounted import ROOT
from servers import images, signing
from servers.fake_registry import ENDLESS, FakeRegistry
from servers.images import OCI

TAG = "example.org/app:v1"
INDEX = {"schemaVersion": 2, "mediaType": OCI["index"]}


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
def test_a_signature_goes_along(mount, registry, repository, line, key, tmp_path, skopeo):
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
    # on into another registry, under the name that cosign looks for it
    copy = "%s/copy" % repository
    for name, tag in ((TAG, "v1"), (names[signature.digest], signing.tag_of(image.digest, ".sig"))):
        skopeo("copy", "-q", "--preserve-digests", "--dest-tls-verify=false", "oci:%s:%s" % (layout, name),
               "docker://%s/%s:%s" % (registry.host, copy, tag))
        assert registry.session().manifest(copy, tag, OCI["manifest"]) == {
            "v1": image.manifest}.get(tag, signature.manifest)

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
    assert re.search(r"entry '?x\.signatures\.tar'? .* other ", (there.path / "b/download.sh").read_text())
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


@pytest.mark.semantics(708)
def test_what_is_about_an_index_goes_along_with_it(mount, registry, repository, key, tmp_path):
    """Most sign the index, and one platform of it is published: then it has to be carried, too."""
    index = images.Index([images.small("a"), images.small("b", architecture="arm64")], attest=True)
    index.push(registry, repository, "v1")
    amd = index.images[0]
    signature = signing.sign(registry, repository, index.digest, key)
    attestation = signing.attest(registry, repository, amd.digest)
    sbom = signing.Document([("application/spdx+json", b'{"spdxVersion":"SPDX-2.3"}', None)]).push(
        registry, repository, signing.tag_of(amd.digest, ".sbom"))
    reference = "%s/%s:v1" % (registry.host, repository)
    there = mount()
    assert there.publish("b", reference + " one.tar.gz", reference + " all.tar platform=all").returncode == 0
    assert there.keys() == ["b/all.signatures.tar", "b/all.tar", "b/images.ref", "b/one.signatures.tar.gz",
                            "b/one.tar.gz"]
    one = Archive.of_gzip(there.object("b/one.signatures.tar.gz"))
    assert kinds_of(one) == {"imageIndex": index.digest, "sigs": signature.digest}
    assert {entry["digest"] for entry in entries_of(one)} == {
        amd.digest, index.digest, signature.digest, attestation.digest, sbom.digest}
    whole = Archive(there.object("b/all.signatures.tar"))
    assert kinds_of(whole) == {"imageIndex": index.digest, "sigs": signature.digest}
    rows = {row["file"]: row["signatures"] for row in there.rows("b/urls.tsv")}
    assert rows["one.tar.gz"] == "signatures=1,attestations=1,sboms=1,buildx=1"
    assert rows["all.tar"] == "signatures=1,attestations=1,sboms=1,buildx=2"
    for name in "one.tar.gz", "all.tar":
        layout = tmp_path / name
        layout.mkdir()
        for each in name, name.replace(".tar", ".signatures.tar"):
            subprocess.run(["tar", "-xf", there.path / "b" / each, "-C", layout], check=True)
        assert verified(layout, key) == 1
    assert not {"oci-layout", "manifest.json"} - set(Archive(there.object("b/all.tar")).files)


@pytest.mark.semantics(710)
def test_referrers_of_a_registry_without_their_api(mount, registry, repository, line, key):
    """The list is kept under a tag; what it names and is not there, or about something else, is said."""
    image = images.small().push(registry, repository, "v1")
    sbom = signing.Document([("application/spdx+json", b"{}", None)], subject=image,
                            artifact_type="application/spdx+json").push(registry, repository)
    bundle = signing.bundle(image, key).push(registry, repository)
    other = signing.Document([("text/plain", b"about nothing", None)], artifact_type="x/y").push(registry, repository)
    lost = signing.Document([("text/plain", b"lost", None)], subject=image).push(registry, repository)
    signing.list_referrers(registry, repository, image.digest, lost, sbom, other, bundle)
    registry.session().delete_manifest(repository, lost.digest)
    there = mount()
    assert there.publish("b", line).returncode == 0
    carried = Archive(there.object("b/x.signatures.tar"))
    # cosign 3 looks for bundles in all manifests that are about what is called the image
    assert kinds_of(carried) == {"image": image.digest}
    assert {entry["digest"]: entry.get("artifactType") for entry in entries_of(carried)} == {
        image.digest: None, sbom.digest: sbom.artifact_type, bundle.digest: signing.BUNDLE}
    for document in sbom, bundle:
        assert json.loads(blob(carried, document.digest))["subject"]["digest"] == image.digest
        for digest, data in document.blobs().items():
            assert blob(carried, digest) == data
    rows = {row["file"]: row["signatures"] for row in there.rows("b/urls.tsv")}
    assert rows["x.tar"] == "signatures=1,sboms=1,left_out=2"
    assert "2 documents that could not be carried" in (there.path / "b/report.html").read_text()


@pytest.fixture
def fake():
    registry = FakeRegistry().start()
    yield registry
    registry.stop()


def put_fake(fake, document):
    fake.blobs.update(document.blobs())
    fake.manifests["r@" + document.digest] = (200, {"Content-Type": OCI["manifest"]}, document.manifest)


def listed(*documents, **headers):
    return 200, {"Content-Type": OCI["index"], **headers}, json.dumps(
        {**INDEX, "manifests": [each.descriptor() for each in documents]}).encode()


@pytest.mark.semantics(710)
def test_the_referrers_api(fake, mount):
    """In pages, which lead nowhere else; and what registries answer that have no such API."""
    image = images.small()
    fake.add("r", image)
    there = mount()
    (there.path / "b").mkdir()
    first, second, third = [signing.Document([("text/plain", b"%d" % at, None)], subject=image,
                                             artifact_type="text/plain") for at in range(3)]
    for each in first, second, third:
        put_fake(fake, each)
    path = "/v2/r/referrers/" + image.digest
    elsewhere = FakeRegistry().start()
    fallback = "r:" + signing.tag_of(image.digest)
    fake.manifests[fallback] = listed(third)

    def published(number, *answers):
        fake.others = {path: answers[0], path + "?page=2": answers[-1]}
        done = there.publish("b", "%s/r:v1 %d.tar" % (fake.host, number), name="%d.ref" % number)
        row = [row for row in there.rows("b/status.tsv") if row["file"] == "%d.tar" % number][-1]
        return done.returncode, row["detail"]

    # a page after the other, by a link that names another host: it is asked of this one
    assert published(1, listed(first, Link='<http://%s%s?page=2>; rel="next"' % (elsewhere.host, path)),
                     listed(second)) == (0, "others=2, carried in 1.signatures.tar")
    # none: the tag is asked for instead
    for number, answer in enumerate([
            (404, {}, b""), (400, {}, b""), (405, {}, b"no"), (200, {"Content-Type": "text/html"}, b"<html>"),
            (200, {"Content-Type": OCI["manifest"]}, image.manifest),
            (303, {"Location": "http://%s/-/v2/packages" % elsewhere.host}, b""),
            (307, {"Location": "http://169.254.169.254/"}, b"")], 2):
        assert published(number, answer) == (0, "others=1, carried in %d.signatures.tar" % number)
    # not answered: nothing is published
    for number, (answer, words) in enumerate([
            ((403, {}, b""), "answers 403"),
            (listed(first, Link="<%s>; rel=next" % path), "more than 64 pages"),
            ((200, {"Content-Type": OCI["index"]}, json.dumps({**INDEX, "manifests": [
                {"mediaType": OCI["index"], "digest": image.digest, "size": 1}] * 600}).encode()),
             "more than 512 referrers"),
            (listed(first, Link="</v2/other/referrers/x>; rel=next"), "goes on where it cannot"),
            ((200, {"Content-Type": OCI["index"]}, b"{"), "no JSON"),
            ((200, {"Content-Type": OCI["index"]}, ENDLESS), "larger than")], 20):
        status, detail = published(number, answer)
        assert status == 1 and words in detail and "its signatures" in detail, detail
    assert not [key for key in there.keys() if key.startswith("b/2") and key > "b/20"]
    assert elsewhere.requests == []
    elsewhere.stop()


@pytest.mark.semantics(711)
@pytest.mark.parametrize("kind", ["ecdsa", "ed25519", "rsa"])
def test_verify_key(mount, registry, repository, line, tmp_path, kind):
    key, other = signing.Key(kind), signing.Key(kind)
    image = images.small().push(registry, repository, "v1")
    (tmp_path / "key.pub").write_text(key.pem())
    there = mount(verify_key=tmp_path / "key.pub")
    (there.path / "b").mkdir()

    def refused(words):
        done = there.publish("b", line)
        assert done.returncode == 1 and "Key was rejected by service" in done.stderr
        assert words in there.why("b")[1] and there.keys() == []

    refused("has no signature")
    signing.sign(registry, repository, image.digest, other)
    refused("none of the 1 signatures")
    stranger = signing.payload_of("sha256:" + "b" * 64)
    signing.sign(registry, repository, image.digest, key, payload=stranger)
    refused("one by that key names another image")
    signing.sign(registry, repository, image.digest, other, key)
    assert there.publish("b", line).returncode == 0
    assert there.rows("b/urls.tsv")[1]["signatures"] == "signatures=2,verified"
    assert "one was checked when it was published, with the key whose SHA-256 is" in (
        there.path / "b/report.html").read_text()


@pytest.mark.semantics(711)
def test_verify_key_takes_bundles_and_indexes(mount, registry, repository, key, tmp_path):
    (tmp_path / "key.pub").write_text(key.pem())
    index = images.Index([images.small("x")]).push(registry, repository, "v1")
    bundle = signing.bundle(index, key).push(registry, repository)
    about = signing.bundle(index, key, predicate="https://slsa.dev/provenance/v1").push(registry, repository)
    strange = signing.bundle(images.small("y"), key, subject=index).push(registry, repository)
    there = mount(verify_key=tmp_path / "key.pub")
    reference = "%s/%s:v1" % (registry.host, repository)
    for number, (documents, status) in enumerate([([about], 1), ([strange], 1), ([about, bundle], 0)]):
        signing.list_referrers(registry, repository, index.digest, *documents)
        assert there.publish("b", "%s %d.tar" % (reference, number)).returncode == status, there.why("b")
    # over the manifest itself, which is what is published by its own digest
    image = images.small("z").push(registry, repository, "v2")
    whole = signing.bundle(image, key, is_message=True).push(registry, repository)
    signing.list_referrers(registry, repository, image.digest, whole)
    assert there.publish("c", "%s/%s:v2 z.tar" % (registry.host, repository)).returncode == 0


@pytest.mark.semantics(711)
def test_no_layer_moves_before_the_key_is_checked(fake, mount, key, tmp_path):
    """Nor is a payload believed that is another than its digest says, or larger than any."""
    image = images.small()
    fake.add("r", image)
    (tmp_path / "key.pub").write_text(key.pem())
    there = mount(verify_key=tmp_path / "key.pub")
    (there.path / "b").mkdir()
    signature = signing.signatures(image.digest, key)
    good = dict(signature.blobs())
    payload = signature.layers[0][1].digest
    tag = "r:" + signing.tag_of(image.digest, ".sig")

    def tried(manifest, words):
        fake.manifests[tag] = (200, {"Content-Type": OCI["manifest"]}, manifest)
        done = there.publish("b", fake.host + "/r:v1 x.tar")
        assert done.returncode == 1 and words in there.why("b")[1], there.why("b")

    fake.blobs.update({**good, payload: good[payload].replace(b"critical", b"Critical")})
    tried(signature.manifest, "are others")
    fake.blobs.update(good)
    whole = json.loads(signature.manifest)
    layer, = whole["layers"]
    for layers, words in (([layer] * 10000, "layers, more than"), ([{**layer, "size": 1 << 40}], "more than"),
                          ([{**layer, "size": 3}], "has"), ([layer] * 1500, "more than 1000"),
                          ([{**layer, "annotations": {signing.SIGNATURE: "no base64"}}], "has no signature"),
                          ([{**layer, "digest": "sha512:" + "a" * 128}], "no sha256")):
        tried(json.dumps({**whole, "layers": layers}).encode(), words)
    tried(b'{"schemaVersion":2,"layers":' + b"[" * 5000, "JSON")
    layers = {"/v2/r/blobs/" + each.digest for each in image.layers}
    assert not layers & {path for _, path, _ in fake.requests} and there.keys() == []
    fake.manifests[tag] = (200, {"Content-Type": OCI["manifest"]}, signature.manifest)
    assert there.publish("b", fake.host + "/r:v1 x.tar").returncode == 0
    assert layers <= {path for _, path, _ in fake.requests}


@pytest.mark.semantics(712)
def test_a_signature_can_be_required(mount, registry, repository, line):
    image = images.small().push(registry, repository, "v1")
    signing.attest(registry, repository, image.digest)      # which is no signature
    there = mount(signatures="require")
    done = there.publish("b", line)
    assert done.returncode == 1 and "Key was rejected" in done.stderr
    assert "signatures=require demands one" in there.why("b")[1] and there.keys() == []
    signing.sign(registry, repository, image.digest, signing.Key())
    assert there.publish("b", line).returncode == 0


@pytest.mark.semantics(713)
def test_a_key_file_that_is_none_is_refused_at_once(mount, tmp_path, key):
    for text, words in (
            (None, "No such file"), ("", "no public key"), (key.private_pem(), "holds a private key"),
            (key.pem() * 2, "more than one key"), (signing.weak_pem(), "RSA key has 1024 bits"),
            (signing.curve_pem(), "on the curve")):
        path = tmp_path / "key.pub"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        line = mount(start=False, verify_key=path).refusal()
        assert "verify_key: %s: " % path in line and words in line


@pytest.mark.semantics(714)
def test_signatures_that_come_and_go(mount, registry, repository, line, key):
    image = images.small().push(registry, repository, "v1")
    there = mount()

    def state():
        assert there.publish("b", line).returncode == 0
        rows = there.rows("b/status.tsv")
        return {row["file"]: (row["state"], row["detail"]) for row in rows}, {
            row["file"]: row["signatures"] for row in there.rows("b/urls.tsv")}["x.tar"]

    assert state()[1] == "none"
    signing.sign(registry, repository, image.digest, key)       # comes later: added
    first, column = state()
    assert first["x.tar"][0] == "unchanged" and first["x.signatures.tar"] == ("published", "-")
    assert column == "signatures=1" == there.run("getfattr", "--only-values", "-n", "user.prerelease.signatures",
                                                 "b/x.tar").stdout
    held = there.object("b/x.signatures.tar")
    signing.sign(registry, repository, image.digest, key, signing.Key())    # another: what is there stays
    second, column = state()
    assert second["x.signatures.tar"][0] == "unchanged" and "the registry has others" in second["x.signatures.tar"][1]
    assert there.object("b/x.signatures.tar") == held and column == "signatures=1"
    assert mount(overwrite=True).publish("b", line).returncode == 0          # unless one may replace it
    assert there.object("b/x.signatures.tar") != held
    session = registry.session()
    reply = session.request("GET", "/v2/%s/manifests/%s" % (repository, signing.tag_of(image.digest, ".sig")),
                            repository, headers={"Accept": OCI["manifest"]})
    session.delete_manifest(repository, reply.headers["Docker-Content-Digest"])
    last, column = state()                                                   # gone: likewise
    assert "no signatures at the registry any more; x.signatures.tar stays" in last["x.tar"][1]
    assert column == "signatures=2"


@pytest.mark.semantics(714)
def test_signatures_of_one_image_never_stand_beside_another(mount, registry, repository, key):
    signed = images.small("signed").push(registry, repository, "v1")
    images.small("plain").push(registry, repository, "v2")
    signing.sign(registry, repository, signed.digest, key)
    there = mount(allow_delete=True, overwrite=True)
    reference = "%s/%s" % (registry.host, repository)
    assert there.publish("b", reference + ":v1 x.tar").returncode == 0
    done = there.publish("b", reference + ":v2 x.tar")
    assert done.returncode == 1 and "File exists" in done.stderr
    assert "signatures of another image, %s" % signed.digest in there.why("b")[1]
    assert there.run("rm", "b/x.signatures.tar").returncode == 0
    assert there.publish("b", reference + ":v2 x.tar").returncode == 0
    # without overwrite, beside a tarball that was removed
    other = mount()
    assert there.publish("c", reference + ":v1 x.tar").returncode == 0
    assert there.run("rm", "c/x.tar").returncode == 0
    assert other.publish("c", reference + ":v2 x.tar").returncode == 1
    assert there.publish("c", reference + ":v1 x.signatures.tar").returncode == 1
    assert "is that of an image's signatures" in there.why("c")[1]


@pytest.mark.semantics(715)
def test_a_build_is_promoted_with_its_signatures(mount, registry, repository, line, key):
    image = images.small().push(registry, repository, "v1")
    signing.sign(registry, repository, image.digest, key)
    there = mount()
    assert there.publish("b", line).returncode == 0
    assert there.sh("mkdir -p releases/v1 releases/v2 && cp b/*.tar releases/v1/ && "
                    "cp b/pinned.ref releases/v2/release.ref").returncode == 0
    for release in "releases/v1", "releases/v2":
        assert there.object(release + "/x.signatures.tar") == there.object("b/x.signatures.tar")
        rows = {row["file"]: row["signatures"] for row in there.rows(release + "/urls.tsv")}
        assert rows == {"x.tar": "signatures=1", "x.signatures.tar": "-"}
    assert "x.signatures" not in "".join(text for text in (there.path / "b/pinned.ref").read_text().splitlines()
                                         if not text.startswith("#"))


def sigstore(act, key, data):
    """tests/sigstore/bundle.mjs: sigstore's own client, with a key in a file."""
    return subprocess.run(["node", ROOT / "tests/sigstore/bundle.mjs", act, key], input=data,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)


@pytest.mark.semantics(711)
def test_sigstores_own_client_agrees(mount, registry, repository, line, key, tmp_path):
    """What it signs is taken; what is signed as it does, and was carried, it takes."""
    image = images.small().push(registry, repository, "v1")
    for name, text in (("key", key.private_pem()), ("key.pub", key.pem()), ("other.pub", signing.Key().pem())):
        (tmp_path / name).write_text(text)
    made = sigstore("sign", tmp_path / "key", signing.statement(image))
    assert made.returncode == 0, made.stderr
    theirs = signing.bundle(image, made=json.loads(made.stdout)).push(registry, repository)
    there = mount(verify_key=tmp_path / "key.pub")
    signing.list_referrers(registry, repository, image.digest, theirs)
    assert there.publish("b", line).returncode == 0
    assert mount(verify_key=tmp_path / "other.pub").publish("c", line).returncode == 1

    ours = signing.bundle(image, key).push(registry, repository)
    signing.list_referrers(registry, repository, image.digest, ours)
    assert there.publish("d", line).returncode == 0
    for directory in "b", "d":
        carried = Archive(there.object(directory + "/x.signatures.tar"))
        entry, = [entry for entry in entries_of(carried) if entry.get("artifactType") == signing.BUNDLE]
        layer, = json.loads(blob(carried, entry["digest"]))["layers"]
        assert sigstore("verify", tmp_path / "key.pub", blob(carried, layer["digest"])).returncode == 0
        assert sigstore("verify", tmp_path / "other.pub", blob(carried, layer["digest"])).returncode != 0
