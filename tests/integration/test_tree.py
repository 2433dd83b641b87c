"""The tree: directories from keys, true attributes, fresh listings, and a program
that starts, refuses and ends as it says."""

import errno
import os
import signal
import stat
import subprocess
import time

import pytest

from mounted import GENERATED, PROGRAM, wait_until, within
from servers import images

MIB = 1 << 20


def names(path):
    return sorted(set(os.listdir(path)) - GENERATED)


@pytest.fixture
def put(s3, bucket):
    def factory(key, data=b""):
        return s3.put_object(Bucket=bucket, Key=key, Body=data)
    return factory


@pytest.mark.semantics(101)
def test_directories_are_the_keys_cut_at_slashes(mount, put):
    for key in ("jps/publish-images/abc1234/x.tar", "jps/other/def5678/y.tar",
                "releases/v1/z.tar", "top.txt"):
        put(key, key.encode())
    there = mount()
    assert names(there.path) == ["jps", "releases", "top.txt"]
    assert names(there.path / "jps") == ["other", "publish-images"]
    assert names(there.path / "jps/publish-images/abc1234") == ["x.tar"]
    assert (there.path / "releases/v1/z.tar").read_bytes() == b"releases/v1/z.tar"
    assert (there.path / "jps/publish-images").is_dir()
    assert not (there.path / "jps/publish").exists()
    with pytest.raises(NotADirectoryError):
        os.listdir(there.path / "top.txt")


@pytest.mark.semantics(102)
def test_releases_is_always_there(mount, bucket):
    there = mount()
    assert names(there.path) == ["releases"] and names(there.path / "releases") == []
    below = mount(prefix="team")
    assert names(below.path) == ["releases"]


@pytest.mark.semantics(104)
def test_files_show_true_size_and_time(mount, put, s3, bucket):
    put("b/x.tar", bytes(12345))
    modified = s3.head_object(Bucket=bucket, Key="b/x.tar")["LastModified"].timestamp()
    there = mount()
    found = os.stat(there.path / "b/x.tar")
    assert stat.S_ISREG(found.st_mode) and found.st_mode & 0o777 == 0o444
    assert (found.st_size, int(found.st_mtime)) == (12345, int(modified))
    assert found.st_blocks * 512 >= 12345
    listed = there.run("ls", "-l", "--time-style=+%s", "b/x.tar").stdout.split()
    assert (listed[0], listed[4], listed[5]) == ("-r--r--r--", "12345", str(int(modified)))


@pytest.mark.semantics(201)
def test_reads_are_the_objects_bytes_at_any_place(mount, put):
    data = images.random_bytes(9 * MIB + 123, 1)
    put("b/x.tar", data)
    there = mount()
    path = there.path / "b/x.tar"
    assert path.read_bytes() == data
    with open(path, "rb") as file:
        for offset, size in ((0, 1), (5 * MIB - 7, 4096), (len(data) - 1, 1), (len(data), 10),
                             (MIB + 1, 3 * MIB), (17, 100), (len(data) + MIB, 1)):
            assert os.pread(file.fileno(), size, offset) == data[offset:offset + size]
    assert there.sh("head -c 5 b/x.tar | wc -c").stdout.strip() == "5"
    put("b/empty", b"")
    wait_until(lambda: "empty" in names(there.path / "b"), 5)
    assert (there.path / "b/empty").read_bytes() == b""


@pytest.mark.semantics(202)
def test_a_file_that_is_replaced_while_open_never_mixes_bytes(mount, put):
    put("b/x.tar", b"1" * (24 * MIB))
    there = mount()
    with open(there.path / "b/x.tar", "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 10, 0) == b"1" * 10
        put("b/x.tar", b"2" * (24 * MIB))
        with pytest.raises(OSError) as caught:
            os.pread(file.fileno(), 10, 23 * MIB)
        assert caught.value.errno == errno.ESTALE
    time.sleep(1.2)
    assert (there.path / "b/x.tar").read_bytes() == b"2" * (24 * MIB)


@pytest.mark.semantics(108)
def test_objects_of_others_appear_after_list_ttl(mount, put, s3, bucket):
    put("b/x.tar", b"1")
    quick, slow = mount(list_ttl=1), mount(list_ttl=60)
    for there in (quick, slow):
        assert names(there.path / "b") == ["x.tar"]
        assert not (there.path / "b/y.tar").exists()
    put("b/y.tar", b"22")
    time.sleep(1.3)
    assert names(quick.path / "b") == ["x.tar", "y.tar"]
    assert (quick.path / "b/y.tar").read_bytes() == b"22"
    assert names(slow.path / "b") == ["x.tar"]
    s3.delete_object(Bucket=bucket, Key="b/x.tar")
    time.sleep(1.3)
    assert names(quick.path / "b") == ["y.tar"]


@pytest.mark.semantics(105, 106, 503)
def test_directories_can_be_made_and_removed(mount, put):
    put("kept/x.tar")
    there = mount()
    assert there.run("mkdir", "-p", "jps/a/b", "releases/v9").returncode == 0
    assert "File exists" in there.run("mkdir", "jps/a").stderr
    assert names(there.path / "jps/a") == ["b"]
    assert there.keys() == ["kept/x.tar"]
    assert "Directory not empty" in there.run("rmdir", "jps").stderr
    assert there.run("rmdir", "jps/a/b", "jps/a", "jps").returncode == 0
    assert not (there.path / "jps").exists()
    assert "Directory not empty" in there.run("rmdir", "kept").stderr
    assert "No such file" in there.run("mkdir", "nowhere/x").stderr
    other = mount()
    assert not (other.path / "releases/v9").exists()


@pytest.mark.semantics(113)
def test_own_objects_are_hidden(mount, put):
    put(".prereleasefs/anything", b"secret")
    put("b/.prereleasefs/mine", b"not the program's")
    there = mount()
    assert names(there.path) == ["b", "releases"]
    assert not (there.path / ".prereleasefs").exists()
    for attempt in (lambda: os.mkdir(there.path / ".prereleasefs"),
                    lambda: open(there.path / ".prereleasefs", "w")):
        with pytest.raises(PermissionError):
            attempt()
    assert names(there.path / "b") == [".prereleasefs"]


@pytest.mark.semantics(110, 111)
def test_keys_that_no_path_can_name_are_left_out_and_counted_once(mount, put):
    for key in ("b/good.tar", "b//double", "b/./dot", "b/../up", "b/" + "n" * 256,
                "b/both", "b/both/inside", "/leading", "b/x/"):
        put(key, b"?")
    there = mount()
    for _ in range(2):
        assert names(there.path / "b") == ["both", "good.tar", "x"]
        assert (there.path / "b/both").is_dir()
        assert names(there.path / "b/both") == ["inside"]
    assert (there.path / "b/good.tar").read_bytes() == b"?"


@pytest.mark.semantics(115)
def test_more_entries_than_one_page_holds(mount, put):
    for at in range(1105):
        put("b/f%04d" % at)
    there = mount()
    assert names(there.path / "b") == ["f%04d" % at for at in range(1105)]
    assert there.sh("find b -name 'f*' | wc -l").stdout.strip() == "1105"


@pytest.mark.semantics(801)
def test_times_and_modes_are_accepted_and_not_kept(mount, put):
    put("b/x.tar", b"x")
    there = mount()
    before = os.stat(there.path / "b/x.tar")
    for command in (["chmod", "600", "b/x.tar"], ["chown", "1:1", "b/x.tar"],
                    ["touch", "b/x.tar"], ["touch", "-d", "2001-01-01", "b"], ["chmod", "700", "b"]):
        done = there.run(*command)
        assert (done.returncode, done.stderr) == (0, "")
    after = os.stat(there.path / "b/x.tar")
    assert (after.st_mode, int(after.st_mtime), after.st_uid) == \
        (before.st_mode, int(before.st_mtime), before.st_uid)


@pytest.mark.semantics(501)
def test_nothing_is_removed_without_allow_delete(mount, put):
    put("b/x.tar", b"x")
    there = mount()
    with pytest.raises(PermissionError):
        os.unlink(there.path / "b/x.tar")
    assert there.keys() == ["b/x.tar"]


@pytest.mark.semantics(504)
def test_mv_moves_nothing_without_allow_delete(mount, put):
    """It would publish c.ref, and then fail to remove a.ref."""
    put("b/a.ref", b"127.0.0.1:1/app:v1 x.tar\n")
    there = mount()
    for command in ["mv", "b/a.ref", "b/c.ref"], ["mv", "b", "c"]:
        done = there.run(*command)
        assert done.returncode == 1 and "Operation not permitted" in done.stderr
    assert "use cp, or mount with allow_delete" in there.log()
    assert there.keys() == ["b/a.ref"] and not (there.path / "c").exists()


@pytest.mark.semantics(804)
def test_read_only_mount(mount, put):
    put("b/x.tar", b"x")
    there = mount(ro=True)
    assert (there.path / "b/x.tar").read_bytes() == b"x"
    for attempt in (lambda: os.mkdir(there.path / "c"),
                    lambda: open(there.path / "b/y.ref", "w"),
                    lambda: os.symlink("b", there.path / "c"),
                    lambda: os.unlink(there.path / "b/x.tar")):
        with pytest.raises(OSError) as caught:
            attempt()
        assert caught.value.errno == errno.EROFS


@pytest.mark.semantics(116)
def test_df_shows_a_large_free_space(mount):
    there = mount()
    shown = os.statvfs(there.path)
    assert shown.f_bavail * shown.f_frsize > 1 << 40 and shown.f_namemax == 255


@pytest.mark.parametrize("how", ["fusermount", "TERM", "INT", "HUP"])
@pytest.mark.semantics(1011)
def test_ends_cleanly(mount, put, how):
    put("b/x.tar", b"x")
    there = mount()
    assert (there.path / "b/x.tar").read_bytes() == b"x"
    with within(30):
        if how == "fusermount":
            assert there.unmount() == 0
        else:
            there.signal(getattr(signal, "SIG" + how))
            assert there.wait() == 0
    assert not there.is_mounted()


@pytest.mark.semantics(1014)
def test_credentials_are_not_on_the_command_line(mount, store):
    there = mount()
    with open("/proc/%d/cmdline" % there.pid) as line:
        assert store.publisher.secret_key not in line.read()


@pytest.mark.semantics(1003)
def test_runs_in_the_background_unless_told(mount):
    there = mount(start=False)
    there.options["log_level"] = None
    command = [word for word in there.command() if word != "-f"]
    done = subprocess.run(command, env=there.environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    try:
        assert done.returncode == 0 and there.is_mounted(), done.stdout
        assert names(there.path) == ["releases"]
    finally:
        subprocess.run(["fusermount3", "-u", there.path], check=True)


def program(*arguments):
    return subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30,
                          env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"})


def test_version_and_help():
    version = program("-V")
    assert version.returncode == 0 and version.stdout.startswith("prereleasefs ")
    shown = program("-h")
    assert shown.returncode == 0
    for option in ("region=", "endpoint=", "sts_endpoint=", "addressing=", "profile=",
                   "presign_role=", "presign_session=", "presign_profile=", "expires=",
                   "min_expires=", "kms_key=", "platform=", "format=", "registries=", "parallel=",
                   "memory=", "overwrite", "allow_delete", "list_ttl=", "insecure_registry=",
                   "linkmode=", "contact=", "title=", "ca_bundle=",
                   "log_level=", "43200", "604800", "linux/amd64", "128M"):
        assert option in shown.stdout, option


@pytest.mark.parametrize("arguments, words", [
    ([], "BUCKET"),
    (["bucket"], "MOUNTPOINT"),
    (["bucket", "/nonexistent/mnt"], "/nonexistent/mnt"),
    (["bucket", "/tmp", "-o", "nonsense=1"], "nonsense"),
    (["bucket", "/tmp", "-o", "expires=0"], "expires"),
    (["bucket", "/tmp", "-o", "expires=604801"], "expires"),
    (["bucket", "/tmp", "-o", "parallel=none"], "parallel"),
    (["bucket", "/tmp", "-o", "format=zip"], "format"),
    (["bucket", "/tmp", "-o", "platform=linux"], "platform"),
    (["bucket", "/tmp", "-o", "addressing=sideways"], "addressing"),
    (["bucket", "/tmp", "-o", "log_level=loud"], "log_level"),
    (["Bad_Bucket!", "/tmp"], "Bad_Bucket!"),
])
@pytest.mark.semantics(1002)
def test_bad_arguments_are_refused_in_one_clear_line(arguments, words):
    done = program("-f", *arguments)
    assert done.returncode == 1
    assert words in done.stderr.splitlines()[0] and len(done.stderr.splitlines()) <= 2
