"""dockerd as it is meant to be used, on overlayfs: the tests' own copies every
layer for every layer above it, which would be an unfair thing to compare with."""

import pathlib
import shutil
import subprocess

from servers.process import Process, run


class Docker:
    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.host = "unix://%s/s" % self.dir

    def __enter__(self):
        self.dir.mkdir()
        (self.dir / "daemon.json").write_text("{}")
        self._process = Process(
            ["dockerd", "--config-file", self.dir / "daemon.json",
             "--data-root", self.dir / "data", "--exec-root", self.dir / "run",
             "--pidfile", self.dir / "pid", "--host", self.host, "--iptables=false",
             "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none",
             "--storage-driver=overlay2"], self.dir / "log", cwd=self.dir)
        self._process.wait_until(lambda: run(["docker", "-H", self.host, "version"]))
        return self

    def __exit__(self, *_):
        self._process.stop(timeout_s=20)
        with open("/proc/self/mountinfo") as mounts:
            below = [line.split()[4] for line in mounts if line.split()[4].startswith(
                str(self.dir) + "/")]
        for point in sorted(below, reverse=True):
            subprocess.run(["umount", "-l", point], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    @property
    def pid(self):
        return self._process.pid
