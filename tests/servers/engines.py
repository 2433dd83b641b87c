"""The container engines that published tarballs must load into, each with its
state in a directory of its own and none of the machine's.

`Docker`, `Podman`, `Containerd` and `Skopeo` each load an archive and say which
image they have: `config_digest`, and what a container prints where one can run.
"""

import json
import pathlib
import shutil

from .process import Process, run


class Docker:
    """dockerd on a socket of its own, without network or firewall."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self._process = None

    def start(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        self._socket = self.dir / "s"
        (self.dir / "daemon.json").write_text("{}")
        self._process = Process(
            ["dockerd", "--config-file", self.dir / "daemon.json",
             "--data-root", self.dir / "data", "--exec-root", self.dir / "run",
             "--pidfile", self.dir / "pid", "--host", "unix://%s" % self._socket,
             "--iptables=false", "--ip6tables=false", "--ip-forward=false",
             "--ip-masq=false", "--bridge=none", "--storage-driver=vfs"],
            self.dir / "log", cwd=self.dir)
        try:
            self._process.wait_until(lambda: self("version"))
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        if self._process:
            self._process.stop(timeout_s=20)
            self._process = None
        # Containers' and the network's mounts outlive a daemon that was killed.
        _unmount_below(self.dir)
        shutil.rmtree(self.dir, ignore_errors=True)

    def command(self):
        """How anybody runs it."""
        return ["env", "DOCKER_CONFIG=%s" % (self.dir / "client"),
                shutil.which("docker"), "-H", "unix://%s" % self._socket]

    def __call__(self, *args, **options):
        return run([*self.command(), *args], **options).decode()

    def load(self, archive):
        """What `docker load` prints."""
        return self("load", "-q", "-i", archive)

    def config_digest(self, name):
        return self("image", "inspect", "--format", "{{.Id}}", name).strip()

    def output(self, name):
        """What a container of the image prints."""
        return self("run", "--rm", "--network=none", "--log-driver=none", name)

    def remove(self, name):
        self("image", "rm", "-f", name)


class Podman:
    """podman with its own storage; there is no daemon."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)

    def start(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        (self.dir / "tmp").mkdir(exist_ok=True)
        # Its locks would else be shared with every other podman of the machine.
        (self.dir / "containers.conf").write_text('[engine]\nlock_type = "file"\n')
        self("version")
        return self

    def stop(self):
        _unmount_below(self.dir)
        shutil.rmtree(self.dir, ignore_errors=True)

    def command(self):
        """How anybody runs it."""
        return ["env", "TMPDIR=%s" % (self.dir / "tmp"),
                "CONTAINERS_CONF=%s" % (self.dir / "containers.conf"),
                shutil.which("podman"), "--root", self.dir / "root", "--runroot", self.dir / "run",
                "--tmpdir", self.dir / "libpod", "--storage-driver", "vfs",
                "--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime", "runc"]

    def __call__(self, *args, **options):
        return run([*self.command(), *args], **options).decode()

    def load(self, archive):
        return self("load", "-q", "-i", _link(self.dir, archive))

    def config_digest(self, name):
        return "sha256:" + self("image", "inspect", "--format", "{{.Id}}", name).strip()

    def output(self, name):
        # Limits are named because podman would raise them, which needs a right
        # that root may lack; runc because crun refuses hybrid cgroups.
        return self("run", "--rm", "--pull=never", "--network=none", "--log-driver=none",
                    "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", name)

    def remove(self, name):
        self("image", "rm", "-f", name)


class Containerd:
    """containerd, asked through its own client `ctr`."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self._process = None

    def start(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        self._socket = self.dir / "s"
        config = self.dir / "config.toml"
        config.write_text(
            'version = 2\nroot = "%s/root"\nstate = "%s/state"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            '[grpc]\n  address = "%s"\n' % (self.dir, self.dir, self._socket))
        self._process = Process(["containerd", "-c", config], self.dir / "log", cwd=self.dir)
        try:
            self._process.wait_until(lambda: self("version"))
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        if self._process:
            self._process.stop()
            self._process = None
        _unmount_below(self.dir)
        shutil.rmtree(self.dir, ignore_errors=True)

    def __call__(self, *args):
        return run(["ctr", "-a", self._socket, "-n", "tests", *args]).decode()

    def load(self, archive):
        return self("image", "import", "--snapshotter=native", archive)

    def names(self):
        return self("image", "ls", "-q").split()

    def manifest_digest(self, name):
        for line in self("image", "ls", "name==" + name).splitlines()[1:]:
            return line.split()[2]
        raise LookupError(name)

    def config_digest(self, name):
        manifest = json.loads(self("content", "get", self.manifest_digest(name)))
        return manifest["config"]["digest"]

    def file(self, name, path):
        """The bytes of one file of the image's file system."""
        target = self.dir / "view"
        target.mkdir(exist_ok=True)
        self("image", "mount", "--snapshotter=native", name, target)
        try:
            return (target / path).read_bytes()
        finally:
            self("image", "unmount", "--rm", "--snapshotter=native", target)

    def remove(self, name):
        self("image", "rm", "--sync", name)


class Skopeo:
    """skopeo, which reads the archive both ways and keeps nothing."""

    TRANSPORTS = ("docker-archive", "oci-archive")

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)

    def start(self):
        (self.dir / "tmp").mkdir(parents=True, exist_ok=True)
        return self

    def stop(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def __call__(self, *args):
        return run(["skopeo", "--insecure-policy", "--tmpdir", self.dir / "tmp", *args])

    def config_digest(self, transport, archive):
        """Unpacks the archive, every layer checked, and says what came out."""
        target = self.dir / "copy"
        shutil.rmtree(target, ignore_errors=True)
        self("copy", "-q", "%s:%s" % (transport, _link(self.dir, archive)),
             "dir:%s" % target)
        manifest = json.loads((target / "manifest.json").read_bytes())
        return manifest["config"]["digest"]

    def manifest(self, archive):
        """The raw manifest, as the OCI layout in the archive has it."""
        return self("inspect", "--raw", "oci-archive:%s" % _link(self.dir, archive))


def _link(directory, archive):
    """The archive under a name without colons, which podman and skopeo refuse:
    a colon ends the path in their notation."""
    link = directory / "archive.tar"
    link.unlink(missing_ok=True)
    link.symlink_to(pathlib.Path(archive).absolute())
    return link


def _unmount_below(directory):
    with open("/proc/self/mountinfo") as mounts:
        points = [line.split()[4] for line in mounts]
    for point in reversed(points):
        if point.startswith(str(directory) + "/"):
            run(["umount", "-l", point])
