"""On a workstation: mount(8), fstab, an address instead of a configuration, and a user who is not root."""

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

from tests.servers.guard import detach, mounts_below

from .harness import bounded, own_folders

pytestmark = [pytest.mark.mount, pytest.mark.timeout(90)]

ROOT = Path(__file__).parents[2]
USER = pwd.getpwnam("nobody")


def cli(folder, *words, environ=None, python=sys.executable, **more):
    done = subprocess.run(
        [python, "-m", "pacifica_fs", *map(str, words)],
        env=environ or own_folders(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        **more,
    )
    return done


@pytest.fixture
def place(tmp_path, guard):
    """A mount point, unmounted in any case."""
    point = tmp_path / "mnt"
    point.mkdir()
    guard.mount(point)
    yield point
    detach(str(point))
    guard.forget_mount(point)


def test_an_address_instead_of_a_configuration(place, tmp_path):
    done = cli(tmp_path, "mount", f"local+file://{tmp_path}/data", place)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(os.listdir(place)) == ["README.txt", "data", "drop", "status"]
    (place / "drop/data/run").mkdir()
    (place / "drop/data/run/file").write_text("x")
    (place / "drop/data/run/.commit").touch()
    assert cli(tmp_path, "wait", "-m", place, "run", "-t", "30").returncode == 0  # others may be mounted, too
    assert (tmp_path / "data/transactions/1").is_dir()
    for _ in range(2):  # at once again: the spool is found by the address
        assert cli(tmp_path, "umount", place).returncode == 0
        assert cli(tmp_path, "mount", f"local+file://{tmp_path}/data", place).returncode == 0
        (place / "drop/data/next").mkdir(exist_ok=True)
    assert cli(tmp_path, "umount", place).returncode == 0


@pytest.fixture
def helper():
    """`mount.pacifica-fs` where mount(8) looks for it, while the test lasts."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to put mount.pacifica-fs into /sbin")
    path = Path("/sbin/mount.pacifica-fs")
    if path.exists():
        yield path
        return
    path.write_text(f"#!{sys.executable}\nfrom pacifica_fs.cli.mount_helper import main\nmain()\n")
    path.chmod(0o755)
    yield path
    path.unlink()


OPTIONS = (
    "rw,noauto,user,_netdev,nofail,exec,suid,dev,relatime,async,comment=x,x-systemd.automount,x-gvfs-hide,nosuid,nodev"
)


@pytest.mark.parametrize("fstab", [False, True])
def test_mount_8(place, tmp_path, helper, fstab):
    environ = {**own_folders(tmp_path), "PYTHONPATH": str(ROOT)}
    config = tmp_path / "site.toml"
    config.write_text(f'[archives.here]\nkind = "local"\npath = "{tmp_path}/archive"\n')
    if fstab:
        table = tmp_path / "fstab"
        table.write_text(f"{config} {place} pacifica-fs {OPTIONS} 0 0\n")
        command = ["mount", "-T", str(table), str(place)]
    else:
        command = ["mount", "-t", "pacifica-fs", str(config), str(place), "-o", OPTIONS]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    with open("/proc/self/mountinfo") as stream:
        line = next(line for line in stream if f" {place} " in line)
    assert "fuse.pacifica-fs" in line
    assert str(config) in line
    assert "nosuid,nodev" in line
    assert os.listdir(place / "here")
    assert subprocess.run(["umount", str(place)], timeout=30, check=False).returncode == 0
    assert not os.path.ismount(place)


def test_an_option_that_is_none_is_told_by_mount_8(place, tmp_path, helper):
    command = ["mount", "-t", "pacifica-fs", "none", str(place), "-o", "alow_other"]
    done = subprocess.run(
        command, env={**own_folders(tmp_path), "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert "did you mean 'allow_other'?" in done.stderr


@pytest.fixture
def somebody(guard):
    """A folder, an environment and an interpreter of an ordinary user, for whom /dev/fuse is open meanwhile."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to be another user")
    folder = Path(tempfile.mkdtemp(prefix="pacifica-fs-user-"))
    before = os.stat("/dev/fuse").st_mode
    user = {"user": USER.pw_uid, "group": USER.pw_gid, "extra_groups": []}
    environ = own_folders(folder)
    environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{sysconfig.get_paths()['purelib']}"
    (folder / "mnt").mkdir()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER.pw_uid, USER.pw_gid)
    guard.mount(folder / "mnt")
    try:
        os.chmod("/dev/fuse", 0o666)
        for python in (sys.executable, "/usr/bin/python3"):
            try:
                done = cli(folder, "--version", environ=environ, python=python, **user)
            except PermissionError:
                continue
            if (
                done.returncode == 0
                and not cli(folder, "mount", "--help", environ=environ, python=python, **user).returncode
            ):
                break
        else:
            pytest.skip("no Python that an ordinary user may run has this program's packages")
        yield folder, lambda *words: cli(folder, *words, environ=environ, python=python, **user)
    finally:
        detach(str(folder / "mnt"))
        guard.forget_mount(folder / "mnt")
        os.chmod("/dev/fuse", before & 0o7777)
        shutil.rmtree(folder, ignore_errors=True)


def as_user(code, folder):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import os\nos.setgroups([])\nos.setgid({USER.pw_gid})\nos.setuid({USER.pw_uid})\n{code}",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_an_ordinary_user(somebody):
    folder, run = somebody
    done = run("mount", "mnt")
    assert (done.returncode, done.stderr) == (0, "")
    point, _ = next((point, device) for point, device in mounts_below(str(folder)))
    assert point == str(folder / "mnt")
    as_user("os.mkdir('mnt/drop/here/run'); open('mnt/drop/here/run/a', 'w').write('a')", folder)
    as_user("open('mnt/drop/here/run/.commit', 'w')", folder)
    assert run("wait", "-m", point, "run", "-t", "30").returncode == 0
    assert as_user("print(open('mnt/here/transactions/1/a').read())", folder) == "a"
    assert as_user("s = os.stat('mnt/here/transactions/1/a'); print(s.st_uid, oct(s.st_mode))", folder) == (
        f"{USER.pw_uid} 0o100600"
    )
    # Not even root looks into what is somebody else's.
    with pytest.raises(PermissionError):
        bounded("a look of root", lambda: os.listdir(folder / "mnt"))
    status = run("status")
    assert (status.returncode, "here/run" in status.stdout) == (0, True)
    done = run("mount", "-o", "allow_other", "mnt")
    assert done.returncode == 1
    done = subprocess.run(["fusermount3", "-u", "mnt"], cwd=folder, user=USER.pw_uid, group=USER.pw_gid, timeout=30)
    assert done.returncode == 0
    assert not mounts_below(str(folder))
    done = run("mount", "mnt")
    assert (done.returncode, done.stderr) == (0, "")
    assert run("umount").returncode == 0
    assert not mounts_below(str(folder))
