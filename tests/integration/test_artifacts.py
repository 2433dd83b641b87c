"""What is no container image: Helm charts and files of ORAS, as a layout or as the file itself."""

import hashlib
import subprocess

import pytest

from archive import Archive
from servers import faults, images, signing
from servers.images import HELM_CONFIG


def check_layout(data, artifact):
    """An OCI layout that holds just this artifact, and nothing for docker."""
    archive = Archive(data)
    blobs = {**artifact.blobs(), artifact.digest: artifact.manifest}
    assert {name: data for name, data in archive.files.items() if name.startswith("blobs/")} == {
        "blobs/sha256/" + digest[7:]: data for digest, data in blobs.items()}
    described, = archive.json("index.json")["manifests"]
    assert (described["digest"], described["size"]) == (artifact.digest, len(artifact.manifest))
    assert "platform" not in described and "manifest.json" not in archive.files
    archive.check_headers()


@pytest.mark.semantics(740, 741, 742)
def test_charts(registry, repository, mount, skopeo, tmp_path):
    chart = images.chart(revision="abc1234def")
    chart.push(registry, repository, "1.2.3")
    reference = "%s/%s:1.2.3" % (registry.host, repository)
    there = mount(platform="linux/arm64")
    done = there.publish("b/fff1234", reference + " web-1.2.3.tgz tag=charts/web:1.2.3",
                         reference + " web.tar tag=charts/web:1.2.3")
    assert (done.returncode, done.stderr) == (0, "")
    layer, = chart.layers
    assert there.object("b/fff1234/web-1.2.3.tgz") == layer.blob
    listed = there.run("tar", "-tzf", "b/fff1234/web-1.2.3.tgz").stdout.split()
    assert listed == ["web/Chart.yaml", "web/values.yaml", "web/templates/config.yaml"]
    check_layout(there.object("b/fff1234/web.tar"), chart)

    rows = {row["file"]: row for row in there.rows("b/fff1234/urls.tsv")}
    assert {(row["image"], row["digest"], row["platform"]) for row in rows.values()} == {
        (reference, chart.digest, "-")}
    assert rows["web-1.2.3.tgz"]["sha256"] == layer.digest[7:]
    for row in there.rows("b/fff1234/status.tsv"):
        assert row["state"] == "published"
        assert "it is an artifact (%s) and no container image" % HELM_CONFIG in row["detail"]
    attributes = there.run("getfattr", "-d", "b/fff1234/web-1.2.3.tgz").stdout
    assert reference in attributes and "user.prerelease.platform" not in attributes

    report = (there.path / "b/fff1234/report.html").read_text()
    summary = (there.path / "b/fff1234/summary.md").read_text()
    for text in report, summary:
        assert "docker load" not in text and "podman load" not in text and "ctr " not in text
    assert "helm install RELEASE web-1.2.3.tgz" in report
    assert 'helm install RELEASE "oci://$REGISTRY/web" --version 1.2.3' in report
    assert "helm install RELEASE web&#45;1&#46;2&#46;3&#46;tgz" in summary
    assert "crane push" not in report and "This image states another revision" in report
    assert "<dt>Artifact</dt><dd><code>%s</code></dd>" % HELM_CONFIG in report

    # Once more: nothing moves; and pinned it is the same again.
    assert there.publish("b/fff1234", reference + " web-1.2.3.tgz tag=charts/web:1.2.3", name="2.ref").returncode == 0
    assert there.rows("b/fff1234/status.tsv")[-1]["state"] == "unchanged"
    (there.path / "releases/v1").mkdir(parents=True)
    assert there.run("cp", "b/fff1234/pinned.ref", "releases/v1/release.ref").returncode == 0
    assert there.object("releases/v1/web-1.2.3.tgz") == layer.blob
    assert there.object("releases/v1/web.tar") == there.object("b/fff1234/web.tar")

    # The layout goes on into another registry as it is, by the command that the page gives.
    skopeo("copy", "--all", "--preserve-digests", "--dest-tls-verify=false",
           "oci-archive:%s" % (there.path / "b/fff1234/web.tar"),
           "docker://%s/%s-copy:1.2.3" % (registry.host, repository))
    reply = registry.session().request("GET", "/v2/%s-copy/manifests/1.2.3" % repository, repository + "-copy",
                                       headers={"Accept": chart.media_type})
    assert reply.content == chart.manifest
    # download.sh takes it home, and says what is next.
    there.run("cp", "b/fff1234/download.sh", tmp_path)
    done = subprocess.run(["sh", "download.sh", "--load=podman"], cwd=tmp_path, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert done.returncode == 0, done.stdout
    assert "helm install RELEASE ./web-1.2.3.tgz" in done.stdout
    assert (tmp_path / "web-1.2.3.tgz").read_bytes() == layer.blob


@pytest.mark.semantics(741, 743)
def test_files_of_oras_and_names_that_do_not_fit(registry, repository, mount, proxy):
    base = registry.host + "/" + repository
    model, config = images.random_bytes(12 << 20, "model"), b'{"layers": 1}'
    images.oras(("model.safetensors", model), kind="application/vnd.example.model").push(
        registry, repository, "model")
    both = images.oras(("model.safetensors", b"x"), ("dir/config.json", config)).push(registry, repository, "both")
    images.oras(("README", b"x")).push(registry, repository, "plain")
    images.oras(("empty.txt", b"")).push(registry, repository, "empty")
    images.Artifact([images.File(config, "text/plain", "a.json")], b"",
                    "application/vnd.unknown.config.v1+json").push(registry, repository, "old")
    images.chart(provenance=b"signed").push(registry, repository, "signed")
    images.small().push(registry, repository, "image")
    there = mount()
    assert there.publish("b", base + ":model model:1.safetensors", base + ":both both.tar",
                         base + ":old a.json", base + ":empty empty.tar").returncode == 0
    assert hashlib.sha256(there.object("b/model:1.safetensors")).digest() == hashlib.sha256(model).digest()
    assert there.object("b/a.json") == config
    check_layout(there.object("b/both.tar"), both)

    # Large enough that the store copies it: not a byte of it comes from the registry.
    between = proxy(registry.url)
    assert there.publish("c", "%s/%s:model other.safetensors" % (between.host, repository)).returncode == 0
    assert there.object("c/other.safetensors") == model
    assert between.seen("GET", "/blobs/") and not between.seen("GET", images.digest_of(model))

    for line, error, words in (
            (":both x.json", "Protocol not supported", "artifact of 2 files"),
            (":signed x.tgz", "Protocol not supported", "artifact of 2 files"),
            (":plain x.json", "Invalid argument", "does not say what its file's name ends in"),
            (":model x.tgz", "Invalid argument", "end it in .safetensors for the file itself"),
            (":empty x.txt", "Protocol not supported", "its file is empty"),
            (":image x.tgz", "Invalid argument", "it is a container image, and NAME ends neither in .tar nor"),
            (":old model:1.safetensors", "Invalid argument", "end it in .json"),
            (":model a.json", "Invalid argument", ".safetensors")):
        done = there.publish("b", base + line, name="x.ref")
        assert done.returncode == 1 and error in done.stderr, (line, done.stderr)
        assert words in there.why("b")[1]
    # Another under the name of an existing one
    images.oras(("other.json", b"other")).push(registry, repository, "other")
    assert "File exists" in there.publish("b", base + ":other a.json", name="y.ref").stderr
    assert there.object("b/a.json") == config and there.uploads() == []


@pytest.mark.semantics(742)
def test_signatures_of_a_chart(registry, repository, mount):
    """Beside the chart as beside an image, though there is only one format of them."""
    chart = images.chart().push(registry, repository, "1.2.3")
    signing.sign(registry, repository, chart.digest, signing.Key())
    there = mount()
    reference = "%s/%s:1.2.3" % (registry.host, repository)
    for _ in "published", "unchanged":
        assert there.publish("b", reference + " web.tgz", reference + " web.tar").returncode == 0
    assert sorted(there.keys()) == ["b/images.ref", "b/web.signatures.tar", "b/web.tar", "b/web.tgz",
                                    "b/web.tgz.signatures.tar"]
    assert there.object("b/web.tgz.signatures.tar") == there.object("b/web.signatures.tar")
    assert there.object("b/web.tgz") == chart.layers[0].blob
    rows = {row["file"]: row["signatures"] for row in there.rows("b/urls.tsv")}
    assert rows["web.tgz"] == rows["web.tar"] != "-"
    report = (there.path / "b/report.html").read_text()
    assert "web.tar.layout" in report and "web.tgz.layout" not in report


@pytest.mark.semantics(742)
def test_an_artifacts_bytes_are_verified(registry, repository, mount, proxy):
    artifact = images.oras(("data.bin", images.random_bytes(300000, "data"))).push(registry, repository, "v1")
    between = proxy(registry.url)
    there = mount()
    between.inject(faults.Flip(), "GET", artifact.layers[0].digest, count=None)
    done = there.publish("b", "%s/%s:v1 x.bin" % (between.host, repository))
    assert done.returncode == 1 and "Bad message" in done.stderr
    assert "hash to sha256:" in there.why("b")[1] and there.keys() == []
