#!/usr/bin/env python3
"""Looks for what meson.build asks of compiler and linker in the built program: check_hardening.py PROGRAM"""

import re
import subprocess
import sys

# What __stack_chk_fail and the checked string functions look like, what a probe of the stack does
# (gcc and clang), and where an indirect call may land.
CHECKED = re.compile(r" __(?:memcpy|snprintf|vsnprintf|fprintf|memmove|asprintf|read|strcpy)_chk@")
PROBE = re.compile(r"(?:orq +\$0x0,\(%rsp\)|movq +\$0x0,\(%rsp\))")


def readelf(option, program):
    return subprocess.run(["readelf", "-W", option, program], check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def missing(program):
    """What the program lacks, a sentence each."""
    header, segments = readelf("-h", program), readelf("-l", program)
    dynamic, symbols = readelf("-d", program), readelf("--dyn-syms", program)
    loads = [line.split()[6:-1] for line in segments.splitlines() if line.split()[:1] == ["LOAD"]]
    yield "DYN (Position" in header and "PIE" in dynamic, "it is no position independent executable"
    yield "GNU_RELRO" in segments, "no part of it is made read-only after relocation (-z relro)"
    yield re.search(r"FLAGS_1.*\bNOW\b", dynamic), "its functions are bound while it runs (-z now)"
    yield re.search(r"GNU_STACK.* RW ", segments), "its stack is executable (-z noexecstack)"
    yield all(flags != ["RWE"] and "".join(flags) != "RWE" for flags in loads), \
        "a segment is writable and executable"
    yield "TEXTREL" not in dynamic, "its code has to be written to when it starts"
    yield not re.search("RPATH|RUNPATH", dynamic), "it looks for libraries in a place of its own"
    yield "__stack_chk_fail" in symbols, "no function guards its return address (-fstack-protector)"
    yield CHECKED.search(symbols), "no string function is a checked one (_FORTIFY_SOURCE)"
    if "X86-64" in header:
        code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", program], check=True,
                              text=True, stdout=subprocess.PIPE).stdout
        yield PROBE.search(code), "no large stack is probed (-fstack-clash-protection)"
        # Not the note that says so of the whole: Debian's own crt1.o has none.
        yield code.count("endbr64") > 100, "functions do not say where they begin (-fcf-protection)"


def main(program):
    problems = [sentence for holds, sentence in missing(program) if not holds]
    print("\n".join(problems) or "%s: hardened" % program)
    return 1 if problems else 0


sys.exit(main(sys.argv[1]))
