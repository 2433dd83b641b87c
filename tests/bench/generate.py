"""Pushes images of the sizes that benchmarks ask for, in a process of its own,
since it holds a layer's bytes in memory.

    python3 -m bench.generate REGISTRY NAME:TAG LAYERS BYTES [CHANGED]

Layers are gzip, as all layers of real registries are, and unpack to two and a
half times their size. The same arguments give the same bytes; CHANGED (any word) changes
the last layer alone. A layer repeats a block of about a megabyte: gzip looks
back 32 KiB at most, so that nothing on the way can gain from it.
"""

import functools
import hashlib
import io
import random
import sys
import tarfile
import zlib

from servers import images
from servers.registry import RegistryAddress

BLOCK_BYTES = 3 << 20   # unpacked


@functools.lru_cache(maxsize=1)
def _block():
    """Words, as text or code has them, that deflate to two fifths."""
    source = random.Random("block")
    words = ["%x" % source.getrandbits(source.randrange(8, 48)) for _ in range(4000)]
    pieces = []
    size = 0
    while size < BLOCK_BYTES:
        pieces.append(source.choice(words))
        size += len(pieces[-1]) + 1
    block = " ".join(pieces).encode()[:BLOCK_BYTES]
    return block, _member(block)


def _member(data):
    """One gzip member; several in a row are a valid gzip file."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


class BigLayer:
    """What servers.images.Layer is, of about `size` compressed bytes."""

    compression = "gzip"

    def __init__(self, name, size):
        block, member = _block()
        count = max(1, size // len(member))
        header = tarfile.TarInfo("data/" + name)
        header.size = count * len(block)
        header.mtime = 1700000000
        head = header.tobuf(tarfile.PAX_FORMAT)
        tail = bytes(-header.size % 512 + 1024)
        diff = hashlib.sha256(head)
        for _ in range(count):
            diff.update(block)
        diff.update(tail)
        self.diff_id = "sha256:" + diff.hexdigest()
        out = io.BytesIO()
        out.write(_member(head))
        for _ in range(count):
            out.write(member)
        out.write(_member(tail))
        self.blob = out.getbuffer()
        self.digest = images.digest_of(self.blob)

    @property
    def size(self):
        return len(self.blob)


def main():
    host, name, layers, size, *changed = sys.argv[1:]
    repository, tag = name.split(":")
    layers, size = int(layers), int(size)
    names = ["layer-%02d" % at for at in range(layers)]
    names[-1] += "".join(changed)
    image = images.Image([BigLayer(each, size // layers) for each in names])
    image.push(RegistryAddress(host), repository, tag)
    print(image.size, image.digest)


if __name__ == "__main__":
    main()
