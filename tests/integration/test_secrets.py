"""Secrets that are in use show nowhere: each is looked for as it is, percent-encoded and in base64.

What every mount of every test logs is looked at as well, at its end: see mounted.Mount.finish."""

import os
import pathlib
import re
import signal
import subprocess

import pytest

from leaks import found_in, forms, signed_in
from mounted import PLAIN
from servers import faults, images
from servers.registry import PASSWORD, USER

WITH_LINKS = ("urls.tsv", "report.html", "download.sh", "download.ps1")
GITHUB = "ghp_ThisOneIsForAnother/Registry+1"


class Secrets:
    """A mount that has many, and what they are."""

    def __init__(self, mount, store, registry, proxy, image, repository, **settings):
        self.sts, self.s3, self.registry = map(proxy, (store.endpoint, store.endpoint, registry.url))
        self.tokens = registry.tokens
        self.issued = len(self.tokens.issued)
        given = store.client("sts").assume_role(
            RoleArn=store.role("writer-" + repository.replace("/", "-"), "publisher", access=(
                '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],'
                '"Resource":["arn:aws:s3:::*"]}]}')), RoleSessionName="tests")["Credentials"]
        self.service = {given["SecretAccessKey"], given["SessionToken"]}
        self.line = "%s/%s:v1 x.tar" % (self.registry.host, repository)
        image.push(registry, repository, "v1")
        self.there = mount(
            endpoint=self.s3.url, sts_endpoint=self.sts.url,
            docker_config=registry.docker_config(host=self.registry.host),
            environment={"AWS_ACCESS_KEY_ID": given["AccessKeyId"], "GITHUB_TOKEN": GITHUB,
                         "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
                         "AWS_SESSION_TOKEN": given["SessionToken"]}, **settings)

    def link(self):
        """What signs links: their secret key, which shows nowhere, and their token, which they hold."""
        answers = "".join(each.answer_body.decode() for each in self.sts.seen("POST"))
        return (set(re.findall("<SecretAccessKey>(.*?)<", answers)),
                set(re.findall("<SessionToken>(.*?)<", answers)))

    def all(self):
        keys, session_tokens = self.link()
        found = {*self.service, *keys, *session_tokens, PASSWORD, USER + ":" + PASSWORD, GITHUB,
                 *self.tokens.issued[self.issued:]}
        assert len(found) >= 8, "some are missing"
        return found


@pytest.fixture
def secrets(mount, store, registry_token, proxy, repository):
    return lambda image=images.small(), **settings: Secrets(
        mount, store, registry_token, proxy, image, repository, **settings)


def as_nobody(*argv):
    return subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *map(str, argv)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_encodings_that_are_looked_for():
    import base64
    import urllib.parse
    for secret in ("abc/def+ghi=jklm", "0123456789ab"):
        for before in ("", "u:", "us:"):
            assert any(form in base64.b64encode((before + secret + "x").encode()) for form in forms(secret))
        assert found_in(urllib.parse.quote(secret, safe=""), [secret]) == [secret]
    assert not found_in("abc/def", ["abc/def+ghi=jklm"]) and signed_in("?X-Amz-Signature=0")


@pytest.mark.semantics(523)
def test_no_secret_in_log_files_attributes_and_store(secrets, s3, bucket):
    have = secrets()
    there = have.there
    assert there.publish("b", have.line).returncode == 0
    challenge = 'Bearer realm="%s",service="%s"' % (have.tokens.realm, have.tokens.service)
    cases = [(have.s3, faults.s3_error(400, "ExpiredToken")), (have.s3, faults.Reset("middle")),
             (have.s3, faults.s3_error(403, "SignatureDoesNotMatch")),
             (have.registry, faults.registry_error(401, "UNAUTHORIZED", **{"WWW-Authenticate": challenge}))]
    for at in range(len(cases)):
        (there.path / ("b%d" % at)).mkdir()
    for at, (front, fault) in enumerate(cases):
        rule = front.inject(fault, "GET|PUT", count=2)
        there.publish("b%d" % at, have.line)
        assert rule.fired, fault
        front.withdraw(rule)
    shown, with_links = [], []
    for name in os.listdir(there.path / "b"):
        (with_links if name in WITH_LINKS else shown).append(
            (there.path / "b" / name).read_bytes())
    shown.append((there.path / "index.html").read_bytes())
    for name in os.listxattr(there.path / "b/x.tar"):
        shown.append(os.getxattr(there.path / "b/x.tar", name))
    with_links.append(os.getxattr(there.path / "b/x.tar", "user.prerelease.url"))
    stored = [there.object(key) for key in there.keys(internal=True)]
    metadata = str([s3.head_object(Bucket=bucket, Key=key)["Metadata"] for key in there.keys(internal=True)])
    mounts = pathlib.Path("/proc/mounts").read_bytes()
    every, in_links = have.all(), have.link()[1]
    for data in (*shown, *stored, metadata, mounts, there.log()):
        assert found_in(data, every) == [] and signed_in(data) == []
    for data in with_links:
        assert found_in(data, in_links) and found_in(data, every - in_links) == []


@pytest.mark.semantics(524)
def test_no_secret_for_another_user_nor_in_a_core_dump(secrets, tmp_path):
    have = secrets(program=PLAIN, before=["prlimit", "--core=unlimited"])
    there = have.there
    assert there.publish("b", have.line).returncode == 0 and there.rows("b/urls.tsv")
    every = have.all()
    # As another user, and for who may look at everything: what the command line shows.
    for name in ("environ", "mem", "maps", "auxv", "fd", "cwd"):
        assert as_nobody("ls" if name == "fd" else "cat", "/proc/%d/%s" % (there.pid, name)).returncode != 0
    seen = as_nobody("cat", "/proc/%d/cmdline" % there.pid, "/proc/%d/status" % there.pid)
    assert seen.returncode == 0 and found_in(seen.stdout, every) == []
    # Root can force a dump of what lives: it holds no memory.
    dumped = subprocess.run(["gcore", "-o", str(tmp_path / "core"), str(there.pid)],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100)
    core = (tmp_path / ("core.%d" % there.pid)).read_bytes()
    assert core[:4] == b"\x7fELF", dumped.stdout
    assert found_in(core, every) == []
    # What dies leaves none, though its limit was none.
    there.signal(signal.SIGABRT)
    ended = os.waitid(os.P_PID, there.pid, os.WEXITED | os.WNOWAIT)
    assert (ended.si_code, ended.si_status) == (os.CLD_KILLED, signal.SIGABRT)     # not CLD_DUMPED
    there.bury()
