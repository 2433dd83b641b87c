"""Other programs read what write_archive writes: Python's tarfile and gzip, GNU tar, gzip.

    check_archive.py WRITE_ARCHIVE [--huge]

--huge adds a layer of 9 GiB, which takes half a minute and no space.
Prints what is wrong and exits 1, or exits 0.
"""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Image:
    """An image's blobs as files; the layers' content is anything."""

    def __init__(self, blobs, layers, variant=None):
        self.blobs = blobs
        self.layers = layers
        config = {"architecture": "arm64", "os": "linux", "rootfs": {"type": "layers"}}
        if variant:
            config["variant"] = variant
        self.config = json.dumps(config).encode()
        self.manifest = json.dumps({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.descriptor(self.config, "application/vnd.oci.image.config.v1+json"),
            "layers": [self.descriptor(layer, LAYER) for layer in layers],
        }).encode()
        for content in [self.config, self.manifest, *layers]:
            with open(os.path.join(blobs, digest_of(content)[7:]), "wb") as file:
                file.write(content)

    @staticmethod
    def descriptor(content, media_type):
        return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}

    def members(self, tag, full_name, platform):
        """The (name, content) pairs that the tar must have, in order."""
        blobs = {}
        for content in [*self.layers, self.config, self.manifest]:
            blobs.setdefault("blobs/sha256/" + digest_of(content)[7:], content)
        index = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{
                **self.descriptor(self.manifest, MANIFEST),
                "annotations": {
                    "io.containerd.image.name": full_name,
                    "org.opencontainers.image.ref.name": full_name,
                },
                "platform": platform,
            }],
        }
        manifest = [{
            "Config": "blobs/sha256/" + digest_of(self.config)[7:],
            "RepoTags": [tag],
            "Layers": ["blobs/sha256/" + digest_of(layer)[7:] for layer in self.layers],
        }]
        return [
            *blobs.items(),
            ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
            ("index.json", canonical(index)),
            ("manifest.json", canonical(manifest)),
        ]


def canonical(value):
    return json.dumps(value, separators=(",", ":")).encode()


def check_members(tar_bytes, expected):
    with tarfile.open(fileobj=io.BytesIO(tar_bytes), mode="r:") as tar:
        members = tar.getmembers()
        assert [m.name for m in members] == [name for name, _ in expected], members
        for member, (name, content) in zip(members, expected):
            assert tar.extractfile(member).read() == content, name
            assert member.isreg() and member.pax_headers == {}, name
            assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", ""), name
            assert (member.mode, member.mtime) == (0o644, 0), name
        end = members[-1].offset_data + (members[-1].size + 511) // 512 * 512
    assert tar_bytes[end:] == bytes(1024), "two zero blocks and nothing else end the tar"


def check_image(write_archive, scratch, image, tag, full_name, platform):
    def write(form, name):
        path = os.path.join(scratch, name)
        subprocess.run([write_archive, image.blobs, digest_of(image.manifest), tag, form, path],
                       check=True)
        with open(path, "rb") as file:
            return path, file.read()

    tar_path, tar_bytes = write("tar", "a.tar")
    expected = image.members(tag, full_name, platform)
    check_members(tar_bytes, expected)
    listed = subprocess.run(["tar", "-tf", tar_path], check=True, capture_output=True, text=True)
    assert listed.stdout.split() == [name for name, _ in expected] and not listed.stderr
    assert write("tar", "again.tar")[1] == tar_bytes, "the same image makes the same bytes"

    gzip_path, gzip_bytes = write("tar.gz", "a.tar.gz")
    assert gzip_bytes[:10] == bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255])
    assert gzip.decompress(gzip_bytes) == tar_bytes
    subprocess.run(["gzip", "-t", gzip_path], check=True)
    subprocess.run(["tar", "-tzf", gzip_path], check=True, stdout=subprocess.DEVNULL)
    assert write("tar.gz", "again.tar.gz")[1] == gzip_bytes


def check_huge(write_archive, scratch):
    """A layer of 9 GiB, all of it a hole: over what a plain ustar header can tell."""
    blobs = os.path.join(scratch, "huge")
    os.mkdir(blobs)
    image = Image(blobs, [b"huge"])
    manifest = json.loads(image.manifest)
    manifest["layers"][0]["size"] = size = 9 << 30
    image.manifest = json.dumps(manifest).encode()
    with open(os.path.join(blobs, digest_of(image.manifest)[7:]), "wb") as file:
        file.write(image.manifest)
    os.truncate(os.path.join(blobs, digest_of(b"huge")[7:]), size)
    path = os.path.join(scratch, "huge.tar")
    subprocess.run([write_archive, blobs, digest_of(image.manifest), "a:b", "tar", path],
                   check=True)

    expected = image.members("a:b", "docker.io/library/a:b",
                             {"architecture": "arm64", "os": "linux"})
    with tarfile.open(path, mode="r:") as tar:
        members = tar.getmembers()
        assert [m.name for m in members] == [name for name, _ in expected], members
        assert members[0].size == size and members[0].offset_data == 1536
        assert tar.extractfile(members[1]).read() == image.config
    listed = subprocess.run(["tar", "-tvf", path], check=True, capture_output=True, text=True)
    lines = [line.split() for line in listed.stdout.splitlines()]
    assert [line[-1] for line in lines] == [name for name, _ in expected], listed.stdout
    assert lines[0][2] == str(size) and not listed.stderr, listed


def main():
    write_archive = sys.argv[1]
    with tempfile.TemporaryDirectory() as scratch:
        blobs = os.path.join(scratch, "blobs")
        os.mkdir(blobs)
        noise = hashlib.shake_256(b"noise").digest(400000)
        sizes = [1, 65535, 0, 65536, 511, 512, 131070, 0, 400000]
        layers = [noise[-size:] if size else b"" for size in sizes] + [noise[-512:]]
        linux = {"architecture": "arm64", "os": "linux"}
        check_image(write_archive, scratch, Image(blobs, layers), "runtime:main",
                    "docker.io/library/runtime:main", linux)
        check_image(write_archive, scratch, Image(blobs, layers[:1], "v8"), "ghcr.io/me/app:1.0",
                    "ghcr.io/me/app:1.0", {**linux, "variant": "v8"})
        check_image(write_archive, scratch, Image(blobs, []), "me/empty:1", "docker.io/me/empty:1",
                    linux)
        if "--huge" in sys.argv:
            check_huge(write_archive, scratch)


main()
