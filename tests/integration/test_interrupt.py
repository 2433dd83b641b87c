"""While a publish is under way: the mount answers, and whoever waits can be stopped."""

import functools
import os
import signal
import subprocess
import threading
import time

import pytest

from archive import Archive
from mounted import wait_until, within
from servers import faults, images

MIB = 1 << 20


@functools.lru_cache()
def pushed(registry):
    """The image of all these tests, in the registry once."""
    return images.Image([images.layer("first", 6 * MIB, compression=None),
                         images.layer("held", 6 * MIB, compression=None)]).push(
                             registry, "interrupt/app", "v1")


class Parked:
    """A `cp` that waits, because one layer of its image is held back."""

    def __init__(self, registry, mount, proxy, **settings):
        self.image = pushed(registry)
        self.front = proxy(registry.url)
        self.release = threading.Event()
        held = "/blobs/" + self.image.layers[1].digest
        self.front.inject(faults.Hold(self.release), "GET", held, count=None)
        self.there = mount(**settings)
        (self.there.path / "b").mkdir(exist_ok=True)
        self.references = self.there.reference_file(
            self.front.host + "/interrupt/app:v1 x.tar tag=a:b")
        self.copy = self.there.start_command("cp", self.references, "b/")
        self.front.wait_for("GET", held)

    def assert_nothing(self):
        assert self.there.keys() == []
        wait_until(lambda: self.there.uploads() == [], 60, "the upload's abortion")
        assert not (self.there.path / "b/x.tar").exists()
        assert not (self.there.path / "b/images.ref").exists()

    def assert_whole(self):
        Archive(self.there.object("b/x.tar")).check(self.image, "a:b")
        assert self.there.keys() == ["b/images.ref", "b/x.tar"]


@pytest.fixture
def parked(registry, mount, proxy):
    made = []

    def factory(**settings):
        made.append(Parked(registry, mount, proxy, **settings))
        return made[-1]

    yield factory
    for each in made:
        each.release.set()
        if each.copy.poll() is None:
            each.copy.kill()
        each.copy.communicate()


@pytest.mark.parametrize("name", ["INT", "TERM", "KILL", "HUP"])
@pytest.mark.semantics(417)
def test_who_waits_can_be_stopped(parked, name):
    one = parked()
    assert one.there.uploads() == ["b/x.tar"]
    with within(10):
        one.copy.send_signal(getattr(signal, "SIG" + name))
        assert one.copy.wait(10) == -getattr(signal, "SIG" + name)
    wait_until(lambda: one.there.rows("b/status.tsv")[-1]["state"] == "cancelled", 60)
    one.assert_nothing()
    # And the same cp succeeds afterwards.
    one.release.set()
    assert one.there.run("cp", one.references, "b/").returncode == 0
    one.assert_whole()


@pytest.mark.semantics(417)
def test_ctrl_c_in_a_terminal_stops_a_shells_echo(parked):
    one = parked()
    one.copy.kill()
    shell = subprocess.Popen(
        ["bash", "-c", 'echo "$(cat "$1")" > b/y.ref', "bash", str(one.references)],
        cwd=one.there.path, start_new_session=True, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(one.there.rows("b/status.tsv")) == 2)
    time.sleep(0.3)
    with within(10):
        os.killpg(shell.pid, signal.SIGINT)
        assert shell.wait(10) != 0
    wait_until(lambda: {row["state"] for row in one.there.rows("b/status.tsv")} ==
               {"cancelled"}, 10)
    one.assert_nothing()


@pytest.mark.parametrize("command", [
    "ls -l b", "stat b", "stat b/images.ref || true", "rm -f b/images.ref", "touch b/images.ref",
    "touch b", "cat b/status.tsv", "cat b/urls.tsv", "mkdir b/c", "df .", "cat b/old.txt",
    "cat b/report.html", "chmod 600 b/images.ref || true"])
@pytest.mark.semantics(420)
def test_the_directory_answers_meanwhile(parked, s3, bucket, command):
    s3.put_object(Bucket=bucket, Key="b/old.txt", Body=b"old")
    one = parked()
    with within(10):
        done = one.there.sh(command, timeout_s=20)
    if "images.ref" not in command:
        assert (done.returncode, done.stderr) == (0, "")
    assert one.copy.poll() is None
    assert one.there.keys() == ["b/old.txt"]
    one.release.set()
    assert one.copy.wait(60) == 0
    assert "b/x.tar" in one.there.keys()


@pytest.mark.semantics(420)
def test_a_second_cp_of_another_image_does_not_wait(parked, registry, repository):
    one = parked()
    images.small().push(registry, repository, "small")
    with within(10):
        done = one.there.publish("b", "%s/%s:small y.tar" % (registry.host, repository),
                                 name="second.ref")
    assert (done.returncode, done.stderr) == (0, "")
    assert one.there.keys() == ["b/second.ref", "b/y.tar"]
    assert one.copy.poll() is None


@pytest.mark.semantics(415)
def test_a_reference_file_does_not_exist_until_it_has_succeeded(parked):
    one = parked()
    assert "images.ref" not in os.listdir(one.there.path / "b")
    assert not (one.there.path / "b/images.ref").exists()
    one.release.set()
    assert one.copy.wait(60) == 0
    assert "images.ref" in os.listdir(one.there.path / "b")
    assert (one.there.path / "b/images.ref").read_bytes() == one.references.read_bytes()


def stop_and_continue(one, stop, before_continuing=lambda: None):
    one.copy.send_signal(stop)
    wait_until(lambda: state_of(one.copy.pid) == "T", 60, "the stop")
    time.sleep(0.3)     # whatever the stop would undo, it has by now
    before_continuing()
    one.copy.send_signal(signal.SIGCONT)


def state_of(pid):
    with open("/proc/%d/stat" % pid) as stat:
        return stat.read().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("stops", [["TSTP"], ["STOP"], ["TSTP", "STOP", "TSTP"]], ids="-".join)
@pytest.mark.semantics(419)
def test_stopped_and_continued(parked, store, proxy, stops):
    front = proxy(store.endpoint)
    one = parked(endpoint=front.url, sts_endpoint=store.endpoint)
    asked = len(one.front.seen("GET", "/manifests/"))
    for stop in stops:
        stop_and_continue(one, getattr(signal, "SIG" + stop))
        assert one.there.run("ls", "b").returncode == 0
        assert one.there.uploads() == ["b/x.tar"]
    time.sleep(0.3)
    assert one.copy.poll() is None
    one.release.set()
    assert one.copy.wait(60) == 0
    one.assert_whole()
    assert len(one.front.seen("GET", "/manifests/")) == asked, "it began anew"
    for layer in one.image.layers:
        got = one.front.seen("GET", "/blobs/" + layer.digest)
        assert sum(each.response_bytes for each in got) == layer.size, "moved twice"
    assert len(front.seen("POST", r"\?uploads")) == 1
    put = front.seen("PUT", "partNumber=")
    assert sum(each.request_bytes for each in put) == len(one.there.object("b/x.tar"))


@pytest.mark.semantics(419)
def test_published_while_stopped(parked):
    one = parked()

    def publish():
        one.release.set()
        wait_until(lambda: "b/images.ref" in one.there.keys(), 60, "the publish")

    stop_and_continue(one, signal.SIGTSTP, before_continuing=publish)
    assert one.copy.wait(60) == 0
    one.assert_whole()
    assert [row["state"] for row in one.there.rows("b/status.tsv")] == ["published"]


@pytest.mark.parametrize("name", ["KILL", "INT after CONT"])
def test_stopped_and_never_finished(parked, name):
    one = parked()
    end = getattr(signal, "SIG" + name.split()[0])
    if name == "KILL":
        one.copy.send_signal(signal.SIGTSTP)
        wait_until(lambda: state_of(one.copy.pid) == "T", 60)
    else:
        stop_and_continue(one, signal.SIGTSTP)
        time.sleep(0.3)
    one.copy.send_signal(end)
    assert one.copy.wait(10) == -end
    wait_until(lambda: one.there.rows("b/status.tsv")[-1]["state"] == "cancelled", 60)
    one.assert_nothing()


@pytest.mark.semantics(417)
def test_a_timeout_ends_it(parked):
    one = parked()
    one.copy.kill()
    done = one.there.run("timeout", "1", "cp", one.references, "b/", timeout_s=30)
    assert done.returncode == 124
    wait_until(lambda: [row["state"] for row in one.there.rows("b/status.tsv")] ==
               ["cancelled"] * 2, 10)
    one.assert_nothing()


def test_a_shell_that_is_killed_in_its_echo(parked):
    one = parked()
    one.copy.kill()
    shell = one.there.start_command(
        "bash", "-c", 'echo "$(cat "$1")" > b/y.ref', "bash", one.references)
    wait_until(lambda: len(one.there.rows("b/status.tsv")) == 2)
    shell.kill()
    assert shell.wait(10) == -signal.SIGKILL
    shell.communicate()
    wait_until(lambda: {row["state"] for row in one.there.rows("b/status.tsv")} ==
               {"cancelled"}, 10)
    one.assert_nothing()


@pytest.mark.semantics(418)
def test_completion_that_was_asked_for_is_finished(registry, repository, mount, store, proxy):
    image = images.small().push(registry, repository, "v1")
    front = proxy(store.endpoint)
    release = threading.Event()
    there = mount(endpoint=front.url)
    front.inject(faults.Hold(release), "POST", "uploadId=", count=None)
    (there.path / "b").mkdir()
    copy = there.start_command("cp", there.reference_file(
        "%s/%s:v1 x.tar tag=a:b" % (registry.host, repository)), "b/")
    front.wait_for("POST", "uploadId=")
    with within(10):
        copy.send_signal(signal.SIGINT)
        assert copy.wait(10) == -signal.SIGINT
    copy.communicate()
    release.set()
    wait_until(lambda: there.uploads() == [], 20)
    # Asked for or not quite: it is whole, or it is not there.
    if "b/x.tar" in there.keys():
        Archive(there.object("b/x.tar")).check(image, "a:b")


ENDED = "Cannot send after transport endpoint shutdown"     # ESHUTDOWN


def check_ended(one):
    assert one.copy.wait(20) == 1
    assert ENDED in one.copy.communicate()[1]
    assert one.there.wait() == 0
    told, = [line for line in one.there.log().splitlines() if "taken down" in line]
    assert " WARN " in told and "b/x.tar" in told


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP"])
@pytest.mark.semantics(1012)
def test_the_end_of_the_program_aborts(parked, name):
    one = parked()
    one.there.signal(getattr(signal, "SIG" + name))
    check_ended(one)
    assert one.there.keys() == [] and one.there.uploads() == []


def test_the_end_of_the_program_does_not_wait_for_a_silent_store(parked, store, proxy, mount):
    front = proxy(store.endpoint)
    one = parked(endpoint=front.url, sts_endpoint=store.endpoint)
    one.there.uploads_may_remain = True
    front.inject(faults.Stall(), "DELETE", count=None)
    one.there.signal(signal.SIGTERM)
    check_ended(one)
    assert one.there.uploads() == ["b/x.tar"]
    mount()
    wait_until(lambda: one.there.uploads() == [], 30, "the abortion by the next mount")


@pytest.mark.semantics(1012)
def test_completion_is_finished_before_the_program_ends(registry, repository, mount, store, proxy):
    image = images.small().push(registry, repository, "v1")
    front = proxy(store.endpoint)
    there = mount(endpoint=front.url, sts_endpoint=store.endpoint)
    front.inject(faults.Stall(seconds=1), "POST", "uploadId=")
    (there.path / "b").mkdir()
    copy = there.start_command("cp", there.reference_file(
        "%s/%s:v1 x.tar tag=a:b" % (registry.host, repository)), "b/")
    front.wait_for("POST", "uploadId=")
    there.signal(signal.SIGTERM)
    assert copy.wait(30) == 0, copy.communicate()
    assert there.wait() == 0
    copy.communicate()
    assert there.keys() == ["b/images.ref", "b/x.tar"]
    Archive(there.object("b/x.tar")).check(image, "a:b")


@pytest.mark.semantics(1013)
def test_a_mount_in_use_is_not_unmounted(parked):
    one = parked()
    for command in ["fusermount3", "-u"], ["umount"]:
        refused = subprocess.run([*command, one.there.path], stderr=subprocess.PIPE, text=True)
        assert refused.returncode != 0 and "busy" in refused.stderr
    one.release.set()
    assert one.copy.wait(60) == 0
    one.assert_whole()


@pytest.mark.semantics(1013)
def test_a_lazy_unmount_lets_it_finish(parked):
    one = parked()
    subprocess.run(["umount", "-l", one.there.path], check=True)
    one.release.set()
    assert one.copy.wait(60) == 0
    one.assert_whole()
    assert one.there.wait() == 0


@pytest.mark.semantics(1013)
def test_a_forced_unmount_aborts(parked):
    one = parked()
    subprocess.run(["umount", "-f", one.there.path], stderr=subprocess.DEVNULL)
    assert one.copy.wait(30) == 1
    assert one.there.keys() == []
    subprocess.run(["umount", "-l", one.there.path], stderr=subprocess.DEVNULL)
    assert one.there.wait() == 0
    assert one.there.keys() == [] and one.there.uploads() == []
    assert "taken down" in one.there.log()


@pytest.mark.semantics(904)
def test_a_bucket_that_is_full(registry, repository, store, bucket, mount):
    image = images.Image([images.layer("first" + repository, 9 * MIB, compression=None),
                          images.layer("second" + repository, 9 * MIB, compression=None)])
    image.push(registry, repository, "v1")
    there = mount()
    (there.path / "b").mkdir()
    store.limit_bucket(bucket, 12 * MIB)
    done = there.publish("b", "%s/%s:v1 x.tar tag=a:b" % (registry.host, repository))
    assert done.returncode == 1 and "Disk quota exceeded" in done.stderr
    state, detail = there.why("b")
    assert state == "failed" and "the quota is used up" in detail
    assert "the quota is used up" in there.log()
    assert there.keys() == [] and there.uploads() == []
    store.limit_bucket(bucket, None)
    assert there.run("cp", there.dir / "refs/images.ref", "b/").returncode == 0
    Archive(there.object("b/x.tar")).check(image, "a:b")


@pytest.mark.semantics(421)
def test_uploads_of_a_mount_that_was_killed_are_aborted_by_the_next(parked, mount, s3, bucket):
    foreign = s3.create_multipart_upload(Bucket=bucket, Key="b/foreign.tar")
    one = parked()
    one.there.uploads_may_remain = True
    one.there.kill()
    assert one.copy.wait(10) == 1
    assert sorted(one.there.uploads()) == ["b/foreign.tar", "b/x.tar"]
    assert one.there.keys() == []
    subprocess.run(["umount", "-l", one.there.path], check=True)
    one.release.set()
    again = mount()
    again.uploads_may_remain = True
    wait_until(lambda: again.uploads() == ["b/foreign.tar"], 20)
    s3.abort_multipart_upload(Bucket=bucket, Key="b/foreign.tar", UploadId=foreign["UploadId"])
    (again.path / "b").mkdir()
    assert again.run("cp", one.references, "b/").returncode == 0
    Archive(again.object("b/x.tar")).check(one.image, "a:b")


def test_uploads_of_a_mount_that_lives_are_left_alone(parked, mount):
    one = parked()
    other = mount()
    assert (other.path / "releases").is_dir()
    time.sleep(2)
    assert one.there.uploads() == ["b/x.tar"]
    one.release.set()
    assert one.copy.wait(60) == 0
    one.assert_whole()
