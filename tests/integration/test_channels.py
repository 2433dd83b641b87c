"""Channels: symbolic links in the mount, which are switched, and lead to a release or a build."""

import os
import subprocess
import threading

import pytest

from mounted import wait_until
from servers import faults

SUFFIX = ".rclonelink"


@pytest.fixture
def releases(mount):
    """Two releases of one file each, and an empty directory for channels."""
    there = mount(list_ttl=0)
    for version in ("v1", "v2"):
        (there.path / "releases" / version).mkdir()
        (there.path / "releases" / version / "notes.txt").write_text("notes of %s\n" % version)
    (there.path / "channels").mkdir()
    return there


def audited(there, act):
    return [line for line in there.log().splitlines() if " audit=%s " % act in line]


@pytest.mark.semantics(760, 761, 762)
def test_channel(releases):
    made = releases.run("ln", "-sfn", "../releases/v1", "channels/prod")
    assert (made.returncode, made.stderr) == (0, "")
    assert releases.object("channels/prod" + SUFFIX) == b"../releases/v1"
    prod = releases.path / "channels/prod"
    assert os.readlink(prod) == "../releases/v1" and prod.is_symlink()
    assert releases.run("ls", "channels").stdout == "prod\n"
    assert "prod -> ../releases/v1" in releases.run("ls", "-l", "channels").stdout
    assert releases.run("find", ".", "-type", "l").stdout == "./channels/prod\n"
    assert "notes.txt" in releases.run("ls", "channels/prod/").stdout
    assert (prod / "notes.txt").read_text() == "notes of v1\n"
    assert "releases/v1/notes.txt" in releases.rows("channels/prod/urls.tsv")[0]["url"]
    assert "v1" in (prod / "report.html").read_text()
    assert releases.run("test", "-L", "channels/prod").returncode == 0
    assert releases.run("getfattr", "-h", "-d", "-m", "-", "channels/prod").stdout == ""

    for version, before in (("v2", "v1"), ("v1", "v2")):       # and back again
        done = releases.run("ln", "-sfn", "../releases/" + version, "channels/prod")
        assert (done.returncode, done.stderr) == (0, "")
        assert (prod / "notes.txt").read_text() == "notes of %s\n" % version
        assert os.readlink(prod) == "../releases/" + version
        assert os.lstat(prod).st_size == len("../releases/v1")
        told = audited(releases, "symlink")[-1]
        for word in ("outcome=switched", "path=channels/prod", "from=../releases/" + before,
                     "to=../releases/" + version, "uid=%d" % os.getuid()):
            assert word in told, told
    assert releases.keys() == ["channels/prod" + SUFFIX, "releases/v1/notes.txt",
                               "releases/v2/notes.txt"]


@pytest.mark.semantics(763)
def test_targets(releases):
    (releases.path / "a/b").mkdir(parents=True)
    for target, directory in [("/etc/passwd", "channels"), (releases.path / "releases/v1", "channels"),
                              ("../../outside", "channels"), ("..", "."), ("x/../../..", "a/b"),
                              ("../releases/../releases/v1", "channels"), ("./../..", "channels")]:
        refused = releases.run("ln", "-s", target, directory + "/refused")
        assert refused.returncode == 1 and "Invalid cross-device link" in refused.stderr, target
    state, why = releases.why("channels")
    assert state == "failed" and "outside the mount" in why
    for target, directory in [("..", "channels"), (".././releases//v1/", "channels"), ("../../a", "a/b"),
                              ("prod", "channels"), ("nowhere/yet", "channels"), ("x" * 300, "a"), ("ä\n", "a")]:
        made = releases.run("ln", "-sfn", target, directory + "/made")
        assert (made.returncode, made.stderr) == (0, ""), target
        assert os.readlink(releases.path / directory / "made") == target
    # What leads nowhere is shown, and says so; so does what leads in circles.
    assert releases.run("cat", "channels/made").stderr == "cat: channels/made: No such file or directory\n"
    assert releases.run("ln", "-s", "round", "channels/round").returncode == 0
    assert "Too many levels" in releases.run("cat", "channels/round").stderr
    # ln -r finds the way, also from names that lead through links.
    assert releases.sh("ln -sr releases/v1 channels/prod; ln -sfnr $PWD/channels/prod/ a/b/p; cat a/b/p/notes.txt; "
                       "readlink channels/prod a/b/p").stdout == "notes of v1\n../releases/v1\n../../releases/v1\n"
    for name in ("x" + SUFFIX, "urls.tsv", ".prereleasefs"):
        refused = releases.run("ln", "-s", "releases", name)
        assert refused.returncode == 1 and "Operation not permitted" in refused.stderr, name
    assert releases.run("cp", "releases/v1/notes.txt", "x" + SUFFIX).returncode == 1


@pytest.mark.semantics(764, 765)
def test_a_link_is_no_file(releases, registry, repository):
    """What may become of it without any option."""
    def refused(script, why):
        done = releases.sh(script)
        assert done.returncode != 0 and why in done.stderr, (script, done.stderr)
    assert releases.sh("ln -s ../releases/v1 channels/prod; ln -s v1 releases/latest; echo x >f").returncode == 0
    before = releases.keys()
    for script in ("rm channels/prod", "mv channels/prod channels/stable", "mv -T channels/prod f"):
        refused(script, "Operation not permitted")
    refused("mkdir channels/prod", "File exists")
    refused("rmdir channels/prod", "Not a directory")
    # A program's own passing link, renamed, is a switch; what a file may not replace stays.
    assert releases.sh("/usr/bin/python3 -c \"import os; os.symlink('../releases/v2', 'channels/new'); "
                       "os.replace('channels/new', 'channels/prod')\"; readlink channels/prod").stdout == "../releases/v2\n"
    refused("/usr/bin/python3 -c \"import os; os.symlink('releases', 'new'); os.replace('new', 'f')\"", "File exists")
    assert releases.run("rm", "f").returncode == 1     # and without allow_delete `new` is nobody's now
    refused("sed -i s/notes/x/ channels/prod/notes.txt", "File exists")
    refused("ln -s f g; sed -i s/x/y/ g", "File exists")
    # Under releases/ a link stays what it is.
    refused("ln -sfn v2 releases/latest", "File exists")
    assert releases.sh("ln -sfn v1 releases/latest; readlink releases/latest").stdout == "v1\n"
    assert releases.keys() == sorted(before + ["g" + SUFFIX, "new" + SUFFIX])
    # Nor does a tarball hide one.
    assert releases.sh("ln -s nowhere channels/x.tar").returncode == 0
    done = releases.publish("channels", "%s/%s:v1 x.tar" % (registry.host, repository))
    assert done.returncode == 1 and "symbolic link stands under that name" in releases.why("channels")[1]


@pytest.mark.semantics(766)
def test_removed_and_renamed(mount):
    there = mount(allow_delete=True, list_ttl=0)
    done = there.sh("""set -e; mkdir c d; echo x >d/f; ln -s ../d c/one; mv c/one c/two; readlink c/two; cat c/two/f
        ln -s ../d/f c/g; mv -T c/g c/two; readlink c/two; cat c/two; ln -sfn d two; mv -T two e; readlink e
        mv e/f e/g; mv d/g d/f; ln -s ../d releases/l; rm releases/l; rm c/two; cp -a e c/; cat c/e && exit 1
        mkdir x; ln -s ../d x/d; mv x y; cat y/d/f; rm -r y c e; find . -type l; cat d/f""")
    assert (done.returncode, done.stdout) == (0, "../d\nx\n../d/f\nx\nd\nx\nx\n"), done.stderr
    assert done.stderr == "cat: c/e: No such file or directory\n"
    # From another directory the target would lead elsewhere: mv cannot help that either.
    there.sh("mkdir -p a/b; ln -s ../../d a/b/l")
    moved = there.run("mv", "a/b/l", "a/")
    assert moved.returncode == 1 and "Invalid cross-device link" in moved.stderr
    assert os.readlink(there.path / "a/b/l") == "../../d"


@pytest.mark.semantics(767)
def test_objects_of_others(mount, s3, bucket):
    """Whoever may write to the bucket may put anything there: a link leads nobody out of the mount."""
    def put(key, body):
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    leaving = {"abs": b"/etc/passwd", "up": b"../../../etc/passwd", "sly": b"dir/../../x", "root": b"/"}
    broken = {"nul": b"f\0g"}
    shown = {"d/%s" % name: body for name, body in {**leaving, **broken, "good": b"f"}.items()}
    for name, body in shown.items():
        put(name + SUFFIX, body)
    put("d/f", b"file\n")
    put("d/file", b"1")             # a file goes before a link of its name, a directory before both
    put("d/file" + SUFFIX, b"f")
    put("d/dir/f", b"1")
    put("d/dir" + SUFFIX, b"f")
    put("d/.." + SUFFIX, b"f")
    put("d/" + SUFFIX, b"f")        # no link's, and so a file's, as are those that hold no target
    put("d/empty" + SUFFIX, b"")
    put("d/large" + SUFFIX, b"x" * 4096)
    put("d/urls.tsv" + SUFFIX, b"f")
    put(".prereleasefs" + SUFFIX, b"d")
    put("releases" + SUFFIX, b"d")
    put("d/" + "n" * 250 + SUFFIX, b"f")
    there = mount()
    links = sorted([*(name[2:] for name in shown), "n" * 250])
    assert sorted(there.run("find", "d", "-type", "l", "-printf", "%f\n").stdout.split()) == links
    assert os.listdir(there.path / "releases") == [] and not (there.path / ".prereleasefs").exists()
    for name in leaving:
        assert "Invalid cross-device link" in there.run("cat", "d/" + name).stderr
        assert "Invalid cross-device link" in there.run("readlink", "-v", "d/" + name).stderr
    assert "Input/output error" in there.run("cat", "d/nul").stderr
    assert there.run("cat", "d/good", "d/" + "n" * 250, "d/file").stdout == "file\nfile\n1"
    assert there.run("stat", "-c", "%F %s", "d/large" + SUFFIX, "d/empty" + SUFFIX, "d/" + SUFFIX).stdout == \
        "regular file 4096\nregular empty file 0\nregular file 1\n"
    assert there.run("ls", "-l", "d").returncode == 1       # it shows the others
    assert {row["file"] for row in there.rows("d/urls.tsv")} == {
        "f", "file", "large" + SUFFIX, "empty" + SUFFIX, SUFFIX}
    told = [line for line in there.log().splitlines() if "not followed" in line]
    assert len([line for line in told if "WARN" in line]) == len(leaving) and "d/abs" in told[0]
    # What leads out is switched to what does not.
    assert there.sh("ln -sfn f d/abs; cat d/abs").stdout == "file\n"


@pytest.mark.semantics(768)
def test_two_hosts(mount, releases):
    there = mount(list_ttl=1)
    assert releases.run("ln", "-sfn", "../releases/v1", "channels/prod").returncode == 0
    prod = there.path / "channels/prod"
    wait_until(prod.is_symlink)
    assert (prod / "notes.txt").read_text() == "notes of v1\n"
    assert releases.run("ln", "-sfn", "../releases/v2", "channels/prod").returncode == 0
    wait_until(lambda: os.readlink(prod) == "../releases/v2", 5)
    assert (prod / "notes.txt").read_text() == "notes of v2\n"

    # Both switch, again and again, and others read here and there: never nothing.
    ends = []

    def switch(one):
        ends.append(one.sh("for i in 1 2 3 4 5 6; do ln -sfn ../releases/v$((i % 2 + 1)) channels/prod || exit 1; done"))

    def read(one):
        ends.append(one.sh("for i in $(seq 40); do cat channels/prod/notes.txt >/dev/null && readlink channels/prod >/dev/null "
                           "|| exit 1; done"))

    threads = [threading.Thread(target=work, args=[one]) for work in (switch, read, read) for one in (there, releases)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(end.returncode, end.stderr) for end in ends] == [(0, "")] * 6
    assert releases.object("channels/prod" + SUFFIX) in (b"../releases/v1", b"../releases/v2")
    assert [key for key in releases.keys() if key.startswith("channels/")] == ["channels/prod" + SUFFIX]
    # Of two who make the same link, one does; ln -f then switches.
    assert sorted(one.run("ln", "-s", "x%d" % i, "channels/new").returncode
                  for i, one in enumerate((there, releases))) == [0, 1]


@pytest.mark.semantics(769)
def test_copies_of_links(releases, store, bucket, tmp_path):
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    (source / "d/f").write_text("f\n")
    for target, name in (("d/f", "rel"), ("d", "dir"), ("../rel", "d/back"), ("nowhere", "none")):
        os.symlink(target, source / name)
    def links(directory):
        found = subprocess.run(["find", directory, "-type", "l", "-printf", "%P %l\n"], check=True,
                               stdout=subprocess.PIPE, text=True)
        return sorted(found.stdout.splitlines())

    for script in ("cp -a $1 a", "cp -a a b", "rsync -a $1/ c", "mkdir d; tar c -C $1 . | tar xP -C d"):
        done = releases.sh(script, source)
        assert (done.returncode, done.stderr) == (0, ""), script
    for name in "abcd":
        assert links(releases.path / name) == links(source)
        assert releases.run("cat", name + "/d/back").stdout == "f\n"
    assert releases.sh("ln -sfn d/f $1/none; rsync -a $1/ c", source).returncode == 0    # a switch
    assert links(releases.path / "c") == links(source) != links(releases.path / "a")
    assert releases.sh("cp -rL a/dir e; cat e/f e/back; cp -r a/dir/ f; cat f/f; ls -A e f | grep back").stdout == \
        "f\nf\nf\nback\nback\n"
    # rclone takes and makes the same objects.
    keys = store.publisher
    environment = {"PATH": os.environ["PATH"], "RCLONE_CONFIG": os.devnull, "RCLONE_CONFIG_STORE_TYPE": "s3",
                   "RCLONE_CONFIG_STORE_PROVIDER": "Ceph", "RCLONE_CONFIG_STORE_ENDPOINT": store.endpoint,
                   "RCLONE_CONFIG_STORE_ACCESS_KEY_ID": keys.access_key,
                   "RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY": keys.secret_key}
    copied = tmp_path / "copied"
    for there, to in (("store:%s/a" % bucket, copied), (copied, "store:%s/g" % bucket)):
        subprocess.run(["rclone", "copy", "--links", there, to], env=environment, check=True, timeout=60)
    assert links(copied) == links(releases.path / "a") == links(releases.path / "g")


@pytest.mark.semantics(761)
def test_switched_over_a_bad_line(mount, store, proxy, s3, bucket):
    """A switch whose reply is lost has happened; what remains of its passing name is told of."""
    line = proxy(store.endpoint)
    there = mount(endpoint=line.url, sts_endpoint=store.endpoint)
    assert there.sh("mkdir c d e; ln -s ../d c/l").returncode == 0
    line.inject(faults.LoseReply(), method="PUT", path="/c/l.rclonelink")
    done = there.sh("ln -sfn ../e c/l; readlink c/l")
    assert (done.returncode, done.stdout, done.stderr) == (0, "../e\n", "")
    assert there.keys() == ["c/l.rclonelink"]
    line.inject(faults.s3_error(403, "AccessDenied"), method="DELETE", count=None)
    done = there.sh("ln -sfn ../d c/l; readlink c/l")
    assert (done.returncode, done.stdout, done.stderr) == (0, "../d\n", "")
    assert len(there.keys()) == 2 and "a link's passing name was left behind" in there.log()
    line.clear()
    line.inject(faults.s3_error(403, "AccessDenied"), method="PUT", path="/c/l.rclonelink")
    done = there.sh("ln -sfn ../e c/l || readlink c/l")
    assert done.stdout == "../d\n" and "Permission denied" in done.stderr
    assert len(there.keys()) == 2           # the process has taken its passing name away
