"""What the session that signs links may do, and what becomes of links that would not work."""

import os
import re

import botocore.exceptions
import pytest
import requests

from servers import faults
from servers.ceph import Keys, allow

KMS_MESSAGE = ("User: arn:aws:sts::1:assumed-role/R/prereleasefs-host is not authorized to perform: "
               "kms:Decrypt on resource: arn:aws:kms:us-east-1:1:key/2 because no session policy "
               "allows the kms:Decrypt action")


def session_of(front, store):
    """The credentials that STS gave last, through the proxy."""
    answer = [each.answer_body.decode() for each in front.seen("POST")][-1]
    return Keys(*(re.search("<%s>(.*?)</%s>" % (name, name), answer)[1]
                  for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")))


@pytest.fixture
def tarball(s3, bucket):
    """A file of the mount's prefix `team`, and others that are none of its."""
    for key in ("team/b/x.tar", "team/.prereleasefs/records/x", "teammate/x", "elsewhere/x"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"content")
    return "team/b/x.tar"


@pytest.mark.semantics(608)
def test_session_reads_what_the_mount_shows_and_nothing_else(
        store, mount, s3, bucket, proxy, stack, tarball):
    """The role itself may do everything: it is the session's policy that is tried."""
    front = proxy(store.endpoint)
    role = store.role("wide-" + bucket, "publisher", access=allow(
        ["s3:*", "sts:*", "iam:*"], "arn:aws:s3:::*", "*"))
    there = mount(prefix="team", presign_role=role, sts_endpoint=front.url)
    assert there.rows("b/urls.tsv")
    keys = session_of(front, store)
    may = store.client(keys=keys)
    assert may.get_object(Bucket=bucket, Key=tarball)["Body"].read() == b"content"
    other = stack.bucket("other-" + bucket)
    s3.put_object(Bucket=other, Key="team/b/x.tar", Body=b"content")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="team/b/new")["UploadId"]
    policy = allow(["s3:*"], "arn:aws:s3:::" + bucket)
    here, file = {"Bucket": bucket}, {"Bucket": bucket, "Key": tarball}
    part = {"Bucket": bucket, "Key": "team/b/new", "UploadId": upload}
    attempts = [
        ("get_object", {**here, "Key": "elsewhere/x"}), ("get_object", {**here, "Key": "teammate/x"}),
        ("get_object", {**here, "Key": "team/.prereleasefs/records/x"}),
        ("get_object", {"Bucket": other, "Key": "team/b/x.tar"}),
        ("put_object", {**file, "Body": b""}), ("put_object", {**here, "Key": "team/b/new"}),
        ("put_object", {**here, "Key": "team/.prereleasefs/records/x"}),
        ("delete_object", file), ("delete_objects", {**here, "Delete": {"Objects": [{"Key": tarball}]}}),
        ("copy_object", {**here, "Key": "team/b/new", "CopySource": file}),
        ("create_multipart_upload", {**here, "Key": "team/b/new"}),
        ("upload_part", {**part, "PartNumber": 1, "Body": b"x"}), ("list_parts", part),
        ("complete_multipart_upload", {**part, "MultipartUpload": {"Parts": [
            {"PartNumber": 1, "ETag": "e"}]}}),
        ("abort_multipart_upload", part),
        ("list_objects_v2", here), ("list_objects_v2", {**here, "Prefix": "team/"}),
        ("list_multipart_uploads", here), ("list_object_versions", here),
        ("get_object_acl", file), ("put_object_acl", {**file, "ACL": "public-read"}),
        ("get_object_tagging", file), ("put_object_tagging", {**file, "Tagging": {"TagSet": []}}),
        ("get_bucket_policy", here), ("put_bucket_policy", {**here, "Policy": policy}),
        ("delete_bucket_policy", here),
        ("get_bucket_acl", here), ("put_bucket_acl", {**here, "ACL": "public-read-write"}),
        ("get_bucket_lifecycle_configuration", here), ("get_bucket_versioning", here),
        ("put_bucket_versioning", {**here, "VersioningConfiguration": {"Status": "Suspended"}}),
        ("delete_bucket", {"Bucket": other}), ("create_bucket", {"Bucket": "new-" + bucket}),
    ]
    done = []
    for name, arguments in attempts:
        try:
            getattr(may, name)(**arguments)
            done.append((name, arguments))
        except botocore.exceptions.ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (403, 404), (name, error)
    # Not sts:AssumeRole: Ceph looks at the trust policy alone, and that names the session's user.
    for service, name, arguments in (
            ("sts", "get_session_token", {}), ("iam", "list_roles", {}),
            ("iam", "put_role_policy", {"RoleName": "wide-" + bucket, "PolicyName": "p",
                                        "PolicyDocument": policy})):
        try:
            getattr(store.client(service, keys), name)(**arguments)
            done.append((service, name))
        except botocore.exceptions.ClientError:
            pass
    s3.abort_multipart_upload(**part)
    s3.delete_object(Bucket=other, Key="team/b/x.tar")
    s3.delete_bucket(Bucket=other)
    assert done == []


@pytest.mark.semantics(805)
@pytest.mark.parametrize("prefix", ["te$m", "te*m", "te?m"])
def test_odd_prefixes_let_a_session_read_nothing_beside_them(store, mount, s3, bucket, proxy, prefix):
    """This store's policies have no variables: `$` is written without one, `*` and `?` cannot be, and
    then there are no links. That the session would be let beside the prefix is what may not be."""
    outside = ["team/b/x", "te/b/xm/b/x", "tem/b/x", "teaam/b/x", "te%sm/.prereleasefs/x" % prefix[2], "x"]
    for key in [prefix + "/b/x.tar"] + outside:
        s3.put_object(Bucket=bucket, Key=key, Body=b"content")
    front = proxy(store.endpoint)
    there = mount(prefix=prefix, sts_endpoint=front.url)
    if prefix == "te$m":
        assert [requests.get(row["url"], timeout=60).content for row in there.rows("b/urls.tsv")] == [b"content"]
    else:
        with pytest.raises(PermissionError):
            (there.path / "b/urls.tsv").read_bytes()
        assert re.search(r"the prefix has a \* or \?.* presign_profile=", there.log())
    may = store.client(keys=session_of(front, store))
    for key in outside:
        with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
            may.get_object(Bucket=bucket, Key=key)


@pytest.mark.semantics(520)
def test_links_that_a_role_cannot_read_are_not_handed_out(store, mount, s3, bucket, proxy):
    s3.put_object(Bucket=bucket, Key="b/x.tar", Body=b"content")
    front = proxy(store.endpoint)
    name = "blind-" + bucket
    role = store.role(name, "publisher", access=allow("s3:GetObject", "arn:aws:s3:::another/*"))
    there = mount(presign_role=role, endpoint=front.url, sts_endpoint=store.endpoint)
    assert os.stat(there.path / "b/urls.tsv").st_size == 0
    for file in ("urls.tsv", "report.html"):
        with pytest.raises(PermissionError):
            (there.path / "b" / file).read_bytes()
    with pytest.raises(PermissionError):
        os.getxattr(there.path / "b/x.tar", "user.prerelease.url")
    assert "SHA256SUMS" in os.listdir(there.path / "b") and there.run("cat", "b/SHA256SUMS").stdout
    line = [line for line in there.log().splitlines() if "would not work" in line][-1]
    assert role in line and "s3:GetObject" in line and bucket + "/b/x.tar" in line
    store.client("iam", store._admin).put_role_policy(
        RoleName=name, PolicyName="access", PolicyDocument=allow("s3:GetObject", "arn:aws:s3:::*"))
    front.clear_record()
    assert there.rows("b/urls.tsv") and there.run("cat", "b/report.html").returncode == 0
    tried, = front.seen("GET", "X-Amz-Signature")
    assert tried.headers["range"] == "bytes=0-0" and tried.status == 206
    assert "X-Amz-Signature" not in there.log()


@pytest.mark.semantics(520)
def test_a_key_that_links_may_not_decrypt_with_is_named(store, mount, s3, bucket, proxy):
    s3.put_object(Bucket=bucket, Key="b/x.tar", Body=b"content")
    front = proxy(store.endpoint)
    front.inject(faults.s3_error(403, "AccessDenied", KMS_MESSAGE), "GET", "X-Amz-Signature", count=None)
    there = mount(endpoint=front.url, sts_endpoint=store.endpoint)
    with pytest.raises(PermissionError):
        (there.path / "b/urls.tsv").read_bytes()
    assert re.search("KMS key.*mount with kms_key=.*key/2", there.log())
    # Ceph's STS does not know kms:Decrypt.
    assert "leave it out" in mount(start=False, kms_key="arn:aws:kms:us-east-1:1:key/2").refusal()
