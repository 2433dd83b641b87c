#!/usr/bin/python3
"""Checks that includes point down, and that each library has its one place.

A file may include what its own room holds, `base/`, and the doors of the rooms
below it. Third-party headers may be included by the files named here alone.
Prints each line that breaks a rule; exits 1 if there is one.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# room -> doors (headers right under include/) that its files may include
DOORS = {
    "include/base": [],
    "include": [],      # the doors themselves
    "s3": ["s3.h"],
    "registry": ["registry.h"],
    "fs": ["s3.h", "registry.h"],
}

LIBRARIES = {
    r"curl/.*": r"include/base/(http|url)\w*\.[ch]",
    r"openssl/(ssl|x509_vfy)\.h": r"include/base/http_trust\.c",
    r"openssl/(?!ssl|x509_vfy).*": r"include/base/(digest|public_key)\.[ch]",
    r"expat\.h": r"s3/xml\.c",
    r"jansson\.h": r"include/base/json\.[ch]|registry/archive_json\.[ch]"
                   r"|fs/publish/(record\w*|layer_entry|intent)\.[ch]",
    r"zlib\.h": r"registry/gzip\.c",
    r"fuse.*": r"fs/(mount|ops|main)\w*\.[ch]",
}

# What the C library and Linux themselves offer.
SYSTEM = re.compile(
    r"(arpa|linux|net|netinet|sys)/[\w/]+\.h|"
    r"(assert|ctype|dirent|endian|errno|fcntl|fnmatch|getopt|grp|ifaddrs|inttypes|langinfo|libgen|"
    r"limits|locale|malloc|math|netdb|poll|pthread|pwd|sched|search|semaphore|signal|"
    r"spawn|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|"
    r"string|strings|syslog|threads|time|uchar|unistd|wchar|wctype)\.h")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')


def room_of(path):
    for room in sorted(DOORS, key=len, reverse=True):
        if path.startswith(room + "/"):
            return room
    raise LookupError(path)


def resolve(includer, name):
    """The file of this tree that the name means, as the compiler looks for it."""
    for place in (includer.parent, ROOT / "include", ROOT):
        path = (place / name).resolve()
        if path.is_file() and path.is_relative_to(ROOT):
            return path.relative_to(ROOT).as_posix()
    # page_css.h is made of page.css by the build (fs/virtual/embed.py).
    source = includer.parent / re.sub(r"_(\w+)\.h$", r".\1", name)
    return source.relative_to(ROOT).as_posix() if source.is_file() else None


def complaint(path, bracket, name):
    """What is wrong with this include, or None."""
    for headers, places in LIBRARIES.items():
        if re.fullmatch(headers, name):
            return None if re.fullmatch(places, path) else "belongs in %s alone" % places
    target = resolve(ROOT / path, name) if bracket == '"' else None
    if target is None:
        known = bracket == "<" and SYSTEM.fullmatch(name)
        return None if known else "is neither of this tree nor of the C library"
    room, target_room = room_of(path), room_of(target) if "/" in target else None
    if target_room == "include/base":
        return None
    if target_room == "include":
        door = target[len("include/"):]
        return None if door in DOORS[room] else "is a door that %s/ may not use" % room
    if target_room == room:
        return None
    return "points from %s/ into %s" % (room, target)


def main():
    complaints = 0
    files = 0
    for room in ("include", "s3", "registry", "fs"):
        for path in sorted((ROOT / room).rglob("*.[ch]")):
            files += 1
            relative = path.relative_to(ROOT).as_posix()
            for number, line in enumerate(path.read_text().splitlines(), 1):
                found = INCLUDE.match(line)
                problem = found and complaint(relative, *found.groups())
                if problem:
                    complaints += 1
                    print("%s:%d: %s %s" % (relative, number, found.group(2), problem))
    print("%d files, %d includes that point the wrong way" % (files, complaints))
    return 1 if complaints or not files else 0


if __name__ == "__main__":
    sys.exit(main())
