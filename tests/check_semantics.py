#!/usr/bin/env python3
"""Every sentence of docs/semantics.md has a test that names it, every test names sentences that are
there, and no number stands for two."""

import ast
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
SENTENCE = re.compile(r"- \*\*S(\d+)\*\* \S.*\.$")


def sentences(text):
    """Numbers in their order, and what is wrong with the lines."""
    numbers, problems = [], []
    for at, line in enumerate(text.splitlines(), 1):
        match = SENTENCE.match(line)
        if match:
            numbers.append(int(match[1]))
        elif line.startswith("- ") or re.search(r"\*\*S\d", line):
            problems.append("docs/semantics.md:%d: no sentence with a number" % at)
    problems += ["docs/semantics.md: S%d comes after S%d" % pair[::-1]
                 for pair in zip(numbers, numbers[1:]) if pair[0] >= pair[1]]
    return numbers, problems


def marks(path):
    """(line, number) of each mark of a test function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.semantics":
                for argument in mark.args:
                    yield mark.lineno, ast.literal_eval(argument)


def main():
    numbers, problems = sentences((ROOT / "docs/semantics.md").read_text())
    tested = set()
    for path in sorted((ROOT / "tests/integration").glob("test_*.py")):
        for line, number in marks(path):
            tested.add(number)
            if number not in numbers:
                problems.append("%s:%d: there is no S%s" % (path.relative_to(ROOT), line, number))
    problems += ["docs/semantics.md: no test names S%d" % number
                 for number in numbers if number not in tested]
    print("\n".join(problems) or "%d sentences, each with a test" % len(numbers))
    return 1 if problems or not numbers else 0


sys.exit(main())
