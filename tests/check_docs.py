#!/usr/bin/env python3
"""What the documentation says of files, sentences, versions and commands is so.

- Links to files of this repository lead somewhere.
- Each sentence of docs/troubleshooting.md is one that the program can say.
- docs/changelog.md begins with the version of meson.build, and docs/examples use it; its lines fit into
  Debian's changelog.
- The figures of docs/comparison.md are those of docs/benchmarks.md; `tests/check_docs.py --write` brings them over.
- Each shell block is run by a test (`sh`, in README.md: tests/integration/test_readme.py), or shows what
  is typed somewhere else (`console`: behind a `$`). A block without a language is no shell.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LITERALS = re.compile(r'"(?:[^"\\\n]|\\.)*"(?:\s*(?:PRI\w+\s*)?"(?:[^"\\\n]|\\.)*")*')
LANGUAGES = {"": "", "console": "", "sh": "README.md", "hcl": "", "yaml": "", "json": ""}
SHORTEST = 8    # bytes of a sentence's piece that say something
CHANGELOG_WIDTH = 78    # two columns go to Debian's indentation; lintian wants 80 at most


def links():
    for path in DOCUMENTS:
        text = re.sub(r"```.*?```", "", path.read_text(), flags=re.S)
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in target and not (path.parent / target).exists():
                yield "%s: there is no %s" % (path.relative_to(ROOT), target)


def entries():
    """The sentences of docs/troubleshooting.md; `...` stands for what differs."""
    text = (ROOT / "docs/troubleshooting.md").read_text()
    return re.findall(r"^- `(.+)`$", text, re.MULTILINE)


def sayings():
    """All string literals of the program, what printf fills in as `...`."""
    said = []
    for room in ("include", "s3", "registry", "fs"):
        for path in (ROOT / room).rglob("*.[ch]"):
            for literal in LITERALS.findall(path.read_text()):
                text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', literal))
                said.append(re.sub(r"%[-+ #0-9.*]*(?:ll|l|z|h)*[a-zA-Z]", "...",
                                   text.replace('\\"', '"')))
    return said


def sentences():
    said = sayings()
    for entry in entries():
        for piece in re.split(r"\.\.\.+", entry):
            # Sentences are put together at ':' and ';', and closed by brackets.
            piece = piece.strip(" :;()")
            if len(piece) >= SHORTEST and not any(piece in text for text in said):
                yield "docs/troubleshooting.md: the program never says `%s`" % piece


def version():
    meson = re.search(r"version: '([^']+)'", (ROOT / "meson.build").read_text())[1]
    newest = re.search(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", (ROOT / "docs/changelog.md").read_text(),
                       re.MULTILINE)
    if not newest or newest[1] != meson:
        yield "docs/changelog.md: its first section is not '## %s (DATE)'" % meson
    for at, line in enumerate((ROOT / "docs/changelog.md").read_text().splitlines(), 1):
        if line.startswith(("- ", "  ")) and len(line) > CHANGELOG_WIDTH:
            yield "docs/changelog.md:%d: %d columns, %d at most" % (at, len(line), CHANGELOG_WIDTH)
    for path in sorted((ROOT / "docs/examples").glob("*.yml")):
        if "/tools/github-action@v%s\n" % meson not in path.read_text():
            yield "%s: it does not use the action of version %s" % (path.relative_to(ROOT), meson)


def rows(text):
    """(line number, heading, columns, cells) of the rows of tables whose first column is `way`."""
    heading, columns = None, None
    for at, line in enumerate(text.splitlines()):
        heading = line.strip("# ") if line.startswith("#") else heading
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line[:1] == "|" else None
        if cells and columns and columns[0] == "way" and cells[1].strip("-:"):
            yield at, heading, columns, cells
        columns = (columns or cells) if cells else None


def figures(write):
    path = ROOT / "docs/comparison.md"
    lines = path.read_text().splitlines()
    measured = {(heading, cells[0], column): figure
                for _, heading, columns, cells in rows((ROOT / "docs/benchmarks.md").read_text())
                for column, figure in zip(columns, cells)}
    for at, heading, columns, cells in rows(path.read_text()):
        right = [measured.get((heading, cells[0], column), "?") for column in columns]
        if "?" in right:
            yield "docs/comparison.md:%d: not all of it is in docs/benchmarks.md" % (at + 1)
        elif right != cells and not write:
            yield ("docs/comparison.md:%d: docs/benchmarks.md has %s; tests/check_docs.py --write "
                   "brings them over" % (at + 1, ", ".join(right)))
        lines[at] = "| %s |" % " | ".join(right)
    if write:
        path.write_text("\n".join(lines) + "\n")


def blocks(path):
    """(line, language, text) of each fenced block."""
    inside = None
    for at, line in enumerate(path.read_text().splitlines(), 1):
        fence = re.match(r"\s*```(\w*)", line)
        if fence and inside is None:
            inside = (at, fence[1], [])
        elif fence:
            yield inside[0], inside[1], "\n".join(inside[2])
            inside = None
        elif inside:
            inside[2].append(line)


def shell():
    for path in DOCUMENTS:
        name = str(path.relative_to(ROOT))
        for line, language, text in blocks(path):
            where = "%s:%d: " % (name, line)
            if LANGUAGES.get(language, "none") not in ("", name):
                yield where + "no test runs a block of '%s' here" % language
            elif (language == "console") != text.lstrip("# ").startswith("$ "):
                yield where + "what is typed stands behind a $ in a block of 'console'"


def main():
    problems = [*links(), *sentences(), *version(), *shell(), *figures("--write" in sys.argv)]
    print("\n".join(problems) or "%d documents, %d sentences" % (len(DOCUMENTS), len(entries())))
    return 1 if problems or len(entries()) < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
