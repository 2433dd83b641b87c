"""prereleasefs-prune: old builds go, and nothing else does."""

import csv
import io
import os
import subprocess
import threading

import pytest

from mounted import PROGRAM, wait_until
from servers import faults, images


def prune(*argv, **options):
    return subprocess.run([PROGRAM + "-prune", *map(str, argv)], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, **options)


def verdicts(done):
    """{build: (verdict, why)} of what it printed."""
    rows = csv.DictReader(io.StringIO(done.stdout), delimiter="\t", quoting=csv.QUOTE_NONE)
    return {row["build"]: (row["verdict"], row["why"]) for row in rows}


@pytest.fixture
def branches(mount, s3, bucket):
    """main and jps/fix-login of four builds each, the newest last; and what is no build."""
    def put(key, body=b"x"):
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    for branch in ("main", "jps/fix-login"):
        for i in range(1, 5):
            put("%s/abc000%d/app:%d.tar" % (branch, i, i), b"x" * 10)
            put("%s/abc000%d/images.ref" % (branch, i), b"x")
    put("releases/abc0001/app.tar")
    put("releases/v1/app.tar")
    put("abc0001/app.tar")
    put("main/notes/app.tar")
    put("main/guide.pdf")
    put("deadbee/abc0009/app.tar")      # a branch that is named like a commit
    there = mount(allow_delete=True, list_ttl=0)
    there.put = put
    return there


@pytest.mark.semantics(770, 771)
def test_the_newest_stay(branches):
    (branches.path / "main/abc0009").mkdir()        # about to be published into
    before = branches.keys()
    for argv in (["--keep", "2", "--dry-run"], ["--keep=2", "--older-than=1"]):
        done = prune(*argv, branches.path)
        assert done.returncode == 0 and branches.keys() == before, done.stderr
    assert {why for verdict, why in verdicts(done).values() if why != "one of the newest 2"} == {
        "not older than 1 days"}
    done = prune("--keep", "2", "--dry-run", ".", cwd=branches.path)
    would = {build for build, (verdict, _) in verdicts(done).items() if verdict == "would-remove"}
    assert would == {"%s/abc000%d" % (branch, i) for branch in ("main", "jps/fix-login") for i in (1, 2)}
    assert "4 of 9 builds would be removed: 8 files, 44 bytes" in done.stderr

    done = prune("--keep", "2", branches.path / "jps")
    assert done.returncode == 0 and "2 of 4 builds removed: 4 files, 22 bytes" in done.stderr
    assert sorted(set(before) - set(branches.keys())) == [key for key in sorted(before) if key.startswith(
        ("jps/fix-login/abc0001/", "jps/fix-login/abc0002/"))]
    assert sorted(os.listdir(branches.path / "jps/fix-login"))[2:4] == ["abc0004", "download.ps1"]
    done = prune("--keep", "1", branches.path)
    assert done.returncode == 0 and len(verdicts(done)) == 7
    assert sorted(key for key in branches.keys() if key.endswith(".tar")) == [
        "abc0001/app.tar", "deadbee/abc0009/app.tar", "jps/fix-login/abc0004/app:4.tar",
        "main/abc0004/app:4.tar", "main/notes/app.tar", "releases/abc0001/app.tar", "releases/v1/app.tar"]
    assert (branches.path / "main/abc0009").is_dir() and not (branches.path / "main/abc0003").exists()
    assert branches.log().count("audit=delete outcome=deleted") == 12
    done = prune("--keep", "1", branches.path / "main/notes")
    assert done.returncode == 0 and "0 of 0 builds removed: 0 files, 0 bytes: no branch there" in done.stderr


@pytest.mark.semantics(772, 773)
def test_what_is_in_use_stays(branches, registry, repository, proxy):
    branches.put("main/abc0001/web:1.tar")                 # which makes that build the newest
    branches.put("main/abc0003/app:3.tar")
    branches.put("main/abc0004/app:4.tar")
    fix = branches.path / "jps/fix-login"
    assert branches.sh("mkdir channels d; ln -s ../jps/fix-login/abc0001 channels/prod; ln -s prod channels/alias; "
                       "ln -s jps/fix-login/abc0002/app:2.tar one; ln -s nowhere none; ln -s round round; "
                       "ln -s ../../releases/v1 main/abc0002/r; ln -s app:2.tar main/abc0002/app.tar").returncode == 0
    # Into abc0003 an image is being published: slowly.
    slow = proxy(registry.url)
    images.small(repository).push(registry, repository, "v1")
    slow.inject(faults.Stall("before"), path="/blobs/", count=None)
    publish = branches.start_command("cp", branches.reference_file("%s/%s:v1 new.tar" % (slow.host, repository)),
                                     "jps/fix-login/abc0003/x.ref")
    wait_until(lambda: "running" in branches.run("cat", "jps/fix-login/abc0003/status.tsv").stdout)
    done = prune("--keep", "1", branches.path)
    assert done.returncode == 0, done.stderr
    told = {build: why for build, (verdict, why) in verdicts(done).items() if verdict == "kept"}
    assert told == {"jps/fix-login/abc0001": "channels/alias leads to it",
                    "jps/fix-login/abc0002": "one leads to it",
                    "jps/fix-login/abc0003": "it is being published into",
                    "jps/fix-login/abc0004": "one of the newest 1",
                    "main/abc0004": "one of the newest 1",
                    "main/abc0001": "the newest of web",
                    "deadbee/abc0009": "one of the newest 1"}
    assert (branches.path / "releases/v1/app.tar").read_text() == "x"      # it was led to from what is gone
    assert not (branches.path / "main/abc0002").exists()
    publish.terminate()
    assert publish.wait(60) != 0
    # A channel to the branch keeps all of it.
    assert branches.sh("ln -sfn ../jps/fix-login channels/alias").returncode == 0
    done = prune("--keep", "1", fix)
    assert {verdict for verdict, _ in verdicts(done).values()} == {"kept"} and done.returncode == 0


@pytest.mark.semantics(774)
def test_nothing_is_removed_where_something_is_not_certain(branches, mount, tmp_path):
    before = branches.keys()
    readable = mount()
    for argv, why in [
            ([branches.path], "--keep N"),
            (["--keep", "0", branches.path], "would remove every build"),
            (["--keep", "-1", branches.path], "it takes a number"),
            (["--keep", "0", "--older-than", "0", branches.path], "would remove every build"),
            (["--keep", "1"], "name a directory"),
            (["--keep", "1", "--no-such", branches.path], "unrecognized option"),
            (["--keep", "1", tmp_path], "no directory of a prereleasefs mount"),
            (["--keep", "1", branches.path / "releases"], "under releases/"),
            (["--keep", "1", branches.path / "main/abc0001"], "is named like a build"),
            (["--keep", "1", branches.path / "main/none"], "No such file"),
            (["--keep", "1", readable.path], "mount it with -o allow_delete")]:
        done = prune(*argv)
        assert done.returncode == 2 and done.stdout == "" and why in done.stderr, (argv, done.stderr)
        assert len(done.stderr.splitlines()) == 1
    part = tmp_path / "part"
    part.mkdir()
    subprocess.run(["mount", "--bind", branches.path / "main", part], check=True)
    try:
        assert "is a part of a mount" in prune("--keep", "1", part).stderr
    finally:
        subprocess.run(["umount", part], check=True)
    for body in (b"/etc", b"main\0"):       # a channel that cannot be read
        branches.put("channels/odd.rclonelink", body)
        done = prune("--keep", "1", branches.path)
        assert done.returncode == 2 and "nothing is removed: where the link channels/odd leads cannot be told" in done.stderr
        before = sorted({*before, "channels/odd.rclonelink"})
    assert branches.keys() == before


@pytest.mark.semantics(775)
def test_what_cannot_be_removed(branches):
    branches.put("main/abc0002/")           # an object of its own stands for the directory
    done = prune("--keep", "1", branches.path / "main")
    assert done.returncode == 1 and "2 of 4 builds removed: 4 files, 22 bytes; 1 could not be" in done.stderr
    assert verdicts(done)["main/abc0002"] == (
        "failed", "its files are removed, and the directory cannot be: Operation not permitted")
    assert [key for key in branches.keys() if key.startswith("main/abc")] == [
        "main/abc0002/", "main/abc0004/app:4.tar", "main/abc0004/images.ref"]
    # What it prints is lost: it says so.
    with open("/dev/full", "w") as full:
        done = subprocess.run([PROGRAM + "-prune", "--keep", "9", str(branches.path)], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and "cannot write" in done.stderr


@pytest.mark.semantics(776)
def test_whether_files_can_be_removed(mount):
    for settings, says in [(dict(allow_delete=True), "yes"), ({}, "no"), (dict(allow_delete=True, ro=True), "no")]:
        there = mount(**settings)
        for directory in (".", "releases"):
            assert os.getxattr(there.path / directory, "user.prerelease.allow_delete") == says.encode()
            assert os.listxattr(there.path / directory) == []
        there.unmount()


@pytest.mark.semantics(772)
def test_a_channel_that_is_switched_meanwhile(branches, mount, store, proxy):
    assert branches.sh("mkdir channels; ln -s ../main/abc0004 channels/prod").returncode == 0
    line = proxy(store.endpoint)
    there = mount(allow_delete=True, list_ttl=0, endpoint=line.url, sts_endpoint=store.endpoint)
    go = threading.Event()
    line.inject(faults.Hold(go), method="DELETE", path="/main/abc0003/")
    ended = []
    pruning = threading.Thread(target=lambda: ended.append(prune("--keep", "1", there.path / "main")))
    pruning.start()
    line.wait_for("DELETE", "/main/abc0003/")
    assert branches.sh("ln -sfn ../main/abc0001 channels/prod; ln -s ../main/abc0002 channels/next").returncode == 0
    go.set()
    pruning.join(60)
    assert verdicts(ended[0]) == {
        "main/abc0004": ("kept", "one of the newest 1"), "main/abc0003": ("removed", "-"),
        "main/abc0002": ("kept", "channels/next leads to it by now"),
        "main/abc0001": ("kept", "channels/prod leads to it by now")}
