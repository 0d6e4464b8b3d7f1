"""The kernel's table of mounts, and what is done about them."""

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from pacifica_fs.errors import Invalid, PacificaFSError, WaitTimeout
from pacifica_fs.mount import mounts

TABLE = """\
22 27 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
60 27 0:51 / /mnt/pacifica rw,nosuid,nodev,relatime shared:30 - fuse.pacifica-fs /etc/site.toml rw,user_id=0,group_id=0
61 27 0:52 / /home/a\\040b/x\\134y rw,relatime - fuse.pacifica-fs my\\040site rw,user_id=1000,group_id=1000
62 27 0:53 / /mnt/sshfs rw,relatime - fuse.sshfs host: rw,user_id=1000,group_id=1000
63 60 0:54 / /mnt/pacifica rw shared:1 master:2 - fuse.pacifica-fs over rw
"""


def test_the_table():
    found = mounts.table(TABLE)
    assert found == [
        mounts.Mount(Path("/mnt/pacifica"), "/etc/site.toml", mounts.TYPE, 0, 51),
        mounts.Mount(Path("/home/a b/x\\y"), "my site", mounts.TYPE, 1000, 52),
        mounts.Mount(Path("/mnt/pacifica"), "over", mounts.TYPE, -1, 54),
    ]
    assert mounts.table("") == []


def test_the_real_table_can_be_read():
    assert isinstance(mounts.table(), list)


def test_the_topmost_mount_and_mine(monkeypatch, tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    monkeypatch.setattr(mounts, "MOUNTINFO", table)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    topmost = mounts.at(Path("/mnt/pacifica"))
    assert topmost is not None and topmost.minor == 54
    assert mounts.at(Path("/mnt/sshfs")) is None
    assert [mount.minor for mount in mounts.mine()] == [52]


@pytest.mark.parametrize(
    ("code", "stale"),
    [(errno.ENOTCONN, True), (errno.ECONNABORTED, True), (errno.EACCES, False), (errno.EIO, False), (0, False)],
)
def test_a_mount_is_stale_when_its_daemon_is_gone(monkeypatch, code, stale):
    def ask(path):
        if code:
            raise OSError(code, "toy")

    monkeypatch.setattr(os, "statvfs", ask)
    # What the kernel remembers of attributes must not be taken for a sign of life.
    monkeypatch.setattr(os, "stat", lambda *a, **k: pytest.fail("stat may be answered from memory"))
    assert mounts.stale(Path("/somewhere")) is stale


def test_a_daemon_that_hangs_is_not_waited_for(monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(os, "statvfs", lambda path: over.wait(20))
    begun = time.monotonic()
    with pytest.raises(WaitTimeout, match="--lazy"):
        mounts.stale(Path("/somewhere"), patience=0.1)
    assert time.monotonic() - begun < 5
    over.set()


@pytest.mark.skipif(os.geteuid() != 0, reason="root unmounts by itself")
def test_unmounting_what_is_not_mounted(tmp_path):
    with pytest.raises(Invalid, match="not a mount point"):
        mounts.unmount(tmp_path)
    with pytest.raises(PacificaFSError, match="No such file"):
        mounts.unmount(tmp_path / "nothing")


def test_a_user_needs_the_helper(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(mounts.shutil, "which", lambda name: None)
    with pytest.raises(PacificaFSError, match="install the package fuse3"):
        mounts.unmount(tmp_path)


def test_connections(monkeypatch, tmp_path):
    monkeypatch.setattr(mounts, "CONNECTIONS", tmp_path)
    (tmp_path / "51").mkdir()
    (tmp_path / "51/waiting").write_text("3\n")
    assert mounts.waiting(51) == 3 and mounts.waiting(52) is None
    assert mounts.abort(51) and (tmp_path / "51/abort").read_text() == "1"
    assert not mounts.abort(52)
