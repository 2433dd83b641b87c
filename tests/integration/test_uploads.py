"""Ordinary files written into the mount: whole or not at all, nothing silently replaced."""

import errno
import hashlib
import os
import signal
import subprocess
import threading
import time

import pytest

from mounted import wait_until
from servers import faults, images

MIB = 1 << 20


@pytest.fixture
def there(mount):
    opened = mount()
    (opened.path / "b").mkdir()
    return opened


def local(there, name, size, seed=1):
    path = there.dir / name
    path.write_bytes(images.random_bytes(size, seed))
    return path


@pytest.mark.parametrize("size", [0, 1, 4096, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 37 * MIB + 5])
@pytest.mark.semantics(301)
def test_cp_stores_every_byte(there, size):
    file = local(there, "notes.bin", size)
    done = there.run("cp", file, "b/")
    assert (done.returncode, done.stderr) == (0, "")
    wait_until(lambda: "b/notes.bin" in there.keys(), 60)  # an empty one: soon after its close
    assert there.object("b/notes.bin") == file.read_bytes()
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    wait_until(lambda: there.rows("b/urls.tsv")[0]["sha256"] == sha256, 60)
    assert sha256 + "  notes.bin\n" in (there.path / "b/SHA256SUMS").read_text()
    assert os.getxattr(there.path / "b/notes.bin", "user.prerelease.sha256") == sha256.encode()
    with pytest.raises(OSError) as refused:
        os.getxattr(there.path / "b/notes.bin", "user.prerelease.image")
    assert refused.value.errno == errno.ENODATA
    assert (there.path / "b/notes.bin").stat().st_size == size
    assert there.run("cmp", file, "b/notes.bin").returncode == 0


@pytest.mark.parametrize("size", [5000, 17 * MIB])
def test_the_same_bytes_again_bring_the_missing_sha256(there, s3, size):
    """Another tool had stored them."""
    file = local(there, "notes.pdf", size)
    s3.put_object(Bucket=there.bucket, Key="b/notes.pdf", Body=file.read_bytes())
    wait_until(lambda: (there.path / "b/notes.pdf").exists(), 60)
    assert there.rows("b/urls.tsv")[0]["sha256"] == "-"
    assert there.run("cp", file, "b/").returncode == 0
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    wait_until(lambda: there.rows("b/urls.tsv")[0]["sha256"] == sha256, 20)
    other = local(there, "other", size, 2)
    assert "File exists" in there.run("cp", other, "b/notes.pdf").stderr


@pytest.mark.semantics(301)
def test_cp_of_an_empty_file_says_what_became_of_it(mount):
    there = mount(overwrite=True)
    (there.path / "releases/v1").mkdir()
    empty, full = local(there, "empty", 0), local(there, "full", 1000)
    for directory, status, size in ("b", 0, 0), ("releases/v1", 1, 1000):
        (there.path / directory).mkdir(exist_ok=True)
        assert there.run("cp", full, directory + "/x").returncode == 0
        assert there.run("cp", empty, directory + "/x").returncode == status
        assert len(there.object(directory + "/x")) == size
    assert there.run("cp", empty, "b/new").returncode == 0 and there.object("b/new") == b""


@pytest.mark.semantics(315)
def test_fsync_stores_the_file(there):
    file = os.open(there.path / "b/log", os.O_WRONLY | os.O_CREAT)
    os.write(file, b"one")
    os.fsync(file)
    assert there.object("b/log") == b"one"
    with pytest.raises(OSError) as refused:
        os.write(file, b"two")
    os.close(file)
    assert refused.value.errno == errno.EIO and there.object("b/log") == b"one"
    wait_until(lambda: there.rows("b/status.tsv"), 20)
    assert "(fsync)" in there.why("b")[1]


def test_an_empty_file_that_somebody_has_open_is_not_complete(there):
    """Its opener has closed it, and its child writes into it."""
    script = ("import subprocess\n"
              "log = open('b/log', 'wb')\n"
              "child = subprocess.Popen('sleep 0.3; echo late', shell=True, stdout=log)\n"
              "log.close()\n"
              "child.wait()\n")
    assert there.run("/usr/bin/python3", "-c", script).returncode == 0
    wait_until(lambda: "b/log" in there.keys(), 60)
    assert there.object("b/log") == b"late\n"


@pytest.mark.parametrize("script", [
    "cat $1 >b/x", "dd if=$1 of=b/x bs=1M status=none", "dd if=$1 of=b/x bs=64k conv=fsync status=none",
    "tee b/x <$1 >/dev/null", "install $1 b/x", "cp -p $1 b/x", "(head -c 100 $1; tail -c +101 $1) >b/x",
    "cat <$1 >b/x; chmod 600 b/x; touch b/x", "head -c 1000 $1 >b/x && cmp -n 1000 $1 b/x && rm -f b/x; "
    "cat $1 >b/y && cat b/y >b/z && cmp b/z $1",
])
def test_what_shells_do(mount, script):
    there = mount(allow_delete=True)
    (there.path / "b").mkdir()
    file = local(there, "data", 300000)
    done = there.sh("set -e; " + script, file)
    assert (done.returncode, done.stderr) == (0, "")
    for key in there.keys():
        wait_until(lambda: there.object(key) == file.read_bytes(), 60)
    assert there.keys()


@pytest.mark.semantics(309)
def test_an_empty_file_by_touch_is_there_at_once(there):
    assert there.sh("touch b/empty && test -e b/empty && test ! -s b/empty").returncode == 0
    assert there.object("b/empty") == b""
    assert there.sh(": >b/void").returncode == 0
    wait_until(lambda: "b/void" in there.keys(), 60)


@pytest.mark.parametrize("size", [1000, 20 * MIB])
@pytest.mark.parametrize("directory", ["b", "releases/v1"])
@pytest.mark.semantics(304)
def test_nothing_is_silently_replaced(there, size, directory):
    (there.path / directory).mkdir(exist_ok=True, parents=True)
    file, other = local(there, "one", size), local(there, "other", size, 2)
    assert there.run("cp", file, directory + "/x").returncode == 0
    modified = os.stat(there.path / directory / "x").st_mtime
    time.sleep(1.1)
    again = there.run("cp", file, directory + "/x")
    assert (again.returncode, again.stderr) == (0, "")
    refused = there.run("cp", other, directory + "/x")
    assert refused.returncode == 1 and "File exists" in refused.stderr
    state, why = there.why(directory)
    assert state == "failed" and "already" in why
    assert there.object(directory + "/x") == file.read_bytes()
    assert os.stat(there.path / directory / "x").st_mtime == modified


@pytest.mark.semantics(305)
def test_overwrite_replaces_but_never_under_releases(mount):
    there = mount(overwrite=True)
    file, other = local(there, "one", 5000), local(there, "other", 20 * MIB, 2)
    for directory in ("b", "releases/v1"):
        (there.path / directory).mkdir(parents=True)
        assert there.run("cp", file, directory + "/x").returncode == 0
    assert there.run("cp", other, "b/x").returncode == 0
    assert there.object("b/x") == other.read_bytes()
    assert "File exists" in there.run("cp", other, "releases/v1/x").stderr
    assert there.object("releases/v1/x") == file.read_bytes()


@pytest.mark.semantics(306)
def test_random_writes_and_appends_are_refused(there):
    file = local(there, "data", 5000)
    assert there.run("cp", file, "b/x").returncode == 0
    for script in ("echo more >>b/x", "dd if=$1 of=b/y bs=1000 seek=2 count=1 conv=notrunc status=none",
                   "truncate -s 100 b/x"):
        done = there.sh(script, file)
        assert done.returncode != 0 and "not supported" in done.stderr, script
    assert there.object("b/x") == file.read_bytes()
    assert there.keys() == ["b/x"]


@pytest.mark.semantics(464)
def test_holes_are_stored_as_zeros(mount):
    there = mount(memory="32M")
    (there.path / "b").mkdir()
    file = there.dir / "sparse"
    with open(file, "wb") as sparse:        # holes of less than a buffer, and of more than all of them
        for at in (0, MIB, 2 * MIB + 4096, 20 * MIB):
            sparse.seek(at)
            sparse.write(images.random_bytes(4096 * 3, at))
        sparse.truncate(29 * MIB + 5)
    assert file.stat().st_blocks * 512 < MIB
    done = there.sh("cd b; set -e; cp $1 cp; cp --sparse=always $1 always; install $1 install; "
                    "dd if=$1 of=dd conv=sparse bs=64k status=none; "
                    "tar -C ${1%/*} -Sc sparse | tar x; rsync --inplace $1 rsync; cat $1 >cat", file)
    assert (done.returncode, done.stderr) == (0, "")
    expected = hashlib.sha256(file.read_bytes()).hexdigest()
    for row in there.rows("b/urls.tsv"):
        assert (row["file"], row["sha256"]) == (row["file"], expected)
        assert hashlib.sha256(there.object("b/" + row["file"])).hexdigest() == expected, row["file"]
    assert len(there.rows("b/urls.tsv")) == 7


@pytest.mark.semantics(306, 464)
def test_what_is_cut_off_or_begins_with_a_hole_is_not_stored(there):
    done = there.run("/usr/bin/python3", "-c", """
import os
def attempt(name, *steps):
    fd = os.open("b/" + name, os.O_WRONLY | os.O_CREAT)
    for step in [*steps, lambda fd: os.close(fd)]:
        try:
            step(fd)
        except OSError as error:
            print(name, error.strerror)
block = bytes(4096)
attempt("beginning", lambda fd: os.pwrite(fd, block, 4096))
attempt("odd", lambda fd: os.write(fd, b"abc"), lambda fd: os.pwrite(fd, b"x", 4096))
attempt("back", lambda fd: os.write(fd, block * 2), lambda fd: os.pwrite(fd, b"x", 4096))
attempt("cut", lambda fd: os.write(fd, block * 2), lambda fd: os.ftruncate(fd, 4096))
attempt("only", lambda fd: os.ftruncate(fd, 4096))
attempt("grown", lambda fd: os.write(fd, block), lambda fd: os.ftruncate(fd, 5000), lambda fd: os.ftruncate(fd, 9000),
        lambda fd: os.fsync(fd))
""")
    said = done.stdout.splitlines()
    assert {line.partition(" ")[0] for line in said} == {"beginning", "odd", "back", "cut", "only"}, done
    assert all(line.endswith("Operation not supported") for line in said)
    assert there.keys() == ["b/grown"] and there.object("b/grown") == bytes(9000)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
@pytest.mark.semantics(307)
def test_a_killed_writer_leaves_nothing(there, how):
    """Half a file would look whole."""
    for script in ("head -c 30000000 /dev/zero; sleep 60", "head -c 100 /dev/zero; sleep 60"):
        child = there.start_command("bash", "-c", "(%s) | cat >b/half" % script)
        time.sleep(1.5)
        os.killpg(child.pid, how)
        child.wait(30)
    time.sleep(1)
    wait_until(lambda: not there.uploads(), 30)
    assert there.keys() == [] and os.listdir(there.path / "b") == ["status.tsv"]
    assert "was killed" in there.log()


@pytest.mark.semantics(307)
def test_a_writer_that_is_killed_before_it_wrote_leaves_nothing(there):
    child = there.start_command("bash", "-c", "exec sleep 60 >b/empty")
    wait_until(lambda: os.path.exists("/proc/%d/fd/1" % child.pid)
               and "b/empty" in os.readlink("/proc/%d/fd/1" % child.pid))
    child.kill()
    child.wait(30)
    assert "empty" not in there.sh("echo x >b/after; ls b").stdout.split()
    assert there.keys() == ["b/after"]


@pytest.mark.semantics(308)
def test_a_child_may_write_what_its_parent_opened(there):
    script = ("import subprocess\n"
              "with open('b/log', 'wb') as log:\n"
              "    subprocess.run('echo one; sleep 0.2; seq 1000', shell=True, stdout=log, check=True)\n")
    done = there.run("/usr/bin/python3", "-c", script)
    assert (done.returncode, done.stderr) == (0, "")
    wait_until(lambda: "b/log" in there.keys(), 60)
    assert there.object("b/log") == ("one\n" + "".join("%d\n" % i for i in range(1, 1001))).encode()


@pytest.mark.semantics(303)
def test_the_mount_stays_responsive_while_a_file_is_open(there):
    with open(there.path / "b/slow", "wb") as slow:
        slow.write(b"x" * 100000)
        slow.flush()
        assert there.run("ls", "b", timeout_s=10).stdout.split() == ["status.tsv"]
        assert not (there.path / "b/slow").exists()
        assert there.run("cp", local(there, "data", 100), "b/fast", timeout_s=10).returncode == 0
    assert there.object("b/slow") == b"x" * 100000


@pytest.mark.semantics(204, 460)
@pytest.mark.parametrize("flags", [os.O_TRUNC, os.O_APPEND, 0])
def test_a_reader_is_not_disturbed_by_whoever_opens_the_name_for_writing(there, flags):
    """Also while its directory is listed all the time, which lets the kernel keep the name."""
    path = there.path / "b/x"
    data = images.random_bytes(3 * MIB, 1)
    path.write_bytes(data)
    is_over = threading.Event()

    def list_all_the_time():
        while not is_over.is_set():
            assert [entry.stat().st_size for entry in os.scandir(there.path / "b") if entry.name == "x"]

    lister = threading.Thread(target=list_all_the_time)
    lister.start()
    try:
        for _ in range(20):
            reader, writer = os.open(path, os.O_RDONLY), os.open(path, os.O_WRONLY | flags)
            got = os.read(reader, 1000)
            assert os.fstat(reader).st_size == os.stat(path).st_size == len(data)
            if flags == os.O_TRUNC:
                os.write(writer, data[:len(got)])
            assert got + os.read(reader, len(data)) == data
            if flags == os.O_TRUNC:
                os.write(writer, data[len(got):])       # the same bytes again are a success
            os.close(writer)
            os.close(reader)
    finally:
        is_over.set()
        lister.join()


@pytest.mark.semantics(311)
def test_unmounting_abandons_what_was_not_closed(mount):
    there = mount()
    (there.path / "b").mkdir()
    file = open(there.path / "b/half", "wb", buffering=0)
    file.write(bytes(20 * MIB))
    there.signal(signal.SIGTERM)
    assert there.wait() == 0
    with pytest.raises(OSError):
        file.close()
    assert there.keys() == [] and there.uploads() == []


@pytest.mark.parametrize("step", ["PUT", "POST"])
@pytest.mark.semantics(301)
def test_a_store_that_fails_is_told_and_leaves_nothing(mount, proxy, store, step):
    front = proxy(store.endpoint)
    there = mount(endpoint=front.url, sts_endpoint=store.endpoint)
    (there.path / "b").mkdir()
    front.inject(faults.s3_error(403, "AccessDenied"), step, "/b/x", count=None)
    for size in (1000, 20 * MIB):
        done = there.run("cp", local(there, "data", size), "b/x")
        if size < MIB and step == "POST":
            assert done.returncode == 0     # a small file is one PUT
            continue
        assert done.returncode == 1, (step, size)
        assert there.why("b")[0] == "failed"
    front.clear()
    wait_until(lambda: not there.uploads(), 30)


@pytest.mark.semantics(310)
def test_many_at_once(there):
    files = [local(there, "f%d" % at, 3 * MIB + at, at) for at in range(24)]
    children = [there.start_command("cp", file, "b/") for file in files]
    assert [child.wait(120) for child in children] == [0] * len(files)
    for file in files:
        assert hashlib.sha256(there.object("b/" + file.name)).digest() == hashlib.sha256(
            file.read_bytes()).digest()


@pytest.mark.semantics(310)
def test_a_small_memory_ceiling_suffices(mount):
    there = mount(memory="32M")
    (there.path / "b").mkdir()
    files = [local(there, "f%d" % at, 40 * MIB + at, at) for at in range(3)]
    children = [there.start_command("cp", file, "b/") for file in files]
    assert [child.wait(120) for child in children] == [0] * 3
    assert all(there.object("b/" + file.name) == file.read_bytes() for file in files)


@pytest.mark.semantics(310)
def test_files_that_fill_all_memory_together_go_on(mount):
    """Each holds a full buffer and wants the next: none may wait for another to give up its own."""
    there = mount(memory="32M")
    (there.path / "b").mkdir()
    data = images.random_bytes(6 * MIB, 7)
    files = [open(there.path / ("b/f%d" % at), "wb", buffering=0) for at in range(4)]
    for file in files:          # 24 MiB: as much as there is
        for at in range(0, len(data), MIB):
            file.write(data[at:at + MIB])

    def go_on(file):
        file.write(data[:100])
        file.close()

    threads = [threading.Thread(target=go_on, args=[file], daemon=True) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert all(there.object("b/f%d" % at) == data + data[:100] for at in range(4))


@pytest.mark.semantics(310)
@pytest.mark.parametrize("size", [1000, 100000, 131072 + 1])
def test_odd_writes_make_whole_parts(mount, size):
    there = mount(memory="32M")
    (there.path / "b").mkdir()
    data = images.random_bytes(20 * MIB, 8)
    with open(there.path / "b/f", "wb", buffering=0) as file:
        for at in range(0, len(data), size * 7):
            file.write(data[at:at + size * 7])
    assert there.object("b/f") == data


def test_read_only_and_own_names(mount):
    there = mount(ro=True)
    assert there.sh("echo x >y").returncode != 0
    other = mount()
    for name in ("urls.tsv", "report.html", ".prereleasefs"):
        with pytest.raises(OSError) as caught:
            os.open(other.path / name, os.O_WRONLY | os.O_CREAT)
        assert caught.value.errno in (errno.EPERM, errno.EISDIR)
