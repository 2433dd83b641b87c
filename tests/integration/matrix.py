"""The fault matrix of a publish: which requests it makes, what is done to each of
them, and how a case must end.

A `Lane` is a bucket, a mount and a proxy in front of registry and store each; it
runs one case after another, each in a directory of its own. Lanes run side by side.
"""

import concurrent.futures
import contextlib
import dataclasses
import errno
import hashlib
import itertools
import os
import queue
import re
import subprocess
import threading
import time

from mounted import Mount
from servers import faults, images

MIB = 1 << 20
TAG = "matrix/app:v1"
CASE_LIMIT_S = 200      # 6 attempts, 10 s apart at most, and an abort that meets the same
UNDONE_LIMIT_S = 60     # how long after cp's end the last abort may take
STALL_S = 3             # the mounts' stall_timeout; noticed up to 6 s late
LATE_S = 3              # how long after cp's end its last request may come
WAYS = ("moved", "copied", "twinned")   # how a publish's layers come into the bucket: see Lane
NETWORK = {errno.EIO, errno.ETIMEDOUT, errno.EHOSTUNREACH}


# ---- the images --------------------------------------------------------------------------

def large_layer():
    return images.layer("large", 11 * MIB, compression=None)


def image():
    """Three parts of 5 MiB and less; 11 MiB that may be copied."""
    return images.Image([large_layer(), images.layer("b"), images.layer("c", 70000)])


def older_image():
    """Published before, its first layer is the image's too."""
    return images.Image([large_layer(), images.layer("z", 50000)])


# ---- steps -------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Step:
    """The nth of those requests of a publish that look alike."""

    where: str      # "registry" or "store"
    method: str
    pattern: str    # of the target, for any case's directory
    nth: int
    has_body: bool
    has_answer: bool

    def __str__(self):
        target = re.sub(r"\\(.)", r"\1", self.pattern.strip("^$"))
        target = re.sub(r"\b([0-9a-f]{8})[0-9a-f]{56}\b", r"\1", target)
        return "%s %s%s" % (self.method, target, "" if self.nth == 1 else " #%d" % self.nth)

    def is_(self, name):
        return name in names_of(self.method, self.pattern)


def names_of(method, pattern):
    """What tests call a step."""
    found = {
        "list": method == "GET" and "list\\-type" in pattern,
        # not what is looked for under cosign's tags, and is not there
        "manifest": "/manifests/" in pattern and "sha256\\-" not in pattern,
        "blob": "/blobs/" in pattern,
        "part": method == "PUT" and "partNumber" in pattern,
        "create": method == "POST" and "uploads" in pattern,
        "complete": method == "POST" and "uploadId" in pattern,
        "copy": method == "PUT" and pattern.endswith("/x\\.tar$"),
        "abort": method == "DELETE" and "uploadId" in pattern,
        "reference file": method == "PUT" and "x\\.ref" in pattern,
    }
    return {name for name, true in found.items() if true}


def _pattern(target, bucket):
    text = re.escape(target).replace(re.escape(bucket), "[^/?]+")
    text = re.sub(r"run\d{4}", r"run\\d{4}", text)
    text = re.sub(r"uploadId=[^&]*$", "uploadId=[^&]+", text)
    text = re.sub(r"(intents/[^/]+/)[0-9a-f]{32}", r"\1[0-9a-f]+", text)
    text = re.sub(r"(names/)[0-9a-f]{64}", r"\1[0-9a-f]+", text)
    text = re.sub(r"(\.tar/)[^/]*(\\\.json)", r"\1[^/]+\2", text)
    return "^" + text + "$"


ABORT = Step("store", "DELETE", r"^/[^/?]+/run\d{4}/x\.tar\?uploadId=[^&]+$", 1, False, False)


def steps_of(lane):
    """The steps of the publish that the lane's proxies have seen, as they came."""
    counts = {}
    steps = []
    for where, proxy in (("registry", lane.registry), ("store", lane.store)):
        for each in proxy.exchanges:
            pattern = _pattern(each.target, lane.bucket)
            group = (where, each.method, pattern)
            counts[group] = counts.get(group, 0) + 1
            steps.append(Step(*group, counts[group], each.request_bytes > 0,
                              each.response_bytes > 0))
    return steps


# ---- faults that only the matrix needs ---------------------------------------------------

class Refuse(faults.Fault):
    """From this request on the server's port refuses connections, for a while."""

    def __init__(self, proxy, seconds):
        self._proxy = proxy
        self._seconds = seconds

    def at_request(self, conversation, exchange):
        self._proxy.refuse()
        if self._seconds is not None:
            timer = threading.Timer(self._seconds, self._proxy.accept)
            timer.daemon = True
            timer.start()
        raise faults.Cut("refused")


class Elsewhere(faults.Fault):
    """A redirect to the same path at another address."""

    def __init__(self, url, status=307):
        self._url = url
        self._status = status
        self._own = threading.local()

    def at_request(self, conversation, exchange):
        self._own.target = exchange.target

    def own_answer(self):
        return self._status, {"Location": self._url + self._own.target}, b""


class Rewrite(faults.Fault):
    """The answer's body is changed by a function; its length is put right."""

    def __init__(self, change):
        self._change = change

    def answer(self, conversation, head, length, pieces):
        body = self._change(b"".join(pieces))
        head = head.without("content-length", "transfer-encoding")
        head.lines.append("Content-Length: %d" % len(body))
        return head, [body]


class Grow(faults.Fault):
    """The answer's body is longer by so many MB of white space, before its last byte."""

    def __init__(self, megabytes):
        self._megabytes = megabytes

    def answer(self, conversation, head, length, pieces):
        body = b"".join(pieces)
        head = head.without("content-length", "transfer-encoding")
        head.lines.append("Content-Length: %d" % (len(body) + self._megabytes * 1000000))
        return head, itertools.chain([body[:-1]], itertools.repeat(
            b" " * 1000000, self._megabytes), [body[-1:]])


class Endless(faults.Fault):
    """An answer that begins well and never ends."""

    closes = True

    def __init__(self, start, more):
        self._start = start
        self._more = more

    def answer(self, conversation, head, length, pieces):
        for _ in pieces:
            pass
        head = head.without("content-length", "transfer-encoding")
        head.lines.append("Connection: close")
        return head, itertools.chain([self._start], itertools.repeat(self._more))


# ---- kinds -------------------------------------------------------------------------------

ALL = lambda step: True                             # noqa: E731
STORE = lambda step: step.where == "store"          # noqa: E731
REGISTRY = lambda step: step.where == "registry"    # noqa: E731
SENDS = lambda step: step.has_body                  # noqa: E731
ANSWERED = lambda step: step.has_answer             # noqa: E731


def step_is(name):
    return lambda step: step.is_(name)


@dataclasses.dataclass
class Kind:
    """A kind of fault. `make(lane, step)` gives the fault; `errors` are the errnos
    that a publish may end with, none: it must succeed. `must_fail`: with one of them."""

    make: object
    at: object = ALL
    errors: frozenset = frozenset()
    must_fail: bool = False
    head_errors: frozenset = frozenset()    # further ones: a HEAD's 400 does not say what it is
    is_outage: bool = False     # nothing goes until it is over, the abort neither
    limit_s: float = CASE_LIMIT_S
    ways: tuple = WAYS


def refusal(status, code, message="scripted", **headers):
    """The same refusal in the words of whom the step asks."""
    def make(lane, step):
        if step.where == "store":
            return faults.s3_error(status, code, message, **headers)
        return faults.registry_error(status, code.upper(), message, **headers)
    return make


def flat(fault):
    return lambda lane, step: fault()


def region_refusal(status, code):
    # Another region each time: the mount takes its word for it.
    def make(lane, step):
        return faults.s3_error(status, code, **{"x-amz-bucket-region": lane.other_region()})
    return make


def _listing(body):
    return flat(lambda: Rewrite(lambda _: body))


LISTING = ('<?xml version="1.0" encoding="UTF-8"?><ListBucketResult '
           'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>%s</ListBucketResult>')
CONTENTS = ('<Contents><Key>%s</Key><LastModified>2024-01-02T03:04:05.000Z</LastModified>'
            '<ETag>"0"</ETag><Size>1</Size></Contents>')
GHCR_WORDS = "retry-after: 880.092\u00b5s, allowed: 44000/minute"


def _date(minutes):
    return flat(lambda: faults.Header("Date", time.strftime(
        "%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + minutes * 60))))


def _is_copy(step):
    return step.is_("copy") or (step.is_("part") and not step.has_body)


def _is_quick(step):
    """A completion and a copy may take 20 times as long before they count as stalled."""
    return not step.is_("complete") and not _is_copy(step)


COMPLETED = ("moved", "copied")     # the others complete no upload


# What one request meets once. A publish that gives up on any of these without `errors` is wrong.
ONCE = {
    "refused connection": Kind(lambda lane, step: Refuse(lane.proxy_of(step), 0.3)),
    "reset before the request": Kind(flat(lambda: faults.Reset("before"))),
    "reset in the request": Kind(flat(lambda: faults.Reset("request")), SENDS),
    "reset in the answer": Kind(flat(lambda: faults.Reset("middle")), ANSWERED),
    "reset after the answer": Kind(flat(lambda: faults.Reset("after"))),
    "reply lost": Kind(flat(faults.LoseReply)),
    "answer a byte short": Kind(flat(lambda: faults.Truncate(1)), ANSWERED),
    "answer a byte short, and says so": Kind(
        flat(lambda: faults.Truncate(1, admitted=True)), ANSWERED,
        frozenset({errno.EBADMSG, errno.EPROTO, errno.EIO})),
    "answer has a flipped bit": Kind(
        flat(faults.Flip), ANSWERED, frozenset({errno.EBADMSG, errno.EPROTO, errno.EIO})),
    "request has a flipped bit": Kind(
        flat(lambda: faults.Flip("server")), SENDS, frozenset({errno.EIO})),
    "stall before the answer": Kind(flat(lambda: faults.Stall("before"))),
    "stall in the request": Kind(flat(lambda: faults.Stall("request")), SENDS),
    "stall in the answer": Kind(flat(lambda: faults.Stall("middle")), ANSWERED),
    "500": Kind(refusal(500, "InternalError")),
    "502 of a proxy": Kind(flat(lambda: faults.Reply(
        502, "<html><body>Bad gateway</body></html>", {"Content-Type": "text/html"}))),
    "503 SlowDown": Kind(refusal(503, "SlowDown")),
    "429": Kind(refusal(429, "TooManyRequests")),
    "429 with Retry-After": Kind(refusal(429, "TooManyRequests", **{"Retry-After": "1"})),
    "429 in GHCR's words": Kind(refusal(429, "TooManyRequests", GHCR_WORDS)),
    "400 RequestTimeout": Kind(refusal(400, "RequestTimeout"), STORE,
                               head_errors=frozenset({errno.EIO})),
    "401": Kind(refusal(401, "Unauthorized"), ALL, frozenset({errno.EACCES})),
    "403": Kind(refusal(403, "AccessDenied"), ALL, frozenset({errno.EACCES})),
    "400 ExpiredToken": Kind(refusal(400, "ExpiredToken"), STORE, frozenset({errno.EACCES}),
                             head_errors=frozenset({errno.EIO})),
    "403 of a clock that is off": Kind(
        refusal(403, "RequestTimeTooSkewed"), STORE, frozenset({errno.EACCES})),
    "307 to another host": Kind(
        lambda lane, step: Elsewhere(lane.elsewhere_of(step)), REGISTRY),
    "307 of the store": Kind(
        lambda lane, step: Elsewhere(lane.elsewhere_of(step)), STORE,
        frozenset({errno.EIO, errno.EPROTO})),
    "301 with another region": Kind(region_refusal(301, "PermanentRedirect"), STORE,
                                    frozenset({errno.EIO, errno.EINVAL})),
    "400 with another region": Kind(region_refusal(400, "AuthorizationHeaderMalformed"), STORE,
                                    frozenset({errno.EIO, errno.EINVAL})),
    "header of 1 MB": Kind(flat(lambda: faults.Header("X-Much", "x" * 1000000)), ALL,
                           frozenset({errno.EFBIG, errno.EPROTO, errno.EIO})),
    "clock 10 minutes ahead": Kind(_date(10)),
    "clock 10 minutes behind": Kind(_date(-10)),
    "error in the 200 of a completion": Kind(
        flat(lambda: faults.s3_error(200, "InternalError")), step_is("complete"), ways=COMPLETED),
    "SlowDown in the 200 of a completion": Kind(
        flat(lambda: faults.s3_error(200, "SlowDown")), step_is("complete"), ways=COMPLETED),
    "error in the 200 of a copy": Kind(
        flat(lambda: faults.s3_error(200, "InternalError")),
        _is_copy, ways=("copied", "twinned")),
    "source of a copy is gone": Kind(refusal(404, "NoSuchKey"), _is_copy, ways=("copied", "twinned")),
    "source of a copy is another": Kind(
        refusal(412, "PreconditionFailed"), _is_copy, ways=("copied", "twinned")),
    "412 on completion": Kind(refusal(412, "PreconditionFailed"), step_is("complete"),
                              frozenset({errno.EEXIST}), must_fail=True, ways=COMPLETED),
    "409 on completion": Kind(refusal(409, "ConditionalRequestConflict"), step_is("complete"),
                              frozenset({errno.EEXIST}), must_fail=True, ways=COMPLETED),
    "NoSuchUpload": Kind(refusal(404, "NoSuchUpload"),
                         lambda step: step.is_("part") or step.is_("complete"),
                         frozenset({errno.EIO})),
    "listing that is cut and does not say where": Kind(
        _listing((LISTING % "<IsTruncated>true</IsTruncated>").encode()), step_is("list"),
        frozenset({errno.EPROTO, errno.EIO})),
    "listing that ends in the middle": Kind(
        _listing((LISTING % (CONTENTS % "x"))[:200].encode()), step_is("list"),
        frozenset({errno.EPROTO, errno.EIO})),
    "listing that is a login page": Kind(
        _listing(b"<html><body><p>Please log in<br></body></html>"), step_is("list"),
        frozenset({errno.EPROTO, errno.EIO})),
    "listing that is no XML": Kind(
        _listing(b"\x00\x01{]" * 1000), step_is("list"), frozenset({errno.EPROTO, errno.EIO})),
    "listing without an end": Kind(
        flat(lambda: Endless(LISTING.partition("%s")[0].encode(),
                             (CONTENTS % ("k" * 900)).encode() * 100)), step_is("list"),
        frozenset({errno.EFBIG, errno.EPROTO, errno.EIO})),
    "answer without an end": Kind(
        flat(lambda: Endless(b" ", b" " * 65536)), lambda step: step.has_answer,
        frozenset({errno.EFBIG, errno.EPROTO, errno.EIO, errno.EBADMSG})),
    "manifest of 100 MB": Kind(
        flat(lambda: Grow(100)), step_is("manifest"), frozenset({errno.EFBIG}), must_fail=True),
}

# What every request of a kind meets, from the first on.
ALWAYS = {
    "refused connection": Kind(lambda lane, step: Refuse(lane.proxy_of(step), None), ALL,
                               frozenset(NETWORK), is_outage=True),
    "reset before the request": Kind(flat(lambda: faults.Reset("before")), ALL,
                                     frozenset(NETWORK)),
    "reset in the request": Kind(flat(lambda: faults.Reset("request")), SENDS,
                                 frozenset(NETWORK)),
    "reset in the answer": Kind(flat(lambda: faults.Reset("middle")), ANSWERED,
                                frozenset(NETWORK)),
    "reply lost": Kind(flat(faults.LoseReply), ALL, frozenset(NETWORK)),
    "answer a byte short": Kind(flat(lambda: faults.Truncate(1)), ANSWERED, frozenset(NETWORK)),
    "answer has a flipped bit": Kind(flat(faults.Flip), ANSWERED,
                                     frozenset({errno.EBADMSG, errno.EPROTO, errno.EIO})),
    "request has a flipped bit": Kind(flat(lambda: faults.Flip("server")), SENDS,
                                      frozenset({errno.EIO})),
    "stall": Kind(flat(lambda: faults.Stall("before")), _is_quick, frozenset(NETWORK)),
    "500": Kind(refusal(500, "InternalError"), ALL, frozenset({errno.EIO})),
    "502 of a proxy": Kind(flat(lambda: faults.Reply(502, "<html>Bad gateway</html>")), ALL,
                           frozenset({errno.EIO})),
    "503 SlowDown": Kind(refusal(503, "SlowDown"), ALL, frozenset({errno.EIO})),
    "429 in GHCR's words": Kind(refusal(429, "TooManyRequests", GHCR_WORDS), ALL,
                                frozenset({errno.EIO})),
    "400 RequestTimeout": Kind(refusal(400, "RequestTimeout"), STORE, frozenset({errno.EIO})),
    "401": Kind(refusal(401, "Unauthorized"), ALL, frozenset({errno.EACCES})),
    "403": Kind(refusal(403, "AccessDenied"), ALL, frozenset({errno.EACCES})),
    "307 round and round": Kind(
        lambda lane, step: Elsewhere(lane.proxy_of(step).url), ALL,
        frozenset({errno.EIO, errno.EPROTO})),
    "400 with another region": Kind(region_refusal(400, "AuthorizationHeaderMalformed"), STORE,
                                    frozenset({errno.EIO, errno.EINVAL})),
    "header of 1 MB": Kind(flat(lambda: faults.Header("X-Much", "x" * 1000000)), ALL,
                           frozenset({errno.EFBIG, errno.EPROTO, errno.EIO})),
    "clock 10 minutes ahead": Kind(_date(10)),
    "clock 10 minutes behind": Kind(_date(-10)),
    "error in the 200 of a completion": Kind(
        flat(lambda: faults.s3_error(200, "InternalError")), step_is("complete"),
        frozenset({errno.EIO}), must_fail=True, ways=COMPLETED),
    "listing that always goes on": Kind(
        _listing((LISTING % ("<IsTruncated>true</IsTruncated><NextContinuationToken>t"
                             "</NextContinuationToken>" + CONTENTS % "x")).encode()),
        step_is("list"), frozenset({errno.EPROTO, errno.EIO})),
}


# ---- lanes -------------------------------------------------------------------------------

@dataclasses.dataclass
class Outcome:
    """How a case ended: "published", "failed", or "told": the tarball stands, whole,
    and cp failed because the reference file itself could not be stored, and said so."""

    end: str
    errno: int
    sentence: str
    fired: int
    seconds: float = 0


class Wrong(AssertionError):
    """A case that ended in no allowed way."""


class Missing(Wrong):
    """The request that was to meet the fault was not made."""


class Lane:
    """Runs cases one after another, in a bucket of its own. `way`: layers are "moved", or
    "copied" from what the bucket holds; or all is there under another name ("twinned") and copied
    whole; or the completion is refused and all is "undone"."""

    _numbers = itertools.count(1)

    def __init__(self, stack, registry, directory, bucket, way, **options):
        self.bucket = bucket
        self.registry = stack.proxy(registry.url)
        self.store = stack.proxy(stack.store.endpoint)
        self._elsewhere = {"registry": stack.proxy(registry.url),
                           "store": stack.proxy(stack.store.endpoint)}
        self._stack = stack
        self._dir = directory
        self._options = {"memory": "16M", "parallel": 2, "stall_timeout": STALL_S, **options}
        self._s3 = stack.store.client()
        self._way = way
        self._kept = {}         # key -> bytes of what the cases begin with
        self._mounts = 0
        self._regions = itertools.cycle(["eu-west-1", "us-east-1"])
        self.there = None
        self.expected = None    # sha256 of the tarball
        self.steps = []

    def start(self):
        self.mount()
        if self._way == "copied":
            self._publish_older(self.reference("matrix/older"))
        if self._way == "twinned":      # twice: whether copies are bound is tried out once
            self._publish_older(self.reference(), self.reference().replace("x.tar", "y.tar"))
        self.expected, self.steps = self._clean_run()
        if self._way == "undone":
            self.steps = [ABORT]
        return self

    def stop(self):
        try:
            return self.there.finish() if self.there else []
        finally:
            for each in (self.registry, self.store, *self._elsewhere.values()):
                each.stop()

    def mount(self):
        self._mounts += 1
        self.there = Mount(self._stack.store, self._dir / ("m%d" % self._mounts), self.bucket,
                           endpoint=self.store.url, sts_endpoint=self._stack.store.endpoint,
                           **self._options)
        self.there.start()

    def remount(self):
        problems = self.there.finish()
        if problems:
            raise Wrong("; ".join(problems))
        self.mount()

    def replace_mount(self):
        """After a case that the mount did not survive; returns what is known of it."""
        problems = self.there.finish()
        self._settle()
        self.mount()
        return "; ".join(problems)

    def proxy_of(self, step):
        return self.registry if step.where == "registry" else self.store

    def elsewhere_of(self, step):
        return self._elsewhere[step.where].url

    def other_region(self):
        return next(self._regions)

    def reference(self, repository="matrix/app"):
        return "%s/%s:v1 x.tar tag=%s" % (self.registry.host, repository, TAG)

    # What every case begins with

    def _publish_older(self, *references):
        for reference in references:
            done = self.there.publish("older", reference, name="x.ref")
            assert done.returncode == 0, done.stderr
        self._wait_for_quiet()
        for key in self.keys(""):
            self._kept[key] = self._get(key)

    def _clean_run(self):
        directory, done = self._publish()
        if done.returncode:
            raise Wrong("a clean publish fails: " + done.stderr)
        self._wait_for_quiet()
        steps = steps_of(self)
        digest = hashlib.sha256(self._get(directory + "/x.tar")).hexdigest()
        self._tidy()
        return digest, steps

    def _doom(self):
        """What is published now will not be completed."""
        self.store.inject(faults.s3_error(403, "AccessDenied"), "POST", "uploadId=", count=None)

    def _publish(self):
        directory = "run%04d" % next(self._numbers)
        self._begin(directory)
        return directory, self._copy(directory)

    def _begin(self, directory):
        for proxy in (self.registry, self.store):
            proxy.clear()
        (self.there.path / directory).mkdir()
        for proxy in (self.registry, self.store):
            proxy.clear()

    def _copy(self, directory, limit_s=CASE_LIMIT_S):
        try:
            file = self.there.reference_file(self.reference(), name="x.ref")
            return self.there.run("cp", file, directory + "/", timeout_s=limit_s)
        except subprocess.TimeoutExpired:
            raise Wrong("cp has not ended after %d s" % limit_s) from None

    def _wait_for_quiet(self):
        """What follows on cp's end: the intent's deletion."""
        def is_quiet():
            return not [key for key in self.keys(".prereleasefs/") if "/intents/" in key]
        self._wait(is_quiet, "an intent remains")

    @staticmethod
    def _wait(true, what, limit_s=UNDONE_LIMIT_S, wrong=Wrong):
        deadline = time.monotonic() + limit_s
        while not true():
            if time.monotonic() > deadline:
                raise wrong(what)
            time.sleep(0.03)

    def _tidy(self):
        """The bucket becomes what it was."""
        for key in self.keys(""):
            if key not in self._kept:
                self._s3.delete_object(Bucket=self.bucket, Key=key)
        for key, data in self._kept.items():
            if "/layers/" in key and self._get(key) != data:
                self._s3.put_object(Bucket=self.bucket, Key=key, Body=data)

    # The bucket, seen past the proxies

    def keys(self, prefix):
        found = self._s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"] for entry in found.get("Contents", [])]

    def uploads(self):
        found = self._s3.list_multipart_uploads(Bucket=self.bucket)
        return [upload["Key"] for upload in found.get("Uploads", [])]

    def _get(self, key):
        return self._s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    # One case

    def run_afresh(self, step, kind, count):
        """As `run`; once more with a new mount where the old one has learned from an earlier
        case to leave the request out."""
        try:
            return self.run(step, kind, count)
        except Missing:
            self.remount()
            return self.run(step, kind, count)

    def run(self, step, kind, count=1):
        """Lets the fault happen; returns how it ended, or raises Wrong."""
        directory = "run%04d" % next(self._numbers)
        self._begin(directory)
        proxy = self.proxy_of(step)
        rule = proxy.inject(kind.make(self, step), step.method, step.pattern,
                            nth=step.nth if count else 1, count=count)
        if self._way == "undone":
            self._doom()
        started = time.monotonic()
        try:
            done = self._copy(directory, kind.limit_s)
            seconds = time.monotonic() - started
            row, log = self._status(directory), self._logged(directory)
        finally:
            if kind.is_outage:
                self._end_outage(proxy)
        try:
            outcome = self._judge(directory, done, step, kind, rule, row, log)
            if outcome.end == "told" and count:
                raise Wrong("what passes is not overcome: " + outcome.sentence)
            outcome.seconds = seconds
        finally:
            proxy.clear()
            self._settle()
        return outcome

    def _end_outage(self, proxy):
        """The server is back. Nothing could be aborted without it: the next mount does that."""
        proxy.clear()
        if not proxy.is_listening():
            proxy.accept()
        self.there.uploads_may_remain = True
        self.remount()

    def _judge(self, directory, done, step, kind, rule, row, log):
        self._wait(lambda: rule.matched, "the request did not come", LATE_S, Missing)
        if done.returncode == 0:
            if kind.must_fail or self._way == "undone":
                raise Wrong("succeeds")
            self._check_published(directory, row)
            self._check_retries(row, log)
            return Outcome("published", 0, row["detail"] if row else "", rule.fired)
        number = _errno_of(done.stderr)
        sentence = row["detail"] if row else _last_said(log)
        allowed = kind.errors | (kind.head_errors if "HEAD" == step.method else frozenset())
        if self._way == "undone":
            allowed = {errno.EACCES}
        self._check_retries(row, log)
        if number not in allowed:
            raise Wrong("%s: %s" % (errno.errorcode.get(number, done.stderr), sentence))
        if not sentence or sentence == "-" or "\n" in sentence:
            raise Wrong("no sentence: %r" % row)
        keys = self.keys(directory + "/")
        if keys and "images are published, but storing" in sentence:
            self._check_tarball(directory)
            if keys != [directory + "/x.tar"]:
                raise Wrong("told, and there is %s" % keys)
            end = "told"
        else:
            if row and row["state"] != "failed":
                raise Wrong("the state is %s: %s" % (row["state"], sentence))
            if keys:
                raise Wrong("fails, and there is %s: %s" % (keys, sentence))
            end = "failed"
        self._wait_for_no_upload("fails, and " + sentence)
        return Outcome(end, number, sentence, rule.fired)

    def _check_published(self, directory, row):
        keys = self.keys(directory + "/")
        if keys != [directory + "/x.ref", directory + "/x.tar"]:
            raise Wrong("succeeds, and there is %s" % keys)
        self._check_tarball(directory)
        if self._get(directory + "/x.ref").decode() != self.reference() + "\n":
            raise Wrong("the reference file is not what was written")
        if row and row["state"] != "published":
            raise Wrong("succeeds, and the state is %s: %s" % (row["state"], row["detail"]))
        self._wait_for_no_upload("succeeds")

    def _wait_for_no_upload(self, end):
        try:
            self._wait(lambda: not self.uploads(), end + ": an upload remains")
        except Wrong as wrong:
            asked = ["%.2f %s %s %s" % (each.started, each.method, each.target, each.status)
                     for each in self.store.exchanges]
            raise Wrong("%s; the store was asked:\n  %s" % (wrong, "\n  ".join(asked))) from None

    @staticmethod
    def _check_retries(row, log):
        """Every retry up to cp's end is in the log, and counted. (Notes of what is uploaded and
        claims of names are deleted behind it.)"""
        logged = len([line for line in log if " trying again " in line and " directory=" in line
                      and not re.search(r"s3:DeleteObject on \S+/(intents|names)/", line)])
        found = re.search(r"after (\d+) retr(y|ies)$", row["detail"]) if row else None
        if row and logged != (int(found[1]) if found else 0):
            raise Wrong("%d retries are logged: %s" % (logged, row["detail"]))

    def _check_tarball(self, directory):
        if hashlib.sha256(self._get(directory + "/x.tar")).hexdigest() != self.expected:
            raise Wrong("another tarball")

    def _status(self, directory):
        try:
            rows = self.there.rows(directory + "/status.tsv")
            rows = [row for row in rows if row["state"] == "failed"] or rows
        except OSError:
            return None
        return rows[-1] if rows else None

    def _logged(self, directory):
        """The log's lines on this case."""
        return [line for line in self.there.log().splitlines()
                if re.search(r"\b%s\b" % directory, line)]

    def _settle(self):
        """After a case: nothing of it may be left for the next one."""
        for upload in self._s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads", []):
            self._s3.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"],
                                            UploadId=upload["UploadId"])
        self._tidy()


def _last_said(log):
    """For where status.tsv cannot be looked up: before there was a publish, and while the store
    cannot be listed."""
    errors = [line for line in log if " ERROR " in line]
    return (errors or log or [""])[-1]


def _errno_of(stderr):
    for number in errno.errorcode:
        if stderr.rstrip().endswith(": " + os.strerror(number)):
            return number
    return 0


# ---- many cases --------------------------------------------------------------------------

class Lanes:
    """Lanes side by side."""

    def __init__(self, lanes):
        self._lanes = list(lanes)
        self.steps = self._lanes[0].steps

    def run(self, cases, remount_every=None):
        """cases: (name, step, kind, count). Returns (name, outcome) of each; all that is wrong
        fails at the end, in one list."""
        waiting = queue.Queue()
        for case in cases:
            waiting.put(case)
        outcomes, wrong = [], []

        def work(lane):
            for done in itertools.count(1):
                try:
                    name, step, kind, count = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    outcomes.append((name, lane.run_afresh(step, kind, count)))
                except Wrong as problem:
                    wrong.append("%s: %s: %s" % (name, step, problem))
                except (OSError, subprocess.SubprocessError) as problem:
                    wrong.append("%s: %s: %s: %s" % (name, step, problem, lane.replace_mount()))
                if remount_every and done % remount_every == 0:
                    lane.remount()

        with concurrent.futures.ThreadPoolExecutor(len(self._lanes)) as pool:
            for future in [pool.submit(work, lane) for lane in self._lanes]:
                future.result()
        assert not wrong, "%d of %d cases:\n%s" % (
            len(wrong), len(wrong) + len(outcomes), "\n".join(sorted(wrong)))
        return outcomes


@contextlib.contextmanager
def open_lanes(stack, registry, directory, count, way, **options):
    """`count` lanes, started; what remains of them is what must not."""
    lanes = [Lane(stack, registry, directory / ("lane%d" % at),
                  stack.bucket("matrix-%d-%s" % (next(_buckets), at)), way, **options)
             for at in range(count)]
    try:
        for lane in lanes:
            lane.start()
        yield Lanes(lanes)
    finally:
        problems = []
        for lane in lanes:
            problems += lane.stop()
    assert not problems, "\n".join(problems)


_buckets = itertools.count(1)
