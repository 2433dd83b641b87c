"""Publishing: what arrives in the bucket is the image, and it loads everywhere."""

import hashlib
import json
import threading
import time

import pytest

from archive import Archive
from mounted import wait_until, within
from servers import faults, images

MIB = 1 << 20


def _two_platforms():
    return images.Index([images.runnable(), images.small(architecture="arm64")], attest=True)


# Each image that a publish must get right: how it is made.
IMAGES = {
    "one layer": lambda: images.runnable(),
    "30 layers": lambda: images.Image([images.busybox_layer()] + [
        images.layer("l%d" % at, 100 + at) for at in range(29)]),
    "an empty layer": lambda: images.Image([images.busybox_layer(), images.empty_layer()]),
    "one layer twice": lambda: images.Image([
        images.busybox_layer(), images.layer("twice"), images.layer("x"), images.layer("twice")]),
    "a layer over the part size": lambda: images.Image([
        images.busybox_layer(), images.layer("large", 37 * MIB + 17, compression=None)]),
    "docker schema 2": lambda: images.runnable(kind="docker"),
    "docker schema 2 list": lambda: images.Index([images.runnable(kind="docker")], kind="docker"),
    "two platforms with attestations": _two_platforms,
    "uncompressed layers": lambda: images.Image([
        images.Layer(images.tar_of({"message": b"plain\n"}), None), images.busybox_layer()]),
}
ZSTD = lambda: images.Image([images.busybox_layer(),                        # noqa: E731
                             images.layer("z", 200000, compression="zstd")])
ODD = lambda: images.Image([images.raw_layer(b""), images.raw_layer(b"x"),  # noqa: E731
                            images.layer("plain")])


def pushed(registry, repository, made, tag="v1"):
    """Pushes; returns the image that a publish for linux/amd64 takes."""
    made.push(registry, repository, tag)
    return made.images[0] if isinstance(made, images.Index) else made


@pytest.mark.parametrize("kind", [*IMAGES, "zstd layers", "1-byte and 0-byte blobs"])
def test_tarball_holds_the_image_byte_for_byte(registry, repository, mount, kind):
    maker = {**IMAGES, "zstd layers": ZSTD, "1-byte and 0-byte blobs": ODD}[kind]
    image = pushed(registry, repository, maker())
    there = mount()
    name = "%s/%s:v1" % (registry.host, repository)
    done = there.publish("jps/fix/abc1234", name + " app.tar")
    assert (done.returncode, done.stderr) == (0, "")
    data = there.object("jps/fix/abc1234/app.tar")
    Archive(data).check(image, name)
    row, = there.rows("jps/fix/abc1234/urls.tsv")
    assert (row["file"], int(row["size"])) == ("app.tar", len(data))
    assert row["sha256"] == hashlib.sha256(data).hexdigest()
    assert row["platform"] == "linux/amd64"
    assert (there.path / "jps/fix/abc1234/app.tar").read_bytes() == data


@pytest.mark.parametrize("kind", [*IMAGES, "zstd layers"])
def test_tarball_loads_in_every_engine(registry, repository, mount, kind, docker, podman,
                                       containerd, skopeo):
    zstd = kind == "zstd layers"
    image = pushed(registry, repository, ZSTD() if zstd else IMAGES[kind]())
    there = mount()
    tag = "example.org/%s:v1" % repository
    assert there.publish("b", "%s/%s:v1 app:v1.tar tag=%s" % (
        registry.host, repository, tag)).returncode == 0
    archive = there.path / "b/app:v1.tar"
    for engine in (podman, containerd) if zstd else (docker, podman, containerd):
        engine.load(archive)
        assert engine.config_digest(tag) == image.config_digest
        if engine is containerd:
            assert engine.manifest_digest(tag) == image.digest
            assert engine.file(tag, "message").endswith(b"\n")
        else:
            assert engine.output(tag) in ("hello from the container\n", "plain\n")
        engine.remove(tag)
    for transport in skopeo.TRANSPORTS:
        assert skopeo.config_digest(transport, archive) == image.config_digest
    assert skopeo.manifest(archive) == image.manifest


@pytest.mark.parametrize("line, key, name", [
    ("{at}:v1", "{last}:v1.tar", "{at}:v1"),
    ("{at}:v1 x.tar", "x.tar", "{at}:v1"),
    ("{at}:v1 x.tar.gz", "x.tar.gz", "{at}:v1"),
    ("{at}:v1 tag=a/b:c", "{last}:v1.tar", "a/b:c"),
    ("{at}:v1\tx.tar\ttag=a/b:c\tplatform=linux/amd64", "x.tar", "a/b:c"),
    ("{at}@{digest}", "{last}:sha256-{hex12}.tar", "{at}:sha256-{hex12}"),
    ("{at}:other@{digest}", "{last}:other.tar", "{at}:other"),
    ("  {at}:v1  ", "{last}:v1.tar", "{at}:v1"),
])
@pytest.mark.semantics(407)
def test_names(registry, repository, mount, line, key, name):
    image = images.small().push(registry, repository, "v1")
    words = {"at": "%s/%s" % (registry.host, repository), "digest": image.digest,
             "last": repository.rpartition("/")[2], "hex12": image.digest[7:19]}
    there = mount()
    done = there.publish("b", "# a comment", "", line.format(**words))
    assert (done.returncode, done.stderr) == (0, "")
    key = "b/" + key.format(**words)
    assert there.keys() == sorted([key, "b/images.ref"])
    open_it = Archive.of_gzip if key.endswith(".gz") else Archive
    open_it(there.object(key)).check(image, name.format(**words))


@pytest.mark.semantics(407)
def test_format_option_gives_the_extension(registry, repository, mount):
    image = images.small().push(registry, repository, "v1")
    there = mount(format="tar.gz")
    reference = "%s/%s:v1" % (registry.host, repository)
    assert there.publish("b", reference).returncode == 0
    key = "b/%s:v1.tar.gz" % repository.rpartition("/")[2]
    Archive.of_gzip(there.object(key)).check(image, reference)


@pytest.mark.parametrize("wanted, found", [
    (None, 0), ("linux/amd64", 0), ("linux/arm64", 1), ("linux/s390x", None),
    ("unknown/unknown", None)])
@pytest.mark.parametrize("where", ["line", "option"])
@pytest.mark.semantics(407)
def test_platform(registry, repository, mount, wanted, found, where):
    index = _two_platforms().push(registry, repository, "v1")
    there = mount(platform=wanted if where == "option" else None)
    reference = "%s/%s:v1" % (registry.host, repository)
    done = there.publish("b", reference + " x.tar" + (
        " platform=" + wanted if wanted and where == "line" else ""))
    if found is None:
        assert done.returncode != 0 and there.keys() == []
    else:
        assert (done.returncode, done.stderr) == (0, "")
        Archive(there.object("b/x.tar")).check(index.images[found], reference)
        platform = index.images[found].platform
        assert there.rows("b/urls.tsv")[0]["platform"] == \
            "%(os)s/%(architecture)s" % platform


@pytest.mark.parametrize("script", [
    'cp "$1" b/x.ref',
    'cp -p "$1" b/x.ref',
    'tee b/x.ref < "$1" > /dev/null',
    'dd if="$1" of=b/x.ref status=none',
    'dd if="$1" of=b/x.ref bs=7 status=none',
    'cat "$1" > b/x.ref',
    'echo "$(cat "$1")" > b/x.ref',
    'printf %s "$(cat "$1")" > b/x.ref',
    'install -m 644 "$1" b/x.ref',
    'while read -r line; do echo "$line"; done < "$1" > b/x.ref',
])
@pytest.mark.semantics(401, 402)
def test_every_way_to_write_a_file_publishes(registry, repository, mount, script):
    image = images.small().push(registry, repository, "v1")
    there = mount()
    reference = "%s/%s:v1" % (registry.host, repository)
    refs = there.reference_file("# of today", reference + " x.tar")
    done = there.sh("mkdir -p b && " + script, refs)
    assert (done.returncode, done.stderr) == (0, "")
    if script.startswith("printf"):
        # Its end is acted on by the close that the shell does not wait for.
        wait_until(lambda: "b/x.ref" in there.keys())
    assert there.keys() == ["b/x.ref", "b/x.tar"]
    Archive(there.object("b/x.tar")).check(image, reference)
    assert there.object("b/x.ref").strip() == refs.read_bytes().strip()


@pytest.mark.semantics(403)
def test_cp_returns_when_it_is_durable_and_leaves_the_reference_file(registry, repository, mount):
    images.small().push(registry, repository, "v1")
    there = mount()
    line = "%s/%s:v1   x.tar" % (registry.host, repository)
    assert there.publish("b", "# why", line, "").returncode == 0
    assert there.keys() == ["b/images.ref", "b/x.tar"]
    assert there.object("b/images.ref") == ("# why\n%s\n\n" % line).encode()
    assert there.uploads() == []
    assert sorted(entry.name for entry in (there.path / "b").iterdir()
                  if entry.name in ("images.ref", "x.tar")) == ["images.ref", "x.tar"]


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing\n", "# nothing"])
@pytest.mark.semantics(404)
def test_file_without_references_publishes_and_stores_nothing(mount, content):
    there = mount()
    (there.dir / "x.ref").write_text(content)
    done = there.sh("mkdir b && cp %s/x.ref b/" % there.dir)
    assert (done.returncode, done.stderr) == (0, "")
    assert there.keys() == []
    assert not (there.path / "b/x.ref").exists()


@pytest.mark.semantics(406)
def test_none_of_a_writes_tarballs_appears_before_all_are_verified(
        registry, repository, mount, proxy):
    for tag in ("one", "two", "three"):
        images.small(tag).push(registry, repository, tag)
    last = images.small("three").layers[0].digest
    front = proxy(registry.url)
    release = threading.Event()
    front.inject(faults.Hold(release), "GET", "/blobs/" + last, count=None)
    there = mount()
    lines = ["%s/%s:%s %s.tar" % (front.host, repository, tag, tag)
             for tag in ("one", "two", "three")]
    (there.path / "b").mkdir()
    copy = there.start_command("cp", there.reference_file(*lines), "b/")
    front.wait_for("GET", "/blobs/" + last)
    time.sleep(1)
    assert there.keys() == [] and copy.poll() is None
    states = {row["reference"]: row["state"] for row in there.rows("b/status.tsv")}
    assert len(states) == 3 and set(states.values()) == {"running"}
    release.set()
    assert copy.wait(60) == 0
    assert there.keys() == ["b/images.ref", "b/one.tar", "b/three.tar", "b/two.tar"]
    assert {row["state"] for row in there.rows("b/status.tsv")} == {"published"}


@pytest.mark.semantics(406)
def test_one_bad_image_keeps_all_of_its_write_away(registry, repository, mount):
    images.small().push(registry, repository, "v1")
    at = "%s/%s" % (registry.host, repository)
    there = mount()
    done = there.publish("b", at + ":v1 one.tar", at + ":missing two.tar")
    assert done.returncode == 1 and "No such file" in done.stderr
    assert there.keys() == [] and there.uploads() == []


@pytest.mark.semantics(405)
def test_all_lines_are_checked_before_anything_moves(registry, repository, mount, proxy):
    images.small().push(registry, repository, "v1")
    front = proxy(registry.url)
    there = mount()
    done = there.publish("b", "%s/%s:v1" % (front.host, repository), "nonsense")
    assert done.returncode == 1 and "Invalid argument" in done.stderr
    assert front.exchanges == [] and there.keys() == []


@pytest.mark.semantics(409)
def test_same_image_again_moves_nothing(registry, repository, mount, proxy):
    image = images.small().push(registry, repository, "v1", "same")
    front = proxy(registry.url)
    there = mount()
    line = "%s/%s:v1 x.tar tag=a:b" % (front.host, repository)
    assert there.publish("b", line).returncode == 0
    before = there.object("b/x.tar")
    front.clear()
    for again in (line, "%s/%s:same x.tar tag=a:b" % (front.host, repository),
                  "%s/%s@%s x.tar tag=a:b" % (front.host, repository, image.digest)):
        done = there.publish("b", again)
        assert (done.returncode, done.stderr) == (0, "")
        assert there.why("b")[0] == "unchanged"
    layers = [each.digest for each in image.layers]
    assert front.seen("GET", "|".join(layers)) == []
    assert there.object("b/x.tar") == before
    other = mount()     # which has not published it itself
    assert other.publish("b", line).returncode == 0
    assert other.why("b")[0] == "unchanged"
    assert front.seen("GET", "|".join(layers)) == []


@pytest.mark.semantics(408)
def test_two_publishes_give_the_same_bytes(registry, repository, mount):
    images.Image([images.layer("a", 12 * MIB), images.layer("b")]).push(
        registry, repository, "v1")
    line = "%s/%s:v1 x.tar" % (registry.host, repository)
    one, other = mount(), mount(parallel=1, memory="32M")
    assert one.publish("b", line).returncode == 0
    assert other.publish("c", line, line.replace("x.tar", "y.tar.gz")).returncode == 0
    assert one.object("b/x.tar") == one.object("c/x.tar")
    assert one.object("b/x.tar") == Archive.of_gzip(one.object("c/y.tar.gz")).data


def publish_two(registry, repository, there, directory):
    """One image, then another under its name; returns both and the second's outcome."""
    first = images.small("first").push(registry, repository, "first")
    second = images.small("second").push(registry, repository, "second")
    at = "%s/%s" % (registry.host, repository)
    assert there.publish(directory, at + ":first x.tar tag=a:b").returncode == 0
    return first, second, there.publish(directory, at + ":second x.tar tag=a:b", name="2.ref")


@pytest.mark.parametrize("directory, overwrite", [
    ("b", False), ("releases/v1", False), ("releases/v1", True)])
@pytest.mark.semantics(410, 411)
def test_another_image_under_a_name_is_refused(registry, repository, mount, directory, overwrite):
    there = mount(overwrite=overwrite)
    first, second, done = publish_two(registry, repository, there, directory)
    assert done.returncode == 1 and "File exists" in done.stderr
    state, sentence = there.why(directory)
    assert state == "failed"
    assert first.digest in sentence and second.digest in sentence
    Archive(there.object(directory + "/x.tar")).check(first, "a:b")
    assert there.keys() == sorted([directory + "/images.ref", directory + "/x.tar"])


@pytest.mark.semantics(411)
def test_overwrite_replaces(registry, repository, mount):
    there = mount(overwrite=True)
    _, second, done = publish_two(registry, repository, there, "b")
    assert (done.returncode, done.stderr) == (0, "")
    Archive(there.object("b/x.tar")).check(second, "a:b")
    assert there.rows("b/urls.tsv")[0]["digest"] == second.digest
    assert Archive((there.path / "b/x.tar").read_bytes()).data == there.object("b/x.tar")


@pytest.mark.semantics(410)
def test_name_of_a_foreign_tarball_is_taken(registry, repository, mount, s3, bucket):
    images.small().push(registry, repository, "v1")
    s3.put_object(Bucket=bucket, Key="b/x.tar", Body=b"by hand")
    there = mount()
    done = there.publish("b", "%s/%s:v1 x.tar" % (registry.host, repository))
    assert done.returncode == 1 and "File exists" in done.stderr
    assert there.object("b/x.tar") == b"by hand"


@pytest.mark.semantics(423)
@pytest.mark.parametrize("made_by", ["mkdir", "an object"])
def test_a_directory_keeps_its_name(registry, repository, mount, s3, bucket, made_by):
    """The tarball would stand there, and nobody see it."""
    images.Image([images.layer("b")]).push(registry, repository, "v1")
    there = mount()
    if made_by == "mkdir":
        (there.path / "b/x.tar").mkdir(parents=True)
    else:
        s3.put_object(Bucket=bucket, Key="b/x.tar/notes", Body=b"n")
    done = there.publish("b", "%s/%s:v1 x.tar" % (registry.host, repository))
    assert done.returncode == 1 and "Is a directory" in done.stderr
    assert "remove the directory" in there.why("b")[1]
    assert "b/x.tar" not in there.keys()


@pytest.mark.semantics(424)
def test_status_answers_while_the_store_is_away(registry, repository, mount, proxy, store):
    images.Image([images.layer("b")]).push(registry, repository, "v1")
    front = proxy(store.endpoint)
    there = mount(endpoint=front.url, sts_endpoint=store.endpoint, list_ttl=0)
    there.publish("b", "%s/%s:v1 x.tar" % (registry.host, repository))
    front.refuse()
    assert there.why("b")[0] == "published"
    front.accept()


@pytest.mark.semantics(425)
def test_nothing_is_appended_to_half_a_line(registry, repository, mount):
    images.Image([images.layer("b")]).push(registry, repository, "v1")
    there = mount()
    reference = there.dir / "half.ref"
    reference.write_text("%s/%s:v1 x.tar\n# end" % (registry.host, repository))
    (there.path / "b").mkdir()
    there.run("cp", reference, "b/y.ref", check=True)
    done = there.run("sh", "-c", "echo '%s/%s:v1 lost.tar' >>b/y.ref" % (registry.host, repository))
    assert done.returncode != 0 and "has no newline" in there.why("b")[1]
    assert there.object("b/y.ref") == reference.read_bytes()


@pytest.mark.semantics(413)
def test_appending_acts_on_the_new_lines_alone(registry, repository, mount, proxy):
    for tag in ("one", "two"):
        images.small(tag).push(registry, repository, tag)
    front = proxy(registry.url)
    there = mount()
    at = "%s/%s" % (front.host, repository)
    assert there.publish("b", at + ":one").returncode == 0
    front.clear()
    done = there.sh('echo "$1" >> b/images.ref', at + ":two")
    assert (done.returncode, done.stderr) == (0, "")
    assert front.seen(path="manifests/one") == []
    assert there.object("b/images.ref").decode() == "%s:one\n%s:two\n" % (at, at)
    assert len([key for key in there.keys() if key.endswith(".tar")]) == 2


@pytest.mark.semantics(414)
def test_reference_file_may_be_replaced_but_not_in_a_release(registry, repository, mount):
    for tag in ("one", "two"):
        images.small(tag).push(registry, repository, tag)
    there = mount()
    at = "%s/%s" % (registry.host, repository)
    for directory, ends in (("b", 0), ("releases/v1", 1)):
        assert there.publish(directory, at + ":one").returncode == 0
        assert there.publish(directory, at + ":two").returncode == ends
    assert there.object("b/images.ref").decode() == at + ":two\n"
    assert there.object("releases/v1/images.ref").decode() == at + ":one\n"


@pytest.mark.semantics(103)
def test_below_a_prefix(registry, repository, mount, s3, bucket):
    image = images.small().push(registry, repository, "v1")
    s3.put_object(Bucket=bucket, Key="elsewhere/x.tar", Body=b"")
    there = mount(prefix="team/one")
    reference = "%s/%s:v1" % (registry.host, repository)
    assert there.publish("b", reference + " x.tar").returncode == 0
    Archive(there.object("team/one/b/x.tar")).check(image, reference)
    assert not (there.path / "elsewhere").exists()
    internal = set(there.keys(internal=True)) - set(there.keys())
    assert internal and all(key.startswith("team/one/.prereleasefs/") for key in internal)


@pytest.mark.semantics(114)
def test_record_says_what_was_published(registry, repository, mount, s3, bucket):
    image = images.small().push(registry, repository, "v1")
    there = mount()
    reference = "%s/%s:v1" % (registry.host, repository)
    assert there.publish("b", reference + " x.tar").returncode == 0
    archive = Archive(there.object("b/x.tar"))
    records = [there.object(key).decode() for key in there.keys(internal=True)
               if ".prereleasefs/" in key]
    record, = [text for text in records if image.digest in text and reference in text]
    json.loads(record)
    assert hashlib.sha256(archive.data).hexdigest() in record
    offsets = {member.name: member.offset_data for member in archive.members}
    for layer in image.layers:
        assert layer.digest in record and str(layer.size) in record
        assert str(offsets["blobs/sha256/" + layer.digest[7:]]) in record
    for fact in ("linux/amd64", "0."):
        assert fact in record
    # Without any record the bucket is still read, with less detail.
    for key in set(there.keys(internal=True)) - set(there.keys()):
        s3.delete_object(Bucket=bucket, Key=key)
    bare = mount()
    assert (bare.path / "b/x.tar").read_bytes() == archive.data
    row, = bare.rows("b/urls.tsv")
    assert (row["sha256"], row["digest"], row["size"]) == ("-", "-", str(len(archive.data)))


@pytest.mark.semantics(109)
def test_two_mounts_see_each_other(registry, repository, mount):
    images.small().push(registry, repository, "v1")
    one, other = mount(), mount()
    assert list((other.path / "releases").iterdir()) == []
    line = "%s/%s:v1 x.tar" % (registry.host, repository)
    assert one.publish("releases/v1", line).returncode == 0
    assert other.publish("c", line).returncode == 0
    wait_until(lambda: (other.path / "releases/v1/x.tar").exists(), 3)
    wait_until(lambda: (one.path / "c/x.tar").exists(), 3)
    assert (one.path / "c/x.tar").read_bytes() == (other.path / "releases/v1/x.tar").read_bytes()
    assert one.rows("releases/v1/urls.tsv")[0]["sha256"] == \
        other.rows("releases/v1/urls.tsv")[0]["sha256"] != "-"


@pytest.mark.semantics(412)
def test_two_mounts_race_for_one_name(registry, repository, mount):
    for tag in ("one", "two"):
        images.large(tag, layers=1, size=6 * MIB).push(registry, repository, tag)
    mounts = {"one": mount(), "two": mount()}
    copies = {}
    for tag, there in mounts.items():
        (there.path / "b").mkdir()
        refs = there.reference_file("%s/%s:%s x.tar tag=a:b" % (registry.host, repository, tag),
                                    name=tag + ".ref")
        copies[tag] = there.start_command("cp", refs, "b/")
    ends = {tag: copy.wait(60) for tag, copy in copies.items()}
    won = [tag for tag, end in ends.items() if end == 0]
    assert len(won) == 1
    Archive(mounts["one"].object("b/x.tar")).check(
        images.large(won[0], layers=1, size=6 * MIB), "a:b")


@pytest.mark.semantics(611)
def test_status_is_live(registry, repository, mount, proxy):
    image = images.large(layers=3, size=9 * MIB).push(registry, repository, "v1")
    front = proxy(registry.url)
    front.inject(faults.Stall("middle", seconds=2), "GET", "/blobs/" + image.layers[2].digest)
    there = mount()
    (there.path / "b").mkdir()
    copy = there.start_command("cp", there.reference_file(
        "%s/%s:v1 x.tar" % (front.host, repository)), "b/")
    front.wait_for("GET", "/blobs/" + image.layers[2].digest)
    seen = []
    while copy.poll() is None:
        with within(10):
            seen += there.rows("b/status.tsv")
        time.sleep(0.05)
    assert copy.returncode == 0
    assert list(seen[0]) == ["started", "file", "reference", "state", "done", "total", "detail"]
    done = [int(row["done"]) for row in seen if row["state"] == "running"]
    assert done == sorted(done) and done[0] < image.size
    last = there.rows("b/status.tsv")[-1]
    assert (last["state"], last["file"], last["done"]) == ("published", "x.tar", last["total"])
    assert int(last["total"]) == len(there.object("b/x.tar"))


def test_many_images_of_one_file_share_their_ceiling(registry, repository, mount):
    lines = []
    for at in range(12):
        images.small("n%d" % at).push(registry, repository, "n%d" % at)
        lines.append("%s/%s:n%d" % (registry.host, repository, at))
    there = mount(parallel=2, memory="32M")
    done = there.publish("b", *lines)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(there.rows("b/urls.tsv")) == 12
