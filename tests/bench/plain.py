"""The plain mover's two ends: what a script would take, requests and boto3. Same
methods as mover.Registry and signed.Store, which do with less."""

import boto3
import botocore.config
import requests

NO_PATIENCE = botocore.config.Config(retries={"total_max_attempts": 1})


class Registry:
    def __init__(self, host, repository):
        self._session = requests.Session()
        self._base = "http://%s/v2/%s/" % (host, repository)

    def get(self, path, headers):
        reply = self._session.get(self._base + path, headers=headers)
        reply.raise_for_status()
        return reply.content

    def read_into(self, digest, first, view):
        view[:] = self.get("blobs/" + digest, {
            "Range": "bytes=%d-%d" % (first, first + len(view) - 1)})


class Store:
    def __init__(self, endpoint, bucket):
        # A session of its own: the default one is not for threads.
        self._s3 = boto3.session.Session().client("s3", endpoint_url=endpoint, config=NO_PATIENCE)
        self._bucket = bucket

    def begin_upload(self, key):
        return self._s3.create_multipart_upload(Bucket=self._bucket, Key=key)["UploadId"]

    def upload_part(self, key, upload, number, body):
        return self._s3.upload_part(Bucket=self._bucket, Key=key, UploadId=upload,
                                    PartNumber=number, Body=bytes(body))["ETag"]

    def complete_upload(self, key, upload, etags):
        parts = [{"PartNumber": at, "ETag": etag} for at, etag in enumerate(etags, 1)]
        self._s3.complete_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload,
                                           MultipartUpload={"Parts": parts})
