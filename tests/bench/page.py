"""docs/benchmarks.md: the tables of one run and the machine it ran on."""

import datetime
import os
import re
import subprocess

HEAD = """# Benchmarks

Written by `tools/bench --write`; what follows is one run. Everything ran on one machine, the registry (docker-registry) and
the S3 store (Ceph's radosgw, its data in memory) too, so the servers' own CPU time is part of every wall time. **Seconds are
this machine's; what is claimed is ratios.** Ways to do a thing were taken in turn (A B C, A B C), `wall` and `CPU` are
medians, a ratio is the median of the rounds' own ratios, and goals that were not met are shown as such.

- `wall`: seconds until the command is back. `CPU`: user and system seconds of the way's own processes, a mount's daemon and
  dockerd included; `servers' CPU`: what the servers took meanwhile. `peak RSS`: of the largest of the way's processes, the
  most of all rounds.
- `cp x.ref DIR/`: a fresh mount of a fresh bucket with the program's defaults (`memory=128M`, `parallel=8`), links on.
- `plain mover`: `tests/bench/mover.py plain`, what a script would do: the image's bytes through Python by requests and boto3,
  ranged GETs, 16 MiB parts, 4 threads, SHA-256 of each layer and of the file, no retries. `bare mover`: the same with as
  little as Python can do it with, and unlike prereleasefs without anything that guards the parts on their way to the store
  (over plain HTTP, as here, prereleasefs signs their SHA-256 or sends their MD5).
- `skopeo, aws s3 cp`: `skopeo copy` to an oci-archive file on disk, then `aws s3 cp` of it.
- `docker`: `docker pull; docker save | gzip; aws s3 cp`, dockerd with an empty data root on overlayfs; once.
- All layers are gzip, as a registry's are, and unpack to two and a half times their size.
- A delay line holds each direction for half the round-trip time and lets 1 MiB be under way per connection and direction.

"""

VERSIONS = {
    "prereleasefs": [os.environ.get("PRERELEASEFS", "prereleasefs"), "-V"],
    "skopeo": ["skopeo", "--version"],
    "docker": ["dockerd", "--version"],
    "aws": ["/usr/bin/aws", "--version"],
    "s3fs": ["s3fs", "--version"],
    "rclone": ["rclone", "version"],
    "radosgw": ["radosgw", "--version"],
    "docker-registry": ["docker-registry", "--version"],
    "OpenSSL": ["openssl", "version"],
    "curl": ["curl", "--version"],
}


def machine():
    """Lines of a list."""
    cpu = _read("/proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.*)$", cpu, re.M)
    flags = re.search(r"^flags\s*:\s*(.*)$", cpu, re.M)
    sha = "with" if flags and "sha_ni" in flags[1].split() else "without"
    memory = int(re.search(r"MemTotal:\s*(\d+)", _read("/proc/meminfo"))[1]) / (1 << 20)
    system = re.search(r'PRETTY_NAME="(.*)"', _read("/etc/os-release"))
    return ["%d cores of %s, %s SHA instructions; %.0f GiB of memory" % (
                os.cpu_count(), model[1] if model else os.uname().machine, sha, memory),
            "%s, Linux %s" % (system[1] if system else "?", os.uname().release),
            "; ".join("%s %s" % (name, _version(command)) for name, command in VERSIONS.items())]


def load():
    """Of the last minute: how many programs wanted a core, ours too."""
    return "%.1f" % os.getloadavg()[0]


def write(path, text, command, took_s, loads, names):
    """`names`: of what was measured; none: everything. Else their sections take the place of those
    that are there, and the others stay as they were."""
    run = ["%s, `%s`, %.0f minutes" % (datetime.date.today(), command, took_s / 60),
           "load of the machine before each measurement, ours of the one before it included: "
           + ", ".join(loads)]
    if not names:
        path.write_text(HEAD + _listed([run[0], *machine(), run[1]]) + "\n" + text)
        return
    head, *sections = _parts(path.read_text())
    for section in _parts("\n" + text)[1:]:
        kinds = [_kind(there) for there in sections]
        if _kind(section) in kinds:
            sections[kinds.index(_kind(section))] = section
        else:
            sections.append(section)
    later = "later, %s: %s; %s" % (run[0], ", ".join(names), run[1])
    path.write_text("\n### ".join([head + _listed([later]), *sections]))


def _listed(lines):
    return "".join("- %s\n" % line for line in lines)


def _parts(text):
    """What comes before the sections, and these."""
    return [part.rstrip("\n") + "\n" for part in text.split("\n### ")]


def _kind(section):
    """Its title, whatever the numbers in it."""
    return re.sub(r"\d+", "N", section.partition("\n")[0])


def _read(path):
    with open(path) as file:
        return file.read()


def _version(command):
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False).stdout
    found = re.search(r"\d+\.\d+[\w.+~-]*", said)
    return found[0].rstrip(".") if found else "?"
