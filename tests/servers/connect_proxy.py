"""An HTTP proxy that opens tunnels (CONNECT) to where the test says that a name leads: so the
program asks a host of the internet by its own name, and a server on loopback answers."""

import contextlib
import socket

from .tls import Front, join


class ConnectProxy(Front):
    """`ways`: "host:port" -> the port on loopback. Anything else is refused; `asked` has all."""

    def __init__(self, ways):
        super().__init__()
        self.ways = dict(ways)
        self.asked = []
        self.url = "http://127.0.0.1:%d" % self.port

    def _serve(self, client):
        with client, contextlib.suppress(OSError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                byte = client.recv(1)
                if not byte:
                    return
                head += byte
            method, target = head.split()[:2]
            self.asked.append(target.decode())
            port = self.ways.get(target.decode()) if method == b"CONNECT" else None
            if port is None:
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", port)) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                join(client, server)
