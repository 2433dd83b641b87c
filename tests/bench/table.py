"""Results as text that is a Markdown table too."""

import dataclasses
import statistics


@dataclasses.dataclass
class Section:
    """One measurement. `goals`: (what, value as text, limit as text, whether it is met)."""

    title: str
    columns: list
    rows: list = dataclasses.field(default_factory=list)
    goals: list = dataclasses.field(default_factory=list)
    notes: list = dataclasses.field(default_factory=list)

    def at_most(self, what, value, limit, form="%.2f"):
        self.goals.append((what, form % value, "at most " + form % limit, value <= limit))

    def at_least(self, what, value, limit, form="%.1f"):
        self.goals.append((what, form % value, "at least " + form % limit, value >= limit))

    def text(self):
        parts = ["### " + self.title, align(self.columns, self.rows)]
        if self.goals:
            parts.append(align(["ratio", "value", "goal", "met"],
                               [[what, value, limit, "yes" if met else "**no**"]
                                for what, value, limit, met in self.goals]))
        parts += self.notes
        return "\n\n".join(parts) + "\n"


def align(columns, rows):
    """The first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in [columns, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells)]

    def line(row):
        return "| " + " | ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths))) + " |"

    rule = "|" + "|".join("-" * (width + 1) + (":" if at else "-")
                          for at, width in enumerate(widths)) + "|"
    return "\n".join([line(cells[0]), rule, *map(line, cells[1:])])


def seconds(value):
    return "%.2f" % value


def mb(size):
    return "%.0f" % (size / 1e6)


def median(values):
    return statistics.median(values)
