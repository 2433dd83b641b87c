"""What passes on the way to a server: requests by kind, and bytes."""

import collections
import contextlib
import re

from servers.proxy import Proxy

# What a request is for, by method and target; the first that matches.
KINDS = [
    ("registry: ping", r"GET /v2/$"),
    ("registry: manifest", r"\w+ /v2/.*/manifests/"),
    ("registry: blob", r"\w+ /v2/.*/blobs/"),
    ("store: begin upload", r"POST \S*\?uploads"),
    ("store: copy or upload part", r"PUT \S*partNumber="),
    ("store: complete upload", r"POST \S*uploadId="),
    ("store: list uploads", r"GET \S*\?(.*&)?uploads"),
    ("store: list", r"GET \S*list-type="),
    ("store: other of .prereleasefs/", r"\w+ \S*/\.prereleasefs/"),
    ("store: put object", r"PUT "),
    ("store: look at object", r"HEAD "),
    ("store: get object", r"GET "),
]


class Counter:
    """Proxies in front of servers. `url[n]` and `host[n]` are theirs."""

    def __init__(self, proxies):
        self._proxies = proxies
        self.url = [proxy.url for proxy in proxies]
        self.host = [proxy.host for proxy in proxies]

    def clear(self):
        for proxy in self._proxies:
            proxy.clear()

    def kinds(self):
        found = collections.Counter()
        for exchange in self._exchanges():
            line = "%s %s" % (exchange.method, exchange.target)
            kind = next((kind for kind, pattern in KINDS if re.match(pattern, line)), "other")
            if kind.startswith("store: other"):
                kind = "store: %s of .prereleasefs/%s" % (
                    exchange.method, exchange.target.split("/.prereleasefs/")[1].split("/")[0])
            found[kind] += 1
        return found

    def sent(self, at):
        """Bytes of bodies that went to the server."""
        return sum(exchange.request_bytes for exchange in self._proxies[at].seen())

    def received(self, at):
        return sum(exchange.response_bytes for exchange in self._proxies[at].seen())

    def _exchanges(self):
        return [each for proxy in self._proxies for each in proxy.seen()]


@contextlib.contextmanager
def counted(*upstreams):
    proxies = [Proxy(each).start() for each in upstreams]
    try:
        yield Counter(proxies)
    finally:
        for proxy in proxies:
            proxy.stop()
