"""README's shell blocks, run as they stand against the local servers."""

import os
import re
import subprocess
import sys

from mounted import PROGRAM, ROOT
from servers import images

sys.path.insert(0, str(ROOT / "tests"))
import check_docs  # noqa: E402

README = ROOT / "README.md"
# What stands for itself there, and what it is here.
BUCKET = "prerelease-bucket"
ROLE = "arn:aws:iam::123456789012:role/S3PresignedURLRole"
UNMOUNT = "fusermount3 -u /mnt/prerelease\n"


def reference_file(registry):
    """README's example of one, with the local registry; its images are pushed there."""
    text, = (text for _, language, text in check_docs.blocks(README)
             if language == "" and text.startswith("# REFERENCE"))
    for repository, tag, rest in re.findall(r"^ghcr\.io/(\S+):(\S+)(.*)$", text, re.MULTILINE):
        architecture = "arm64" if "arm64" in rest else "amd64"
        images.small(repository, architecture=architecture).push(registry, repository, tag)
    return text.replace("ghcr.io/", registry.host + "/") + "\n"


def test_readme_works_as_it_stands(store, registry, stack, tmp_path):
    stack.bucket(BUCKET)
    script = "".join(text + "\n" for _, language, text in check_docs.blocks(README)
                     if language == "sh")
    assert script.count(UNMOUNT) == 1 and ROLE in script and BUCKET in script
    script = script.replace(UNMOUNT, "").replace(ROLE, store.role_arn) + UNMOUNT
    (tmp_path / "images.ref").write_text(reference_file(registry))
    (tmp_path / "home/.aws").mkdir(parents=True)
    (tmp_path / "home/.aws/credentials").write_text(
        "[prerelease]\naws_access_key_id = %s\naws_secret_access_key = %s\n" % (
            store.publisher.access_key, store.publisher.secret_key))
    (tmp_path / "bin").mkdir()
    for name in ("prereleasefs", "prereleasefs-progress"):
        os.symlink(PROGRAM + name.removeprefix("prereleasefs"), tmp_path / "bin" / name)
    # A /mnt of its own: what is mounted there goes with the shell, whatever happens.
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-euo", "pipefail", "-xc", "mount -t tmpfs none /mnt\n" + script],
        cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=120, env={
            "PATH": "%s:%s" % (tmp_path / "bin", os.environ["PATH"]), "HOME": str(tmp_path / "home"),
            "AWS_ENDPOINT_URL": store.endpoint, "AWS_EC2_METADATA_DISABLED": "true",
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"), "ASAN_OPTIONS": "detect_leaks=0"})
    assert done.returncode == 0, done.stdout
    assert "runtime:main-abc1234.tar" in done.stdout and "user.prerelease.sha256" in done.stdout
    assert "X-Amz-Signature" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "summary").stat().st_size > 0
    keys = [entry["Key"] for entry in store.client().list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert {"jps/fix-login/abc1234/runtime:main-abc1234.tar", "jps/fix-login/abc1234/images.ref",
            "releases/v1.2.3/runtime:main-abc1234.tar"} <= set(keys)
