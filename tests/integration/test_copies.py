"""Layers that the bucket holds already: what is sent, what is read, and that the
tarball is the one that moving every byte would have made."""

import functools
import hashlib
import re

import pytest

from servers import images

MIB = 1 << 20
GAP = 5 * MIB       # what a gap between two copies may be widened by
SLACK = 1 * MIB     # all that is not layers: tar headers, config, manifests, records, the index
FORMATS = ["tar", "tar.gz"]

# Layers by letter, in MiB; capitals are large enough to be copied wherever they stand.
SIZES = {"A": 12, "B": 11, "C": 13, "D": 16, "E": 12, "X": 12, "s": 2, "t": 2, "u": 3, "m": 7}
SIZES.update({digit: 2 for digit in "123456"})


@functools.lru_cache(maxsize=None)
def layer(letter):
    return images.layer("layer-" + letter, SIZES[letter] * MIB - 12345, compression=None)


def image_of(letters, **options):
    return images.Image([layer(letter) for letter in letters], **options)


def sizes(letters):
    return sum(layer(letter).size for letter in letters)


class Line:
    """A mount whose traffic with store and registry is counted."""

    def __init__(self, mount, proxy, store, registry, repository, **options):
        self.to_store = proxy(store.endpoint)
        self.to_registry = proxy(registry.url)
        self.mount = mount(endpoint=self.to_store.url, **options)
        self._new_mount = mount
        self._registry = registry
        self._repository = repository
        self._tags = 0

    def push(self, image):
        """Pushes and returns the reference, which goes through the counting proxy."""
        self._tags += 1
        tag = "v%d" % self._tags
        image.push(self._registry, self._repository, tag)
        return "%s/%s:%s" % (self.to_registry.host, self._repository, tag)

    def publish(self, directory, *lines, name="images.ref", there=None):
        """`cp` of these lines, which must go well; what was counted before is forgotten."""
        there = there or self.mount
        self.to_store.clear_record()
        self.to_registry.clear_record()
        done = there.publish(directory, *lines, name=name)
        assert (done.returncode, done.stderr) == (0, ""), there.why(directory)
        return done

    def publish_afresh(self, directory, *lines):
        """The same where nothing can be copied: under a prefix of its own."""
        fresh = self._new_mount(prefix="fresh")
        self.publish(directory, *lines, there=fresh)
        return lambda key: fresh.object("fresh/" + key)

    def sent(self):
        """Bytes of request bodies that the store was sent."""
        return sum(each.request_bytes for each in self.to_store.seen())

    def copies(self):
        return [each for each in self.to_store.seen("PUT", "partNumber=")
                if "x-amz-copy-source" in each.headers]

    def read_back(self):
        """Bytes of published tarballs that the store was asked for."""
        return sum(each.response_bytes for each in self.to_store.seen("GET", r"\.tar(\.gz)?($|\?)"))

    def fetched(self, image):
        """Bytes of layers that the registry was asked for."""
        return sum(each.response_bytes for each in self.to_registry.seen("GET", "/blobs/")
                   if image.config_digest not in each.target)

    def check_sha256(self, directory, file):
        data = self.mount.object("%s/%s" % (directory, file))
        row, = [row for row in self.mount.rows(directory + "/urls.tsv") if row["file"] == file]
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
        return data


@pytest.fixture
def line(mount, proxy, store, registry, repository):
    return Line(mount, proxy, store, registry, repository)


# published before, published now -> letters of the layers that have to be sent, gaps, and of those
# that are read once for the file's hash
SHARED = {
    "the last of five changed": (["ABCDE"], "ABCDX", "X", 0, ""),
    "a layer is added": (["ABC"], "ABCX", "X", 0, ""),
    "the last is left out": (["ABC"], "AB", "", 0, ""),
    "in another order": (["ABC"], "CAB", "", 0, "CAB"),
    "others between them": (["ABC"], "AtBuC", "tu", 2, "BC"),
    "one in the middle changed": (["ABC"], "AXC", "X", 1, "C"),
    "one only, in the middle": (["AB"], "XAu", "Xu", 1, "A"),
    "a small one between changed": (["AsB"], "AtB", "t", 1, "B"),
    "a small one between, the same": (["AsB"], "AsBX", "X", 0, ""),
    "the first only, under 10 MiB": (["mA"], "mX", "X", 0, ""),
    "many small ones behind a new one": (["A123456"], "X123456", "X", 1, "123456"),
    "from two tarballs": (["AB", "CD"], "ABCD", "", 0, "CD"),
    "a base that another image overtook": (["ABCD", "AX"], "ABCE", "E", 0, ""),
}


IN_TAR_GZ = ["the last of five changed", "in another order", "others between them",
             "a small one between changed", "from two tarballs"]


@pytest.mark.parametrize("case, format_", [
    *((case, "tar") for case in SHARED), *((case, "tar.gz") for case in IN_TAR_GZ)])
def test_shared_layers_are_copied(line, case, format_):
    before, now, new, gaps, read = SHARED[case]
    if format_ == "tar.gz" and now[0] not in [letters[0] for letters in before]:
        gaps += 1       # the gzip header stands before the first layer
    for number, letters in enumerate(before):
        line.publish("old", "%s %d.%s" % (line.push(image_of(letters)), number, format_),
                     name="%d.ref" % number)
    image = image_of(now)
    reference = "%s new.%s tag=a/b:c" % (line.push(image), format_)
    line.publish("b", reference)
    assert line.copies()
    assert line.sent() <= sizes(new) + gaps * GAP + SLACK
    assert line.fetched(image) <= sizes(new) * 1.01 + gaps * GAP
    assert line.read_back() <= sizes(read) * 1.01 + 1000 * len(now)
    data = line.check_sha256("b", "new." + format_)
    assert data == line.publish_afresh("b", reference)("b/new." + format_)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("names", ["NAME", "tag="])
def test_a_second_name_sends_next_to_nothing(line, names, format_):
    image = image_of("ABC")
    reference = line.push(image)
    tag = {"NAME": "", "tag=": " tag=runtime:latest"}[names]
    line.publish("b", "%s runtime:main-abc1234.%s" % (reference, format_))
    line.publish("b", "%s runtime:latest.%s%s" % (reference, format_, tag), name="latest.ref")
    assert line.sent() < SLACK
    assert line.fetched(image) == 0
    assert line.read_back() < 1000 * len(image.layers)
    one = line.check_sha256("b", "runtime:main-abc1234." + format_)
    two = line.check_sha256("b", "runtime:latest." + format_)
    assert (one == two) == (names == "NAME")
