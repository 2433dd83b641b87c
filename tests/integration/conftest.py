"""Fixtures: the real servers once per run, buckets, proxies and mounts per test.

Nothing is skipped: a server that is missing or does not start is a failure.
"""

import signal
import itertools
import os
import pathlib
import shutil
import sys
import tempfile
import threading

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.dont_write_bytecode = True

from mounted import Mount  # noqa: E402
from servers.fake_identity_provider import FakeIdentityProvider  # noqa: E402
from servers.stack import Stack  # noqa: E402

TEST_LIMIT_S = 1800 if os.environ.get("SOAK") else 240      # then what is mounted is killed, so that nothing hangs for ever

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def stack():
    directory = tempfile.mkdtemp(prefix="prfs-", dir="/tmp")   # short: it holds sockets
    with Stack(directory) as servers:
        yield servers
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def store(stack):
    return stack.store


@pytest.fixture(scope="session")
def identities(store):
    """Who vouches for CI jobs and pods, and the store's STS believes it."""
    provider = FakeIdentityProvider().start()
    store.trust_provider(provider)
    yield provider
    provider.stop()


@pytest.fixture(scope="session")
def registry(stack):
    return stack.registry("anonymous")


@pytest.fixture(scope="session")
def registry_basic(stack):
    return stack.registry("basic")


@pytest.fixture(scope="session")
def registry_token(stack):
    return stack.registry("token")


@pytest.fixture(scope="session")
def registry_redirect(stack):
    return stack.registry("redirect")


@pytest.fixture(scope="session")
def docker(stack):
    return stack.engine("docker")


@pytest.fixture(scope="session")
def podman(stack):
    return stack.engine("podman")


@pytest.fixture(scope="session")
def containerd(stack):
    return stack.engine("containerd")


@pytest.fixture(scope="session")
def skopeo(stack):
    return stack.engine("skopeo")


@pytest.fixture
def s3(store):
    """The service account's own client, to look at the bucket from outside."""
    return store.client()


@pytest.fixture
def bucket(stack, s3):
    """A new bucket, emptied and removed afterwards: the store is in memory."""
    name = stack.bucket("test-%d" % next(_numbers))
    yield name
    for upload in s3.list_multipart_uploads(Bucket=name).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
        for entry in page.get("Contents", []):
            s3.delete_object(Bucket=name, Key=entry["Key"])
    s3.delete_bucket(Bucket=name)


@pytest.fixture
def repository():
    """A repository's name that no other test uses."""
    return "test/app-%d" % next(_numbers)


@pytest.fixture
def proxy(stack):
    """proxy(url): a new scripted proxy in front of that server."""
    made = []

    def factory(upstream):
        made.append(stack.proxy(upstream))
        return made[-1]

    yield factory
    for each in made:
        each.stop()


@pytest.fixture
def mount(store, bucket, proxy, tmp_path):
    """mount(option=value, ...): a running mount of the test's bucket; see
    mounted.Mount. All are unmounted at the end and must have ended well."""
    made = []

    def factory(start=True, **settings):
        settings.setdefault("bucket", bucket)
        one = Mount(store, tmp_path / ("m%d" % len(made)), **settings)
        made.append(one)
        if start:
            one.start()
        return one

    watchdog = threading.Timer(TEST_LIMIT_S, lambda: [one.kill() for one in made])
    watchdog.daemon = True
    watchdog.start()
    yield factory
    watchdog.cancel()
    problems = []
    for one in reversed(made):
        problems += one.finish()
    assert not problems, "\n".join(problems)


def pytest_addoption(parser):
    parser.addoption("--sentence", type=int, help="only the tests of this sentence of docs/semantics.md")


def pytest_collection_modifyitems(config, items):
    wanted = config.getoption("--sentence")
    if wanted:
        items[:] = [item for item in items
                    if any(wanted in mark.args for mark in item.iter_markers("semantics"))]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the mounts' logs under a test that failed."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for path in sorted(pathlib.Path(item.funcargs["tmp_path"]).glob("m*/log")
                           if "tmp_path" in getattr(item, "funcargs", {}) else []):
            report.sections.append((str(path), path.read_text(errors="replace")[-8000:]))


# A shell that starts pytest in the background has SIGINT ignored, and cp would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
