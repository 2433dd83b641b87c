"""What a program takes: seconds on the wall, seconds of CPU, memory."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import tempfile
import threading
import time

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
LOOK_EVERY_S = 0.05     # at the peaks of processes that come and go


@dataclasses.dataclass
class Usage:
    """`cpu_s`: user and system, of all processes of the way; `servers_s`: of the
    servers meanwhile. `rss`: the peak, in bytes, of the way's largest process."""

    wall_s: float
    cpu_s: float
    servers_s: float
    rss: int


_servers = []


def count_servers(pids):
    """From now on, these are the servers."""
    _servers[:] = pids


def measure(argv, daemons=(), timeout_s=1800, **options):
    """Runs a command to its end; what the processes `daemons` (and theirs) take
    meanwhile counts as well."""
    with tempfile.TemporaryFile() as output, Peaks() as peaks:
        daemons = [pid for daemon in daemons for pid in tree(daemon)]
        for pid in daemons:
            forget_peak(pid)
        before, servers_before = sum(map(cpu_s, daemons)), sum(map(cpu_s, _servers))
        started = time.monotonic()
        child = subprocess.Popen([str(arg) for arg in argv], stdin=subprocess.DEVNULL,
                                 stdout=options.pop("stdout", output), stderr=output,
                                 start_new_session=True, **options)
        peaks.watch(child.pid, *daemons)
        rusage = _wait(child, timeout_s)
        wall_s = time.monotonic() - started
        cpu = rusage.ru_utime + rusage.ru_stime + sum(map(cpu_s, daemons)) - before
        servers_s = sum(map(cpu_s, _servers)) - servers_before
        if child.returncode != 0:
            output.seek(0)
            raise RuntimeError("%s: exit %d\n%s" % (
                " ".join(map(str, argv))[:500], child.returncode,
                output.read().decode(errors="replace")[-4000:]))
    return Usage(wall_s, cpu, servers_s, peaks.largest)


def _wait(child, timeout_s):
    killer = threading.Timer(timeout_s, os.killpg, (child.pid, signal.SIGKILL))
    killer.start()
    try:
        _, status, rusage = os.wait4(child.pid, 0)
    finally:
        killer.cancel()
    child.returncode = os.waitstatus_to_exitcode(status)
    return rusage


def cpu_s(pid):
    """All CPU time of a living process and of its children that have ended."""
    try:
        with open("/proc/%d/stat" % pid) as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15])) * TICK_S


def rss(pid):
    """Of a living process, in bytes."""
    return _memory(pid, "VmRSS:")


def peak_rss(pid):
    return _memory(pid, "VmHWM:")


def _memory(pid, name):
    try:
        with open("/proc/%d/status" % pid) as status:
            for line in status:
                if line.startswith(name):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


def forget_peak(pid):
    """From now on its peak is that of what follows."""
    with contextlib.suppress(OSError):
        with open("/proc/%d/clear_refs" % pid, "w") as clear:
            clear.write("5")


def tree(pid):
    """A process and its descendants."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, task)) as children:
                for child in children.read().split():
                    found += tree(int(child))
    return found


class Peaks:
    """Looks at processes and their descendants while they live. (What the kernel
    says of a child that has ended is no use: it begins with its parent's size.)"""

    def __init__(self):
        self._pids = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_often, daemon=True)
        self.largest = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self._look()

    def watch(self, *pids):
        self._pids = list(pids)

    def _look_often(self):
        while not self._over.wait(LOOK_EVERY_S):
            self._look()

    def _look(self):
        for pid in self._pids:
            for each in tree(pid):
                self.largest = max(self.largest, peak_rss(each))
