"""How the mount shows itself to the system, to other users, and while its daemon stands still."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from pacifica_fs.errors import WaitTimeout
from pacifica_fs.mount import mounts

from .harness import bounded
from .toy.content import pattern
from .toy.mounting import toy
from .toy.serve import KIND_SIZES

pytestmark = [pytest.mark.timeout(60)]
NOBODY = 65534


def as_nobody(mount, *command):
    """Exit code of a program of another user, started inside the mount (the way to it is the test's own)."""
    more = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": mount.path}
    return subprocess.run(command, capture_output=True, timeout=20, **more).returncode


def test_in_the_kernels_table(mounted):
    mount = toy(mounted, "--option", "noexec")
    found = mounts.at(mount.path)
    assert found is not None
    assert (found.type, found.source, found.uid) == ("fuse.pacifica-fs", "toy, a \\ fs", os.getuid())
    assert found.minor == os.minor(os.stat(mount.path).st_dev)
    assert os.statvfs(mount.path).f_flag & os.ST_NOEXEC
    assert not mounts.stale(mount.path)
    # By a way that goes through a link, too.
    (mount.folder / "link").symlink_to(mount.path)
    assert mounts.at(mount.folder / "link") == found


def test_the_library_is_not_the_users_to_choose(mounted):
    environment = {"FUSE_LIBRARY_PATH": "/nonexistent/libfuse.so.2", "FUSE_LIBRARY_NAME": "fuse"}
    mount = toy(mounted, environment=environment)
    assert (mount.path / "files/complete").read_bytes() == pattern(KIND_SIZES["complete"])


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_other_users(mounted):
    """Nobody else sees anything, unless the mount allows others; and then modes and owners count."""
    mount = toy(mounted)
    assert as_nobody(mount, "ls") and as_nobody(mount, "cat", "files/complete")
    mount.stop()
    mount = toy(mounted, "--allow-other")
    assert as_nobody(mount, "cat", "files/complete") == 0
    assert as_nobody(mount, "cat", "status/counts")  # 0600
    assert as_nobody(mount, "touch", "drop/file")  # the folder is 0755
    assert not os.listdir(mount.folder / "drop")


def test_a_second_mount_of_the_same_place_is_refused(mounted):
    mount = toy(mounted)
    command = [*mount.process._command]
    done = subprocess.run(command, capture_output=True, timeout=20, env=mount.environment, cwd=mount.folder)
    assert done.returncode == 3 and b"already mounted" in done.stderr
    assert bounded("the first", lambda: os.listdir(mount.path / "files"))


def stopped(pid):
    """Waits until every thread of the process stands still: the signal's sender is not told."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        while (task / "stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.01)


def test_a_daemon_that_stands_still_is_not_waited_for_for_ever(mounted):
    mount = toy(mounted)
    mount.process.signal(signal.SIGSTOP)
    bounded("it stands still", lambda: stopped(mount.process.pid))
    try:
        with pytest.raises(WaitTimeout):
            mounts.stale(mount.path, 0.5)
    finally:
        mount.process.signal(signal.SIGCONT)
    assert bounded("it goes on", lambda: mounts.stale(mount.path)) is False
