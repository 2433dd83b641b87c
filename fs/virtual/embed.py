#!/usr/bin/env python3
"""embed.py FILE NAME: FILE as the C string NAME, on standard output."""

import json
import pathlib
import sys

text = pathlib.Path(sys.argv[1]).read_text(encoding="ascii")
print("// Made from %s." % pathlib.Path(sys.argv[1]).name)
print("static const char %s[] =" % sys.argv[2])
# JSON's escapes of ASCII are C's; two question marks would begin a trigraph.
print("\n".join("    " + json.dumps(line).replace("??", "?\\?") for line in text.splitlines(keepends=True)) + ";")
