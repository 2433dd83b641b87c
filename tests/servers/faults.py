"""What can go wrong with one HTTP exchange. Scripts for `proxy.Proxy`.

A fault is told at each step of an exchange and may change what passes, answer
by itself, or raise Cut, upon which the client's connection is reset.
"""

import json


class Cut(Exception):
    """The connection ends here."""


class Fault:
    """Nothing goes wrong; the others override the step they spoil."""

    closes = False      # the connection is closed after the exchange

    def at_request(self, conversation, exchange):
        """The request's head is here."""

    def own_answer(self):
        """(status, headers, body) to send instead of asking the server."""
        return None

    def request_body(self, conversation, length, pieces):
        """The pieces to send to the server."""
        return pieces

    def at_request_sent(self, conversation, exchange):
        """The server has the whole request."""

    def answer(self, conversation, head, length, pieces):
        """(head, pieces) to send to the client."""
        return head, pieces

    def at_end(self, conversation, exchange):
        """The client has the whole answer."""

    def __repr__(self):
        return "%s(%s)" % (type(self).__name__, ", ".join(
            "%s=%r" % pair for pair in sorted(vars(self).items())))


class Reset(Fault):
    """The connection is reset: "before" the request reaches the server, in the
    "request" body's middle, in the answer's "middle", or "after" it."""

    def __init__(self, when="before"):
        assert when in ("before", "request", "middle", "after")
        self.when = when

    def at_request(self, conversation, exchange):
        if self.when == "before":
            raise Cut(self.when)

    def request_body(self, conversation, length, pieces):
        return _cut_in_half(length, pieces) if self.when == "request" else pieces

    def answer(self, conversation, head, length, pieces):
        return head, _cut_in_half(length, pieces) if self.when == "middle" else pieces

    def at_end(self, conversation, exchange):
        if self.when == "after":
            conversation.client.drain()
            raise Cut(self.when)


class LoseReply(Fault):
    """The server does what it was asked, and the answer never arrives."""

    def answer(self, conversation, head, length, pieces):
        for _ in pieces:
            pass
        raise Cut("reply lost")


class Truncate(Fault):
    """The answer's body ends `missing` bytes early and the connection is closed
    in order. `admitted`: Content-Length says so, and the connection stays."""

    def __init__(self, missing=1, admitted=False):
        self.missing = missing
        self.admitted = admitted
        self.closes = not admitted

    def answer(self, conversation, head, length, pieces):
        data = b"".join(pieces)[:-self.missing]
        if self.admitted:
            head = head.without("content-length", "transfer-encoding")
            head.lines.append("Content-Length: %d" % len(data))
        elif length is None:    # chunked: without the last chunk it is not whole
            return head, _ended_early(conversation, data)
        return head, [data]


class Flip(Fault):
    """One bit of the body's byte `at` (default: the middle one) is flipped, on
    its way to the "client" or to the "server"."""

    def __init__(self, side="client", at=None):
        assert side in ("client", "server")
        self.side = side
        self.at = at

    def request_body(self, conversation, length, pieces):
        return self._flipped(length, pieces) if self.side == "server" else pieces

    def answer(self, conversation, head, length, pieces):
        return head, self._flipped(length, pieces) if self.side == "client" else pieces

    def _flipped(self, length, pieces):
        target = self.at if self.at is not None else (length or 0) // 2
        position = 0
        for piece in pieces:
            if position <= target < position + len(piece):
                changed = bytearray(piece)
                changed[target - position] ^= 0x01
                piece = bytes(changed)
            position += len(piece)
            yield piece


class Stall(Fault):
    """Nothing moves for `seconds` (None: until the client gives up), "before"
    the request, in the "request" body or in the answer's "middle"."""

    def __init__(self, when="before", seconds=None):
        assert when in ("before", "request", "middle")
        self.when = when
        self.seconds = seconds

    def at_request(self, conversation, exchange):
        if self.when == "before":
            conversation.wait(self.seconds)

    def request_body(self, conversation, length, pieces):
        return self._held(conversation, length, pieces) if self.when == "request" else pieces

    def answer(self, conversation, head, length, pieces):
        return head, (self._held(conversation, length, pieces) if self.when == "middle"
                      else pieces)

    def _held(self, conversation, length, pieces):
        for first, piece in _halves(length, pieces):
            if not first:
                conversation.wait(self.seconds)
            yield piece


class Hold(Fault):
    """Everything waits until `release` is set: for looking at what is under way."""

    def __init__(self, release):
        self._release = release

    def at_request(self, conversation, exchange):
        while not self._release.is_set():
            conversation.wait(0.05)


class Reply(Fault):
    """The proxy answers this itself, once it has taken in the request's body."""

    def __init__(self, status, body=b"", headers=None):
        self.status = status
        self.body = body.encode() if isinstance(body, str) else body
        self.headers = dict(headers or {})

    def own_answer(self):
        return self.status, self.headers, self.body


class Header(Fault):
    """The answer has this header, instead of its own of that name."""

    def __init__(self, name, value):
        self.name = name
        self.value = value

    def answer(self, conversation, head, length, pieces):
        head = head.without(self.name.lower())
        head.lines.append("%s: %s" % (self.name, self.value))
        return head, pieces


def s3_error(status, code, message="scripted", **headers):
    """The answer of an S3 that refuses."""
    body = ('<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>%s</Code><Message>%s'
            '</Message><RequestId>1</RequestId></Error>' % (code, message))
    return Reply(status, body, {"Content-Type": "application/xml", **headers})


def registry_error(status, code, message="scripted", **headers):
    """The answer of a registry that refuses."""
    body = json.dumps({"errors": [{"code": code, "message": message}]}, ensure_ascii=False)
    return Reply(status, body, {"Content-Type": "application/json", **headers})


def _halves(length, pieces):
    """(whether it belongs to the first half, piece); an unknown length counts as
    one whose first half is the first piece."""
    if length is None:
        first = True
        for piece in pieces:
            yield first, piece
            first = False
        yield False, b""
        return
    left = length // 2
    for piece in pieces:
        if left >= len(piece):
            left -= len(piece)
            yield True, piece
        else:
            if left > 0:
                yield True, piece[:left]
            yield False, piece[left:]
            left = 0
    if length < 2:
        yield False, b""


def _ended_early(conversation, data):
    yield data
    conversation.client.drain()
    raise Cut("before the last chunk")


def _cut_in_half(length, pieces):
    for first, piece in _halves(length, pieces):
        if not first:
            raise Cut("in the middle")
        yield piece
