"""A delay line in a process of its own, so that what it takes can be told apart.

    python3 -m bench.line UPSTREAM MILLISECONDS     one way; prints its host:port
"""

import sys
import time

from servers import delay_line
from servers.process import Process

from . import usage

delay_line.PIECE = 256 << 10    # half of the CPU time that small pieces take


class Line:
    """`rtt_ms` of round trip in front of a server; `url` and `host` are its own."""

    def __init__(self, directory, upstream, rtt_ms):
        log = directory / ("line-%d-%d" % (rtt_ms, time.monotonic_ns()))
        self._process = Process([sys.executable, "-B", "-m", "bench.line", upstream,
                                 str(rtt_ms / 2)], log)
        self._process.wait_until(lambda: self._process.log().endswith("\n"))
        self.host = self._process.log().strip()
        self.url = "http://" + self.host

    def cpu_s(self):
        return usage.cpu_s(self._process.pid)

    def stop(self):
        self._process.stop()


def main():
    upstream, delay_ms = sys.argv[1:]
    line = delay_line.DelayLine(upstream, float(delay_ms) / 1000).start()
    print(line.host, flush=True)
    time.sleep(1e6)


if __name__ == "__main__":
    main()
