"""The least of an HTTP server: keep-alive, a thread per connection, bodies by
length. For the fakes of measurements that no real server could hold."""

import contextlib
import socket
import threading
import traceback

SINK_BYTES = 1 << 20


class Request:
    """`headers` have lower-case names; the body must be taken before the answer."""

    def __init__(self, file, method, target, headers):
        self._file = file
        self.method, self.headers = method, headers
        self.path, _, self.query = target.partition("?")
        self.length = int(headers.get("content-length", 0))

    def body(self):
        return self._file.read(self.length)

    def drop_body(self):
        scratch = memoryview(bytearray(min(self.length, SINK_BYTES)))
        left = self.length
        while left:
            got = self._file.readinto(scratch[:left])
            if not got:
                raise ConnectionError("cut off")
            left -= got


def serve(handle):
    """Prints its host:port and serves until it is killed. `handle(request, answer)`
    calls `answer(status, headers, body)`; the body is bytes, or pieces if the
    headers have a Content-Length."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    print("127.0.0.1:%d" % listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_converse, args=(client, handle), daemon=True).start()


def _converse(client, handle):
    def answer(status, headers=None, body=b""):
        headers = {"Content-Length": len(body) if isinstance(body, bytes) else 0,
                   **(headers or {})}
        head = "".join("%s: %s\r\n" % pair for pair in headers.items())
        client.sendall(("HTTP/1.1 %d Fake\r\n%s\r\n" % (status, head)).encode())
        for piece in [body] if isinstance(body, bytes) else body:
            client.sendall(piece)

    with client, client.makefile("rb") as file, contextlib.suppress(ConnectionError):
        while True:
            first = file.readline()
            if not first:
                return
            method, target, _ = first.decode().split(" ", 2)
            headers = {}
            while (line := file.readline().strip()):
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            try:
                handle(Request(file, method, target, headers), answer)
            except ConnectionError:
                raise
            except Exception:
                traceback.print_exc()
                return
