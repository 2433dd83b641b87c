"""What is installed: programs, manual pages, completion; and the archive of a release."""

import fcntl
import os
import pathlib
import pty
import re
import select
import struct
import subprocess
import tarfile
import termios
import time

import pytest

from mounted import PROGRAM, ROOT

BUILD = pathlib.Path(PROGRAM).parents[1]
VERSION = re.search(r"version: '([^']+)'", (ROOT / "meson.build").read_text())[1]


def run(*argv, **options):
    return subprocess.run([str(arg) for arg in argv], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, **options)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The directory that the prefix is in, as a packager installs it."""
    destination = tmp_path_factory.mktemp("installed")
    done = run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", destination)
    assert done.returncode == 0, done.stderr
    prefix, = destination.glob("**/bin")
    return prefix.parent


def test_everything_is_installed_and_knows_the_version(installed):
    files = {str(path.relative_to(installed)) for path in installed.rglob("*") if not path.is_dir()}
    assert {"bin/prereleasefs", "bin/prereleasefs-progress", "bin/prereleasefs-prune", "share/man/man1/prereleasefs.1",
            "share/man/man1/prereleasefs-progress.1", "share/man/man1/prereleasefs-prune.1", "lib/systemd/system/prereleasefs@.service", "lib/sysusers.d/prereleasefs.conf",
            "share/bash-completion/completions/prereleasefs",
            "share/bash-completion/completions/prereleasefs-progress",
            "share/bash-completion/completions/prereleasefs-prune",
            "share/doc/prereleasefs/README.md", "share/doc/prereleasefs/docs/semantics.md",
            "share/doc/prereleasefs/docs/policies/presign-role.json"} <= files
    for program in ("prereleasefs", "prereleasefs-progress", "prereleasefs-prune"):
        assert run(installed / "bin" / program, "-V").stdout == "%s %s\n" % (program, VERSION)


def test_manual_pages_have_every_option_and_no_fault(installed):
    pages = {}
    for name in ("prereleasefs", "prereleasefs-progress", "prereleasefs-prune"):
        page = installed / "share/man/man1" / (name + ".1")
        done = run("groff", "-man", "-ww", "-rHY=0", "-Tascii", "-P-c", "-P-b", "-P-u", page)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert "@" not in page.read_text() and VERSION in done.stdout
        pages[name] = " ".join(done.stdout.split())
    said = run(PROGRAM, "-h").stdout
    options = re.findall(r"^    ([a-z_]+=?)(\S*) +.*\n +default: (.*)$", said, re.MULTILINE)
    assert len(options) > 20 and ("log_level=", "error|warn|info|debug", "info") in options
    for name, value, default in options:
        assert "%s%s " % (name, value) in pages["prereleasefs"]
        assert "(default: %s)" % default in pages["prereleasefs"]
    for page, program in ((pages["prereleasefs"], PROGRAM),
                          (pages["prereleasefs-progress"], PROGRAM + "-progress"),
                          (pages["prereleasefs-prune"], PROGRAM + "-prune")):
        for flag in re.findall(r"^    (-\w|--[a-z-]+)[ ,]", run(program, "-h").stdout, re.MULTILINE):
            assert flag in page


class Bash:
    """An interactive bash that has the installed completion."""

    def __init__(self, installed, home):
        pid, self._fd = pty.fork()
        if pid == 0:
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "-i"], {
                "PATH": "%s:%s" % (installed / "bin", os.environ["PATH"]), "HOME": str(home),
                "TERM": "dumb", "PS1": "$ ", "LC_ALL": "C", "INPUTRC": "/dev/null",
                "ASAN_OPTIONS": "detect_leaks=0"})
        # Wide enough that no line is shown in part.
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 400, 0, 0))
        os.write(self._fd, b"cd ~; bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; . %s\n"
                 % os.fsencode(installed / "share/bash-completion/completions/prereleasefs"))

    def _until(self, pattern):
        seen, deadline = b"", time.monotonic() + 20
        while not (found := re.search(pattern, seen, re.DOTALL)):
            assert select.select([self._fd], [], [], deadline - time.monotonic())[0], seen
            seen += os.read(self._fd, 4096)
        return found[1].decode()

    def complete(self, typed):
        """The command line as it is when this has been typed; \\t asks for completion."""
        # Octal, so that what bash echoes of this is not taken for its output.
        os.write(self._fd, typed.encode() + b"\x01printf '\\074\\074%s\\076\\076' '\x05'\n")
        return self._until(rb"<<(.*?)>>")

    def close(self):
        os.write(self._fd, b"exit\n")
        os.close(self._fd)


def test_bash_completes_options_and_their_values(installed, tmp_path):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text("[profile build-host]\n[default]\n")
    (tmp_path / "mnt-here").mkdir()
    bash = Bash(installed, tmp_path)
    for typed, line in [
            ("prereleasefs -o addr\tv\t", "prereleasefs -o addressing=virtual "),
            ("prereleasefs -o presign_r\t", "prereleasefs -o presign_role="),
            ("prereleasefs -o ro,allow_d\t", "prereleasefs -o ro,allow_delete "),
            ("prereleasefs -o region=eu,format=tar.\t", "prereleasefs -o region=eu,format=tar.gz "),
            ("prereleasefs -o endpoint=http://h:9,log_\twar\t",
             "prereleasefs -o endpoint=http://h:9,log_level=warn "),
            ("prereleasefs -o profile=b\t", "prereleasefs -o profile=build-host "),
            ("prereleasefs -o no_such\t", "prereleasefs -o no_such"),
            ("prereleasefs bucket mn\t", "prereleasefs bucket mnt-here/"),
            ("prereleasefs-progress mn\t", "prereleasefs-progress mnt-here/"),
            ("prereleasefs-prune --k\t3 mn\t", "prereleasefs-prune --keep 3 mnt-here/")]:
        assert bash.complete(typed) == line
    bash.close()


def test_the_archive_of_a_release_is_the_repository(tmp_path):
    committed = run("git", "-C", ROOT, "ls-tree", "-r", "--name-only", "HEAD").stdout.split()
    done = run("meson", "dist", "-C", BUILD, "--no-tests", "--allow-dirty", "--formats", "gztar")
    assert done.returncode == 0, done.stdout + done.stderr
    name = "prereleasefs-" + VERSION
    with tarfile.open(BUILD / "meson-dist" / (name + ".tar.gz")) as tar:
        inside = {member.name.removeprefix(name + "/") for member in tar if not member.isdir()}
    assert inside == set(committed)
