"""The GitHub action: its shell parts for real, what it refuses, and what it never shows."""

import html
import os
import pathlib
import re
import subprocess

import jsonschema
import pytest
import requests
import yaml

import github_schema
from github_runner import EXPRESSION, Runner
from mounted import PROGRAM, ROOT
from servers import images
from servers.ceph import allow, policy
from servers.fake_identity_provider import JOB_TOKEN

ACTION = ROOT / "tools/github-action/action.yml"
EXAMPLES = sorted((ROOT / "docs/examples").glob("*.yml"))
ROLE = "arn:aws:iam::123456789012:role/x"


class Workflow(yaml.SafeLoader):
    """YAML as GitHub reads it: `on` is a word, not a truth value."""


Workflow.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool"]
    + [("tag:yaml.org,2002:bool", re.compile("^(true|false)$"))] * (first in "tf")
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()}


def workflow(path):
    return yaml.load(path.read_text(), Workflow)


@pytest.fixture
def runner(store, tmp_path):
    """runner(visibility, workflow text, VARIABLE=value...): a runner for a repository, in a workspace
    that has it."""
    made = []

    def factory(visibility="private", text="on: push\n", **environment):
        here = tmp_path / ("runner%d" % len(made))
        (here / ".github/workflows").mkdir(parents=True)
        (here / ".github/workflows/w.yml").write_text(text)
        os.symlink(PROGRAM, here / "prereleasefs")
        os.symlink(PROGRAM + "-progress", here / "prereleasefs-progress")
        made.append(Runner(ACTION, here, {
            "token": "unused", "event.repository.visibility": visibility}, {
                "HOME": str(here), "GITHUB_WORKSPACE": str(here), "AWS_EC2_METADATA_DISABLED": "true",
                "GITHUB_WORKFLOW_REF": "o/r/.github/workflows/w.yml@refs/heads/main",
                "GITHUB_REPOSITORY": "o/r", "GITHUB_WORKFLOW_SHA": "0" * 40,
                "GITHUB_API_URL": "http://127.0.0.1:9", "ASAN_OPTIONS": "detect_leaks=0", **environment}))
        made[-1].mountpoint = here / "temp/prereleasefs/mnt"
        return made[-1]

    path = os.environ["PATH"]
    os.environ["PATH"] = "%s:%s" % (tmp_path / "runner0", path)
    yield factory
    os.environ["PATH"] = path
    for each in made:
        assert not os.path.ismount(each.mountpoint)


@pytest.fixture
def inputs(store, bucket, registry, repository):
    """What the action is given, with keys; the server's endpoint is a mount option."""
    images.small().push(registry, repository, "v1")
    keys = store.environment()
    return {"bucket": bucket, "directory": "jps/fix/abc1234", "region": "us-east-1",
            "images": "%s/%s:v1 app.tar\n" % (registry.host, repository),
            "aws_access_key_id": keys["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": keys["AWS_SECRET_ACCESS_KEY"],
            "presign_role": store.role_arn, "options": "endpoint=" + store.endpoint, "package": "none"}


def test_a_private_repository_gets_summary_and_report(runner, inputs, s3):
    one = runner()
    assert one.run(**inputs), one.log
    assert "app.tar: published" in one.log and "X-Amz" not in one.log
    assert "app.tar" in html.unescape(one.summary)
    (used, given), = one.used
    assert used.startswith("actions/upload-artifact@")
    assert given["name"] == "report-jps_fix_abc1234"
    assert "X-Amz-Signature" in pathlib.Path(given["path"]).read_text()
    s3.head_object(Bucket=inputs["bucket"], Key="jps/fix/abc1234/app.tar")


def test_a_role_is_signed_in_to_by_oidc(runner, inputs, identities, store, bucket, s3):
    """The role is the job's, whatever keys are given besides; links are signed by one that trusts it."""
    role = store.role("job-" + bucket, trust=identities.trust(), access=allow(
        ["s3:*"], "arn:aws:s3:::" + bucket, "arn:aws:s3:::%s/*" % bucket))
    links = store.role("links-" + bucket, trust=policy(
        Action=["sts:AssumeRole"], Principal={"AWS": ["arn:aws:iam:::role/job-" + bucket]}))
    identities.asked.clear()
    one = runner(**identities.job())
    assert one.run(**{**inputs, "role": role, "presign_role": links, "aws_access_key_id": "AKIAWRONG"}), one.log
    assert {"/job", "/keys"} <= set(identities.asked)
    assert "jps/fix/abc1234/app.tar" in [       # what the role wrote, others may not read
        each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    (_, given), = one.used
    link = re.search(r'href="(http[^"]*X-Amz-Signature[^"]*)"', pathlib.Path(given["path"]).read_text())[1]
    assert requests.get(html.unescape(link), timeout=60).status_code == 200
    shown = one.log + one.summary + pathlib.Path(given["path"]).read_text()
    assert JOB_TOKEN not in shown and "eyJ" not in one.log + one.summary
    one = runner(**{**identities.job(), "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "old"})
    assert not one.run(**{**inputs, "role": role}) and "the job's token is refused" in one.log


def test_without_a_package_it_is_built_from_these_sources(runner, inputs, tmp_path, monkeypatch):
    installed = tmp_path / "installed"
    one = runner(DESTDIR=str(installed), CFLAGS="-O0")      # which compiles in half the time
    for name in ("prereleasefs", "prereleasefs-progress"):
        (tmp_path / "runner0" / name).unlink()
    monkeypatch.setenv("PATH", "%s:%s" % (installed / "usr/bin", os.environ["PATH"]))
    assert one.run(**{**inputs, "package": ""}), one.log
    assert "app.tar: published" in one.log
    assert os.access(installed / "usr/bin/prereleasefs", os.X_OK)


def test_a_public_repository_shows_no_link(runner, inputs):
    for visibility in ("public", ""):
        one = runner(visibility)
        assert one.run(**inputs), one.log
        assert "this repository is public" in one.log
        assert "X-Amz" not in one.log + one.summary and one.used == []
        assert "app.tar" in html.unescape(one.summary)
    one = runner("public")
    assert one.run(**inputs, allow_public_links="true"), one.log
    assert len(one.used) == 1


def test_what_fails_is_told_and_unmounted(runner, inputs):
    one = runner()
    assert not one.run(**{**inputs, "images": inputs["images"].replace(":v1", ":v2")})
    assert "app.tar: failed: " in one.log and "::error::prereleasefs: nothing was published" in one.log
    assert one.summary == "" and one.used == []
    one = runner()
    assert not one.run(**{**inputs, "bucket": "no-such-bucket"})
    assert "::error::prereleasefs: " in one.log and "no-such-bucket" in one.log


@pytest.mark.parametrize("wrong, says", [
    ({"bucket": ""}, "input 'bucket' is empty: is the variable set"),
    ({"images": " \n"}, "input 'images' is empty"),
    ({"directory": "../x"}, "input 'directory' is '../x'"),
    ({"directory": "a//b"}, "input 'directory'"),
    ({"directory": "a b; touch x"}, "input 'directory'"),
    ({"directory": ".prereleasefs/x"}, "input 'directory'"),
    ({"aws_access_key_id": ""}, "neither 'role' nor"),
    ({"role": ROLE}, "add 'id-token: write'"),
])
def test_inputs_that_cannot_work_are_refused(runner, inputs, wrong, says):
    one = runner()
    assert not one.run(**{**inputs, **wrong})
    assert says in one.log and "== Mount" not in one.log


def test_bucket_region_and_roles_may_not_be_secrets(runner, inputs):
    for name in ("bucket", "region", "role", "presign-role"):
        one = runner(text="  with:\n    %s: ${{ secrets.X }}\n" % name)
        assert not one.run(**inputs)
        assert "input '%s' comes from secrets" % name in one.log
    fine = ("  with:\n    bucket: ${{ vars.B }}\n    aws-secret-access-key: ${{ secrets.K }}\n"
            "    # bucket: from secrets\n")
    assert "comes from secrets" not in (one := runner(text=fine), one.run(**inputs))[0].log


def test_inputs_are_never_shell_text(runner, inputs, tmp_path):
    """What a value holds is a value: no step expands an input into its script."""
    for step in yaml.safe_load(ACTION.read_text())["runs"]["steps"]:
        assert not EXPRESSION.search(step.get("run", ""))
    for path in EXAMPLES:
        for job in workflow(path)["jobs"].values():
            for step in job["steps"]:
                assert not EXPRESSION.search(step.get("run", "")), path
    one = runner()
    evil = "$(touch %s/evil)`touch %s/evil`" % (tmp_path, tmp_path)
    assert not one.run(**{**inputs, "images": "::set-output name=x::y\n" + evil, "options": evil})
    assert not (tmp_path / "evil").exists()


def test_files_are_as_github_takes_them():
    jsonschema.validate(workflow(ACTION), github_schema.ACTION)
    assert len(EXAMPLES) == 2
    declared = set(workflow(ACTION)["inputs"])
    needed = {name for name, what in workflow(ACTION)["inputs"].items() if what.get("required")}
    for path in EXAMPLES:
        jsonschema.validate(workflow(path), github_schema.WORKFLOW)
        ours = [step for job in workflow(path)["jobs"].values() for step in job["steps"]
                if "tools/github-action@" in step.get("uses", "")]
        assert len(ours) == 1 and needed <= set(ours[0]["with"]) <= declared
        for name in ("bucket", "region", "role", "presign-role"):
            assert re.fullmatch(r"\$\{\{ vars\.\w+ \}\}", ours[0]["with"][name])
    done = subprocess.run(["shellcheck", "-S", "warning", *ACTION.parent.glob("*.sh")],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    for spoilt in ({"runs": {"using": "composite", "steps": [{"run": "x"}]}}, {"input": {}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**workflow(ACTION), **spoilt}, github_schema.ACTION)
