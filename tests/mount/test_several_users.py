"""Several users of this machine in one mount: whose a bundle is, who may see and steer it, as whom it is submitted."""

import errno
import grp
import json
import os
import pwd
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")

ALICE, BOB = pwd.getpwnam("daemon").pw_uid, pwd.getpwnam("nobody").pw_uid
TABLES = {
    "mount": {"access": "everyone"},
    "drop": {"quiet": 0.2, "min_free": 0},
    "archives": {"here": {"kind": "local", "path": "archive", "users": {"daemon": "alice99"}}},
}
HEAD = "import errno, json, os\nos.setgroups({})\nos.setgid({})\nos.setuid({})\n"


def run(mount, uid, code, groups=(), gid=65534):
    """Run Python as `uid`, with the mount as `mnt`; "" or the name of the errno that ended it."""
    guarded = f"try:\n    {code}\nexcept OSError as error:\n    print(errno.errorcode[error.errno])"
    done = subprocess.run(
        [sys.executable, "-c", HEAD.format(list(groups), gid, uid) + guarded],
        cwd=mount.folder,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def drop(mount, uid, name, sidecar):
    run(mount, uid, f"os.mkdir('mnt/drop/here/{name}')")
    run(mount, uid, f"open('mnt/drop/here/{name}/data', 'w').write('data of {uid}')")
    run(mount, uid, f"open('mnt/drop/here/{name}/metadata.json', 'w').write({json.dumps(sidecar)!r})")


def submitted(mount, name):
    status = mount.wait_state(name, "done")
    return mount.json(f"here/transactions/{status['transaction']}.json")["submitter"]


def test_a_bundle_is_its_makers(mounted):
    """a folder is 0700 of the uid that made it, and no path means different things to two users"""
    mount = mounted(TABLES)
    drop(mount, ALICE, "run", {"submitter": "root", "files": ["later"]})
    folder = mount.path / "drop/here/run"
    assert (folder.stat().st_uid, folder.stat().st_mode & 0o7777) == (ALICE, 0o700)
    assert (folder / "data").stat().st_uid == ALICE
    assert run(mount, BOB, "print(os.listdir('mnt/drop/here'), os.listdir('mnt/status/uploads/here'))") == (
        "['run'] ['run']"
    )
    for code, expected in (
        ("os.listdir('mnt/drop/here/run')", "EACCES"),
        ("open('mnt/drop/here/run/more', 'w')", "EACCES"),
        ("os.mkdir('mnt/drop/here/run')", "EEXIST"),
        ("os.rename('mnt/drop/here/run', 'mnt/drop/here/mine')", "EPERM"),
        ("os.rmdir('mnt/drop/here/run')", "EPERM"),
        ("open('mnt/status/uploads/here/run/status.json')", "EACCES"),
        ("open('mnt/here/new', 'w')", "EACCES"),
    ):
        assert run(mount, BOB, code) == expected, code
    assert run(mount, ALICE, "print(len(open('mnt/status/uploads/here/run/status.json').read()) > 10)") == "True"
    assert run(mount, ALICE, "open('mnt/drop/here/run/later', 'w').close()") == ""
    assert submitted(mount, "run") == "alice99"
    # What follows in the same folder is still hers.
    assert run(mount, ALICE, "open('mnt/drop/here/run/more', 'w').close()") == ""
    assert run(mount, BOB, "open('mnt/drop/here/run/more', 'w')") == "EACCES"
    assert folder.stat().st_uid == ALICE


def test_the_submitter_is_the_login(mounted):
    """A bundle's submitter is that uid's login (mapping table in the configuration), whatever the sidecar claims"""
    mount = mounted(TABLES)
    drop(mount, BOB, "bobs", {"submitter": "alice99", "files": ["data"]})
    assert submitted(mount, "bobs") == "nobody"
    drop(mount, 54321, "whose", {"files": ["data"]})
    status = mount.wait_state("whose", "held")
    assert 'users = { "54321" = "LOGIN" }' in status["problems"][0]["remedy"]


def test_control_writes_check_the_caller(mounted):
    """Control writes check the caller"""
    mount = mounted(TABLES)
    drop(mount, ALICE, "run", {"files": ["later"]})
    id = mount.status("run")["id"]

    def ask(uid, **request):
        data = json.dumps({"id": id, **request}).encode()
        return run(mount, uid, f"os.setxattr('mnt/drop', 'user.pacifica.control', {data!r})")

    assert ask(BOB, do="retry") == ask(BOB, do="discard") == "EACCES"
    (mount.folder / "secret").write_text("of the daemon's user")
    (mount.folder / "secret").chmod(0o400)
    taken = ask(ALICE, do="take", source=str(mount.folder / "secret"), path="stolen")
    assert taken in (errno.errorcode[errno.ENOTSUP], "EOPNOTSUPP")
    assert ask(ALICE, do="discard") == ""
    assert mount.ls("drop/here") == []


def test_links_are_not_followed_for_others(mounted):
    mount = mounted({**TABLES, "drop": {**TABLES["drop"], "symlinks": "follow"}})
    drop(mount, ALICE, "run", {"files": ["later"]})
    assert run(mount, ALICE, "os.symlink('/etc/shadow', 'mnt/drop/here/run/later')") == "EPERM"


def test_a_group(mounted):
    group = grp.getgrnam("daemon").gr_gid
    mount = mounted({**TABLES, "mount": {"access": "group:daemon"}})
    top = mount.path.stat()
    assert (top.st_gid, top.st_mode & 0o7777) == (group, 0o750)
    assert (mount.path / "drop/here").stat().st_mode & 0o7777 == 0o1770
    assert run(mount, BOB, "os.listdir('mnt')") == "EACCES"
    assert run(mount, BOB, "os.mkdir('mnt/drop/here/bobs')", groups=[group]) == ""
    assert run(mount, BOB, "print(len(os.listdir('mnt')))", groups=[group]) == "4"


def test_alone(mounted):
    """Without `access` nobody but the mounting user is let in at all."""
    mount = mounted({key: value for key, value in TABLES.items() if key != "mount"})
    assert run(mount, BOB, "os.listdir('mnt')") == "EACCES"
    assert (mount.path / "drop/here").stat().st_mode & 0o7777 == 0o700
