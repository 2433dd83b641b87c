"""Errors as a new user meets them: each sentence is one that docs/troubleshooting.md has."""

import base64
import re
import sys

from mounted import ROOT
from servers import faults, images

sys.path.insert(0, str(ROOT / "tests"))
import check_docs  # noqa: E402

NO_KEYS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
ENTRIES = [re.compile(".*".join(re.escape(piece) for piece in re.split(r"\.\.\.+", entry)))
           for entry in check_docs.entries()]


def explained(sentence, beginning=""):
    """docs/troubleshooting.md has it, and not by an entry that is for everything."""
    found = [entry for entry in ENTRIES if entry.search(sentence)]
    assert len(found) == 1, (sentence, found)
    assert beginning in sentence
    return sentence


def away(path):
    path.rmdir()


def a_file(path):
    path.rmdir()
    path.touch()


def in_use(path):
    (path / "x").touch()


def test_a_mount_that_is_set_up_wrongly(mount):
    for settings in (
            dict(environment=NO_KEYS),
            dict(environment={"AWS_SECRET_ACCESS_KEY": None}),
            dict(environment=NO_KEYS, profile="nobody"),
            dict(environment={"AWS_SECRET_ACCESS_KEY": "wrong"}),
            dict(environment={"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN"}),
            dict(bucket="no-such-bucket"),
            dict(presign_role="arn:aws:iam:::role/Nobody"),
            dict(presign_role="S3PresignedURLRole"),
            dict(endpoint="http://127.0.0.1:9"),
            dict(endpoint="http://no-such-host.invalid"),
            dict(overwritten=True),
            dict(parallel="many")):
        explained(mount(start=False, **settings).refusal())


def test_a_mountpoint_that_is_none(mount):
    for spoil in (away, a_file, in_use):
        there = mount(start=False)
        spoil(there.path)
        explained(there.refusal(), "the mountpoint %s is " % there.path)


def test_what_only_some_machines_have_wrong(store, mount, bucket, proxy):
    explained(mount(start=False, presign_role=store.role("aloof-" + bucket, "admin")).refusal(),
              "sts:AssumeRole")
    front = proxy(store.endpoint)
    front.inject(faults.s3_error(301, "PermanentRedirect", **{
        "x-amz-bucket-region": "eu-central-1"}), count=None)
    assert "eu-central-1" in explained(mount(start=False, endpoint=front.url).refusal())
    for code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken",
                 "RequestTimeTooSkewed"):
        front = proxy(store.endpoint)
        front.inject(faults.s3_error(403, code), count=None)
        explained(mount(start=False, endpoint=front.url, presign_role=None).refusal())
    hidden = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"', "sh")
    explained(mount(start=False, before=hidden).refusal(), "there is no /dev/fuse")
    there = mount()
    second = mount(start=False)
    second.path.rmdir()
    second.path.symlink_to(there.path)
    explained(second.refusal(), "stands a mount of")


def test_a_publish_that_fails(mount, registry, registry_token, repository):
    images.small().push(registry, repository, "v1")
    images.small("other").push(registry, repository, "v2")
    images.small().push(registry_token, repository, "v1")
    name = "%s/%s" % (registry.host, repository)
    there = mount()
    assert there.publish("b", name + ":v1 x.tar").returncode == 0
    for line in (name + ":v3 x.tar", name + "-misspelt:v1", "app:v1", "owner/app:v1", "ghcr.io/a/b",
                 name + ":v1 x.TAR", name + ":v1 x.zip", name + ":v1 x.tar platfrom=linux/arm64",
                 name + ":v1 y.tar platform=linux/arm64", name + ":v2 x.tar",
                 "%s/%s:v1" % (registry_token.host, repository)):
        assert there.publish("b", line).returncode == 1
        explained(there.why("b")[1])
    (there.path / "releases/v1").mkdir()
    (there.path / "releases/v1/notes").write_text("one")
    assert there.sh("echo two > releases/v1/notes").returncode == 0     # its close is lost
    explained(there.why("releases/v1")[1])


def test_credentials_that_a_registry_refuses(mount, registry_token, repository):
    images.small().push(registry_token, repository, "v1")
    reference = "%s/%s:v1" % (registry_token.host, repository)
    pair = base64.b64encode(b"somebody:wrong").decode()
    there = mount(docker_config={"auths": {registry_token.host: {"auth": pair}}})
    assert there.publish("b", reference).returncode == 1
    explained(there.why("b")[1], "are refused, and without them")
