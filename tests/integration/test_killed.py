"""A mount is killed: the next one on that host clears up behind it, and behind nobody else.

PRERELEASEFS_KILLS says how many random moments are tried (8; with SOAK=1, 50).
"""

import hashlib
import json
import os
import pathlib
import random
import socket
import subprocess
import threading
import time
import uuid

import pytest

from archive import Archive
from mounted import wait_until
from servers import faults, images

MIB = 1 << 20
KILLS = int(os.environ.get("PRERELEASEFS_KILLS") or (50 if os.environ.get("SOAK") else 8))
INTENTS = ".prereleasefs/intents/"
ALL_BUT = ["s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:GetObject", "s3:PutObject",
           "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]


def intents(there):
    return [key for key in there.keys(internal=True) if INTENTS in key]


def killed(there):
    """Kills the program and takes away the mount that it leaves."""
    there.uploads_may_remain = True
    there.kill()
    there.wait()
    subprocess.run(["umount", "-l", there.path], check=True)
    return there


# ---- a real mount, killed ----------------------------------------------------------------------

class Write:
    """Two images in one reference file."""

    def __init__(self, registry, repository):
        self.images = {}
        lines = []
        for name in ("one", "two"):
            image = images.Image([images.layer(repository + name, 7 * MIB, compression=None),
                                  images.layer(repository + name + "b", 60000)])
            self.images["b/%s.tar" % name] = image.push(registry, repository, name)
            lines.append("%s/%s:%s %s.tar tag=a:%s" % (
                registry.host, repository, name, name, name))
        self.lines = lines

    def start(self, there):
        (there.path / "b").mkdir(exist_ok=True)
        return there.start_command("cp", there.reference_file(*self.lines), "b/")

    def check(self, there, key):
        Archive(there.object(key)).check(self.images[key], "a:" + key[2:-4])


@pytest.fixture(scope="module")
def undisturbed(registry, store, tmp_path_factory):
    """How long a publish of a `Write` takes, in seconds."""
    from mounted import Mount
    store.client().create_bucket(Bucket="undisturbed")
    there = Mount(store, tmp_path_factory.mktemp("u"), "undisturbed").start()
    started = time.monotonic()
    copy = Write(registry, "killed/undisturbed").start(there)
    assert copy.wait(120) == 0, copy.communicate()
    took = time.monotonic() - started
    assert not there.finish()
    return took


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_at_a_random_moment(registry, repository, mount, undisturbed, number):
    write = Write(registry, repository)
    there = mount()
    moment = undisturbed * (number + random.random()) / KILLS
    copy = write.start(there)
    time.sleep(moment)
    killed(there)
    copy.communicate(timeout=30)

    visible = [key for key in there.keys() if key.endswith(".tar")]
    for key in visible:
        write.check(there, key)
    left = (there.uploads(), intents(there))
    assert left[1] or not left[0], "uploads without an intent"

    again = mount()
    wait_until(lambda: again.uploads() == [], 30, "the abortion of %s" % (left,))
    copy = write.start(again)
    assert copy.wait(120) == 0, copy.communicate()
    copy.communicate()
    wait_until(lambda: intents(again) == [], 30, "the deletion of %s" % (left,))
    assert again.uploads() == []
    assert again.keys() == ["b/images.ref", "b/one.tar", "b/two.tar"]
    for key in write.images:
        write.check(again, key)


class Held:
    """A publish that waits, because its second layer is held back."""

    def __init__(self, registry, repository, proxy, there):
        self.image = images.Image([images.layer(repository, 6 * MIB, compression=None),
                                   images.layer(repository + "held", 6 * MIB, compression=None)])
        self.image.push(registry, repository, "v1")
        front = proxy(registry.url)
        self.release = threading.Event()
        layer = "/blobs/" + self.image.layers[1].digest
        front.inject(faults.Hold(self.release), "GET", layer, count=None)
        (there.path / "b").mkdir()
        self.there = there
        self.copy = there.start_command("cp", there.reference_file(
            "%s/%s:v1 x.tar tag=a:b" % (front.host, repository)), "b/")
        front.wait_for("GET", layer)

    def end(self):
        self.release.set()
        if self.copy.poll() is None:
            self.copy.kill()
        self.copy.communicate()


@pytest.fixture
def held(registry, repository, proxy):
    made = []

    def factory(there):
        made.append(Held(registry, repository, proxy, there))
        return made[-1]

    yield factory
    for one in made:
        one.end()


def swept(mount, **settings):
    """A new mount, once it has done with looking for what dead ones left."""
    there = mount(**settings)
    wait_until(lambda: "uploads of mounts that were killed" in there.log(), 30,
               "the end of the search")
    return there


@pytest.mark.semantics(421)
def test_a_living_mounts_uploads_survive(held, mount):
    one = held(mount())
    assert len(intents(one.there)) == 1
    swept(mount)
    assert one.there.uploads() == ["b/x.tar"] and len(intents(one.there)) == 1
    one.release.set()
    assert one.copy.wait(60) == 0
    Archive(one.there.object("b/x.tar")).check(one.image, "a:b")
    wait_until(lambda: intents(one.there) == [], 60)


def test_a_living_mount_in_another_container_survives(held, mount):
    """Same host's name, boot and user; its process numbers are its own."""
    there = mount(start=False)
    bare = there.command
    there.command = lambda: ["unshare", "-pf", "--kill-child", *bare()]
    one = held(there.start())
    note, = intents(one.there)
    swept(mount)
    assert one.there.uploads() == ["b/x.tar"] and intents(one.there) == [note]
    one.release.set()
    assert one.copy.wait(60) == 0
    Archive(one.there.object("b/x.tar")).check(one.image, "a:b")


@pytest.mark.parametrize("prefix, other", [("team", ""), ("", "team")])
def test_a_living_mount_with_another_prefix_survives(held, mount, prefix, other):
    one = held(mount(prefix=prefix))
    swept(mount, prefix=other)
    assert len(one.there.uploads()) == 1
    one.release.set()
    assert one.copy.wait(60) == 0


def test_a_write_costs_one_note_of_it(registry, repository, store, proxy, mount):
    write = Write(registry, repository)
    front = proxy(store.endpoint)
    there = mount(endpoint=front.url, sts_endpoint=store.endpoint)
    front.wait_for("GET", "prefix=.*intents")
    front.clear()
    assert write.start(there).wait(60) == 0
    front.wait_for("DELETE", INTENTS)
    note, = front.seen("PUT", INTENTS)
    creations = front.seen("POST", r"\?uploads")
    assert len(creations) == 2 and all(note.ended <= each.started for each in creations)
    assert len(front.seen("(PUT|DELETE)", INTENTS)) == 2
    front.clear()
    assert write.start(there).wait(60) == 0      # all of it is there already
    assert there.why("b")[0] == "unchanged"
    assert front.seen(None, INTENTS) == []


def test_a_mount_without_predecessors_asks_once(store, proxy, mount):
    front = proxy(store.endpoint)
    mount(endpoint=front.url, sts_endpoint=store.endpoint)
    front.wait_for("GET", "prefix=.*intents")
    time.sleep(1)
    assert len(front.seen(None, "intents|uploads")) == 1


def test_a_read_only_mount_looks_for_nothing(held, store, proxy, mount):
    one = held(mount())
    killed(one.there)
    front = proxy(store.endpoint)
    mount(ro=True, endpoint=front.url, sts_endpoint=store.endpoint).uploads_may_remain = True
    time.sleep(1)
    assert front.seen(None, "intents|uploads") == []
    assert one.there.uploads() == ["b/x.tar"]


@pytest.mark.parametrize("fault", [faults.LoseReply(), faults.Reset("middle")], ids=repr)
def test_an_upload_whose_creation_went_unanswered(registry, repository, store, proxy, mount,
                                                  fault):
    image = images.small().push(registry, repository, "v1")
    front = proxy(store.endpoint)
    there = mount(endpoint=front.url, sts_endpoint=store.endpoint)
    lost = front.inject(fault, "POST", r"\?uploads")
    done = there.publish("b", "%s/%s:v1 x.tar tag=a:b" % (registry.host, repository))
    assert (done.returncode, lost.fired) == (0, 1)
    Archive(there.object("b/x.tar")).check(image, "a:b")
    wait_until(lambda: there.uploads() == [], 60, "the first upload's abortion")
    wait_until(lambda: intents(there) == [], 60)


# ---- notes that somebody else wrote, or might have ---------------------------------------------

def dead_pid():
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def note(**changes):
    """The intent of a process of this very host and boot that is dead, for b/x.tar; with
    changes."""
    content = {
        "version": 1, "host": socket.gethostname(), "machine": "",
        "boot": pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "pid_namespace": os.stat("/proc/self/ns/pid").st_ino,
        "pid": dead_pid(), "started": 1, "mount": "0" * 32, "program": "0.1.0",
        "directory": "b", "names": ["x.tar"], **changes}
    return json.dumps(content).encode()


@pytest.fixture
def put(s3, bucket):
    def put(content, host=socket.gethostname(), prefix=""):
        key = "%s%s%s/%s.json" % (prefix, INTENTS, host, uuid.uuid4().hex)
        s3.put_object(Bucket=bucket, Key=key, Body=content)
        return key
    return put


@pytest.fixture
def begin(s3, bucket):
    """Begins an upload, as another tool would."""
    return lambda key: s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]


@pytest.fixture
def upload_ids(s3, bucket):
    return lambda: {each["UploadId"] for each in
                    s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])}


NOT_DEAD = {
    "another host": {"host": "elsewhere"},
    "another container": {"pid_namespace": 1},
    "another boot, since this machine's": {"boot": str(uuid.uuid4())},
    "a process that runs": None,    # filled in below
    "a newer program's": {"version": 2},
    "no process": {"pid": 0},
    "another key": {"names": ["y.tar"]},
    "our own directory": {"directory": ".prereleasefs"},
}


@pytest.mark.parametrize("why", NOT_DEAD)
def test_what_is_not_known_to_be_dead_survives(mount, put, begin, upload_ids, why):
    changes = NOT_DEAD[why]
    if changes is None:
        stat = pathlib.Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        changes = {"pid": os.getpid(), "started": int(stat[19])}
    key = put(note(**changes))
    upload = begin("b/x.tar")
    there = swept(mount)
    there.uploads_may_remain = True
    assert upload_ids() == {upload}
    assert (key in intents(there)) == (why != "another key")


DEAD = {
    "a process that is gone": {},
    "a number that another process bears by now": {"pid": os.getpid()},
}


@pytest.mark.parametrize("why", DEAD)
def test_what_is_known_to_be_dead_is_cleared(mount, put, begin, upload_ids, why):
    put(note(**DEAD[why]))
    begin("b/x.tar")
    there = swept(mount)
    assert upload_ids() == set() and intents(there) == []


def test_uploads_that_the_dead_did_not_begin_survive(mount, put, begin, upload_ids):
    before = begin("b/x.tar")
    time.sleep(2)
    put(note())
    put(note(host="elsewhere", names=["z.tar"]), host="elsewhere")
    others = {before, begin("b/x.tar.gz"), begin("b/x"), begin("c/x.tar"), begin("x.tar"),
              begin("b/z.tar"), begin("b/b/x.tar")}
    dead = {begin("b/x.tar"), begin("b/x.tar")}
    assert upload_ids() == others | dead
    there = swept(mount)
    there.uploads_may_remain = True
    assert upload_ids() == others
    assert [key for key in intents(there) if "elsewhere" not in key] == []


@pytest.mark.parametrize("prefix, directory", [("", "team/b"), ("team/", "b"), ("team/b/", "")])
def test_what_another_host_may_have_begun_survives(mount, put, begin, upload_ids, prefix,
                                                   directory):
    put(note(), prefix="team/")
    dead = begin("team/b/x.tar")
    time.sleep(2)
    put(note(host="elsewhere", directory=directory), host="elsewhere", prefix=prefix)
    either = begin("team/b/x.tar")
    assert upload_ids() == {dead, either}
    there = swept(mount, prefix="team")
    there.uploads_may_remain = True
    assert upload_ids() == {either}
    assert len(intents(there)) == 2


def test_odd_names_and_odd_notes(mount, put, begin, upload_ids):
    names = ["a:b+c d%20&é\"<>.tar", "%.tar", "ü" * 120 + ".tar"]
    put(note(directory="o d/+%2F", names=names))
    kept = {put(b""), put(b"{}"), put(b"[" * 100000), put(b"x" * MIB),
            put(note(names=["a"] * 20000))}
    for name in names:
        begin("o d/+%2F/" + name)
    begin("o d/+%2F/" + names[0])
    there = swept(mount)
    assert upload_ids() == set()
    assert set(intents(there)) == kept
    assert "ERROR" not in there.log()


# ---- permissions -------------------------------------------------------------------------------

@pytest.fixture
def account(store, s3, bucket):
    """A service account that may do in the bucket what it needs, but some actions; `below`:
    those not below this key alone."""
    def account(*missing, below=None):
        name = "account-" + uuid.uuid4().hex[:8]
        keys = store.user(name)
        principal = {"AWS": ["arn:aws:iam:::user/" + name]}
        everywhere = ["arn:aws:s3:::" + bucket, "arn:aws:s3:::%s/*" % bucket]
        statements = [{"Effect": "Allow", "Principal": principal, "Resource": everywhere,
                       "Action": [each for each in ALL_BUT if below or each not in missing]}]
        if below:
            statements.append({"Effect": "Deny", "Principal": principal, "Action": list(missing),
                               "Resource": ["arn:aws:s3:::%s/%s*" % (bucket, below)]})
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(
            {"Version": "2012-10-17", "Statement": statements}))
        return keys
    return account


def publishes(registry, repository, there):
    for name in ("one", "two"):
        image = images.small(name).push(registry, repository, name)
        done = there.publish(name, "%s/%s:%s x.tar tag=a:b" % (registry.host, repository, name))
        assert (done.returncode, done.stderr) == (0, "")
        Archive((there.path / name / "x.tar").read_bytes()).check(image, "a:b")


@pytest.mark.parametrize("action", ["s3:ListBucketMultipartUploads", "s3:AbortMultipartUpload"])
def test_a_missing_permission_is_named_once(store, registry, repository, mount, account, put,
                                            begin, upload_ids, action):
    put(note())
    put(note())
    uploads = {begin("b/x.tar"), begin("b/x.tar")}
    there = mount(keys=account(action), presign_role=None)
    there.uploads_may_remain = True
    wait_until(lambda: action in there.log(), 30, "the warning")
    publishes(registry, repository, there)
    time.sleep(1)
    assert upload_ids() == uploads and len(intents(there)) == 2
    told, = [line for line in there.log().splitlines() if action in line]
    assert " WARN " in told
    # With the permission the next mount does it.
    there.unmount()
    again = mount()
    wait_until(lambda: upload_ids() == set() and intents(again) == [], 30)


def told(there, action):
    return [line for line in there.log().splitlines()
            if action in line and " DEBUG " not in line]


@pytest.mark.parametrize("action", ["s3:PutObject", "s3:DeleteObject"])
def test_notes_that_may_not_be_written_or_deleted(registry, repository, mount, account, action):
    there = mount(keys=account(action, below=INTENTS), presign_role=None)
    publishes(registry, repository, there)
    wait_until(lambda: told(there, action), 60, "the warning")
    time.sleep(1)
    line, = told(there, action)
    assert " WARN " in line
    assert len(intents(there)) == (action == "s3:DeleteObject")


def test_an_account_that_may_not_write_to_our_own_directory(registry, repository, mount, account):
    there = mount(keys=account("s3:PutObject", below=".prereleasefs/"), presign_role=None)
    publishes(registry, repository, there)
    lines = told(there, "s3:PutObject")
    assert all(" WARN " in line for line in lines)
    # Each of what is lost by it: clean-up, claims, records. Not once for each image.
    assert ["note in the bucket" in line for line in lines] == [True, False, False]
    assert ["names cannot be claimed" in line for line in lines] == [False, True, False]
    assert ["records cannot be stored" in line for line in lines] == [False, False, True]
    assert there.keys(internal=True) == there.keys()


def test_an_upload_that_may_not_be_aborted(held, mount, account, s3, bucket):
    """The write is cancelled; what is left is said, and goes once somebody may abort it."""
    keys = account("s3:AbortMultipartUpload")
    one = held(mount(keys=keys, presign_role=None))
    one.there.uploads_may_remain = True
    one.copy.terminate()
    one.copy.wait(30)
    wait_until(lambda: told(one.there, "s3:AbortMultipartUpload"), 60, "the warning")
    again = one.there.start_command("cp", one.there.dir / "refs/images.ref", "b/")
    wait_until(lambda: len(one.there.uploads()) == 2, 30)
    again.terminate()
    again.communicate(timeout=30)
    wait_until(lambda: "one more upload is left" in one.there.log(), 60)
    line, = told(one.there, "s3:AbortMultipartUpload")
    assert " WARN " in line
    assert one.there.uploads() == ["b/x.tar"] * 2 and len(intents(one.there)) == 2
    one.there.unmount()
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    policy["Statement"][0]["Action"] = ALL_BUT
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    mount(keys=keys, presign_role=None)
    wait_until(lambda: one.there.uploads() == [] and intents(one.there) == [], 30)


def test_a_claim_that_may_not_be_looked_at(registry, store, repository, proxy, mount, begin, s3,
                                           bucket):
    """Ceph asks for no permission to list parts; the proxy does."""
    front = proxy(store.endpoint)
    front.inject(faults.s3_error(403, "AccessDenied"), "GET", "max-parts", count=None)
    there = mount(endpoint=front.url, sts_endpoint=store.endpoint, presign_role=None)
    there.uploads_may_remain = True
    for name in ("one", "two"):
        key = name + "/x.tar"
        s3.put_object(Bucket=bucket, Body=(begin(key) + "\nelsewhere\n").encode(),
                      Key=".prereleasefs/names/%s/0" % hashlib.sha256(key.encode()).hexdigest())
    publishes(registry, repository, there)
    line, = told(there, "s3:ListMultipartUploadParts")
    assert " WARN " in line
