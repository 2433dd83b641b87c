"""The servers, images and the proxy do what the other tests rely on."""

import hashlib
import json
import os
import pathlib
import subprocess
import threading
import time
import urllib.error
import urllib.request

import botocore.exceptions
import pytest
import requests

from mounted import wait_until
from servers import faults, images
from servers.ceph import Keys, allow
from servers.delay_line import DelayLine
from servers.registry import PASSWORD, USER, blob_file
from servers.stack import write_environment

NAMES = ["jps/a:b+c.tar", "a b@c=d~e%41.tar", "quote'\"<&>.tar", "grün.tar", "deep//er.tar"]


def refused(call, **arguments):
    """The HTTP status with which the store refuses this."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def session_keys(store, **arguments):
    reply = store.client("sts").assume_role(RoleSessionName="tests", **arguments)
    given = reply["Credentials"]
    return Keys(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


def test_store_keeps_objects_under_any_key(s3, bucket):
    for name in NAMES:
        s3.put_object(Bucket=bucket, Key=name, Body=name.encode())
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert sorted(entry["Key"] for entry in listed) == sorted(NAMES)
    assert s3.get_object(Bucket=bucket, Key=NAMES[0])["Body"].read() == NAMES[0].encode()


def test_store_refuses_strangers(store, bucket):
    stranger = store.user("stranger")
    wrong = Keys(store.publisher.access_key, "wrong")
    for keys in (stranger, wrong, Keys("nobody", "wrong")):
        assert refused(store.client(keys=keys).list_objects_v2, Bucket=bucket) == 403
        assert refused(store.client("sts", keys).assume_role, RoleArn=store.role_arn,
                       RoleSessionName="tests") == 403


def test_role_session_reads_what_its_policy_says_and_no_more(store, s3, bucket):
    for key in ("in/side.tar", "out/side.tar"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"content")
    keys = session_keys(store, RoleArn=store.role_arn, DurationSeconds=900,
                        Policy=allow("s3:GetObject", "arn:aws:s3:::%s/in/*" % bucket))
    reader = store.client(keys=keys)
    assert reader.get_object(Bucket=bucket, Key="in/side.tar")["Body"].read() == b"content"
    assert refused(reader.get_object, Bucket=bucket, Key="out/side.tar") == 403
    assert refused(reader.put_object, Bucket=bucket, Key="in/new", Body=b"") == 403
    assert refused(reader.delete_object, Bucket=bucket, Key="in/side.tar") == 403
    assert refused(reader.list_objects_v2, Bucket=bucket) == 403
    link = reader.generate_presigned_url(
        "get_object", {"Bucket": bucket, "Key": "in/side.tar"}, ExpiresIn=2)
    assert urllib.request.urlopen(link).read() == b"content"
    time.sleep(3)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(link)
    assert caught.value.code == 403


def test_role_sessions_are_as_long_as_the_role_allows(store):
    assert refused(store.client("sts").assume_role, RoleArn=store.role_arn,
                   RoleSessionName="tests", DurationSeconds=43200) == 400
    session_keys(store, RoleArn=store.role_arn, DurationSeconds=3600)
    session_keys(store, RoleArn=store.long_role_arn, DurationSeconds=43200)


def test_store_frees_what_is_deleted(store, s3, bucket):
    s3.put_object(Bucket=bucket, Key="big", Body=bytes(64 << 20))
    wait_until(lambda: store.bytes_used() > 64 << 20, 30, "accounting")
    before = store.bytes_used()
    s3.delete_object(Bucket=bucket, Key="big")
    # The gateway does so by itself, behind whatever the tests before this one have deleted.
    wait_until(lambda: store.collect() or store.bytes_used() < before - (32 << 20), 300, "collection")


@pytest.mark.parametrize("kind", ["anonymous", "basic", "token", "redirect"])
def test_registry_takes_and_gives_images(stack, kind, repository):
    registry = stack.registry(kind)
    image = images.small().push(registry, repository, "v1")
    session = registry.session()
    assert session.manifest(repository, "v1", image.media_type) == image.manifest
    assert session.blob(repository, image.layers[0].digest) == image.layers[0].blob


@pytest.mark.parametrize("kind", ["basic", "redirect"])
def test_registry_with_basic_refuses_a_wrong_password(stack, kind):
    url = stack.registry(kind).url + "/v2/"
    assert requests.get(url).status_code == 401
    assert requests.get(url).headers["WWW-Authenticate"].startswith("Basic ")
    assert requests.get(url, auth=(USER, "wrong")).status_code == 401
    assert requests.get(url, auth=(USER, PASSWORD)).status_code == 200


def test_registry_with_tokens_tells_public_from_private(registry_token):
    for repository, auth, granted in (
            ("public/app", None, 200), ("public/app", (USER, PASSWORD), 200),
            ("private/app", None, 401), ("private/app", (USER, PASSWORD), 200)):
        images.small().push(registry_token, repository, "v1")
        url = "%s/v2/%s/manifests/v1" % (registry_token.url, repository)
        challenge = requests.get(url).headers["WWW-Authenticate"]
        assert challenge.startswith("Bearer ") and registry_token.tokens.realm in challenge
        token = requests.get(registry_token.tokens.realm, auth=auth, params={
            "service": registry_token.tokens.service,
            "scope": "repository:%s:pull" % repository}).json()["token"]
        reply = requests.get(url, headers={"Authorization": "Bearer " + token,
                                           "Accept": images.OCI["manifest"]})
        assert reply.status_code == granted, (repository, auth)
    assert requests.get(registry_token.tokens.realm, auth=(USER, "wrong"), params={
        "service": registry_token.tokens.service}).status_code == 401


def test_registry_redirects_blobs_to_where_authorization_must_not_follow(
        registry_redirect, store, repository):
    image = images.small().push(registry_redirect, repository, "v1")
    blob = "%s/v2/%s/blobs/%s" % (registry_redirect.url, repository, image.layers[0].digest)
    reply = requests.get(blob, auth=(USER, PASSWORD), allow_redirects=False)
    assert reply.status_code == 307
    link = reply.headers["Location"]
    assert link.startswith(store.endpoint)
    assert requests.get(link).content == image.layers[0].blob
    part = requests.get(link, headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, image.layers[0].blob[5:10])
    assert requests.get(link, auth=(USER, PASSWORD)).status_code in (400, 403)


def test_images_are_the_same_each_time_and_of_every_kind(registry, repository):
    assert images.small().digest == images.small().digest
    assert images.small("other").digest != images.small().digest
    docker = images.small(kind="docker").push(registry, repository, "docker")
    assert docker.media_type.startswith("application/vnd.docker")
    index = images.Index([images.small(), images.small(architecture="arm64")], attest=True)
    index.push(registry, repository, "index")
    platforms = [entry["platform"]["architecture"]
                 for entry in json.loads(index.manifest)["manifests"]]
    assert platforms == ["amd64", "arm64", "unknown", "unknown"]
    odd = images.Image([images.raw_layer(b""), images.raw_layer(b"x"), images.empty_layer(),
                        images.layer("twice"), images.layer("twice"),
                        images.layer("z", compression="zstd"),
                        images.layer("plain", compression=None)])
    odd.push(registry, repository, "odd")
    assert registry.session().blob(repository, odd.layers[0].digest) == b""
    assert blob_file(registry, odd.layers[1].digest).read_bytes() == b"x"


class TestProxy:
    """Each fault, seen from a client of a proxy in front of the registry."""

    @pytest.fixture
    def through(self, registry, proxy, repository):
        """(proxy, URL of a blob through it, the blob)"""
        image = images.small(size=500000).push(registry, repository, "v1")
        front = proxy(registry.url)
        layer = image.layers[0]
        return front, "%s/v2/%s/blobs/%s" % (front.url, repository, layer.digest), layer.blob

    def test_passes_everything_on_and_keeps_count(self, through):
        front, url, blob = through
        with requests.Session() as http:
            assert http.get(url).content == blob
            assert http.head(url).headers["Content-Length"] == str(len(blob))
            assert http.get(url, headers={"Range": "bytes=0-9"}).content == blob[:10]
            assert http.get(url[:-64] + "0" * 64).status_code == 404
        first, head, part, missing = front.exchanges
        assert (first.method, first.status, first.response_bytes) == ("GET", 200, len(blob))
        assert (head.status, head.response_bytes) == (200, 0)
        assert (part.status, part.headers["range"]) == (206, "bytes=0-9")
        assert missing.status == 404
        assert {each.connection for each in front.exchanges} == {1}

    def test_carries_uploads_and_keeps_signatures_valid(self, store, proxy, bucket):
        front = proxy(store.endpoint)
        s3 = store.client(endpoint=front.url)
        s3.put_object(Bucket=bucket, Key="a:b+c", Body=bytes(3 << 20))
        link = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a:b+c"})
        assert link.startswith(front.url)
        assert len(urllib.request.urlopen(link).read()) == 3 << 20
        assert front.seen("PUT", r"/a%3Ab%2Bc")[0].request_bytes == 3 << 20

    def test_answers_tls_in_plain(self, through):
        with pytest.raises(requests.exceptions.SSLError, match="WRONG_VERSION_NUMBER"):
            requests.get(through[1].replace("http:", "https:"))

    def test_counts_matches(self, through):
        front, url, blob = through
        rule = front.inject(faults.Reply(503, "busy", {"Retry-After": "1"}), "GET", "/blobs/",
                            nth=2, count=2)
        seen = [requests.get(url).status_code for _ in range(4)]
        assert seen == [200, 503, 503, 200]
        assert (rule.matched, rule.fired) == (4, 2)
        front.inject(faults.Reply(500), "GET", nth=1, count=None)
        assert [requests.get(url).status_code for _ in range(3)] == [500] * 3
        front.clear()
        assert requests.get(url).content == blob

    @pytest.mark.parametrize("when", ["before", "middle"])
    def test_resets(self, through, when):
        front, url, _ = through
        front.inject(faults.Reset(when))
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            requests.get(url)
        assert front.exchanges[0].response_bytes == 0 or when == "middle"

    def test_resets_after_the_answer(self, through):
        front, url, blob = through
        front.inject(faults.Reset("after"))
        with requests.Session() as http:
            assert http.get(url).content == blob
            time.sleep(0.2)     # else the next request may meet the reset
            assert http.get(url).content == blob
        assert [each.connection for each in front.exchanges] == [1, 2]

    def test_truncates(self, through):
        front, url, blob = through
        front.inject(faults.Truncate(1))
        with pytest.raises(requests.RequestException):
            got = requests.get(url)
            if len(got.content) < int(got.headers["Content-Length"]):
                raise requests.RequestException("short")
        front.inject(faults.Truncate(1, admitted=True))
        assert requests.get(url).content == blob[:-1]

    def test_changes_a_header_and_flips_one_bit_each_way(self, through, store, proxy, bucket):
        front, url, blob = through
        front.inject(faults.Header("Date", "Mon, 01 Jan 2001 00:00:00 GMT"), nth=2)
        front.inject(faults.Flip(at=7))
        got = requests.get(url).content
        assert [at for at in range(len(blob)) if got[at] != blob[at]] == [7]
        assert requests.get(url).headers["Date"].startswith("Mon, 01 Jan 2001")
        front = proxy(store.endpoint)
        front.inject(faults.Flip("server"), "PUT")
        # The store compares with the signed sha256 of the body.
        assert refused(store.client(endpoint=front.url).put_object, Bucket=bucket, Key="k",
                       Body=bytes(1000)) == 400

    def test_stalls(self, through):
        front, url, blob = through
        for when in ("before", "middle"):
            front.inject(faults.Stall(when), nth=len(front.exchanges) + 1)
            with pytest.raises(requests.RequestException):
                requests.get(url, timeout=0.3)
            front.clear()
        front.inject(faults.Stall("middle", seconds=0.3))
        started = time.monotonic()
        assert requests.get(url).content == blob
        assert time.monotonic() - started > 0.3

    def test_holds_until_released(self, through):
        front, url, blob = through
        release = threading.Event()
        front.inject(faults.Hold(release))
        threading.Timer(0.3, release.set).start()
        started = time.monotonic()
        assert requests.get(url).content == blob
        assert time.monotonic() - started > 0.25

    def test_loses_a_reply_after_the_deed(self, store, s3, proxy, bucket):
        front = proxy(store.endpoint)
        front.inject(faults.LoseReply(), "PUT")
        with pytest.raises(botocore.exceptions.HTTPClientError):
            store.client(endpoint=front.url, retries={"max_attempts": 0}).put_object(
                Bucket=bucket, Key="k", Body=b"done")
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"done"

    def test_resets_an_upload_in_its_middle(self, store, s3, proxy, bucket):
        front = proxy(store.endpoint)
        front.inject(faults.Reset("request"), "PUT")
        with pytest.raises(botocore.exceptions.HTTPClientError):
            store.client(endpoint=front.url, retries={"max_attempts": 0}).put_object(
                Bucket=bucket, Key="k", Body=bytes(1 << 20))
        assert "Contents" not in s3.list_objects_v2(Bucket=bucket)

    def test_answers_like_s3_and_like_a_registry(self, store, proxy, bucket, registry):
        front = proxy(store.endpoint)
        front.inject(faults.s3_error(503, "SlowDown"))
        with pytest.raises(botocore.exceptions.ClientError, match="SlowDown"):
            store.client(endpoint=front.url, retries={"max_attempts": 0}).list_objects_v2(
                Bucket=bucket)
        front = proxy(registry.url)
        front.inject(faults.registry_error(429, "TOOMANYREQUESTS"))
        assert requests.get(front.url + "/v2/").json()["errors"][0]["code"] == "TOOMANYREQUESTS"

    def test_refuses_and_accepts_again(self, through):
        front, url, blob = through
        with requests.Session() as http:
            assert http.get(url).content == blob
            front.refuse()
            with pytest.raises(requests.ConnectionError):
                http.get(url)
            with pytest.raises(requests.ConnectionError):
                requests.get(url)
            front.accept()
            assert http.get(url).content == blob


def test_delay_line_has_a_round_trip_and_a_window(registry, repository):
    image = images.large(layers=1, size=8 << 20).push(registry, repository, "v1")
    line = DelayLine(registry.url, delay_s=0.02, in_flight=1 << 20).start()
    try:
        with requests.Session() as http:
            http.get(line.url + "/v2/")
            started = time.monotonic()
            http.get(line.url + "/v2/")
            assert 0.04 <= time.monotonic() - started < 0.1
            started = time.monotonic()
            got = http.get("%s/v2/%s/blobs/%s" % (line.url, repository, image.layers[0].digest))
            took = time.monotonic() - started
        assert hashlib.sha256(got.content).hexdigest() == image.layers[0].digest[7:]
        # 8 windows of 1 MiB, one round trip each
        assert 0.3 < took < 1.5
    finally:
        line.stop()


def test_engines_answer(docker, podman, containerd, skopeo):
    assert "Server" in docker("version")
    assert "Version" in podman("version")
    assert "Server" in containerd("version")
    assert b"skopeo" in skopeo("--version")


def test_command_line_starts_and_stops_everything(tmp_path):
    environment = dict(os.environ, PYTHONPATH=str(pathlib.Path(__file__).parents[1]))
    servers = ["/usr/bin/python3", "-m", "servers"]
    up = subprocess.Popen([*servers, "up", "--dir", tmp_path / "d"], env=environment,
                          stdout=subprocess.PIPE, text=True)
    try:
        assert up.stdout.readline().startswith("S3, STS: http://127.0.0.1:")
        subprocess.run([*servers, "image", "--dir", tmp_path / "d", "app:v1", "--mb", "2"],
                       env=environment, check=True, stdout=subprocess.DEVNULL)
        done = subprocess.run(
            ["bash", "-c", '. "$1"/env && curl -fsS "$REGISTRY/v2/app/tags/list"', "-",
             tmp_path / "d"], stdout=subprocess.PIPE, check=True)
        assert json.loads(done.stdout) == {"name": "app", "tags": ["v1"]}
    finally:
        subprocess.run([*servers, "down", "--dir", tmp_path / "d"], env=environment, check=True)
        up.stdout.close()
        assert up.wait(20) == 0
    assert list((tmp_path / "d").iterdir()) == []


def test_environment_file_is_readable_by_its_owner_alone(tmp_path, store, registry):
    write_environment(tmp_path / "env", store, registry, "b")
    assert (tmp_path / "env").stat().st_mode & 0o777 == 0o600
