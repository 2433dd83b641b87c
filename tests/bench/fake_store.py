"""Enough of S3 for one mount to publish into: uploaded parts are dropped as they
come, small objects are kept. Believes every signature.

    python3 -m bench.fake_store     prints its host:port
"""

import hashlib
import itertools
import urllib.parse
import xml.sax.saxutils

from .fake_http import serve

PART_ETAG = '"%s"' % hashlib.md5(b"a part").hexdigest()

NO_SUCH_KEY = b"<Error><Code>NoSuchKey</Code></Error>"


class Store:
    def __init__(self):
        self._objects = {}      # key -> (size, bytes, headers)
        self._uploads = {}      # id -> [size so far, headers]
        self._numbers = itertools.count(1)

    def handle(self, request, answer):
        _, _, key = urllib.parse.unquote(request.path).lstrip("/").partition("/")
        query = dict(urllib.parse.parse_qsl(request.query, keep_blank_values=True))
        if request.method == "PUT" and "partNumber" in query:
            request.drop_body()
            self._uploads[query["uploadId"]][0] += request.length
            answer(200, {"ETag": PART_ETAG})
        elif request.method == "PUT":
            self._put(key, request, answer)
        elif request.method == "POST":
            self._post(key, query, request, answer)
        elif request.method == "DELETE":
            self._objects.pop(key, None)
            answer(204)
        elif key:
            self._get(key, request, answer)
        else:
            answer(200, None, self._listing(query) if "uploads" not in query
                   else b"<ListMultipartUploadsResult/>")

    def _put(self, key, request, answer):
        body = request.body()
        etag = '"%s"' % hashlib.md5(body).hexdigest()
        self._objects[key] = len(body), body, {"ETag": etag, **_metadata(request)}
        answer(200, {"ETag": etag})

    def _post(self, key, query, request, answer):
        request.drop_body()
        if "uploads" in query:
            upload = "upload-%d" % next(self._numbers)
            self._uploads[upload] = [0, _metadata(request)]
            answer(200, None, b"<InitiateMultipartUploadResult><UploadId>%s</UploadId>"
                   b"</InitiateMultipartUploadResult>" % upload.encode())
            return
        size, headers = self._uploads.pop(query["uploadId"])
        self._objects[key] = size, b"", {"ETag": PART_ETAG, **headers}
        answer(200, None, b"<CompleteMultipartUploadResult><ETag>%s</ETag>"
               b"</CompleteMultipartUploadResult>" % PART_ETAG.encode())

    def _get(self, key, request, answer):
        if key not in self._objects:
            answer(404, None, NO_SUCH_KEY if request.method == "GET" else b"")
            return
        size, body, headers = self._objects[key]
        headers = {"Last-Modified": "Tue, 02 Jan 2024 03:04:05 GMT", **headers}
        if request.method == "HEAD":
            answer(200, {"Content-Length": size, **headers})
        else:
            answer(200, headers, body)

    def _listing(self, query):
        prefix, cut = query.get("prefix", ""), query.get("delimiter")
        keys, folders = [], set()
        for key in sorted(key for key in self._objects if key.startswith(prefix)):
            head, found, _ = key[len(prefix):].partition(cut) if cut else (key, "", "")
            if found:
                folders.add(prefix + head + cut)
            else:
                keys.append(key)
        entries = ["<Contents><Key>%s</Key><Size>%d</Size><ETag>%s</ETag>"
                   "<LastModified>2024-01-02T03:04:05.000Z</LastModified></Contents>" % (
                       xml.sax.saxutils.escape(key), self._objects[key][0],
                       self._objects[key][2]["ETag"]) for key in keys]
        entries += ["<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>"
                    % xml.sax.saxutils.escape(folder) for folder in sorted(folders)]
        return ("<ListBucketResult><IsTruncated>false</IsTruncated>%s</ListBucketResult>"
                % "".join(entries)).encode()


def _metadata(request):
    return {name: value for name, value in request.headers.items()
            if name.startswith("x-amz-meta-")}


if __name__ == "__main__":
    serve(Store().handle)
