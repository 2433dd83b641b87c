"""A line with a round-trip time, where the kernel has none to offer: a TCP relay
that holds what passes for a while, each way, and lets only so much be under way.
"""

import collections
import contextlib
import socket
import threading
import time
import urllib.parse

PIECE = 64 << 10


class DelayLine:
    """Relays to `upstream`, `delay_s` each way. At most `in_flight` bytes are
    under way per connection and direction, as with a TCP window of that size."""

    def __init__(self, upstream, delay_s=0.02, in_flight=1 << 20):
        parts = urllib.parse.urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self.delay_s = delay_s
        self.in_flight = in_flight
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.host = "127.0.0.1:%d" % self.port
        self.url = "http://" + self.host

    def start(self):
        threading.Thread(target=self._accept_loop, daemon=True).start()
        return self

    def stop(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept_loop(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._upstream)
            except OSError:
                client.close()
                continue
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _Direction(client, server, self).start()
            _Direction(server, client, self).start()


class _Direction:
    """One way of one connection. What was read waits in `held` until it is due;
    its room is free again when an acknowledgement could have come back."""

    def __init__(self, source, sink, line):
        self._source = source
        self._sink = sink
        self._delay_s = line.delay_s
        self._room = line.in_flight
        self._changed = threading.Condition()   # guards the three below and _room
        self._held = collections.deque()        # (when due, bytes); b"" is the end
        self._unacknowledged = collections.deque()
        self._broken = False

    def start(self):
        for work in (self._read, self._write):
            threading.Thread(target=work, daemon=True).start()

    def _read(self):
        piece = b"?"
        while piece:
            self._wait_for_room()
            try:
                piece = self._source.recv(PIECE)
            except OSError:
                piece = b""
            with self._changed:
                self._held.append((time.monotonic() + self._delay_s, piece))
                self._room -= len(piece)
                self._changed.notify_all()
                if self._broken:
                    return

    def _wait_for_room(self):
        with self._changed:
            while True:
                now = time.monotonic()
                while self._unacknowledged and self._unacknowledged[0][0] <= now:
                    self._room += self._unacknowledged.popleft()[1]
                if self._room > 0 or self._broken:
                    return
                self._changed.wait(self._unacknowledged[0][0] - now
                                   if self._unacknowledged else None)

    def _write(self):
        while True:
            with self._changed:
                while not self._held:
                    self._changed.wait()
                due, piece = self._held.popleft()
            time.sleep(max(0, due - time.monotonic()))
            try:
                if not piece:
                    self._sink.shutdown(socket.SHUT_WR)
                    return
                self._sink.sendall(piece)
            except OSError:
                self._give_up()
                return
            with self._changed:
                self._unacknowledged.append((time.monotonic() + self._delay_s, len(piece)))
                self._changed.notify_all()

    def _give_up(self):
        with self._changed:
            self._broken = True
            self._changed.notify_all()
        with contextlib.suppress(OSError):
            self._source.shutdown(socket.SHUT_RDWR)
