"""One server process: started, watched until it answers, killed for sure."""

import ctypes
import os
import signal
import socket
import subprocess
import time

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class ServerError(Exception):
    """A server did not start, died, or does not answer."""


def free_port():
    """A TCP port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(argv, **options):
    """Runs a command to its end; a failure carries what the command printed."""
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("timeout", 300)
    done = subprocess.run([str(arg) for arg in argv], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **options)
    if done.returncode != 0:
        raise ServerError("%s: exit %d\n%s%s" % (
            " ".join(map(str, argv)), done.returncode,
            done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")))
    return done.stdout


def _die_with_parent():
    # A test run that is killed outright must not leave servers behind. The
    # signal is tied to the *thread* that forks, so servers are started from
    # the main thread only.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A child in a session of its own, with its output in a log file."""

    def __init__(self, argv, log, env=None, cwd=None):
        self.name = os.path.basename(str(argv[0]))
        self.log_path = str(log)
        with open(self.log_path, "ab") as output:
            self._child = subprocess.Popen(
                [str(arg) for arg in argv], stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, env=env, cwd=cwd, start_new_session=True,
                preexec_fn=_die_with_parent)

    @property
    def pid(self):
        return self._child.pid

    @property
    def returncode(self):
        return self._child.poll()

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def wait_until(self, answers, timeout_s=60):
        """Polls `answers()` until it is true; exceptions count as not yet."""
        deadline = time.monotonic() + timeout_s
        problem = None
        while time.monotonic() < deadline:
            if self.returncode is not None:
                raise ServerError("%s ended with %d:\n%s" % (
                    self.name, self.returncode, self.log()[-4000:]))
            try:
                if answers():
                    return
            except Exception as error:  # not listening yet, not ready yet
                problem = error
            time.sleep(0.05)
        raise ServerError("%s does not answer after %d s (%s):\n%s" % (
            self.name, timeout_s, problem, self.log()[-4000:]))

    def wait(self, timeout_s):
        """The exit status, or None if it is still running after `timeout_s`."""
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, timeout_s=10, first=signal.SIGTERM):
        """Asks, then kills the whole process group. Returns the exit status."""
        if self.returncode is None:
            self._child.send_signal(first)
            if self.wait(timeout_s) is None:
                self._child.kill()
        try:
            os.killpg(self.pid, signal.SIGKILL)  # what it may have left behind
        except ProcessLookupError:
            pass
        return self._child.wait()
