"""prereleasefs-progress: what a person, a script and a log see of publishes under way."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import threading
import time

import pytest

from mounted import PROGRAM, wait_until
from servers import faults, images

PROGRESS = PROGRAM + "-progress"
MIB = 1 << 20
TABLE = "started\tfile\treference\tstate\tdone\ttotal\tdetail\n"
ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def progress(*argv, **options):
    return subprocess.run([PROGRESS, *map(str, argv)], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, **options)


class Terminal:
    """A program on a terminal of 80 columns, and all that it has written there."""

    def __init__(self, *argv, cwd=None):
        self._master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [PROGRESS, *map(str, argv)], stdin=terminal, stdout=terminal, stderr=terminal, cwd=cwd,
            env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"}, start_new_session=True)
        os.close(terminal)
        self._bytes = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        while True:
            select.select([self._master], [], [])
            try:
                self._bytes += os.read(self._master, 65536)
            except OSError:         # the other side is closed
                return

    @property
    def text(self):
        return self._bytes.decode(errors="replace").replace("\r\n", "\n")

    def screen(self):
        """What one sees in the end: bars that were drawn over are gone."""
        lines = [""]
        for piece in re.split(r"(\r?\x1b\[\d+A\x1b\[J|\n)", self.text):
            up = re.match(r"\r?\x1b\[(\d+)A", piece)
            if up:
                lines = lines[:len(lines) - 1 - int(up[1])] + [""]
            elif piece == "\n":
                lines.append("")
            else:
                lines[-1] += piece
        return [line for line in lines if line]

    def wait(self):
        status = self.process.wait(60)
        self._reader.join(10)
        os.close(self._master)
        return status


@pytest.fixture
def slow(registry, repository, mount, proxy):
    """A mount, the line of an image whose last layer is held back, and what lets it go."""
    image = images.large(layers=2, size=6 * MIB).push(registry, repository, "v1")
    front = proxy(registry.url)
    go = threading.Event()
    last = "/blobs/" + image.layers[-1].digest
    front.inject(faults.Hold(go), "GET", last)
    there = mount()
    (there.path / "b").mkdir()
    there.line = "%s/%s:v1 x.tar" % (front.host, repository)
    there.held = lambda: front.wait_for("GET", last)
    there.go = go
    yield there
    go.set()


@pytest.mark.semantics(614, 615)
def test_a_slow_publish_is_watched_with_bars_with_lines_and_with_cat(slow):
    copy = slow.start_command("cp", slow.reference_file(slow.line), "b/")
    slow.held()
    bars = Terminal(slow.path / "b")
    lines = subprocess.Popen([PROGRESS, "-i", "1", "."], cwd=slow.path / "b", text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_until(lambda: re.search(r"x\.tar  \[#+\.+\] +\d+%  \d+\.\d of \d+\.\d MB", bars.text))
    for _ in range(4):      # from another terminal, with nothing but cat
        row = slow.sh("cat b/status.tsv | tail -n 1", timeout_s=10).stdout.split("\t")
        assert row[1] == "x.tar" and row[3] == "running" and 0 < int(row[4]) < int(row[5])
        time.sleep(0.6)
    slow.go.set()
    assert (copy.wait(60), bars.wait(), lines.wait(60)) == (0, 0, 0)
    assert bars.screen() == ["x.tar: published, 12.6 MB: no signatures"]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", ESCAPE.sub("", bars.text).replace("\r", ""))
    told = lines.stdout.read().splitlines()
    assert re.match(r"x\.tar: +\d+%, \d+\.\d of 12\.6 MB, \d", told[0]), told
    assert told[-1] == "x.tar: published, 12.6 MB: no signatures"
    assert not ESCAPE.search("\n".join(told))
    # And when all is over: how it ended.
    done = progress(slow.path / "b")
    assert (done.returncode, done.stdout) == (
        0, "nothing is being published there; the last: x.tar: published, 12.6 MB: no signatures\n")


@pytest.mark.semantics(616)
def test_the_outcome_is_that_of_the_publishes(slow):
    copy = slow.start_command("cp", slow.reference_file(slow.line), "b/")
    slow.held()
    watching = subprocess.Popen([PROGRESS, str(slow.path / "b")], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    time.sleep(0.3)
    copy.terminate()
    assert watching.wait(60) == 1 and copy.wait(60) != 0
    assert watching.stdout.read().startswith("x.tar: cancelled")
    assert progress(slow.path / "b").returncode == 1


@pytest.mark.semantics(617)
def test_a_command_is_run_and_its_status_is_the_exit_status(slow):
    refs = slow.reference_file(slow.line)
    threading.Timer(1, slow.go.set).start()
    bars = Terminal("b", "cp", refs, "b/", cwd=slow.path)
    assert bars.wait() == 0
    assert bars.screen() == ["x.tar: published, 12.6 MB: no signatures"] and "[#" in bars.text
    wrong = slow.reference_file(slow.line.replace(":v1", ":v2"), name="wrong.ref")
    done = progress("b", "cp", wrong, "b/", cwd=slow.path)
    assert done.returncode == 1 and done.stdout.startswith("x.tar: failed: "), done
    assert done.stderr.startswith("cp: ")
    bars = Terminal("b", "cp", wrong, "b/", cwd=slow.path)
    assert bars.wait() == 1
    shown = bars.screen()
    assert any(line.startswith("cp: error writing") for line in shown), shown
    assert any(line.startswith("x.tar: failed: ") for line in shown), shown
    for argv, status in [(("sh", "-c", "exit 7"), 7), (("sh", "-c", "kill -TERM $$"), 143),
                         (("no-such-command",), 127), ((str(slow.path),), 126)]:
        assert progress("b", *argv, cwd=slow.path).returncode == status


@pytest.mark.semantics(618)
def test_what_others_wrote_reaches_no_terminal_raw(tmp_path):
    evil = "x\x1b[2J\x1b]0;owned\x07\r\x9b2J\u202e.tar"
    (tmp_path / "status.tsv").write_text(
        TABLE + "2026-11-21T01:16:33Z\t%s\tr\trunning\t1\t9\t%s\n" % (evil, evil))
    bars = Terminal(tmp_path)
    wait_until(lambda: "x?[2J?]0;owned??" in bars.text)
    (tmp_path / "status.tsv").write_text(
        TABLE + "2026-11-21T01:16:33Z\t%s\tr\tfailed\t1\t9\t%s\n" % (evil, evil))
    assert bars.wait() == 1
    assert bars.screen() == ["x?[2J?]0;owned???2J?.tar: failed: x?[2J?]0;owned???2J?.tar"]
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]",
                         re.sub("\r?\x1b\\[(\\d+A|J)", "", bars.text.replace("\r\n", "\n")))


def test_what_cannot_be_told_is_2(tmp_path):
    done = progress(tmp_path)
    assert done.returncode == 2 and "has no status.tsv: nothing was published" in done.stderr
    done = progress(tmp_path / "none")
    assert done.returncode == 2 and "No such file" in done.stderr
    (tmp_path / "status.tsv").write_text("file\turl\n")
    done = progress(tmp_path)
    assert done.returncode == 2 and "is not a status.tsv of prereleasefs" in done.stderr
    for argv in (["-i", "0"], ["-i", "x"], ["-x"]):
        assert progress(*argv).returncode == 2
    (tmp_path / "status.tsv").write_text(TABLE)
    with open("/dev/full", "w") as full:
        assert subprocess.run([PROGRESS, tmp_path], stdout=full,
                              stderr=subprocess.DEVNULL).returncode == 2
