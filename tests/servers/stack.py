"""Everything that is asked for, started in order and stopped in reverse."""

import os
import pathlib
import shlex

from .ceph import Ceph
from .engines import Containerd, Docker, Podman, Skopeo
from .proxy import Proxy
from .registry import Registry

ENGINES = {"docker": Docker, "podman": Podman, "containerd": Containerd, "skopeo": Skopeo}
REGISTRY_BUCKET = "registry-blobs"
STORE_BYTES = (15 if os.environ.get("SOAK") else 8) << 30      # at most; it is in memory


class Stack:
    """Servers below one directory (a short path: sockets are in it). Each is
    started when it is first asked for; `stop` ends all of them."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self._started = {}      # name -> server, in the order of their start

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        while self._started:
            _, server = self._started.popitem()
            server.stop()

    @property
    def store(self):
        return self._get("c", lambda: Ceph(self.dir / "c", STORE_BYTES))

    def registry(self, kind="anonymous"):
        """"anonymous", "basic", "token" or "redirect" (blobs in the store, and
        Basic, so that there is an Authorization header not to send along)."""
        return self._get("r-" + kind, lambda: self._registry(kind))

    def engine(self, name):
        return self._get("e-" + name, lambda: ENGINES[name](self.dir / ("e" + name[0])))

    def proxy(self, upstream):
        """A new proxy in front of a server's URL; the caller stops it."""
        return Proxy(upstream).start()

    def bucket(self, name):
        """A new, empty bucket of the service account."""
        self.store.client().create_bucket(Bucket=name)
        return name

    def _registry(self, kind):
        directory = self.dir / ("r" + kind[0])
        if kind == "anonymous":
            return Registry(directory)
        if kind == "redirect":
            self.bucket(REGISTRY_BUCKET)
            return Registry(directory, auth="basic",
                            s3=(self.store.endpoint, self.store.publisher, REGISTRY_BUCKET))
        return Registry(directory, auth=kind)

    def _get(self, name, make):
        if name not in self._started:
            server = make().start()
            self._started[name] = server
        return self._started[name]


def write_environment(path, store, registry, bucket):
    """A file for a shell to source: where the servers are and with which keys."""
    values = {
        **store.environment(),
        "AWS_ENDPOINT_URL": store.endpoint,     # for those clients that know it
        "S3_ENDPOINT": store.endpoint,
        "S3_BUCKET": bucket,
        "PRESIGN_ROLE": store.role_arn,
        "PRESIGN_ROLE_12H": store.long_role_arn,
        "REGISTRY": registry.host,
    }
    text = "".join("export %s=%s\n" % (name, shlex.quote(value))
                   for name, value in values.items())
    part = pathlib.Path(str(path) + ".part")
    part.write_text(text)
    part.chmod(0o600)
    part.rename(path)       # whoever waits for the file finds it whole
