"""fio with verification, and those of stress-ng's file tests that need no more than a bucket has: no
random writes, no files that are removed while they are open. For tools/soak."""

import pytest

SECONDS = 20
WRITE = ("fio --name=seq --rw=write --bs=128k --size=32m --numjobs=8 --verify=sha256 --do_verify=0 "
         "--fallocate=none --create_on_open=1 --verify_state_save=0 --output-format=terse")
VERIFY = ("fio --name=seq --rw=%s --bs=128k --size=32m --numjobs=8 --verify=sha256 --fallocate=none "
          "--allow_file_create=0 --verify_state_save=0 --output-format=terse")


def test_fio_verifies_what_it_wrote(mount):
    there = mount(memory="64M")
    (there.path / "b").mkdir()
    for command in (WRITE, VERIFY % "read", VERIFY % "randread"):
        done = there.sh("cd b && " + command, timeout_s=600)
        assert (done.returncode, done.stderr) == (0, ""), command
    assert sorted(there.keys()) == ["b/seq.%d.0" % at for at in range(8)]


@pytest.mark.parametrize("stressors", [
    "--fstat 4 --fstat-dir .", "--dentry 4 --dentries 64", "--open 4", "--chmod 2 --chown 2",
    "--flock 4 --lockf 2", "--getdent 4", "--fstat 2 --dentry 2 --open 2 --chmod 2 --flock 2 --getdent 2"])
def test_stress_ng(mount, stressors):
    there = mount(allow_delete=True)
    (there.path / "b").mkdir()
    done = there.sh("cd b && stress-ng --temp-path . -t %d %s" % (SECONDS, stressors), timeout_s=300)
    assert done.returncode == 0, done.stderr
    # The alarm that ends a stressor interrupts what it is about, and it then leaves files behind.
    wrong = [line for line in done.stderr.splitlines() if "fail:" in line
             and "errno=4 " not in line and not ("rmdir" in line and "errno=39 " in line)]
    assert not wrong, "\n".join(wrong)
    assert there.run("rm", "-r", "b", timeout_s=300).returncode == 0 and there.keys() == []
