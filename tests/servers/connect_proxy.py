"""An HTTP proxy that opens tunnels (CONNECT) to where the test says that a name leads: so the
program asks a host of the internet by its own name, and a server on loopback answers."""

import contextlib
import socket
import threading

from .tls import pass_on


class ConnectProxy:
    """`ways`: "host:port" -> the port on loopback. Anything else is refused; `asked` has all."""

    def __init__(self, ways):
        self.ways = dict(ways)
        self.asked = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = "http://127.0.0.1:%d" % self._listener.getsockname()[1]

    def start(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def stop(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

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
                back = threading.Thread(target=pass_on, args=(server, client), daemon=True)
                back.start()
                pass_on(client, server)
                back.join()
