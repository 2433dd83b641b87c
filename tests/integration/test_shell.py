"""What the programs of a shell do in the mount: each is run, and its outcome looked at. Scripts run
in a directory of their own; $1 is a text file, $2 a tree of files, $3 a directory outside."""

import os
import subprocess

import pytest

from mounted import GENERATED, Mount, wait_until
from servers import images

MIB = 1 << 20
SAME_TREE = "diff -r " + " ".join("-x " + name for name in sorted(GENERATED)) + " "


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """$1 to $5: a text, a tree, a place outside, the tree as a tar and as a zip."""
    place = tmp_path_factory.mktemp("sources")
    text, tree, outside = place / "text", place / "tree", place / "outside"
    text.write_text("".join("line %d aaa\n" % at for at in range(20000)))
    (tree / "sub/deep").mkdir(parents=True)
    outside.mkdir()
    (tree / "a").write_text("aaa")
    (tree / "empty").write_text("")
    (tree / "sub/b").write_bytes(images.random_bytes(700000, 1))
    (tree / "sub/deep/c").write_bytes(images.random_bytes(2 * MIB + 3, 2))
    (tree / "a").chmod(0o755)
    os.utime(tree / "a", (10**9, 10**9))
    subprocess.run(["tar", "-cf", place / "tree.tar", "-C", tree, "."], check=True)
    subprocess.run(["zip", "-qr", place / "tree.zip", "."], cwd=tree, check=True)
    return [text, tree, outside, place / "tree.tar", place / "tree.zip"]


@pytest.fixture(scope="module")
def opened(stack, store, tmp_path_factory):
    """opened(name, option=value, ...): a mount that all tests of this file share."""
    made = {}

    def factory(name, **options):
        if name not in made:
            made[name] = Mount(store, tmp_path_factory.mktemp(name), stack.bucket("shell-" + name),
                               **options)
            made[name].start()
        return made[name]

    yield factory
    problems = [problem for each in made.values() for problem in each.finish()]
    assert not problems, "\n".join(problems)


@pytest.fixture
def shell(opened, sources, request):
    """shell(script): runs it in a directory of the test's own."""
    there = opened("free", allow_delete=True)
    name = request.node.callspec.id if hasattr(request.node, "callspec") else request.node.name
    name = "".join(c if c.isalnum() else "-" for c in name)

    def run(script):
        (there.path / name).mkdir(exist_ok=True)
        return there.sh("cd %s; set -e; %s" % (name, script), *sources)
    run.mount = there
    run.directory = name
    return run


def keys(shell):
    return [key[len(shell.directory) + 1:] for key in shell.mount.keys()
            if key.startswith(shell.directory + "/")]


@pytest.mark.parametrize("script", [
    pytest.param(script, id=name) for name, script in {
        # what is written in order
        "cp": "cp $1 f; cmp $1 f; cp $1 f",
        "cp -p": "cp -p $1 f; cmp $1 f",
        "cp -a": "cp -a $2 t; " + SAME_TREE + "$2 t",
        "install": "install -m 755 $1 f; cmp $1 f; install -D -m 600 $1 d/e/f; install -d g; cmp $1 d/e/f",
        "tee": "tee f g <$1 >/dev/null; cmp $1 f; cmp $1 g",
        "dd": "dd if=$1 of=f bs=4k status=none; cmp $1 f; dd if=$1 of=g bs=1M conv=fsync status=none; cmp $1 g; "
              "dd if=$1 of=h bs=4k oflag=direct status=none; cmp $1 h; dd if=$1 of=i bs=64k conv=sparse status=none",
        "split": "split -n 5 $1 part.; cat part.* | cmp - $1; csplit -s -f c. $1 100; cat c.* | cmp - $1",
        "sort -o": "sort -o f $1; sort -c f",
        "awk": "awk '{ print > \"f\" }' $1; cmp $1 f",
        "gzip": "cp $1 f; gzip -k f; zcat f.gz | cmp - $1; gzip <$1 >g; zcat g | cmp - $1; xz -k f; xzcat f.xz | cmp - $1",
        "curl -o": "curl -sS -o f file://$1; cmp $1 f",
        "shell": "cat $1 >f; cat $1 >|f; cmp $1 f; (echo one; echo two) >g; grep -q two g; exec 5>h; echo hi >&5; "
                 "exec 5>&-; grep -q hi h; exec 6>k; echo one >&6; seq 3 >&6; echo two >&6; exec 6>&-; grep -q two k; : >i; test -e i; { echo a; sleep 0.1; echo b; } >j; grep -q b j",
        "mktemp": "name=$(mktemp XXXXXX); test -e $name",
        # trees
        "rsync -a": "rsync -a $2/ t/; " + SAME_TREE + "$2 t; rsync -a $2/ t/",
        "rsync --inplace": "rsync -a --inplace $2/ t/; " + SAME_TREE + "$2 t; rsync -a --inplace $2/ t/; "
                           "rsync -a --inplace --checksum --delete $2/sub/ t/; " + SAME_TREE + "$2/sub t",
        "rsync -X": "rsync -aX $2/ t/; " + SAME_TREE + "$2 t",
        "tar x": "mkdir t; tar -xf $4 -C t; " + SAME_TREE + "$2 t; tar -xpf $4 -C t; tar -x --overwrite -f $4 -C t",
        "tar c": "cp -r $2 t; tar -cf $3/t.tar t; tar -df $3/t.tar; tar -cf made.tar -C $2 .; tar -df made.tar -C $2; "
                 "tar -czf made.tgz -C $2 .; tar -dzf made.tgz -C $2",
        "unzip": "unzip -q -d t $5; " + SAME_TREE + "$2 t",
        "copytree": "python3 -c 'import shutil, sys; shutil.copytree(sys.argv[1], \"t\")' $2; " + SAME_TREE + "$2 t",
        # what looks
        "find, du, df": "cp -r $2 t; test $(find t -name b -o -name c | wc -l) = 2; test $(du -sb t/sub/b | cut -f1) = "
                        "700000; test $(df --output=avail -B1G . | tail -1) -gt 1000; df -i . >/dev/null; stat -f . "
                        ">/dev/null; ls -lR >/dev/null",
        "stat, cmp, head": "cp $1 f; test $(stat -c %s f) = $(stat -c %s $1); cmp f f; diff f $1; head -c 9 f >/dev/null; "
                           "tail -n 1 f | grep -q 19999; wc -l <f | grep -q 20000",
        "sha256sum -c": "cp $1 f; cp $2/sub/b g; sha256sum --strict --quiet -c SHA256SUMS",
        "flock": "cp $1 f; flock f flock -n f true && exit 1; flock f true; flock -x lock true; flock -s . true; python3 -c 'import fcntl; "
                 "fcntl.lockf(open(\"f\"), fcntl.LOCK_SH)'",
        # what removes
        "rm -r": "cp -r $2 t; rm -r t; test ! -e t",
        "find -delete": "mkdir -p t/e; cp $1 t/e/f; find t -delete; test ! -e t",
        "rmdir -p": "mkdir -p d/e/f; rmdir -p d/e/f; test ! -e d",
    }.items()])
@pytest.mark.semantics(107, 203, 302, 309, 313, 467, 502)
def test_works(shell, script):
    done = shell(script)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ""
    assert not [key for key in keys(shell) if os.path.basename(key) in GENERATED]


@pytest.mark.parametrize("script", ["touch f; touch -d 2001-01-01 f", "chmod 600 f; chmod u+x f; chmod -R a+w .",
                                    "chown 1:1 f; chgrp 1 f; chown -R 0:0 ."])
@pytest.mark.semantics(801)
def test_times_modes_and_owners_are_accepted(shell, script):
    done = shell("cp $1 f; before=$(stat -c '%a %u %g %Y' f); " + script + "; test \"$before\" = "
                 "\"$(stat -c '%a %u %g %Y' f)\"; cmp $1 f")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("script, why", [
    pytest.param(script, why, id=script.split(" -")[0]) for script, why in {
        "ln f g": "Operation not permitted",
        "mkfifo p": "Operation not permitted",
        "mknod n c 1 3": "Operation not permitted",
        "setfattr -n user.mine -v x f": "Operation not supported",
        "chattr +i f": "Operation not supported",
        "fallocate -l 100 f": "Operation not supported",
    }.items()])
@pytest.mark.semantics(312)
def test_what_a_bucket_has_not_is_refused(shell, script, why):
    done = shell("echo x >f; " + script)
    assert done.returncode != 0 and why in done.stderr
    assert keys(shell) == ["f"]


@pytest.mark.parametrize("script, why", [
    pytest.param(script, why, id=name) for name, (script, why) in {
        "append": ("echo y >>f", "Operation not supported"),
        "tee -a": ("echo y | tee -a f", "Operation not supported"),
        "truncate": ("truncate -s 1 f", "Operation not supported"),
        "truncate up": ("truncate -s 9 g", "Operation not supported"),
        "dd seek": ("dd if=$1 of=g bs=4k seek=3 status=none", "Operation not supported"),
        "zip": ("zip -q z.zip f", ""),
    }.items()])
@pytest.mark.semantics(306)
def test_what_is_not_written_in_order_is_refused(shell, script, why):
    done = shell("echo x >f; " + script)
    assert done.returncode != 0 and why in done.stderr
    assert keys(shell) == ["f"] and shell("cat f").stdout == "x\n"


@pytest.mark.semantics(449)
def test_what_is_written_here_and_there_fails(shell):
    done = shell("git init -q g 2>/dev/null && exit 1; vim -es -u NONE -c 'normal ihello' -c 'wq!' f </dev/null; "
                 "test \"$(cat f)\" = hello; ls -A | grep '[.]sw' && exit 2; exit 0")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.semantics(462)
def test_attributes_of_others(shell):
    """Those of a file that came from a mount are taken and dropped."""
    done = shell("mkdir $3/a; cp $1 $3/a/f; setfattr -n user.prerelease.sha256 -v x $3/a/f; cp -a $3/a b; rsync -aX $3/a/ c; "
                 "setfattr -n user.mine -v x $3/a/f; tar -C $3 --xattrs -cf $3/a.tar a; cp -a $3/a d; "
                 "rsync -aX $3/a/ e || echo $?; tar --xattrs -xf $3/a.tar || echo $?; tar -xf $3/a.tar; "
                 "for f in a b c d e; do cmp $1 $f/f; done; getfattr -m mine -d ?/f")
    assert (done.returncode, done.stdout) == (0, "23\n2\n")
    assert "user.mine" in done.stderr and "a/f: Cannot open: Operation not permitted" in done.stderr


@pytest.mark.semantics(302)
def test_zip_writes_in_order_through_a_pipe(shell):
    done = shell("cd $2; zip -qr - . | cat >$OLDPWD/z.zip; cd $OLDPWD; unzip -qt z.zip")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.semantics(304)
def test_a_second_writer_of_other_bytes_is_refused(shell):
    done = shell("echo one >f; cp $1 f")
    assert done.returncode == 1 and "File exists" in done.stderr
    assert shell("cat f; cp --remove-destination $1 f; cmp $1 f").stdout == "one\n"


OWNER = {"user": 61001, "group": 61002, "extra_groups": []}
GUEST = {"user": 61003, "group": 61003, "extra_groups": []}


@pytest.mark.semantics(465, 466)
def test_whoever_owns_the_files_needs_not_be_root(opened, sources):
    there = opened("owned", allow_other=True, allow_delete=True, overwrite=True, uid=OWNER["user"],
                   gid=OWNER["group"], fmode="0640", dmode="0750")
    for path in (there.path, *sources):        # the way there is root's own otherwise
        for above in [path, *path.parents][1 if path == there.path else 0:-1]:
            above.chmod(above.stat().st_mode | 0o055)
    assert there.sh("stat -c '%U %u %g %a' releases; touch f; stat -c '%u %g %a' f").stdout == \
        "UNKNOWN 61001 61002 750\n61001 61002 640\n"
    done = there.sh("""set -e; mkdir d; cd d
        cp -a $2 t; install -m 600 $1 i; rsync -a $2/ r/; rsync -a --inplace $2/ r/; tar -xpf $4 -C r; touch i n; chmod 600 i
        chown 61001:61002 i; truncate -s 0 n; cp i j; mv j k; sed -i s/aaa/bbb/ k; cat $1 >k; cmp $1 k; ln -s k l; ln -sfn i l; cmp i l
        rm -r t r; rmdir /nonexistent 2>/dev/null || rm i k l n; cd ..; rmdir d""", *sources, **OWNER)
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("cat f", "ls .", "touch f", "mkdir d", "rm -f f", "cp f /dev/null", "stat f"):
        done = there.sh(command, **GUEST)
        assert done.returncode != 0 and "Permission denied" in done.stderr, command
    assert there.keys() == ["f"]


@pytest.mark.semantics(501)
def test_nothing_is_removed_without_allow_delete(opened, sources):
    there = opened("kept")
    done = there.sh("cp $1 f; rm f", *sources)
    assert done.returncode == 1 and "Operation not permitted" in done.stderr
    done = there.sh("rsync -a --inplace $2/ t/; rsync -a --inplace --delete $2/sub/ t/", *sources)
    assert done.returncode != 0 and "Operation not permitted" in done.stderr
    done = there.sh("mkdir -p d; cp $1 d/f; rm -r d", *sources)
    assert done.returncode == 1 and "Operation not permitted" in done.stderr
    assert (there.path / "f").exists() and (there.path / "t/a").exists()


@pytest.mark.semantics(703)
def test_no_link_is_carried_away_by_attributes(shell):
    """By name they can be read; no program that copies all attributes finds them."""
    done = shell("mkdir t; cp $1 t/f; mkdir $3/x; cp -a t/f $3/x/cp; rsync -aX t/f $3/x/rsync; "
                 "tar --xattrs --xattrs-include='*' -cf $3/x/tar t/f; getfattr -d -m - t/f $3/x/cp $3/x/rsync")
    assert (done.returncode, done.stderr.replace("getfattr: Removing leading '/' from absolute path names\n", "")) == \
        (0, "")
    assert done.stdout.count("user.prerelease.sha256=") == 3
    assert "user.prerelease.url" not in done.stdout and "X-Amz" not in done.stdout
    done = shell("grep -c X-Amz $3/x/tar; cp -a $3/x/cp g; rsync -aX $3/x/rsync h; getfattr -n user.prerelease.url g")
    assert done.stdout.startswith("0\n") or done.returncode == 1
    assert "links handed out" not in shell.mount.log().partition("path=%s/t/" % shell.directory)[2]
