"""S3 requests signed by hand and sent by http.client, payloads unsigned: what is
left of a client in Python when all that costs time is taken away."""

import datetime
import hashlib
import hmac
import http.client
import os
import re
import urllib.parse

REGION = "us-east-1"
UNSIGNED = "UNSIGNED-PAYLOAD"
HEADERS = "host;x-amz-content-sha256;x-amz-date"


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def answer(connection, method, target, body, headers):
    """The answer to a request, asked again where a kept connection had been closed."""
    for is_last in (False, True):
        try:
            connection.request(method, target, body, headers)
            return connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            connection.close()
            if is_last:
                raise
    return None


class Store:
    """A bucket, with the keys of the environment. One connection; not for threads."""

    def __init__(self, endpoint, bucket):
        self._host = urllib.parse.urlsplit(endpoint).netloc
        self._connection = http.client.HTTPConnection(self._host)
        self._bucket = bucket
        self._access_key = os.environ["AWS_ACCESS_KEY_ID"]
        self._secret_key = os.environ["AWS_SECRET_ACCESS_KEY"]

    def request(self, method, key, query="", body=None):
        """The answer's headers and body; `query` with its names sorted, values encoded."""
        path = "/%s/%s" % (self._bucket, urllib.parse.quote(key, safe="/-_.~"))
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        scope = "%s/%s/s3/aws4_request" % (now[:8], REGION)
        canonical = "\n".join([method, path, query, "host:" + self._host,
                               "x-amz-content-sha256:" + UNSIGNED, "x-amz-date:" + now,
                               "", HEADERS, UNSIGNED])
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope,
                          hashlib.sha256(canonical.encode()).hexdigest()])
        signing_key = ("AWS4" + self._secret_key).encode()
        for step in scope.split("/"):
            signing_key = _hmac(signing_key, step)
        signature = hmac.new(signing_key, text.encode(), hashlib.sha256).hexdigest()
        reply = answer(self._connection, method, path + ("?" + query if query else ""), body, {
            "x-amz-content-sha256": UNSIGNED, "x-amz-date": now,
            "Authorization": "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s"
                             % (self._access_key, scope, HEADERS, signature)})
        said = reply.read()
        if reply.status >= 300:
            raise RuntimeError("%s %s: %d %s" % (method, key, reply.status, said[:500]))
        return reply.headers, said

    def begin_upload(self, key):
        _, said = self.request("POST", key, "uploads=")
        return re.search(rb"<UploadId>(.*?)</UploadId>", said)[1].decode()

    def upload_part(self, key, upload, number, body):
        query = "partNumber=%d&uploadId=%s" % (number, urllib.parse.quote(upload, safe="-_.~"))
        headers, _ = self.request("PUT", key, query, body)
        return headers["ETag"]

    def complete_upload(self, key, upload, etags):
        parts = "".join("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>" % (at, etag)
                        for at, etag in enumerate(etags, 1))
        body = "<CompleteMultipartUpload>%s</CompleteMultipartUpload>" % parts
        _, said = self.request("POST", key, "uploadId=" + urllib.parse.quote(
            upload, safe="-_.~"), body.encode())
        if b"<ETag>" not in said:
            raise RuntimeError("not completed: %s" % said[:500])
