"""docs/benchmarks.md: the tables of one run and the machine it ran on."""


def write(path, sections, args, scale):
    path.write_text("\n".join(section.text() for section in sections))
