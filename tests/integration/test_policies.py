"""docs/policies: enough, and each action of them needed. Each is taken away in turn, from an account
that has nothing else, and the program says which one it misses.

Ceph asks for no permission to list an upload's parts (test_killed.py has a proxy refuse that), nor
to assume a role beyond the role's own trust policy."""

import copy
import json
import pathlib
import re
import subprocess
import time
import uuid

import pytest

from mounted import wait_until
from servers import images

POLICIES = pathlib.Path(__file__).resolve().parents[2] / "docs/policies"
BUCKET = "prerelease-bucket"


def document(name, bucket):
    """As it is in docs, for this bucket; Ceph's ARNs have no account's number."""
    text = (POLICIES / name).read_text()
    return json.loads(text.replace(BUCKET, bucket).replace("123456789012", ""))


def actions(name):
    for statement in json.loads((POLICIES / name).read_text())["Statement"]:
        given = statement["Action"]
        yield from [given] if isinstance(given, str) else given


def without(policy, action):
    """The policy without that action."""
    policy = copy.deepcopy(policy)
    for statement in policy["Statement"]:
        if isinstance(statement["Action"], list):
            statement["Action"] = [each for each in statement["Action"] if each != action]
    policy["Statement"] = [each for each in policy["Statement"]
                           if each["Action"] not in ([], action)]
    return policy


class Account:
    """A service account and a role that have docs/policies, but what is taken away, and no more."""

    def __init__(self, store, bucket):
        self._store, self._bucket = store, bucket
        self.name = "account-" + uuid.uuid4().hex[:8]
        self.keys = store.user(self.name)
        self.role = None

    def may(self, missing=None, of_role=None, trusted=True):
        own = document("service-account.json", self._bucket)
        self._store.let(self.name, without(own, missing) if missing else own)
        access = document("presign-role.json", self._bucket)
        trust = document("presign-role-trust.json", self._bucket)
        trust["Statement"][0]["Principal"]["AWS"] = \
            "arn:aws:iam:::user/" + (self.name if trusted else "publisher")
        if of_role:     # an action that is not needed, since a policy cannot be empty
            access["Statement"][0]["Action"] = "s3:GetObjectAcl"
        self.role = self._store.role("Role-" + uuid.uuid4().hex[:8], access=json.dumps(
            access, separators=(",", ":")), trust=json.dumps(trust, separators=(",", ":")))
        return self.may_still()

    def may_still(self):
        return {"keys": self.keys, "presign_role": self.role, "allow_delete": True,
                "log_level": "info"}


@pytest.fixture
def account(store, bucket):
    return Account(store, bucket)


@pytest.fixture
def line(registry, repository):
    images.small().push(registry, repository, "v1")
    return "%s/%s:v1 x.tar tag=a:b" % (registry.host, repository)


@pytest.fixture
def theirs(s3, bucket):
    """A file of the bucket's owner."""
    s3.put_object(Bucket=bucket, Key="b/theirs", Body=b"theirs")


def uses_everything(there, line):
    """What a build does; the exit statuses."""
    (there.dir / "theirs").write_text("theirs")
    notes = there.dir / "notes.txt"
    notes.write_text("notes\n")
    large = there.dir / "large"
    large.write_bytes(b"x" * (12 << 20))
    steps = {"publish": ["cp", there.reference_file(line), "b/"], "upload": ["cp", notes, "b/"],
             "upload again": ["cp", there.dir / "theirs", "b/"],
             "upload in parts": ["cp", large, "b/"], "copy": ["cp", "b/x.tar", "b/copy"],
             "read": ["cat", "b/theirs"], "links": ["cat", "b/urls.tsv"],
             "remove": ["rm", "-f", "b/copy", "b/large"]}
    return {name: there.run(*command).returncode for name, command in steps.items()}


def complaints(there):
    return [line for line in there.log().splitlines() if re.search(r" (WARN|ERROR) ", line)
            and "presign_session" not in line]


@pytest.mark.semantics(558)
def test_the_policies_are_enough(mount, account, line, theirs):
    there = mount(**account.may())
    assert set(uses_everything(there, line).values()) == {0}
    for row in there.rows("b/urls.tsv"):
        assert subprocess.run(["curl", "-sSf", "-o", "/dev/null", row["url"]]).returncode == 0
    assert complaints(there) == []


NEEDED = {      # action -> what fails without it: the mount, or steps
    "s3:ListBucket": "mount",
    "s3:GetObject": ["upload again", "read"],     # Ceph lets all read their own
    "s3:PutObject": ["publish", "upload"],
    "s3:DeleteObject": ["remove"],
}
# What clears up behind uploads: nothing fails without it, and test_killed.py has the warnings.
FOR_UPLOADS = {"s3:ListBucketMultipartUploads", "s3:AbortMultipartUpload",
               "s3:ListMultipartUploadParts"}


def test_no_action_is_left_out():
    assert set(NEEDED) | FOR_UPLOADS | {"sts:AssumeRole"} == set(actions("service-account.json"))
    assert list(actions("presign-role.json")) == ["s3:GetObject"]


@pytest.mark.parametrize("action", NEEDED)
@pytest.mark.semantics(558)
def test_each_action_is_needed(mount, account, line, theirs, action):
    fails = NEEDED[action]
    there = mount(start=False, **account.may(missing=action))
    if fails == "mount":
        assert action in there.refusal()
        return
    there.start()
    done = uses_everything(there, line)
    assert [name for name in fails if done[name] == 0] == [], done
    wait_until(lambda: any(action in text for text in complaints(there)), 30,
               "a sentence on %s in %s" % (action, complaints(there)))


@pytest.mark.semantics(558)
def test_the_role_needs_its_action_and_its_trust(mount, account, s3, bucket):
    s3.put_object(Bucket=bucket, Key="b/x.tar", Body=b"x")
    there = mount(**account.may(of_role="nothing"))
    assert there.run("cat", "b/urls.tsv").returncode == 1
    assert any("s3:GetObject" in text for text in complaints(there)), complaints(there)
    refusal = mount(start=False, **account.may(trusted=False)).refusal()
    assert "sts:AssumeRole" in refusal and account.role in refusal


@pytest.mark.semantics(559)
def test_older_sessions_are_revoked(mount, account, theirs, store):
    """docs/SECURITY.md: a link that has leaked."""
    there = mount(**account.may())

    def works():
        return subprocess.run(["curl", "-sSf", there.rows("b/urls.tsv")[0]["url"]],
                              stderr=subprocess.DEVNULL).returncode == 0

    leaked = there.rows("b/urls.tsv")[0]["url"]
    assert works()
    time.sleep(1.1)         # sessions are counted in seconds
    policy = json.loads((POLICIES / "revoke-older-sessions.json").read_text())
    moment, = policy["Statement"][0]["Condition"].values()
    moment["aws:TokenIssueTime"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    store.let_role(account.role, "AWSRevokeOlderSessions", policy)
    assert subprocess.run(["curl", "-sSf", leaked], stderr=subprocess.DEVNULL).returncode != 0
    there.unmount()
    there = mount(**account.may_still())
    assert works()


@pytest.mark.semantics(806)
def test_a_bucket_that_keeps_versions_has_the_lifecycle(mount, s3, bucket, line):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    rules = json.loads((POLICIES / "lifecycle.json").read_text())["Rules"]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    taken = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    for rule in rules + taken:      # an empty filter Ceph answers in S3's older form
        rule.setdefault("Prefix", rule.pop("Filter", {}).get("Prefix"))
    assert {rule["ID"]: rule for rule in taken} == {rule["ID"]: rule for rule in rules}
    there = mount(allow_delete=True, overwrite=True)
    assert there.publish("b", line).returncode == 0
    steps = "echo one > b/notes; echo two > b/notes; cat b/notes; cp b/x.tar b/y.tar; rm b/notes b/y.tar; ls b/*.tar"
    done = there.run("sh", "-ec", steps)
    assert (done.returncode, done.stdout) == (0, "two\nb/x.tar\n")
    link, = (row["url"] for row in there.rows("b/urls.tsv"))
    assert subprocess.run(["curl", "-sSf", "-o", "/dev/null", link]).returncode == 0
    assert there.unmount() == 0
    kept = s3.list_object_versions(Bucket=bucket)
    versions = [each["Key"] for each in kept["Versions"] if not each["Key"].startswith(".")]
    assert sorted(versions) == ["b/images.ref", "b/notes", "b/notes", "b/x.tar", "b/y.tar"]
    assert {"b/notes", "b/y.tar"} <= {each["Key"] for each in kept["DeleteMarkers"]}
    for each in kept["Versions"] + kept["DeleteMarkers"]:
        s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])
