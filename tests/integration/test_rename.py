"""mv and rm: what is moved is copied inside the store and removed, and nothing is silently replaced;
a promotion of a whole build."""

import os

import pytest

from mounted import GENERATED, wait_until
from servers import images

RENAME = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
old, new, flags = sys.argv[1:]
if libc.renameat2(-100, old.encode(), -100, new.encode(), int(flags)):
    print(os.strerror(ctypes.get_errno()))
"""
NOREPLACE, EXCHANGE = 1, 2


@pytest.fixture
def there(mount, registry, repository):
    """Deleting is allowed; b/ holds an image's tarball with its reference file, and two files."""
    opened = mount(allow_delete=True)
    images.small(repository).push(registry, repository, "v1")
    reference = "%s/%s:v1" % (registry.host, repository)
    assert opened.publish("b", reference + " x.tar").returncode == 0
    for name, text in (("one", "1" * 1000), ("other", "2" * 1000)):
        (opened.path / "b" / name).write_text(text)
    (opened.path / "c").mkdir()
    opened.reference = reference
    return opened


def rename(there, old, new, flags=0):
    """What rename(2) itself says, without mv's fallback; "" where it has been done."""
    return there.run("/usr/bin/python3", "-c", RENAME, old, new, str(flags)).stdout.strip()


@pytest.mark.semantics(440, 441)
def test_mv(there):
    row = there.rows("b/urls.tsv")[2]
    records = [key for key in there.keys(internal=True) if "/records/b/x.tar/" in key]
    bytes_before = there.object("b/x.tar")
    done = there.run("mv", "b/x.tar", "c/")
    assert (done.returncode, done.stderr) == (0, "")
    assert there.object("c/x.tar") == bytes_before and "b/x.tar" not in there.keys()
    moved = there.rows("c/urls.tsv")[0]
    assert [moved[name] for name in ("image", "digest", "sha256")] == [
        row[name] for name in ("image", "digest", "sha256")] and moved["digest"] != "-"
    assert records and not set(records) & set(there.keys(internal=True))     # gone with its tarball
    assert there.run("mv", "b/one", "b/two").returncode == 0
    assert there.object("b/two") == b"1" * 1000

    # Onto another's name: nothing has happened, whatever mv would remove to make room.
    for target in ("b/other", "releases/other"):
        assert there.run("cp", "-n", "b/other", target).returncode == 0
        refused = there.run("mv", "-f", "b/two", target)
        assert refused.returncode == 1 and "File exists" in refused.stderr
        assert there.object(target) == b"2" * 1000 and there.object("b/two") == b"1" * 1000
    assert there.run("mv", "-n", "b/two", "b/other").returncode == 0
    assert there.object("b/other") == b"2" * 1000
    # Onto the very same: the old name is gone.
    assert there.run("cp", "b/two", "c/two").returncode == 0
    assert there.run("mv", "b/two", "c/two").returncode == 0
    assert "b/two" not in there.keys() and there.object("c/two") == b"1" * 1000


@pytest.mark.semantics(444, 446)
def test_rename_itself(there):
    (there.path / "e").mkdir()
    (there.path / "f").mkdir()
    (there.path / "b/large").write_bytes(bytes((1 << 20) + 1))
    for old, new, flags, says in [
            ("b/x.tar", "b/new", 0, "Invalid cross-device link"),       # an image
            ("b/large", "b/new", 0, "Invalid cross-device link"),
            ("b/one", "b/new.ref", 0, "Invalid cross-device link"),
            ("b/x.tar", "b/new", NOREPLACE, "Invalid cross-device link"),
            ("b/one", "b/other", NOREPLACE, "File exists"),
            ("b/one", "b/other", 0, "File exists"),
            ("b/one", "b/other", EXCHANGE, "Invalid argument"),
            ("b/one", "b/images.ref", 0, "Invalid cross-device link"),
            ("b/one", "b/urls.tsv", 0, "Operation not permitted"),
            ("b/urls.tsv", "b/new", 0, "Operation not permitted"),
            ("b/none", "b/new", 0, "No such file or directory"),
            ("e", "f", 0, "Invalid cross-device link"),
            ("e", "b", 0, "Directory not empty"),
            ("b", "g", 0, "Invalid cross-device link")]:
        assert rename(there, old, new, flags) == says, (old, new, flags)
    assert sorted(there.keys()) == ["b/images.ref", "b/large", "b/one", "b/other", "b/x.tar"]
    assert there.run("mv", "e", "d").returncode == 0 and (there.path / "d").is_dir()
    assert not (there.path / "e").exists()
    done = there.run("mv", "b/images.ref", "c/again.ref")       # publishes, under the line's name
    assert (done.returncode, done.stderr) == (0, "")
    assert {"c/again.ref", "c/x.tar"} <= set(there.keys()) and "b/images.ref" not in there.keys()


@pytest.mark.semantics(445)
def test_a_small_file_is_renamed_at_once(there, s3):
    s3.put_object(Bucket=there.bucket, Key="b/page", Body=b"<p>", ContentType="text/html",
                  Metadata={"by": "hand"})
    wait_until(lambda: (there.path / "b/page").exists(), 10)
    sha256 = os.getxattr(there.path / "b/one", "user.prerelease.sha256")
    for old, new, flags, bytes_of in (("b/one", "c/two", 0, b"1" * 1000), ("c/two", "c/three", NOREPLACE, b"1" * 1000),
                                      ("b/page", "releases/v1/page", 0, b"<p>")):
        (there.path / new).parent.mkdir(exist_ok=True)
        assert rename(there, old, new, flags) == ""
        assert not (there.path / old).exists() and (there.path / new).read_bytes() == bytes_of
        assert there.object(new) == bytes_of and old not in there.keys()
    assert os.getxattr(there.path / "c/three", "user.prerelease.sha256") == sha256
    head = s3.head_object(Bucket=there.bucket, Key="releases/v1/page")
    assert (head["ContentType"], head["Metadata"]) == ("text/html", {"by": "hand"})
    assert [key for key in there.keys(internal=True) if "/records/b/one/" in key] == []
    assert "audit=rename outcome=renamed" in there.log()


# Programs that save by rename: each writes "2" where there was "1", or makes a new file of it.
SAVERS = {
    "sed": "sed -i s/1/2/ f",
    "perl": "perl -i -pe s/1/2/ f",
    "vim": "vim -n -es -u NONE -c s/1/2/ -c 'wq!' f </dev/null",
    "vim, by renaming": "vim -n -es -u NONE -c 'set backupcopy=no' -c s/1/2/ -c 'wq!' f </dev/null",
    "rsync": "echo 2 >$1/f; rsync -aI $1/f f",
    "Python": "python3 -c '%s'" % """
import os, tempfile
fd, name = tempfile.mkstemp(dir=".")
os.write(fd, b"2\\n")
os.close(fd)
try:
    os.replace(name, "f")
except OSError:
    os.unlink(name)
    raise""",
}


@pytest.mark.semantics(447, 448, 461)
@pytest.mark.parametrize("options", [{}, {"overwrite": True}], ids=lambda options: "+".join(options) or "plain")
def test_programs_that_save_by_rename(mount, options, tmp_path):
    """A new file is saved; one that stands there is replaced with overwrite, and else stays as it
    was, the program fails, and nothing of its own is left behind."""
    there = mount(**options)
    (tmp_path / "outside").mkdir()
    for at, (name, command) in enumerate(SAVERS.items()):
        for directory in ("b%d" % at, "releases/v%d" % at):
            (there.path / directory).mkdir()
            done = there.sh("cd %s; echo 1 >f; %s" % (directory, command), tmp_path / "outside")
            is_replaced = "overwrite" in options and "releases" not in directory
            assert (done.returncode == 0) == is_replaced, (name, done.stderr)
            assert there.object(directory + "/f") == (b"2\n" if is_replaced else b"1\n"), name
            shown = set(os.listdir(there.path / directory))
            assert shown <= GENERATED | {"f"}, (name, shown)
    assert {key.rpartition("/")[2] for key in there.keys()} == {"f"}


@pytest.mark.semantics(448)
def test_a_process_takes_back_what_it_has_made_for_itself_and_nothing_else(mount):
    there = mount()
    (there.path / "b").mkdir()
    outcomes = there.run("/usr/bin/python3", "-c", """
import os, subprocess, tempfile
def outcome(function, *arguments):
    try:
        function(*arguments)
        return "done"
    except OSError as error:
        return error.strerror
def made(name, flags, data=b"1"):
    fd = os.open("b/" + name, os.O_CREAT | flags)
    os.write(fd, data)
    os.close(fd)
    return "b/" + name
made("own", os.O_RDWR | os.O_EXCL)
print(subprocess.run(["rm", "b/own"]).returncode)              # another process
print(outcome(os.unlink, "b/own"))
print(outcome(os.unlink, made("empty", os.O_WRONLY | os.O_EXCL, b"")))
print(outcome(os.unlink, made("written", os.O_WRONLY | os.O_EXCL)))
print(outcome(os.unlink, made("shared", os.O_RDWR)))
print(outcome(os.rename, "b/written", "b/new"))
print(outcome(os.rename, made("large", os.O_RDWR | os.O_EXCL, bytes((1 << 20) + 1)), "b/new"))
print(outcome(os.unlink, "b/large"))
print(outcome(os.rename, made("passing", os.O_RDWR | os.O_EXCL), "b/lock"), outcome(os.unlink, "b/lock"))
""")
    assert outcomes.stdout.split("\n")[:-1] == [
        "1", "done", "done", "Operation not permitted", "Operation not permitted",
        "Operation not permitted", "Invalid cross-device link", "done", "done done"], outcomes.stderr
    assert sorted(there.keys()) == ["b/shared", "b/written"]


@pytest.mark.semantics(434, 443)
@pytest.mark.parametrize("command", ["cp -r", "cp -a", "mv"])
def test_a_whole_build_is_promoted(there, command):
    """Generated files come along without being stored: each directory makes its own."""
    keys = {key for key in there.keys() if key.startswith("b/")}
    done = there.sh(command + " b releases/v1.2.3")
    assert (done.returncode, done.stderr) == (0, "")
    promoted = {key.replace("b/", "releases/v1.2.3/", 1) for key in keys}
    assert set(there.keys()) == promoted | (set() if command == "mv" else keys)
    assert (there.path / "b").exists() == (command != "mv")
    for row in there.rows("releases/v1.2.3/urls.tsv"):
        assert row["sha256"] != "-" and (row["file"] != "x.tar" or row["image"] == there.reference)
    if command != "mv":
        again = there.sh(command + " b/. releases/v1.2.3")      # all of it is there
        assert (again.returncode, again.stderr) == (0, "")
        assert set(there.keys()) == promoted | keys
    for script in ("echo x >releases/v1.2.3/urls.tsv", "cp releases/v1.2.3/one releases/v1.2.3/report.html",
                   "cat releases/v1.2.3/SHA256SUMS >releases/v1.2.3/urls.tsv"):
        assert "not permitted" in there.sh(script).stderr, script


@pytest.mark.semantics(461, 502)
def test_rm(there):
    assert there.run("cp", "-r", "b", "releases/v1").returncode == 0
    for path in ("releases/v1", "b"):
        done = there.run("rm", "-r", path)
        assert (done.returncode, done.stderr) == (0, "") and not (there.path / path).exists()
    assert there.keys() == []
    left = [key for key in there.keys(internal=True) if "/records/" in key]
    assert left == [], left
    assert there.run("rmdir", "c").returncode == 0
    assert there.run("rmdir", "releases").returncode == 1 and set(os.listdir(there.path)) == {"index.html", "releases"}
    # What leads to a layer of it is a hint, found to be wrong by the next publish.
    assert there.publish("d", there.reference + " x.tar").returncode == 0


@pytest.mark.semantics(501, 504)
def test_without_allow_delete(mount, s3, bucket):
    s3.put_object(Bucket=bucket, Key="b/one", Body=b"1")
    s3.put_object(Bucket=bucket, Key="releases/v1/one", Body=b"1")
    there = mount()
    for script in ("rm b/one", "rm -r b", "rm releases/v1/one", "mv b/one b/two", "mv b c", "mv b releases/v2",
                   "mv b/one releases/v1/one"):
        done = there.sh(script)
        assert done.returncode == 1 and "not permitted" in done.stderr, script
    assert there.run("rmdir", "b").returncode == 1
    assert there.keys() == ["b/one", "releases/v1/one"]
    # A directory that was only made is nothing to delete.
    (there.path / "d").mkdir()
    assert there.run("mv", "d", "e").returncode == 0 and there.run("rmdir", "e").returncode == 0


@pytest.mark.semantics(442, 461)
def test_overwrite_lets_mv_replace(mount):
    there = mount(allow_delete=True, overwrite=True)
    for directory in ("b", "releases/v1"):
        (there.path / directory).mkdir()
        (there.path / directory / "x").write_text("old")
    (there.path / "b/new").write_text("new")
    assert "File exists" in there.run("mv", "b/new", "releases/v1/x").stderr
    assert there.run("mv", "b/new", "b/x").returncode == 0
    wait_until(lambda: there.object("b/x") == b"new", 10)
    assert there.object("releases/v1/x") == b"old" and "b/new" not in there.keys()
