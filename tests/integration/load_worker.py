"""One of the programs of test_load.py: does what users do in two mounts, at random, and checks what
it sees. A file's name says what must be in it (f-SEED-SIZE.bin), so that whoever reads any file
at any time can tell whether it is right and whole. Prints what it did and what was wrong, as JSON.

    load_worker.py NUMBER CONFIGURATION.json
"""

import collections
import errno
import functools
import hashlib
import json
import mmap
import os
import pathlib
import random
import signal
import struct
import subprocess
import sys
import time

KIB, MIB = 1 << 10, 1 << 20
SIZES = [0, 1, 100, 4095, 40 * KIB, 300 * KIB, 300 * KIB, 9000 * KIB]
FILES_MAX = 40          # in a directory: then there are only deletions
GONE = {errno.ENOENT, errno.ESTALE}     # somebody else has deleted it
GENERATED = {"urls.tsv", "report.html", "SHA256SUMS", "status.tsv", "index.html", "summary.md",
             "pinned.ref", "download.sh", "download.ps1"}


CHANNEL = "channels/now"
BEAT = struct.Struct("=d24s")       # since when a program waits, for what


def content(seed, size):
    block = hashlib.shake_128(b"%d" % seed).digest(4096)
    return (block * (size // 4096 + 1))[:size]


@functools.lru_cache(None)
def sha256_of(seed, size):
    return hashlib.sha256(content(seed, size)).hexdigest()


class Wrong(Exception):
    """An invariant does not hold."""


class Worker:
    def __init__(self, number, configuration):
        self.number = number
        self.random = random.Random(number + configuration["seed"])
        self.mounts = [pathlib.Path(path) for path in configuration["mounts"]]
        self.directories = configuration["directories"]
        self.images = configuration["images"]       # name of tarball: [reference, sha256]
        self.outside = pathlib.Path(configuration["outside"]) / str(number)
        self.outside.mkdir()
        self.until = time.monotonic() + configuration["seconds"]
        self.beat = mmap.mmap(os.open(configuration["beats"], os.O_RDWR), 0)
        self.done = collections.Counter()
        self.refused = collections.Counter()
        self.slowest = {}
        self.wrong = []

    # What it does

    def place(self):
        return self.random.choice(self.mounts) / self.random.choice(self.directories)

    def names(self, place):
        return sorted(set(os.listdir(place)) - GENERATED)

    def some(self):
        place = self.place()
        names = self.names(place)
        return place / self.random.choice(names) if names else None

    def new(self):
        seed, size = self.random.randrange(60), self.random.choice(SIZES)
        return "f-%d-%d.bin" % (seed, size), content(seed, size)

    def is_full(self, place):
        return len(self.names(place)) > FILES_MAX

    def do_upload(self):
        place = self.place()
        if self.is_full(place):
            return self.do_delete()
        name, data = self.new()
        with open(place / name, "wb", buffering=0) as file:
            for at in range(0, len(data), 128 * KIB):
                file.write(data[at:at + 128 * KIB])

    def do_cp(self):
        place = self.place()
        if self.is_full(place):
            return self.do_delete()
        name, data = self.new()
        (self.outside / name).write_bytes(data)
        self.run("cp", self.outside / name, place / name)

    def do_interrupted_cp(self):
        name, data = self.new()
        (self.outside / name).write_bytes(data)
        self.interrupt("cp", self.outside / name, self.place() / name)

    def do_publish(self):
        place = self.place()
        self.run("cp", self.references(), place / ("r%d.ref" % self.number))

    def do_interrupted_publish(self):
        self.interrupt("cp", self.references(), self.place() / ("r%d.ref" % self.number))

    def references(self):
        names = self.random.sample(sorted(self.images), self.random.choice([1, 1, 2]))
        path = self.outside / "x.ref"
        path.write_text("".join("%s %s\n" % (self.images[name][0], name) for name in names))
        return path

    def do_read(self):
        path = self.some()
        if path:
            with open(path, "rb") as file:
                pieces = list(iter(lambda: self.read_on(file), b""))
            self.check(path, b"".join(pieces))

    def read_on(self, file):
        self.mark("read")
        return file.read(MIB)

    def do_read_places(self):
        path = self.some()
        if not path or not path.name.startswith("f-"):
            return
        expected = content(*self.meaning(path.name))
        with open(path, "rb", buffering=0) as file:
            for _ in range(5):
                at = self.random.randrange(len(expected) + 1)
                size = self.random.choice([1, 100, 64 * KIB])
                data = self.read_at(file.fileno(), size, at)
                if data != expected[at:at + size]:
                    raise Wrong("%s: %d of %d bytes at %d, %s" % (
                        path, len(data), size, at, "the right ones, and then no more"
                        if expected[at:].startswith(data) else "others than were written"))

    def read_at(self, fd, size, at):
        """As many as there are: a read that meets the end of what can be read still gives what came
        before, and the next one says why."""
        data = b""
        while len(data) < size and (piece := os.pread(fd, size - len(data), at + len(data))):
            data += piece
        return data

    def do_list(self):
        place = self.place()
        for entry in os.scandir(place):
            if entry.name not in GENERATED and entry.name.startswith("f-"):
                size = entry.stat().st_size
                if size != self.meaning(entry.name)[1]:
                    raise Wrong("%s: %d bytes are shown" % (entry.path, size))

    def do_walk(self):
        self.run("find", self.place(), "-type", "f", "-size", "+1k")
        for root, _, names in os.walk(self.random.choice(self.mounts)):
            for name in set(names) - GENERATED:
                self.mark("walk")
                try:
                    os.stat(os.path.join(root, name))
                except FileNotFoundError:
                    pass

    def do_links(self):
        lines = (self.place() / "urls.tsv").read_text().splitlines()
        self.mark()         # what it does itself from here on is no waiting
        columns = lines[0].split("\t")
        for line in lines[1:]:
            row = dict(zip(columns, line.split("\t"), strict=True))
            self.check_row(row)

    def check_row(self, row):
        name = row["file"]
        if not row["url"].startswith("http"):
            raise Wrong("no link: %r" % row)
        if row["sha256"] == "-":
            return
        if name in self.images and row["sha256"] != self.images[name][1]:
            raise Wrong("another image's row: %s" % name)
        if name.startswith("f-") and row["sha256"] != sha256_of(*self.meaning(name)):
            raise Wrong("another file's row: %s %s" % (name, row["size"]))

    def do_status(self):
        path = self.place() / "status.tsv"
        try:
            text = path.read_text()
        except FileNotFoundError:
            return                      # of a mount that has published nothing there
        if not text.startswith("started\t") or not text.endswith("\n"):
            raise Wrong("%s: %r" % (path, text[:100]))

    def do_attributes(self):
        path = self.some()
        if path:
            for name in os.listxattr(path):
                os.getxattr(path, name)

    def do_delete(self):
        path = self.some()
        if path:
            path.unlink()

    def do_rename(self):
        path = self.some()
        if path:
            try:
                os.rename(path, self.place() / path.name)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EEXIST):
                    raise

    def do_mv(self):
        """Of a file that nobody else knows: mv leaves half of one that is deleted meanwhile."""
        name, data = self.new()
        mount = self.random.choice(self.mounts)
        place, own = mount / self.random.choice(self.directories), mount / ("own-%d" % self.number)
        if self.is_full(place):
            return self.do_delete()
        own.mkdir(exist_ok=True)
        (own / name).write_bytes(data)
        self.run("mv", "-f", own / name, place / name)
        (own / name).unlink(missing_ok=True)

    def do_directories(self):
        path = self.place() / ("d%d" % self.number)
        path.mkdir()
        path.rmdir()

    def do_channel(self):
        """One link, that everybody switches and reads: it is never not there."""
        channel = self.random.choice(self.mounts) / CHANNEL
        if self.random.random() < 0.3:
            self.run("ln", "-sfn", "../" + self.random.choice(self.directories), channel)
        try:
            target = os.readlink(channel)
        except FileNotFoundError as error:
            raise Wrong("there is no channel") from error
        if target.removeprefix("../") not in self.directories:
            raise Wrong("the channel leads to %r" % target)

    KINDS = {do_upload: 10, do_cp: 6, do_interrupted_cp: 4, do_publish: 6,
             do_interrupted_publish: 4, do_read: 14, do_read_places: 8, do_list: 10, do_walk: 1,
             do_links: 4, do_status: 3, do_attributes: 4, do_delete: 8, do_rename: 2, do_mv: 2,
             do_directories: 2, do_channel: 2}

    # How it looks at what it gets

    @staticmethod
    def meaning(name):
        _, seed, size = name.removesuffix(".bin").split("-")
        return int(seed), int(size)

    def check(self, path, data):
        if path.name.startswith("f-"):
            if data != content(*self.meaning(path.name)):
                raise Wrong("%s: %d bytes, others than were written" % (path, len(data)))
        elif path.name in self.images:
            if hashlib.sha256(data).hexdigest() != self.images[path.name][1]:
                raise Wrong("%s: another tarball of %d bytes" % (path, len(data)))
        elif path.name.endswith(".ref"):
            for line in data.decode().splitlines():
                reference, name = line.split(" ")
                if self.images[name][0] != reference:
                    raise Wrong("%s: %r" % (path, line))
        else:
            raise Wrong("%s: nobody made that" % path)

    def run(self, *argv, may_fail=False):
        done = subprocess.run([str(arg) for arg in argv], stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              env={**os.environ, "LC_ALL": "C"})
        if done.returncode == 0:
            return
        lines = done.stderr.splitlines()
        expected = ("No such file or directory", "File exists")
        if may_fail or (lines and all(line.endswith(expected) for line in lines)):
            self.refused[argv[0] + ": " + (lines or ["?"])[-1].rpartition(": ")[2]] += 1
        else:
            raise Wrong("%s: %d: %s" % (" ".join(map(str, argv)), done.returncode, done.stderr))

    def interrupt(self, *argv):
        child = subprocess.Popen([str(arg) for arg in argv], stdin=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        time.sleep(self.random.random() ** 3)
        child.send_signal(self.random.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL]))
        child.wait()

    # From beginning to end

    def mark(self, name=""):
        """From now on it waits for this; for nothing."""
        BEAT.pack_into(self.beat, BEAT.size * self.number, time.monotonic() if name else 0, name.encode())

    def step(self):
        kinds = list(self.KINDS)
        kind = self.random.choices(kinds, [self.KINDS[each] for each in kinds])[0]
        name = kind.__name__[3:]
        begun = time.monotonic()
        self.mark(name)
        try:
            kind(self)
        except Wrong as wrong:
            self.wrong.append("%s: %s" % (name, wrong))
        except OSError as error:
            if error.errno not in GONE | {errno.EEXIST, errno.EISDIR}:
                self.wrong.append("%s: %s" % (name, error))
            self.refused["%s: %s" % (name, errno.errorcode[error.errno])] += 1
        self.mark()
        took = time.monotonic() - begun
        self.slowest[name] = max(took, self.slowest.get(name, 0))
        self.done[name] += 1

    def work(self):
        while time.monotonic() < self.until and len(self.wrong) < 5:
            self.step()
        print(json.dumps({"done": self.done, "refused": self.refused, "slowest": self.slowest,
                          "wrong": self.wrong}))


if __name__ == "__main__":
    Worker(int(sys.argv[1]), json.loads(pathlib.Path(sys.argv[2]).read_text())).work()
