"""The pages as people see them: in a real browser, on a desk, a phone, in the dark and on paper.

Pictures of every page go to build-pictures/, for whoever changes how they look.
"""

import html
import json
import os
import re
import shutil
import subprocess

import pytest
import requests

from mounted import ROOT
from servers import images

BROWSER = ROOT / "tests/browser"
PICTURES = ROOT / "build-pictures"
LINK = re.compile(r"https?://[^\s\"'<>]+?X-Amz[^\s\"'<>]+")


def look(*jobs):
    """What tests/browser/look.mjs found, and pictures."""
    PICTURES.mkdir(exist_ok=True)
    done = subprocess.run(
        ["node", BROWSER / "look.mjs", shutil.which("chromium"), PICTURES],
        input=json.dumps([{"url": path.as_uri(), "name": name} for name, path in jobs]),
        stdout=subprocess.PIPE, text=True, timeout=100, check=True)
    for name, _ in jobs:
        subprocess.run(["pdftoppm", "-r", "70", "-png", PICTURES / (name + "-print.pdf"),
                        PICTURES / (name + "-print")], check=True)
    return json.loads(done.stdout)


@pytest.fixture
def published(registry, repository, mount):
    """A mount with a build of two images and a document, a release, and a name that is hostile."""
    image = images.Image([images.busybox_layer(), images.layer("payload", 3000)])
    image.push(registry, repository, "v1")
    there = mount(contact="Release desk <release@example.org>", title=None)
    source = "%s/%s:v1" % (registry.host, repository)
    tag = "tag=%s/runtime:1.0" % registry.host
    done = there.publish("jps/fix-login/abc1234", source + " runtime:1.0.tar " + tag,
                         source + " runtime:1.0.tar.gz " + tag.replace("1.0", "1.0-gz"))
    assert (done.returncode, done.stderr) == (0, "")
    assert there.publish("releases/v1.2.3", source + " x.tar").returncode == 0
    for name in ("notes.txt", '"><img src=x onerror=alert(1)>' + "long" * 40 + ".txt"):
        (there.dir / "note").write_text("read me")
        assert there.run("cp", there.dir / "note", "jps/fix-login/abc1234/" + name).returncode == 0
    return there


@pytest.mark.semantics(574)
def test_pages_in_a_browser(published):
    found = look(("report", published.path / "jps/fix-login/abc1234/report.html"),
                 ("index", published.path / "index.html"))
    for name, each in found.items():
        assert len(each["requests"]) == 1 and each["requests"][0].startswith("file://"), name
        assert each["complaints"] == [], name
        if name.endswith("-print"):
            # Nobody can type a link from paper: those of a report are left out.
            assert not name.startswith("report") or each["visibleLinks"] == 0
            continue
        assert each["violations"] == [] and each["rules"] > 20, name
        assert each["overflow"] == 0, name + " scrolls sideways"
    for name in ("report-desktop.png", "report-phone.png", "report-dark.png", "report-print-1.png"):
        assert (PICTURES / name).stat().st_size > 10000


@pytest.mark.semantics(574)
def test_a_report_is_small(published):
    page = (published.path / "jps/fix-login/abc1234/report.html").read_text()
    assert len(LINK.findall(page)) == 4 * 4
    assert len(LINK.sub("", page)) < 40000


# The page's own commands, but for the flags that a registry without TLS wants.
@pytest.mark.semantics(575)
def test_images_keep_their_digest_on_the_way_into_another_registry(published, registry, tmp_path):
    build = published.path / "jps/fix-login/abc1234"
    page = build.joinpath("report.html").read_text()
    commands = html.unescape(re.search(r"With skopeo</h3>\n<pre><code>(.*?)</code>", page, re.S)[1])
    desk, programs = tmp_path / "desk", tmp_path / "bin"
    desk.mkdir()
    programs.mkdir()
    skopeo = programs / "skopeo"
    skopeo.write_text('#!/bin/sh\nshift\nexec %s --insecure-policy copy --dest-tls-verify=false "$@"\n'
                      % shutil.which("skopeo"))
    skopeo.chmod(0o755)
    rows = [row for row in published.rows("jps/fix-login/abc1234/urls.tsv") if row["digest"] != "-"]
    for row in rows:
        shutil.copy(build / row["file"], desk / row["file"].replace(":", "_"))
    done = subprocess.run(["sh", "-euc", "REGISTRY=%s/inside\n%s" % (registry.host, commands)],
                          cwd=desk, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "PATH": "%s:%s" % (programs, os.environ["PATH"])})
    assert done.returncode == 0, done.stderr
    assert [row["file"] for row in rows] == ["runtime:1.0.tar", "runtime:1.0.tar.gz"]
    for tag, row in zip(("1.0", "1.0-gz"), rows):
        answer = requests.head("http://%s/v2/inside/runtime/manifests/%s" % (registry.host, tag),
                               headers={"Accept": images.OCI["manifest"]})
        assert answer.headers["Docker-Content-Digest"] == row["digest"]
        assert "$REGISTRY/runtime@" + row["digest"] in page
    # What crane takes: a layout with that one image.
    with_crane = html.unescape(re.search(r"With crane</h3>\n<pre><code>(.*?)</code>", page, re.S)[1])
    unpack = [line for line in with_crane.splitlines() if line.startswith("mkdir")]
    subprocess.run(["sh", "-euc", "\n".join(unpack)], cwd=desk, check=True)
    for row in rows:
        layout = desk / (row["file"].replace(":", "_") + ".layout")
        described, = json.loads((layout / "index.json").read_text())["manifests"]
        assert described["digest"] == row["digest"]


@pytest.mark.semantics(576)
def test_a_summary_holds_no_links_and_needs_no_role(published, mount):
    there = mount(presign_role=None, prefix="")
    summary = (there.path / "jps/fix-login/abc1234/summary.md").read_text()
    rows = published.rows("jps/fix-login/abc1234/urls.tsv")
    assert len([line for line in summary.splitlines() if line.startswith("| <code>")]) == len(rows)
    assert "http" not in summary and "X-Amz" not in summary and "<img" not in summary
    for row in rows:
        assert row["sha256"] in summary
