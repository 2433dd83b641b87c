#!/usr/bin/python3
"""Keeps tests/corpus/aws_config honest: what it expects of every file is what
botocore reads there. Usage: aws_config_botocore.py CORPUS [--write]"""

import pathlib
import sys

import botocore.configloader
import botocore.exceptions


def escape(value):
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def expectation(path):
    """section, name, nested name ("" for none) and value, tab-separated."""
    lines = []
    for section, properties in botocore.configloader.raw_config_parse(str(path)).items():
        for name, value in properties.items():
            nested = value if isinstance(value, dict) else {"": value}
            lines += ["\t".join(map(escape, (section, name, key, nested[key]))) for key in nested]
    return "".join(line + "\n" for line in lines)


def main():
    corpus = pathlib.Path(sys.argv[1]) / "aws_config"
    wrong = []
    for path in sorted((corpus / "accept").glob("*.ini")):
        expected = path.with_suffix(".properties")
        if "--write" in sys.argv:
            expected.write_text(expectation(path))
        if expected.read_text() != expectation(path):
            wrong.append("%s: botocore reads\n%s" % (path, expectation(path)))
    for path in sorted((corpus / "reject").glob("*.ini")):
        try:
            wrong.append("%s: botocore reads\n%s" % (path, expectation(path)))
        except botocore.exceptions.ConfigParseError:
            pass
    sys.exit("\n".join(wrong) if wrong else 0)


main()
