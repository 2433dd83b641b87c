"""Ways to do one thing, taken in turn: A B C, A B C, ... What disturbs the machine
for a while then disturbs all of them."""

import sys

from .table import Section, mb, median, seconds


class Rounds:
    """`ways`: name -> function that does it once and returns its Usage."""

    def __init__(self, ways, runs):
        self.usages = {}
        for _ in range(runs):
            for name, way in ways.items():
                self.add(name, way)

    def add(self, name, way):
        usage = way()
        self.usages.setdefault(name, []).append(usage)
        say("  %-36s %7.2f s  %7.2f s CPU  %7.2f s of the servers  %5.0f MB" % (
            name, usage.wall_s, usage.cpu_s, usage.servers_s, usage.rss / 1e6))

    def wall(self, name):
        return median(usage.wall_s for usage in self.usages[name])

    def cpu(self, name):
        return median(usage.cpu_s for usage in self.usages[name])

    def servers(self, name):
        return median(usage.servers_s for usage in self.usages[name])

    def rss(self, name):
        return max(usage.rss for usage in self.usages[name])

    def ratio(self, name, other, what="wall_s"):
        """The median of the rounds' own ratios; of the medians, where one of
        the two was not measured in every round."""
        mine, others = self.usages[name], self.usages[other]
        if len(mine) != len(others):
            return median(getattr(usage, what) for usage in mine) / median(
                getattr(usage, what) for usage in others)
        return median(getattr(one, what) / getattr(two, what)
                      for one, two in zip(mine, others))

    def section(self, title, base):
        """A row per way; the last two columns are relative to the way `base`."""
        section = Section(title, ["way", "wall s", "CPU s", "servers' CPU s", "peak RSS MB",
                                  "wall, %s = 1" % base, "CPU, %s = 1" % base])
        for name in self.usages:
            section.rows.append([
                name, seconds(self.wall(name)), seconds(self.cpu(name)),
                seconds(self.servers(name)), mb(self.rss(name)),
                "%.2f" % self.ratio(name, base), "%.2f" % self.ratio(name, base, "cpu_s")])
        return section


def say(text):
    print(text, file=sys.stderr, flush=True)
