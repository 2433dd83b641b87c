#!/usr/bin/python3
"""Compares URLs and signatures with those that botocore makes, for keys that
are hard to encode. Usage: sigv4_botocore.py DRIVER (see sigv4_driver.c)."""

import datetime
import hashlib
import importlib
import subprocess
import sys
import types
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.compat
import botocore.config
import botocore.credentials
import botocore.session

NOW = datetime.datetime(2026, 1, 31, 12, 34, 56)
REGION = "eu-central-1"
ACCESS, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEBYaD+/=" * 20

KEYS = [
    "plain", "jps/fix-login/abc1234/runtime:main-abc1234.tar", "releases/v1.2.3/a.tar.gz",
    "a b", "a+b", "a%b", "a%20b", "a%2Fb", "%", "%%", "a@b", "a=b", "a~b", "a&b", "a?b", "a#b",
    "a;b", "a,b", "a:b", "a$b", "a!b", "a*b", "a'b", 'a"b', "a(b)", "a[b]", "a{b}", "a|b", "a^b",
    "a`b", "a<b>", "a\\b", "ünï/cödé", "日本語", "emoji😀", "e\u0301", "\x01\x1f\x7f", "tab\there",
    "new\nline", "cr\rhere", "//", "//a", "a//b", "a//", "/a", ".", "..", "./a", "../a", "a/./b",
    "a/../b", "a/..", "a/.", "-", "_", "trail/", " lead", "trail ", "+", "=", "a=b&c=d",
    "~user", "%7Euser", "x" * 1000, "é" * 500,
]
QUERIES = [
    {}, {"prefix": "a+b c%/é~'\"", "delimiter": "/", "list-type": "2", "encoding-type": "url",
         "continuation-token": "1ueGcx/+=&"},
    {"partNumber": "1", "uploadId": "2~a+/=_-."}, {"uploads": ""},
]
AWS = "https://s3.%s.amazonaws.com" % REGION  # older botocores presign for another of its names
DISPOSITION = 'attachment; filename="runtime_main-abc1234.tar"'


class Frozen(datetime.datetime):
    @classmethod
    def utcnow(cls):
        return NOW


class Driver:
    """The program under test; one process signs everything."""

    def __init__(self, path):
        self._path, self._jobs = path, []

    def add(self, check, query=(), headers=(), **fields):
        lines = ["%s %s" % (name, str(value).encode().hex()) for name, value in fields.items()]
        lines += ["query %s" % ("%s=%s" % pair).encode().hex() for pair in query]
        lines += ["header %s" % ("%s=%s" % pair).encode().hex() for pair in headers]
        self._jobs.append(("\n".join(lines) + "\n\n", check))

    def run(self):
        done = subprocess.run([self._path], input="".join(job for job, _ in self._jobs).encode(),
                              stdout=subprocess.PIPE, check=True)
        lines = done.stdout.decode().split("\n")
        assert len(lines) == 2 * len(self._jobs) + 1, (len(lines), len(self._jobs))
        for i, (_, check) in enumerate(self._jobs):
            check(lines[2 * i], lines[2 * i + 1])
        return len(self._jobs)


def fields(token, **more):
    now_ms = int(NOW.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000)
    return dict(region=REGION, access_key=ACCESS, secret_key=SECRET, token=token,
                now_ms=now_ms, **more)


def freeze():
    """botocore's clock stands at NOW from here on, wherever it signs: by itself, or with
    Amazon's own C library, where that is installed."""
    modules = [botocore.auth]
    if botocore.compat.HAS_CRT:
        modules.append(importlib.import_module("botocore.crt.auth"))
    for module in modules:
        if hasattr(module, "get_current_datetime"):
            module.get_current_datetime = lambda *_, **__: NOW
        else:
            module.datetime = types.SimpleNamespace(datetime=Frozen, timezone=datetime.timezone)


def client(service, endpoint, token, style):
    return botocore.session.Session().create_client(
        service, region_name=REGION, endpoint_url=endpoint or None, aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET, aws_session_token=token or None,
        config=botocore.config.Config(
            signature_version="s3v4" if service == "s3" else None,
            s3={"addressing_style": style}))


def sent(of, operation, **params):
    """The request that botocore would send."""
    requests = []

    def keep(request, **_):
        requests.append(request)
        return botocore.awsrequest.AWSResponse(request.url, 200, {}, Raw())

    of.meta.events.register("before-send", keep)
    getattr(of, operation)(**params)
    of.meta.events.unregister("before-send", keep)
    return requests[0]


class Raw:
    """A body that every parser takes."""

    def stream(self, **_):
        return iter((b"<x><AssumeRoleResult/></x>",))

    def read(self, *_):
        return b"<x><AssumeRoleResult/></x>"


def compare_query(driver, s3, endpoint, token, key):
    theirs = s3.generate_presigned_url(
        "get_object", ExpiresIn=3600,
        Params={"Bucket": "bkt", "Key": key, "ResponseContentDisposition": DISPOSITION})

    def check(ours, _):
        a, b = urllib.parse.urlsplit(ours), urllib.parse.urlsplit(theirs)
        assert a[:3] == b[:3], (key, ours, theirs)
        a, b = (sorted(urllib.parse.parse_qsl(x.query, keep_blank_values=True)) for x in (a, b))
        assert a == b, (key, a, b)

    driver.add(check, mode="query", service="s3", method="GET", endpoint=endpoint, bucket="bkt",
               key=key, expires_s=3600, payload="UNSIGNED-PAYLOAD",
               query=[("response-content-disposition", DISPOSITION)],
               headers=[("host", urllib.parse.urlsplit(theirs).netloc)], **fields(token))


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def headers_signed(request):
    """Name and value of each header that botocore signed."""
    names = text(request.headers["Authorization"]).split("SignedHeaders=")[1].split(",")[0]
    host = urllib.parse.urlsplit(request.url).netloc
    return [(name, host if name == "host" else text(request.headers[name]))
            for name in names.split(";")]


def compare_header(driver, s3, endpoint, token, key):
    theirs = sent(s3, "get_object", Bucket="bkt", Key=key, Range="bytes=0-9", IfMatch='"e"')

    def check(url, authorization):
        assert url == theirs.url, (key, url, theirs.url)
        assert authorization == text(theirs.headers["Authorization"]), (key, authorization)

    driver.add(check, mode="header", service="s3", method="GET", endpoint=endpoint, bucket="bkt",
               key=key, expires_s=0, payload=text(theirs.headers["X-Amz-Content-SHA256"]),
               headers=headers_signed(theirs), **fields(token))


def compare_queries(driver, token):
    """What the client's operations do not send in one form: any query at all."""
    for query in QUERIES:
        url = "https://bkt.s3.%s.amazonaws.com/" % REGION
        if query:
            url += "?" + "&".join("%s=%s" % (urllib.parse.quote(name, safe="-._~"),
                                             urllib.parse.quote(value, safe="-._~"))
                                  for name, value in query.items())
        request = botocore.awsrequest.AWSRequest("GET", url, headers={})
        keys = botocore.credentials.Credentials(ACCESS, SECRET, token or None)
        botocore.auth.S3SigV4Auth(keys, "s3", REGION).add_auth(request)
        theirs = request.prepare()

        def check(_, authorization, theirs=theirs, query=query):
            assert authorization == text(theirs.headers["Authorization"]), query

        driver.add(check, mode="header", service="s3", method="GET", endpoint="", bucket="bkt",
                   key="", expires_s=0, payload=text(theirs.headers["X-Amz-Content-SHA256"]),
                   query=list(query.items()), headers=headers_signed(theirs), **fields(token))


def compare_sts(driver, endpoint, token):
    sts = client("sts", endpoint, token, "auto")
    theirs = sent(sts, "assume_role", RoleArn="arn:aws:iam::123456789012:role/r",
                  RoleSessionName="session", Policy='{"a b":"*"}')

    def check(url, authorization):
        assert url == theirs.url, (url, theirs.url)
        assert authorization == text(theirs.headers["Authorization"]), authorization

    body = theirs.body if isinstance(theirs.body, bytes) else theirs.body.encode()
    driver.add(check, mode="header", service="sts", method="POST", endpoint=endpoint, bucket="",
               key="", expires_s=0, payload=hashlib.sha256(body).hexdigest(),
               headers=headers_signed(theirs), **fields(token))


def main():
    driver = Driver(sys.argv[1])
    freeze()
    for token in ("", TOKEN):
        for endpoint, style in (("", "virtual"), ("http://127.0.0.1:9000", "path"),
                                ("https://s3.example.com", "path")):
            s3 = client("s3", endpoint or AWS, token, style)
            for key in KEYS:
                compare_query(driver, s3, endpoint, token, key)
                compare_header(driver, s3, endpoint, token, key)
        compare_queries(driver, token)
        for endpoint in ("http://127.0.0.1:9000", "https://sts.%s.amazonaws.com" % REGION):
            compare_sts(driver, endpoint, token)
    print("%d signatures agree" % driver.run())


main()
