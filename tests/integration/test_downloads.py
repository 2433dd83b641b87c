"""download.sh: run as customers would, with what their machines have, through lines that break.

download.ps1, its twin, is only read here: there is no PowerShell among Debian's packages.
"""

import os
import re
import shlex
import shutil
import subprocess
import time

import pytest

from servers import images
from servers.faults import Reply, Reset, Truncate
from test_links import ODD_NAMES

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
# What the script needs beside what fetches and what hashes.
TOOLS = "cat mv rm wc df awk sed tail date dd grep head pwd touch".split()


class Desk:
    """A customer's directory, and the programs that are on that machine."""

    def __init__(self, directory, *tools):
        self.dir = directory
        self.files = directory / "files"
        self.files.mkdir(parents=True)
        (directory / "bin").mkdir()
        for name in [*TOOLS, *tools]:
            self.put(name, 'exec %s "$@"\n' % shutil.which(name))
        self.put("sleep", "exit 0\n")      # between attempts

    def put(self, name, script):
        path = self.dir / "bin" / name
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)

    def run(self, script, *args, shell="dash", cwd=None):
        (self.dir / "download.sh").write_text(script)
        return subprocess.run(
            [shutil.which(SHELLS[shell][0]), *SHELLS[shell][1:], str(self.dir / "download.sh"),
             *map(str, args)],
            cwd=cwd or self.files, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=100, env={"PATH": str(self.dir / "bin"), "HOME": "/"})

    def names(self):
        return sorted(os.listdir(self.files))


@pytest.fixture
def desk(tmp_path):
    """desk(tool, ...): a machine with these programs."""
    made = []

    def factory(*tools):
        made.append(Desk(tmp_path / ("desk%d" % len(made)), *(tools or ("curl", "sha256sum"))))
        return made[-1]

    return factory


@pytest.fixture
def front(proxy, store):
    return proxy(store.endpoint)


@pytest.fixture
def published(front, registry, repository, mount):
    """published(option=...): a mount with app:one.tar and notes.txt in b/; links lead to `front`."""
    def factory(**options):
        image = images.Image([images.busybox_layer(), images.layer("payload", 300000)])
        image.push(registry, repository, "v1")
        there = mount(endpoint=front.url, sts_endpoint=front.url, contact="the release desk",
                      **options)
        done = there.publish("b", "%s/%s:v1 app:one.tar tag=a:b" % (registry.host, repository))
        assert (done.returncode, done.stderr) == (0, "")
        notes = there.dir / "notes.txt"
        notes.write_text("read me\n")
        assert there.run("cp", notes, "b/").returncode == 0
        return there

    return factory


def script_of(there, directory="b"):
    return (there.path / directory / "download.sh").read_text()


def test_every_shell_and_every_way_to_fetch(published, desk, front):
    there = published()
    script = script_of(there)
    checked = subprocess.run(["shellcheck", "-"], input=script, text=True, stdout=subprocess.PIPE)
    assert (checked.returncode, checked.stdout) == (0, "")
    expected = {"app_one.tar": there.object("b/app:one.tar"), "notes.txt": b"read me\n"}
    for shell, tools in [
            ("dash", ("curl", "sha256sum")), ("bash", ("wget", "shasum")),
            ("busybox", ("busybox", "openssl")), ("dash", ("wget", "openssl"))]:
        here = desk(*tools)
        if "busybox" in tools:
            here.put("wget", 'exec %s wget "$@"\n' % shutil.which("busybox"))
        done = here.run(script, shell=shell)
        assert (done.returncode, done.stderr) == (0, ""), (shell, tools)
        assert done.stdout.splitlines()[-1] == "All is here and verified: 2 of 2."
        assert {name: (here.files / name).read_bytes() for name in here.names()} == expected
        asked = len(front.seen("GET", r"/b/"))
        again = here.run(script, shell=shell)
        assert again.returncode == 0 and "is here already, verified" in again.stdout
        assert len(front.seen("GET", r"/b/")) == asked, "what is here is not fetched again"
        chosen = here.run(script, "notes.txt", "--list", shell=shell)
        assert chosen.returncode == 0 and "app_one.tar" not in chosen.stdout


def test_arguments(published, desk):
    there = published()
    here, script = desk(), script_of(there)
    for wrong in ("--lode", "nothing.tar", "../notes.txt", "notes.txt; touch x", ""):
        done = here.run(script, wrong)
        assert done.returncode == 2 and done.stderr and here.names() == [], wrong
    assert here.run(script, "--load").returncode == 1       # neither docker nor podman is here
    nothing = desk("sha256sum").run(script)
    assert nothing.returncode == 1 and "neither curl nor wget" in nothing.stderr
    unverifiable = desk("curl").run(script)
    assert unverifiable.returncode == 1 and "nothing can be verified" in unverifiable.stderr
    # A script that arrived in part does nothing.
    for cut in range(0, len(script), 997):
        here.run(script[:cut])
        assert here.names() == []


@pytest.mark.parametrize("tools", [("curl", "sha256sum"), ("wget", "sha256sum"),
                                   ("busybox", "sha256sum")])
@pytest.mark.semantics(571)
def test_a_line_that_breaks_is_gone_on_with(published, desk, front, tools):
    there = published()
    here, script = desk(*tools), script_of(there)
    if "busybox" in tools:
        here.put("wget", 'exec %s wget "$@"\n' % shutil.which("busybox"))
    front.inject(Reset("middle"), "GET", "app", nth=1)
    front.inject(Truncate(1000), "GET", "app", nth=2)
    front.inject(Reset("before"), "GET", "app", nth=3)
    done = here.run(script, "app_one.tar")
    assert done.returncode == 0, done.stderr
    assert (here.files / "app_one.tar").read_bytes() == there.object("b/app:one.tar")
    assert here.names() == ["app_one.tar"]
    starts = [each.headers.get("range") for each in front.seen("GET", "app")]
    assert starts[0] is None and None not in starts[1:]


@pytest.mark.semantics(571)
def test_an_interrupted_download_goes_on_with_a_fresh_script(published, desk, front):
    there = published(expires=4)
    here, script = desk(), script_of(there)
    front.inject(Reset("middle"), "GET", "app", nth=1)
    front.inject(Reply(503), "GET", "app", nth=2, count=None)
    done = here.run(script, "app_one.tar")
    assert done.returncode == 1 and "run this again to go on" in done.stderr
    part, = here.names()
    assert part.startswith("app_one.tar.") and part.endswith(".part~")
    kept = (here.files / part).stat().st_size
    assert kept > 0
    front.clear()
    time.sleep(4.5)
    late = here.run(script, "app_one.tar")
    assert late.returncode == 1 and here.names() == [part]
    assert re.search(r"the link has expired: it was good until \d{4}-\S+Z", late.stderr)
    assert "Ask the release desk for a fresh page" in late.stderr
    front.clear()
    fresh = here.run(script_of(there), "app_one.tar")
    assert fresh.returncode == 0, fresh.stderr
    assert [each.headers["range"] for each in front.seen("GET", "app")] == ["bytes=%d-" % kept]
    assert here.names() == ["app_one.tar"]


@pytest.mark.semantics(570)
def test_what_is_not_right_never_gets_its_name(published, desk, front, s3, bucket):
    there = published()
    here, script = desk(), script_of(there)
    # Another object of the same size.
    body = bytearray(there.object("b/app:one.tar"))
    body[1000] ^= 1
    s3.put_object(Bucket=bucket, Key="b/app:one.tar", Body=bytes(body))
    done = here.run(script, "app_one.tar")
    assert done.returncode == 1 and "its SHA-256 is" in done.stderr and here.names() == []
    # A shorter one, and a longer one.
    for size in (1000, len(body) + 5):
        s3.put_object(Bucket=bucket, Key="b/app:one.tar", Body=b"x" * size)
        done = here.run(script, "app_one.tar")
        assert done.returncode == 1 and done.stderr and here.names() == [], size
    # A proxy's page, a redirect to it, an answer that is no file at all.
    for answer, says in [(Reply(200, b"<html>Welcome"), "in between"),
                         (Reply(302, b"<html>", {"Location": "http://127.0.0.1:1/"}), "redirect"),
                         (Reply(403, b"no"), "refuses the link"), (Reply(404), "no longer")]:
        front.clear()
        front.inject(answer, "GET", "app", count=None)
        done = here.run(script, "app_one.tar")
        assert done.returncode == 1 and says in done.stderr, (says, done.stderr)
        assert not (here.files / "app_one.tar").exists()
    # What stands there already is not touched.
    (here.files / "notes.txt").write_text("mine")
    done = here.run(script, "notes.txt")
    assert done.returncode == 1 and "move it away" in done.stderr
    assert (here.files / "notes.txt").read_text() == "mine"


@pytest.mark.semantics(570)
def test_no_room(published, desk):
    there = published()
    here = desk()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", here.files], check=True)
    try:
        done = here.run(script_of(there))
        assert done.returncode == 1 and "there is no room" in done.stderr and here.names() == []
        # A df that knows nothing: the disk itself says it.
        here.put("df", "exit 1\n")
        done = here.run(script_of(there), "app_one.tar")
        assert done.returncode == 1 and "app_one.tar" not in here.names()
        subprocess.run(["mount", "-o", "remount,ro", here.files], check=True)
        done = here.run(script_of(there))
        assert done.returncode == 1 and "may not save anything in " + str(here.files) in done.stderr
        assert len(done.stderr.splitlines()) == 1
    finally:
        subprocess.run(["umount", here.files], check=True)


@pytest.mark.semantics(572)
def test_unknown_hashes_are_an_error_and_odd_names_only_names(desk, mount, s3, bucket):
    for name in ODD_NAMES:
        s3.put_object(Bucket=bucket, Key="o'dd $(touch x)/" + name, Body=name.encode())
    there = mount(title="it's; touch canary")
    here, script = desk(), script_of(there, "o'dd $(touch x)")
    refused = here.run(script)
    assert refused.returncode == 1 and here.names() == []
    assert refused.stderr.count("--allow-unverified takes it") == len(ODD_NAMES)
    for shell in SHELLS:
        done = here.run(script, "--allow-unverified", shell=shell)
        assert done.returncode == 0, done.stderr
        assert sorted((here.files / name).read_bytes() for name in here.names()) == \
            sorted(name.encode() for name in ODD_NAMES)
        assert all(re.fullmatch(r"[A-Za-z0-9._+-]+", name) for name in here.names())
        *each, last = done.stdout.splitlines()
        assert "\n".join(each).count("NOT VERIFIED") == len(ODD_NAMES)
        assert last == "All is here: %d of %d, of which %d NOT VERIFIED." % (3 * (len(ODD_NAMES),))


@pytest.mark.semantics(573)
def test_loads(published, desk, docker, podman):
    there = published()
    script = script_of(there)
    for option, engine in [("--load", docker), ("--load=podman", podman)]:
        here = desk()
        name = type(engine).__name__.lower()
        here.put(name, 'PATH=%s exec %s "$@"\n' % (
            os.environ["PATH"], shlex.join(map(str, engine.command()))))
        done = here.run(script, option)
        assert done.returncode == 0, done.stderr
        assert engine.output("a:b") is not None
        engine.remove("a:b")
    # An engine that fails is told of.
    here.put("podman", "exit 3\n")
    done = here.run(script, "--load=podman")
    assert done.returncode == 1 and "podman could not load it" in done.stderr


def test_nothing_of_a_link_is_in_the_list_of_processes(published, desk):
    there = published()
    here, script = desk(), script_of(there)
    here.put("curl", 'printf "%%s\\n" "$@" >%s/seen\nexec %s "$@"\n' % (
        here.dir, shutil.which("curl")))
    assert here.run(script).returncode == 0
    assert "X-Amz" not in (here.dir / "seen").read_text()


def test_the_twin_for_windows_has_the_same_files(published):
    there = published()
    script = (there.path / "b/download.ps1").read_bytes()
    assert script.startswith(b"\xef\xbb\xbf")
    text = script.decode("utf-8-sig")
    for row in there.rows("b/urls.tsv"):
        line, = [line for line in text.splitlines()
                 if "Name = '%s'" % row["file"].replace(":", "_") in line]
        assert "Sha256 = '%s'" % row["sha256"] in line and "Size = %s;" % row["size"] in line
        assert row["expires"] in line
