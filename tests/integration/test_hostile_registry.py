"""What a registry may say of an image: none of it ends the mount, takes its memory, or is published."""

import json
import re

import pytest

from archive import Archive
from servers import images
from servers.fake_registry import ENDLESS, FakeRegistry
from servers.images import OCI, digest_of

FORGED = "x\n2026-01-01T00:00:00Z ERROR forged\t\x1b[31mforged\u202e"
INDEX = {"schemaVersion": 2, "mediaType": OCI["index"]}
LAYER = {"mediaType": OCI["layer"], "digest": "sha256:" + "a" * 64, "size": 1}


@pytest.fixture
def fake():
    registry = FakeRegistry().start()
    yield registry
    registry.stop()


def layer(**change):
    """A change of the first layer's descriptor."""
    return lambda manifest: manifest["layers"][0].update(change)


def manifest(**change):
    return lambda it: {**it, **change}


def body(data, media_type=OCI["manifest"], **headers):
    return 200, {"Content-Type": media_type, **headers}, data


def error(text, status=400, **headers):
    return status, headers, json.dumps({"errors": [{"code": "DENIED", "message": text}]}).encode()


DEEP = b"[" * 200000
# name: (what is done, words of the sentence)
CASES = {
    "a layer that is longer": (dict(manifest=layer(size=100)), "the manifest says it has 100"),
    "a layer that is shorter": (dict(manifest=layer(size=1 << 30)), "the manifest says it has 1073741824"),
    "a layer without end": (dict(manifest=layer(size=1 << 62)), "size that no|larger than"),
    "sizes that wrap": (dict(manifest=manifest(layers=[{**LAYER, "size": 2**63 - 1}] * 3)), "size|larger"),
    "many that are large": (dict(manifest=manifest(layers=[
        {**LAYER, "digest": "sha256:%064x" % at, "size": 1 << 43} for at in range(127)]), config=lambda it: it[
            "rootfs"].update(diff_ids=["sha256:" + "a" * 64] * 127)), "larger than|more than"),
    "a negative size": (dict(manifest=layer(size=-1)), "has no size"),
    "half a byte": (dict(manifest=layer(size=0.5)), "has no size"),
    "a size in words": (dict(manifest=layer(size="12")), "has no size"),
    "a huge size": (dict(manifest=layer(size=10**300)), "JSON|size"),
    "100,000 layers": (dict(manifest=manifest(layers=[LAYER] * 100000)), "larger than|layers, more than"),
    "10,000 layers": (dict(manifest=manifest(layers=[LAYER] * 10000)), "layers, more than"),
    "10,000 platforms": (dict(manifest=lambda it: {**INDEX, "manifests": [LAYER] * 10000}), "entries, more than"),
    "no list of layers": (dict(manifest=manifest(layers={})), "no list of layers"),
    "deep": (dict(manifest=body(DEEP)), "JSON|nested"),
    "deep inside": (dict(manifest=body(b'{"schemaVersion":2,"config":' * 5000)), "JSON|nested"),
    "no JSON": (dict(manifest=body(b"<html>")), "JSON|media type|type"),
    "no UTF-8": (dict(manifest=body(b'{"schemaVersion":2,"mediaType":"\xff"}')), "JSON|UTF-8|type"),
    "a manifest without end": (dict(manifest=body(ENDLESS)), "larger than"),
    "a manifest of 64 MB": (dict(manifest=body(b" " * (64 << 20))), "larger than"),
    "a config without end": (dict(manifest=lambda it: it["config"].update(size=5 << 30)), "more than the"),
    "a deep config": (dict(config=DEEP), "JSON|nested"),
    "another config": (dict(manifest=lambda it: it["config"].update(digest="sha256:" + "b" * 64)), "404|answers"),
    "sha512": (dict(manifest=layer(digest="sha512:" + "a" * 128)), "is no sha256"),
    "md5": (dict(manifest=layer(digest="md5:" + "a" * 32)), "is no sha256|no digest"),
    "upper case": (dict(manifest=layer(digest="sha256:" + "A" * 64)), "is no sha256|no digest"),
    "too short": (dict(manifest=layer(digest="sha256:" + "a" * 63)), "is no sha256|no digest"),
    "a path for a digest": (dict(manifest=layer(digest="sha256:../../../token?x=" + "a" * 44)), "sha256|no digest"),
    "a line for a digest": (dict(manifest=layer(digest=FORGED)), "sha256|no digest"),
    "another digest": (dict(manifest=layer(digest="sha256:" + "c" * 64)), "404|others|match"),
    "a forged type": (dict(manifest=layer(mediaType=OCI["layer"] + FORGED)), "type|layer"),
    "a forged platform": (dict(config=lambda it: it.update(architecture=FORGED)), "platform|image of"),
    "an empty index": (dict(manifest=lambda it: {**INDEX, "manifests": []}), "linux/amd64|no image"),
    "an index and an image": (dict(manifest=manifest(**INDEX, manifests=[])), "at once"),
    "a refusal of many words": (dict(manifest=error(FORGED + "y" * (2 << 20))), "answers 400"),
    "a refusal that forges": (dict(manifest=error(FORGED)), "answers 400"),
}


@pytest.mark.semantics(526)
@pytest.mark.parametrize("platform", ["linux/amd64", "all"])
def test_lies_are_not_published(fake, mount, platform):
    there = mount(memory="16M", platform=platform)
    (there.path / "b").mkdir()
    unexpected = []
    for at, (name, (change, words)) in enumerate(CASES.items()):
        fake.add("r%d" % at, images.small(), **change)
        done = there.publish("b", "%s/r%d:v1 x.tar" % (fake.host, at), name="r%d.ref" % at)
        sentence = there.why("b")[1]
        if done.returncode != 1 or not re.search(words, sentence) or len(sentence) > 1000:
            unexpected.append((name, done.returncode, sentence))
    assert unexpected == [] and there.uploads() == []
    assert there.keys() == [] and there.poll() is None
    rows = (there.path / "b/status.tsv").read_text(errors="strict")
    assert rows.count("\n") == len(CASES) + 1 and all(line.count("\t") == 6 for line in rows.splitlines())
    for text in (rows, there.log()):
        assert not re.search(r"(?m)^\S+ ERROR forged", text) and not re.search("[\x1b\u202e]", text)


@pytest.mark.semantics(526)
def test_indexes_without_end(fake, mount):
    """One holds the next; one holds thousands; the chosen one is another than it says."""
    image = images.small()
    there = mount()
    (there.path / "b").mkdir()
    inner, platform = image.manifest, {"os": "linux", "architecture": "amd64"}
    for depth in range(12):
        fake.manifests["deep@" + digest_of(inner)] = body(inner, OCI["index" if depth else "manifest"])
        inner = json.dumps({**INDEX, "manifests": [{
            "mediaType": OCI["index" if depth else "manifest"], "digest": digest_of(inner),
            "size": len(inner), "platform": platform}]}).encode()
    fake.add("deep", image, manifest=body(inner, OCI["index"]))
    fake.add("wide", image, manifest=body(json.dumps({**INDEX, "manifests": [{
        "mediaType": OCI["manifest"], "digest": "sha256:%064x" % at, "size": 1,
        "platform": {"os": FORGED, "architecture": FORGED}} for at in range(3000)]}).encode(), OCI["index"]))
    fake.add("other", image, manifest=body(json.dumps({**INDEX, "manifests": [{
        "mediaType": OCI["manifest"], "digest": "sha256:" + "d" * 64, "size": len(image.manifest),
        "platform": platform}]}).encode(), OCI["index"]))
    fake.manifests["other@sha256:" + "d" * 64] = body(image.manifest)
    for name, words in (("deep", "deep"), ("wide", "linux/amd64"), ("other", "others|match|sha256")):
        assert there.publish("b", "%s/%s:v1 x.tar" % (fake.host, name), name=name + ".ref").returncode == 1
        assert re.search(words, there.why("b")[1]), there.why("b")
    assert there.keys() == [] and "\x1b" not in there.log() and "\n2026-01-01" not in there.log()


@pytest.mark.semantics(526)
def test_references_reach_no_other_host_or_repository(fake, mount):
    there = mount()
    (there.path / "b").mkdir()
    fake.add("a/b", images.small())
    host = fake.host
    for line in ("%s/a/../b:v1", "%s/a/b/../../c:v1", "%s/a//b:v1", "%s//a/b:v1", "%s/a/b:v1?x=y", "%s/a/b:v1#x",
                 "%s/a/b:v1%%2f..", "%s/a/b%%3apull:v1", "%s/a/b:pull,push:v1", "user:pass@%s/a/b:v1",
                 "evil.example#@%s/a/b:v1", "evil.example\\@%s/a/b:v1", "http://%s/a/b:v1", "%s/A/b:v1",
                 "%s/a/b:v1@sha256:../../x", "%s/a/b:-v1", "%s/_catalog", "%s/a/b&scope=repository:c:v1",
                 "%s:80/a/b:v1", "[%s]/a/b:v1", "\u202e%s/a/b:v1"):
        text = line.replace("%%", "%").replace("%s", host)
        path = there.reference_file(text, name="one.ref")
        done = there.run("cp", path, "b/")
        assert done.returncode == 1 and "Invalid argument" in done.stderr, (text, done.stderr)
    assert fake.requests == []
    assert there.publish("b", host + "/a/b:v1 x.tar").returncode == 0
    assert {path.rsplit("/", 2)[0] for _, path, _ in fake.requests} <= {"/v2/a/b", "", "/v2"}


def test_the_fake_registry_serves_what_is_true(fake, mount):
    image = images.small()
    fake.add("r", image)
    there = mount()
    assert there.publish("b", fake.host + "/r:v1 x.tar tag=a:b").returncode == 0
    Archive(there.object("b/x.tar")).check(image, "a:b")
