"""The program under test as a mounted directory, and what tests do in it."""

import contextlib
import csv
import json
import os
import pathlib
import re
import signal
import subprocess
import time

from leaks import found_in, signed_in
from servers.registry import PASSWORD

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("PRERELEASEFS") or str(ROOT / "build/fs/prereleasefs")
# Without sanitizers, for whoever measures its memory.
PLAIN = os.environ.get("PRERELEASEFS_PLAIN") or str(ROOT / "build-gcc/fs/prereleasefs")

SANITIZER = re.compile(r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|"
                       r"runtime error:|: Assertion ")
START_LIMIT_S = 90
# What the program makes on reading.
GENERATED = {"urls.tsv", "report.html", "SHA256SUMS", "download.sh", "download.ps1", "summary.md",
             "pinned.ref", "status.tsv", "index.html"}
END_LIMIT_S = 60        # a sanitizer's look for leaks takes its time


class Mount:
    """A mount of a bucket by the built program, in the foreground, with a home
    of its own. Keyword arguments other than those named are mount options."""

    def __init__(self, store, directory, bucket, prefix="", docker_config=None,
                 environment=None, files=None, keys=None, flags=(), program=PROGRAM, before=(),
                 **options):
        self._store = store
        self.dir = directory
        self.bucket = bucket
        self.prefix = prefix
        self.home = directory / "home"
        self.path = directory / "mnt"
        self.log_path = directory / "log"
        self.path.mkdir(parents=True)
        for name, content in {**(files or {}), **(
                {".docker/config.json": json.dumps(docker_config)} if docker_config else {}
                )}.items():
            (self.home / name).parent.mkdir(parents=True, exist_ok=True)
            (self.home / name).write_text(content)
        self.home.mkdir(exist_ok=True)

        self.options = {"endpoint": store.endpoint, "presign_role": store.role_arn,
                        "log_level": "debug", **options}
        self.environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"),
                            "HOME": str(self.home), "LANG": "C.UTF-8",
                            "ASAN_OPTIONS": "detect_leaks=1",
                            "UBSAN_OPTIONS": "print_stacktrace=1",
                            # No test asks the machine that it runs on.
                            "AWS_EC2_METADATA_DISABLED": "true",
                            **store.environment(keys), **(environment or {})}
        self.environment = {name: value for name, value in self.environment.items()
                            if value is not None}
        self._flags = list(flags)
        self._program = [*map(str, before), program]     # `before`: what runs it
        self._child = None
        self._over = False
        self.uploads_may_remain = False     # for tests that kill the program

    # Life

    def command(self):
        given = ",".join(name if value is True else "%s=%s" % (name, value)
                         for name, value in self.options.items()
                         if value is not None and value is not False)
        source = self.bucket + ("/" + self.prefix if self.prefix else "")
        return [*self._program, "-f", *self._flags, *(["-o", given] if given else []),
                source, str(self.path)]

    def start(self):
        with open(self.log_path, "ab") as log:
            self._child = subprocess.Popen(self.command(), env=self.environment, cwd="/",
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                           start_new_session=True)
        deadline = time.monotonic() + START_LIMIT_S
        while not self.is_mounted():
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("not mounted, exit %s:\n%s" % (
                    self._child.poll(), self.log()))
            time.sleep(0.02)
        return self

    def refusal(self):
        """Runs a mount that must fail at once; returns the one line it prints."""
        done = subprocess.run(self.command(), env=self.environment, cwd="/",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=START_LIMIT_S)
        self._over = True
        text = done.stderr.decode()
        self.log_path.write_text(text)
        assert done.returncode == 1, (done.returncode, text)
        assert not SANITIZER.search(text), text
        assert not self._leaks()
        assert not self.is_mounted()
        lines = text.strip().splitlines()
        assert len(lines) == 1, text
        return lines[0]

    def is_mounted(self):
        with open("/proc/self/mountinfo") as mounts:
            return any(line.split()[4] == str(self.path) for line in mounts)

    @property
    def pid(self):
        return self._child.pid

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def signal(self, number):
        self._child.send_signal(number)

    def kill(self):
        """The program dies, and whatever waits for it gets an error."""
        if self._child and self._child.poll() is None:
            self._child.kill()

    def poll(self):
        """Its exit status if it has ended, else None."""
        return self._child.poll()

    def wait(self, timeout_s=END_LIMIT_S):
        """Its exit status, once it ends by itself."""
        return self._child.wait(timeout_s)

    def unmount(self):
        """Unmounts as a user would and returns the exit status."""
        subprocess.run(["fusermount3", "-u", str(self.path)], check=True, timeout=30)
        return self.wait()

    def bury(self):
        """Takes away what is left of a program that died of a signal, as it was to."""
        self._over = True
        assert self.wait() < 0
        subprocess.run(["umount", "-l", str(self.path)], check=True)

    def finish(self):
        """Ends whatever is left; returns what was not as it must be."""
        if self._over or not self._child:
            return []
        self._over = True
        problems = []
        if self._child.poll() is None:
            try:
                self.unmount()
            except (subprocess.SubprocessError, OSError) as error:
                problems.append("does not unmount: %s" % error)
                self.kill()
                self._child.wait()
        if self.is_mounted():
            subprocess.run(["umount", "-l", str(self.path)], check=False)
        if self._child.returncode not in (0, -signal.SIGKILL):
            problems.append("exit status %d" % self._child.returncode)
        if self._child.returncode == -signal.SIGKILL and not self.uploads_may_remain:
            problems.append("was killed")
        found = SANITIZER.search(self.log())
        if found:
            problems.append("in its log: " + self.log()[found.start():][:6000])
        if self._leaks():
            problems.append("secrets in its log: %s" % self._leaks())
        if not self.uploads_may_remain and self.uploads():
            problems.append("uploads remain: %s" % self.uploads())
        return problems

    def _leaks(self):
        """What no log may hold: the mount's secrets, and parts of signed requests."""
        secrets = [value for name, value in self.environment.items()
                   if re.search("SECRET|TOKEN$", name)]
        return found_in(self.log(), [PASSWORD, *secrets]) + signed_in(self.log())

    # The bucket as it is

    def uploads(self):
        """Multipart uploads that are neither completed nor aborted."""
        reply = self._store.client().list_multipart_uploads(Bucket=self.bucket)
        return [upload["Key"] for upload in reply.get("Uploads", [])]

    def keys(self, internal=False):
        """The bucket's keys, without the program's own."""
        found = []
        pages = self._store.client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket):
            found += [entry["Key"] for entry in page.get("Contents", [])]
        return [key for key in found if internal or ".prereleasefs/" not in key]

    def object(self, key):
        return self._store.client().get_object(Bucket=self.bucket, Key=key)["Body"].read()

    # Work in the mount

    def run(self, *argv, timeout_s=120, **options):
        """Runs a program in the mount; the outcome has text and exit status."""
        return subprocess.run([str(arg) for arg in argv], cwd=self.path, text=True,
                              errors="surrogateescape", stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=timeout_s, env={**os.environ, "LC_ALL": "C"}, **options)

    def sh(self, script, *args, shell="bash", **options):
        """Runs a shell script in the mount; `args` are its $1 and so on."""
        return self.run(shell, "-c", script, shell, *args, **options)

    def start_command(self, *argv, **options):
        """Starts a program in the mount and lets it run. Its process group is its
        own: in one that is orphaned, as a test run's may be, Ctrl-Z does nothing."""
        return subprocess.Popen([str(arg) for arg in argv], cwd=self.path, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env={**os.environ, "LC_ALL": "C"},
                                process_group=0, **options)

    def reference_file(self, *lines, name="images.ref"):
        """A file outside the mount with these lines."""
        path = self.dir / "refs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(line + "\n" for line in lines))
        return path

    def publish(self, directory, *lines, name="images.ref", **options):
        """`cp` of a reference file with these lines into a directory of the mount."""
        (self.path / directory).mkdir(parents=True, exist_ok=True)
        return self.run("cp", self.reference_file(*lines, name=name), directory + "/", **options)

    def rows(self, path):
        """A .tsv file of the mount as a list of dicts."""
        with open(self.path / path, newline="") as table:
            return list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))

    def why(self, directory):
        """The latest status row of a directory: its state and sentence."""
        row = self.rows(directory + "/status.tsv")[-1]
        return row["state"], row["detail"]


@contextlib.contextmanager
def within(seconds):
    """What is done inside takes no longer than this."""
    started = time.monotonic()
    yield
    took = time.monotonic() - started
    assert took < seconds, "took %.2f s" % took


def wait_until(true, timeout_s=30, what="it"):
    """Polls until `true()`."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "%s did not happen in %d s" % (what, timeout_s)
        time.sleep(0.05)


