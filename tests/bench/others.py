"""Other file systems over S3, mounted like ours: `path` and `pid`."""

import contextlib
import dataclasses
import os
import pathlib
import subprocess

from servers.process import Process


@dataclasses.dataclass
class Mounted:
    path: pathlib.Path
    pid: int


def s3fs(scene, bucket):
    keys = scene.store.publisher
    passwords = scene.path("passwd-s3fs")
    with open(os.open(passwords, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write("%s:%s\n" % (keys.access_key, keys.secret_key))
    return _mounted(scene, lambda path: [
        "s3fs", bucket, path, "-f", "-o", "url=" + scene.store.endpoint,
        "-o", "use_path_request_style", "-o", "passwd_file=%s" % passwords])


def rclone(scene, bucket):
    keys = scene.store.publisher
    return _mounted(scene, lambda path: ["rclone", "mount", "ceph:" + bucket, path, "--read-only"],
                    RCLONE_CONFIG=os.devnull, RCLONE_CONFIG_CEPH_TYPE="s3",
                    RCLONE_CONFIG_CEPH_PROVIDER="Ceph",
                    RCLONE_CONFIG_CEPH_ENDPOINT=scene.store.endpoint,
                    RCLONE_CONFIG_CEPH_ACCESS_KEY_ID=keys.access_key,
                    RCLONE_CONFIG_CEPH_SECRET_ACCESS_KEY=keys.secret_key)


@contextlib.contextmanager
def _mounted(scene, command, **environment):
    path = scene.path("o")
    path.mkdir()
    daemon = Process(command(path), scene.path("log"), env=scene.environment(**environment))
    try:
        daemon.wait_until(lambda: os.path.ismount(path))
        yield Mounted(path, daemon.pid)
    finally:
        subprocess.run(["fusermount3", "-u", "-z", path], check=False)
        daemon.stop()
