"""The folder of this process's partial files: its own while it lives, swept away by others once it is dead."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from pathlib import Path

from .files import locked

log = logging.getLogger(__name__)


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks: with its number it names it for good. Empty off Linux."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


class Owner:
    """`partial/<pid>-<start>-…/` with a `lock` that is held as long as the process lives, and `reserved` for all to read.

    The lock, not the number, says who is alive: numbers are reused, and a cache may be shared between pid namespaces.
    """

    def __init__(self, partial: Path, lock: Path) -> None:
        """Make the folder below `partial`; `lock` is the store's lock between processes."""
        pid = os.getpid()
        with locked(lock):
            self.path = Path(tempfile.mkdtemp(prefix=f"{pid}-{_started(pid)}-", dir=partial))
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._reserved = os.open(self.path / "reserved", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._root_lock = lock

    def reserve(self, size: int) -> None:
        """Tell the other processes how many bytes this one's partial files may take."""
        os.pwrite(self._reserved, b"%020d" % size, 0)

    def others(self) -> int:
        """Bytes that the partial files of other living processes may take."""
        total = 0
        for folder in self.path.parent.iterdir():
            if folder != self.path:
                try:
                    total += int((folder / "reserved").read_bytes() or b"0")
                except (OSError, ValueError):
                    continue  # a folder that is just made, or just swept away
        return total

    def sweep(self) -> None:
        """Remove what dead processes left. May take long; call it from a thread of its own."""
        with locked(self._root_lock):
            dead = [folder for folder in self.path.parent.iterdir() if folder != self.path and _dead(folder)]
        for folder in dead:
            log.info("removing partial files of a process that is gone: %s", folder.name)
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove the folder and let go of its lock."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._reserved)
        os.close(self._lock)


def _dead(folder: Path) -> bool:
    try:
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return True  # folders are made under the root's lock, which is held now
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True
