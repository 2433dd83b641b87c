"""Takes a published tarball apart and compares it with the image it was made of."""

import gzip
import hashlib
import io
import json
import tarfile
import zlib

BLOCK = 512


class Archive:
    """The tarball's members in their order, and its JSON."""

    def __init__(self, data):
        self.data = data
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            self.members = [member for member in tar]
            self.files = {member.name: tar.extractfile(member).read()
                          for member in self.members if member.isfile()}

    @classmethod
    def of_gzip(cls, data):
        """Of a .tar.gz, which must be one gzip member and nothing after it."""
        stream = zlib.decompressobj(wbits=31)
        tar = stream.decompress(data) + stream.flush()
        assert stream.eof and stream.unused_data == b"", "more than one gzip member"
        assert tar == gzip.decompress(data)
        return cls(tar)

    def json(self, name):
        return json.loads(self.files[name])

    def check(self, image, name):
        """It holds exactly this image, loads under `name`, and has nothing in it
        that could differ from one publish to the next."""
        self.check_blobs(image)
        self.check_documents(image, name)
        self.check_headers()

    def check_blobs(self, image):
        blobs = {"blobs/sha256/" + digest[7:]: data for digest, data in image.blobs().items()}
        blobs["blobs/sha256/" + image.digest[7:]] = image.manifest
        held = {path: data for path, data in self.files.items() if path.startswith("blobs/")}
        assert held.keys() >= blobs.keys()
        for path, data in held.items():
            assert hashlib.sha256(data).hexdigest() == path.rpartition("/")[2], path
            assert data == blobs.get(path, data), path
        # Layers first, in the image's order, each once.
        layers = list(dict.fromkeys("blobs/sha256/" + each.digest[7:] for each in image.layers))
        order = [member.name for member in self.members if member.isfile()]
        assert order[:len(layers)] == layers
        assert len(order) == len(set(order))

    def check_documents(self, image, name):
        assert self.json("oci-layout") == {"imageLayoutVersion": "1.0.0"}
        assert len(self.json("index.json")["manifests"]) == 1
        descriptor = self.json("index.json")["manifests"][0]
        described = self.files["blobs/sha256/" + descriptor["digest"][7:]]
        assert len(described) == descriptor["size"]
        entry, = self.json("manifest.json")
        assert entry["Config"] == "blobs/sha256/" + image.config_digest[7:]
        assert entry["Layers"] == ["blobs/sha256/" + each.digest[7:] for each in image.layers]
        assert entry["RepoTags"] == [name]

    def check_headers(self):
        for member in self.members:
            assert (member.uid, member.gid, member.mtime) == (0, 0, 0), member.name
            assert (member.uname, member.gname) in (("", ""), ("root", "root")), member.name
        last = self.members[-1]
        end = last.offset_data + -(-last.size // BLOCK) * BLOCK
        assert self.data[end:] == bytes(2 * BLOCK), "not two zero blocks at the end"
