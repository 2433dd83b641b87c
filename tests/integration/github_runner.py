"""As much of GitHub's runner as a composite action needs: expressions, environment, step outputs."""

import os
import re
import subprocess

import yaml

EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


class Runner:
    """Runs the `run` steps of an action.yml for real, and tells of the `uses` steps."""

    def __init__(self, action, directory, github, environment):
        self._path = action.parent
        self.action = yaml.safe_load(action.read_text())
        self._github = github
        self._environment = environment
        self._dir = directory
        (directory / "temp").mkdir(parents=True)
        self._steps = {}        # id -> outputs
        self.log = ""
        self.used = []          # (action, its inputs)
        self.summary = ""

    def _value(self, name):
        scope, _, rest = name.partition(".")
        if scope == "inputs":
            return self._inputs[rest]
        if scope == "github":
            return self._github.get(rest, "")
        steps, step, outputs, output = name.split(".")
        assert (steps, outputs) == ("steps", "outputs"), name
        return self._steps.get(step, {}).get(output, "")

    def _expand(self, text):
        return EXPRESSION.sub(lambda match: self._value(match[1]), str(text))

    def _holds(self, condition, is_well):
        if condition is None:
            return is_well
        if condition == "always()":
            return True
        left, right = re.fullmatch(r"(\S+) != '(.*)'", condition).groups()
        return is_well and self._value(left) != right

    def run(self, **inputs):
        """All steps; whether none failed. Input names have _ for -."""
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        self._inputs = {name: given.pop(name, self._expand(what.get("default", "")))
                        for name, what in self.action["inputs"].items()}
        assert not given, given
        is_well = True
        for step in self.action["runs"]["steps"]:
            if not self._holds(step.get("if"), is_well):
                continue
            if "uses" in step:
                self.used.append((step["uses"], {
                    name: self._expand(value) for name, value in step["with"].items()}))
            else:
                is_well &= self._run(step)
        return is_well

    def _run(self, step):
        files = {name: self._dir / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for path in files.values():
            path.write_text("")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", self._expand(step["run"])],
            cwd=self._dir, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=220, env={
                **self._environment, "PATH": os.environ["PATH"], "RUNNER_TEMP": str(self._dir / "temp"),
                "GITHUB_ACTION_PATH": str(self._path),
                **{name: str(path) for name, path in files.items()},
                **{name: self._expand(value) for name, value in step.get("env", {}).items()}})
        self.log += "== %s\n%s" % (step["name"], done.stdout)
        self.summary += files["GITHUB_STEP_SUMMARY"].read_text()
        self._steps[step.get("id")] = dict(
            line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
        return done.returncode == 0
