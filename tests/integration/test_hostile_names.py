"""Names that would like to be markup, commands, headers or lines: harmless wherever they are shown."""

import collections
import html.parser
import os
import re
import shutil
import subprocess

import pytest

EVIL = "document.title='pwned'"
NAMES = [
    "<script>%s<" % EVIL, '"><img src=x onerror="%s">.tar' % EVIL, "'--><svg onload=%s>" % EVIL,
    "$(touch pwned).tar", "`touch pwned`.tar", "a';touch pwned;'.tar", "a\";touch pwned;\".tar",
    "a\ntouch pwned\n.tar", "tab\there.tar", "\r\nX-Injected: yes.tar", "%0d%0aX-Injected: yes.tar",
    "\x1b[31m\x1b[2J\x07.tar", "\u202egpj.tar", "x" * 251 + ".tar", "-rf", "--load", "#", "*", "~",
    "#@ files", "\\", "{{7*7}}", "&lt;b&gt;", "javascript:%s" % EVIL, "../x".replace("/", "\u2215")]
BUILD = "b\"'><img src=x onerror=%s>/$(touch pwned)`touch pwned`'\n" % EVIL
HARMLESS = {"html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section",
            "nav", "h1", "h2", "h3", "h4", "p", "a", "b", "strong", "em", "i", "small", "span", "div", "code",
            "pre", "ul", "ol", "li", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td",
            "caption", "article", "details", "summary", "br", "hr", "time", "col", "colgroup", "bdi", "wbr"}


class Page(html.parser.HTMLParser):
    """What a browser made of a page: its elements, addresses and words."""

    def __init__(self, path):
        super().__init__()
        done = subprocess.run(
            [shutil.which("chromium"), "--headless", "--no-sandbox", "--disable-gpu",
             "--virtual-time-budget=2000", "--dump-dom", path.as_uri()],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=100)
        self.tags, self.handlers, self.addresses = collections.Counter(), [], []
        self.words, self.title, self._open = "", "", None
        self.feed(done.stdout)

    def handle_starttag(self, tag, attributes):
        self.tags[tag] += 1
        self._open = tag
        for name, value in attributes:
            if name.startswith("on"):
                self.handlers.append((tag, name))
            if name in ("href", "src", "action", "data"):
                self.addresses.append(value)

    def handle_data(self, text):
        self.words += text
        if self._open == "title":
            self.title += text
            self._open = None


def unescaped(field):
    """A field of urls.tsv as the name that it was."""
    plain = {b"t": b"\t", b"n": b"\n", b"\\": b"\\"}
    return re.sub(rb"\\(x([0-9a-f]{2})|.)", lambda found: bytes([int(found[2], 16)]) if found[2]
                  else plain[found[1]], field.encode()).decode()


@pytest.fixture
def hostile(mount):
    there = mount()
    (there.path / BUILD).mkdir(parents=True)
    for name in NAMES:
        (there.path / BUILD / name).write_bytes(name.encode())
    return there


@pytest.mark.semantics(560, 610)
def test_in_pages_nothing_runs(hostile):
    report, index = (Page(path) for path in (hostile.path / BUILD / "report.html",
                                             hostile.path / "index.html"))
    for page in (report, index):
        assert set(page.tags) <= HARMLESS, set(page.tags) - HARMLESS
        assert page.handlers == []
        assert all(re.match(r"https?://127\.0\.0\.1:|#|mailto:|[^:]*$", address)
                   for address in page.addresses), page.addresses
        assert page.title and page.title != "pwned"
    assert report.tags["a"] >= len(NAMES)
    for name in NAMES[:2]:
        assert name in report.words


@pytest.mark.semantics(560, 562, 604, 609)
def test_what_is_downloaded_stays_where_it_is(hostile):
    build = hostile.path / BUILD
    rows = hostile.rows(BUILD + "/urls.tsv")
    assert len(rows) == len(NAMES)
    assert all(char.isprintable() for row in rows for value in row.values() for char in value)
    assert {unescaped(row["file"]) for row in rows} == set(NAMES)
    # By curl and wget, which take the name that the store's answer gives; by the script.
    desks = {name: hostile.dir / "desk" / name for name in ("curl", "wget", "script")}
    for desk in desks.values():
        desk.mkdir(parents=True)
    urls = [row["url"] for row in rows]
    subprocess.run(["curl", "-sSf", "-g", *(word for url in urls for word in ("-OJ", url))],
                   cwd=desks["curl"], check=True)
    subprocess.run(["wget", "-q", "--content-disposition", *urls], cwd=desks["wget"], check=True)
    script = (build / "download.sh").read_text()
    checked = subprocess.run(["shellcheck", "-s", "sh", "-"], input=script, text=True,
                             stdout=subprocess.PIPE)
    assert (checked.returncode, checked.stdout) == (0, "")
    done = subprocess.run(["sh", "-s"], input=script, cwd=desks["script"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    assert all(" " <= char <= "~" for char in (done.stdout + done.stderr).replace("\n", ""))
    sums = (build / "SHA256SUMS").read_text()
    saved = [sorted(os.listdir(desk)) for desk in desks.values()]
    assert len(saved[0]) == len(NAMES) and saved[0] == saved[1] == saved[2]
    assert all(re.fullmatch(r"[A-Za-z0-9_+][A-Za-z0-9._+-]*", name) for name in saved[0])
    assert not list(hostile.dir.glob("**/pwned"))
    for desk in desks.values():
        (desk / "SHA256SUMS").write_text(sums)
        done = subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=desk, text=True,
                              stdout=subprocess.PIPE)
        assert done.returncode == 0 and done.stdout.count(": OK\n") == len(NAMES)


@pytest.mark.semantics(555, 560)
def test_in_the_log_and_as_bytes_that_are_no_text(hostile):
    for name in (b"\xff\xfe", b"\xc3\x28.tar", b"\xed\xa0\x80.ref"):
        path = os.fsencode(hostile.path / BUILD) + b"/" + name
        with pytest.raises(OSError):
            with open(path, "wb", buffering=0) as file:
                file.write(b"x")
    for name in NAMES:
        hostile.run("cat", BUILD + "/" + name)
        hostile.run("rm", "--", BUILD + "/" + name)
    log = hostile.log()
    assert all(" " <= char <= "~" for char in log.replace("\n", ""))
    line = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (ERROR|WARN|INFO|DEBUG) "
    assert [each for each in log.splitlines() if not re.match(line, each)] == []
