"""Benchmarks: prereleasefs beside other ways to do the same, in one run, against
the same servers on the same machine. What is claimed are ratios; `tools/bench`
is the door, `docs/benchmarks.md` holds the last run. Nothing here is a test.
"""
