"""Everything that would make a mount fail is found before, and said with its remedy."""

import contextlib
import errno
import logging
import os
import time

import pytest

from pacifica_fs.mount import mounts, session
from pacifica_fs.mount.session import MountError, MountOptions, prepare, spawn


@pytest.fixture
def point(tmp_path, monkeypatch):
    """A mount point of a machine on which everything is there."""
    device = tmp_path / "fuse"
    device.touch()
    monkeypatch.setattr(session, "DEVICE", device)
    monkeypatch.setattr(session.ctypes.util, "find_library", lambda name: "libfuse3.so.3")
    monkeypatch.setattr(mounts, "table", lambda text=None: [])
    folder = tmp_path / "mnt"
    folder.mkdir()
    return folder


@pytest.fixture
def user(monkeypatch):
    """As somebody who is not root."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(mounts.shutil, "which", lambda name: f"/usr/bin/{name}")


ME = MountOptions(1000, 1000)


def refused(point, options=ME):
    with pytest.raises(MountError) as error:
        prepare(point, options)
    return str(error.value)


def test_nothing_is_wrong(point):
    prepare(point, ME)


def test_no_device(point, monkeypatch, tmp_path):
    monkeypatch.setattr(session, "DEVICE", tmp_path / "nothing")
    assert "modprobe fuse" in refused(point)


def test_a_device_that_may_not_be_opened(point, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != session.DEVICE)
    assert "may not be opened by this user" in refused(point)


def test_no_library(point, monkeypatch):
    monkeypatch.setattr(session.ctypes.util, "find_library", lambda name: None)
    assert "apt install fuse3" in refused(point)


def test_no_helper_matters_to_users_only(point, monkeypatch, user):
    monkeypatch.setattr(mounts.shutil, "which", lambda name: None)
    assert "install the package fuse3" in refused(point)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    prepare(point, ME)


def test_allow_other_needs_the_administrators_consent(point, monkeypatch, user, tmp_path):
    conf = tmp_path / "fuse.conf"
    monkeypatch.setattr(session, "FUSE_CONF", conf)
    everybody = MountOptions(1000, 1000, allow_other=True)
    for text in (None, "", "# user_allow_other\n", "mount_max = 10\n"):
        if text is not None:
            conf.write_text(text)
        assert "user_allow_other in /etc/fuse.conf" in refused(point, everybody)
    prepare(point, ME)
    conf.write_text("mount_max = 10\n  user_allow_other  \n")
    prepare(point, everybody)
    conf.unlink()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    prepare(point, everybody)


def test_the_mount_point(point):
    (point / "mine").touch()
    assert "not empty (it holds mine)" in refused(point)
    assert f"mkdir {point}/nothing" in refused(point / "nothing")
    assert "not a folder" in refused(point / "mine")


def test_a_folder_that_swallows_nothing_is_a_good_mount_point(point, monkeypatch, user):
    def scandir(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "scandir", scandir)
    prepare(point, ME)


def test_another_error_of_the_mount_point_is_told(point, monkeypatch):
    def scandir(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "scandir", scandir)
    assert refused(point).endswith("mnt: Input/output error")


@pytest.fixture
def there(point, monkeypatch):
    """A mount of this program is at the point."""
    found = [mounts.Mount(point, "config", mounts.TYPE, 0, 51)]
    monkeypatch.setattr(mounts, "table", lambda text=None: found)
    monkeypatch.setattr(mounts, "unmount", lambda path, lazy=False: found.clear())
    return found


def test_a_live_mount_is_left_alone(point, there, monkeypatch):
    monkeypatch.setattr(mounts, "stale", lambda path: False)
    assert f"already mounted; pacifica-fs umount {point}" in refused(point)
    assert there


def test_a_dead_mount_is_taken_away(point, there, monkeypatch, caplog):
    monkeypatch.setattr(mounts, "stale", lambda path: True)
    with caplog.at_level(logging.WARNING):
        prepare(point, ME)
    assert not there and "is gone" in caplog.text


def test_options_for_the_library():
    given = session._options(MountOptions(1, 1, True, "a,b", ("nosuid", "x=1")))
    assert given == {
        "fsname": "a\\,b",
        "subtype": "pacifica-fs",
        "allow_other": True,
        "default_permissions": True,
        "nosuid": True,
        "x": "1",
    }
    assert "allow_other" not in session._options(ME) and "default_permissions" not in session._options(ME)


def child(text):
    return ["-c", f"import os, time\nfd = int(os.environ['{session.READY}'])\n{text}"]


def test_a_daemon_that_gets_ready():
    pid = spawn(child("os.write(fd, b'ready\\0'); os.close(fd); time.sleep(0.2)"))
    assert pid > 0
    with contextlib.suppress(ChildProcessError):  # another Popen of this process may have waited for it already
        os.waitpid(pid, 0)


def test_a_daemon_that_says_why_not():
    with pytest.raises(MountError, match=r"^/dev/fuse is missing$"):
        spawn(child("os.write(fd, '/dev/fuse is missing\\0'.encode())"))


@pytest.mark.parametrize("text", ["raise SystemExit(3)", "os.kill(os.getpid(), 9)"])
def test_a_daemon_that_just_ends(text):
    with pytest.raises(MountError, match="ended before it was ready; run it with -f"):
        spawn(child(text))


def test_a_daemon_that_never_gets_ready():
    begun = time.monotonic()
    with pytest.raises(MountError, match="not ready after"):
        spawn(child("time.sleep(60)"), patience=0.5)
    assert time.monotonic() - begun < 5


def test_who_waits_is_told_once(monkeypatch):
    reading, writing = os.pipe()
    monkeypatch.setenv(session.READY, str(writing))
    session.failed("no luck")
    session.failed("again")
    with open(reading, "rb") as stream:
        assert stream.read() == b"no luck\0"
    assert session.READY not in os.environ


@pytest.mark.parametrize("number", ["", "x", "987654"])
def test_nobody_waits(monkeypatch, number):
    monkeypatch.setenv(session.READY, number)
    session.failed("no luck")  # raises nothing
    assert session.READY not in os.environ
