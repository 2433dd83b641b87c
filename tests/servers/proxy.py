"""A scripted proxy in front of any of the servers: passes HTTP on, keeps a
record of it, and at the k-th request that matches a rule lets a fault happen.

    proxy = Proxy(store.endpoint).start()
    proxy.inject(Reset("middle"), "PUT", r"partNumber=2", nth=1)
    ... work with proxy.url ...
    assert len(proxy.seen("PUT", r"partNumber=2")) == 2     # retried once

Requests go on as they came, the Host header too, so that signatures made for
the proxy's address stay valid behind it. Bodies are streamed.
"""

import contextlib
import dataclasses
import fcntl
import re
import select
import socket
import struct
import termios
import threading
import time
import urllib.parse

from .faults import Cut, Fault

PIECE = 256 << 10
HEAD_LIMIT = 4 << 20
KEPT = 64 << 10     # bytes of an answer that the record keeps


@dataclasses.dataclass
class Exchange:
    """One request and what became of it. `headers` have lower-case names;
    `status` is None as long as, or because, no answer was passed on;
    `answer_body` is the answer's beginning."""

    method: str
    target: str
    headers: dict
    connection: int
    started: float
    ended: float = None
    status: int = None
    answer_headers: dict = None
    answer_body: bytes = b""
    request_bytes: int = 0
    response_bytes: int = 0
    fault: Fault = None


class _Rule:
    def __init__(self, fault, method, path, nth, count, header):
        self.fault = fault
        self._header = header
        self._method = method and re.compile(method)
        self._path = path and re.compile(path)
        self._window = range(nth, nth + count) if count else None
        self._from = nth
        self.matched = 0
        self.fired = 0

    def take(self, exchange):
        """Counts the exchange if it matches; true if the fault happens to it."""
        if self._method and not self._method.fullmatch(exchange.method):
            return False
        if self._path and not self._path.search(exchange.target):
            return False
        if self._header and self._header not in exchange.headers:
            return False
        self.matched += 1
        hit = (self.matched in self._window if self._window is not None
               else self.matched >= self._from)
        self.fired += hit
        return hit


class Proxy:
    """`upstream` is the URL of a server. `exchanges` is the record."""

    def __init__(self, upstream):
        parts = urllib.parse.urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self._lock = threading.Lock()       # guards the five below
        self._rules = []
        self._sockets = set()
        self._connections = 0
        self._listener = None
        self.exchanges = []
        self.port = None
        self.is_mute_to_tls = False         # as servers that wait for a line's end
        self.stopped = threading.Event()    # releases what stalls

    @property
    def host(self):
        return "127.0.0.1:%d" % self.port

    @property
    def url(self):
        return "http://" + self.host

    def start(self):
        self.accept()
        return self

    def stop(self):
        self.stopped.set()
        self.refuse()

    # Script and record

    def inject(self, fault, method=None, path=None, nth=1, count=1, header=None):
        """Lets `fault` happen to `count` requests (None: all) from the `nth` on
        among those whose method and target match the regular expressions, and
        that have the header."""
        rule = _Rule(fault, method, path, nth, count, header)
        with self._lock:
            self._rules.append(rule)
        return rule

    def withdraw(self, rule):
        """The fault does not happen any more."""
        with self._lock:
            self._rules.remove(rule)

    def clear(self):
        """Forgets rules and record."""
        with self._lock:
            self._rules = []
        self.clear_record()

    def clear_record(self):
        with self._lock:
            self.exchanges = []

    def seen(self, method=None, path=None):
        """The exchanges so far whose method and target match."""
        with self._lock:
            return [each for each in self.exchanges
                    if (not method or re.fullmatch(method, each.method))
                    and (not path or re.search(path, each.target))]

    def wait_for(self, method=None, path=None, count=1, timeout_s=30):
        """Waits until `count` matching requests have arrived."""
        deadline = time.monotonic() + timeout_s
        while len(self.seen(method, path)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError("%d of %d requests %s %s after %d s" % (
                    len(self.seen(method, path)), count, method, path, timeout_s))
            time.sleep(0.01)

    def refuse(self):
        """From now on connections are refused, and those that exist are reset."""
        with self._lock:
            listener, self._listener = self._listener, None
            sockets = list(self._sockets)
        if listener:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
            listener.close()
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)     # the thread that serves it closes it

    def is_listening(self):
        with self._lock:
            return self._listener is not None

    def accept(self):
        """Listens (again), at the same port as before."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port or 0))
        listener.listen(256)
        self.port = listener.getsockname()[1]
        with self._lock:
            self._listener = listener
        threading.Thread(target=self._accept_loop, args=(listener,), daemon=True).start()

    # One thread accepts, one serves each connection

    def _accept_loop(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._connections += 1
                number = self._connections
                self._sockets.add(client)
            threading.Thread(target=self._serve, args=(client, number), daemon=True).start()

    def _serve(self, client, number):
        conversation = _Conversation(client, self._upstream, self.stopped)
        try:
            while self._serve_one(conversation, number):
                pass
        except (Cut, OSError, ValueError):
            conversation.client.reset()
        finally:
            with self._lock:
                self._sockets.discard(client)
            conversation.close()

    def _serve_one(self, conversation, number):
        if conversation.client.speaks_tls():
            if self.is_mute_to_tls:
                conversation.wait(None)
            # As servers of plain HTTP do; clients that try both depend on it.
            conversation.client.sock.sendall(
                b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request")
            return False
        head = conversation.client.read_head()
        if head is None:
            return False
        method, target, _ = head.first.split(" ", 2)
        exchange = Exchange(method, target, head.fields(), number, time.time())
        with self._lock:
            self.exchanges.append(exchange)
            hits = [rule.fault for rule in self._rules if rule.take(exchange)]
        fault = exchange.fault = hits[0] if hits else Fault()
        try:
            return conversation.exchange(head, exchange, fault)
        finally:
            exchange.ended = time.time()


class _Head:
    """First line and header lines as they came."""

    def __init__(self, first, lines):
        self.first = first
        self.lines = lines

    def fields(self):
        return {name.strip().lower(): value.strip()
                for name, _, value in (line.partition(":") for line in self.lines)}

    def without(self, *names):
        return _Head(self.first, [line for line in self.lines
                                  if line.partition(":")[0].strip().lower() not in names])

    def encode(self):
        return "\r\n".join([self.first, *self.lines, "", ""]).encode("latin-1")


class _Stream:
    """A socket with a buffer, that reads heads and bodies."""

    def __init__(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._file = sock.makefile("rb", buffering=PIECE)

    def close(self):
        for closing in (self._file.close, self.sock.close):
            with contextlib.suppress(OSError):
                closing()

    def reset(self):
        """Closes with RST; what has not been sent yet is lost."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack("ii", 1, 0))
        self.close()

    def drain(self):
        """Waits until the peer's kernel has everything that was sent."""
        unsent = b"\1\0\0\0"
        while struct.unpack("i", unsent)[0]:
            time.sleep(0.001)
            unsent = fcntl.ioctl(self.sock, termios.TIOCOUTQ, b"\0\0\0\0")

    def gone(self):
        """Whether the peer has closed (and nothing waits to be read)."""
        readable, _, _ = select.select([self.sock], [], [], 0)
        try:
            return bool(readable) and self.sock.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True

    def speaks_tls(self):
        return self._file.peek(1)[:1] == b"\x16"

    def read_head(self):
        lines = []
        size = 0
        while True:
            line = self._file.readline(HEAD_LIMIT)
            size += len(line)
            if not line.endswith(b"\n") or size > HEAD_LIMIT:
                return None
            line = line.rstrip(b"\r\n").decode("latin-1")
            if line:
                lines.append(line)
            elif lines:
                return _Head(lines[0], lines[1:])

    def pieces(self, length):
        """The next `length` bytes; for None, all until the peer closes."""
        while length is None or length > 0:
            piece = self._file.read1(PIECE if length is None else min(length, PIECE))
            if not piece:
                if length is None:
                    return
                raise Cut("peer closed early")
            if length is not None:
                length -= len(piece)
            yield piece

    def chunks(self):
        """The pieces of a chunked body, its trailer dropped."""
        while True:
            size = int(self._file.readline(1000).split(b";")[0], 16)
            yield from self.pieces(size)
            if size == 0:
                while self._file.readline(HEAD_LIMIT).strip():
                    pass
                return
            self._file.readline(1000)


class _Conversation:
    """One client connection, and one to the server that lives as long."""

    def __init__(self, client, upstream, stopped):
        self.client = _Stream(client)
        self.stopped = stopped
        self._address = upstream
        self._server = None

    def close(self):
        self.client.close()
        if self._server:
            self._server.close()

    def exchange(self, head, exchange, fault):
        """Passes one request on and its answer back; true to go on."""
        if "100-continue" in exchange.headers.get("expect", ""):
            self.client.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        fault.at_request(self, exchange)
        answer = fault.own_answer()
        if answer is not None:
            return self._answer_alone(exchange, answer)

        server = self._fresh_server()
        server.sock.sendall(head.without("expect").encode())
        body = fault.request_body(self, *self._request_body(exchange))
        chunked = "chunked" in exchange.headers.get("transfer-encoding", "")
        exchange.request_bytes += _send_body(server.sock, body, chunked)
        fault.at_request_sent(self, exchange)
        return self._pass_back(server, exchange, fault)

    def wait(self, seconds):
        """Waits, for ever if None, but no longer than the client or the proxy."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while deadline is None or time.monotonic() < deadline:
            if self.stopped.wait(0.02) or self.client.gone():
                raise Cut("nobody waits any more")

    def _request_body(self, exchange):
        """(length or None, pieces)"""
        if "chunked" in exchange.headers.get("transfer-encoding", ""):
            return None, self.client.chunks()
        length = int(exchange.headers.get("content-length", 0))
        return length, self.client.pieces(length)

    def _fresh_server(self):
        if self._server and self._server.gone():
            self._server.close()
            self._server = None
        if not self._server:
            self._server = _Stream(socket.create_connection(self._address))
        return self._server

    def _pass_back(self, server, exchange, fault):
        head = server.read_head()
        while head and head.first.split(" ")[1].startswith("1"):
            head = server.read_head()
        if head is None:
            raise Cut("server closed")
        fields = head.fields()
        chunked = "chunked" in fields.get("transfer-encoding", "")
        status = int(head.first.split(" ")[1])
        if exchange.method == "HEAD" or status in (204, 304):
            length, pieces = 0, iter(())
            chunked = False
        elif chunked:
            length, pieces = None, server.chunks()
        else:
            length = int(fields["content-length"]) if "content-length" in fields else None
            pieces = server.pieces(length)
        head, body = fault.answer(self, head, length, pieces)
        exchange.status, exchange.answer_headers = status, head.fields()
        self.client.sock.sendall(head.encode())
        for piece in body:
            exchange.response_bytes += len(piece)
            exchange.answer_body += piece[:KEPT - len(exchange.answer_body)]
            _send_piece(self.client.sock, piece, chunked)
        if chunked:
            self.client.sock.sendall(b"0\r\n\r\n")
        fault.at_end(self, exchange)
        return (length is not None or chunked) and not fault.closes and \
            fields.get("connection", "").lower() != "close"

    def _answer_alone(self, exchange, answer):
        status, headers, body = answer
        _, pieces = self._request_body(exchange)
        exchange.request_bytes += sum(map(len, pieces))
        exchange.status = status
        lines = ["%s: %s" % pair for pair in headers.items()]
        if not any(name.lower() == "content-length" for name in headers):
            lines.append("Content-Length: %d" % len(body))
        head = _Head("HTTP/1.1 %d Scripted" % status, lines)
        exchange.answer_headers = head.fields()
        if exchange.method == "HEAD":
            body = b""
        exchange.response_bytes = len(body)
        self.client.sock.sendall(head.encode() + body)
        return True


def _send_piece(sock, piece, chunked):
    if chunked and piece:
        sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
    elif piece:
        sock.sendall(piece)


def _send_body(sock, pieces, chunked):
    sent = 0
    for piece in pieces:
        _send_piece(sock, piece, chunked)
        sent += len(piece)
    if chunked:
        sock.sendall(b"0\r\n\r\n")
    return sent
