"""The folder of this process's partial files: its own while it lives, swept away by others once it is dead."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path

log = logging.getLogger(__name__)
_NEW = "new-"
_MAKING = 600.0  # real seconds after which a folder that is still being made was left by a crash


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks: with its number it names it for good. Empty off Linux."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


class Owner:
    """`partial/PID-START-…/`: a `lock` that is held as long as the process lives, and `reserved` for all to read.

    The lock, not the number, says who is alive: numbers are reused, and a cache may be shared between pid namespaces.
    """

    def __init__(self, partial: Path) -> None:
        """Make the folder below `partial`; others see it only once its lock is held."""
        pid = os.getpid()
        made = Path(tempfile.mkdtemp(prefix=_NEW, dir=partial))
        self._lock = os.open(made / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._reserved = os.open(made / "reserved", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.path = made.rename(partial / f"{pid}-{_started(pid)}-{made.name.removeprefix(_NEW)}")

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
        for folder in [one for one in self.path.parent.iterdir() if one != self.path and _dead(one)]:
            log.info("removing partial files of a process that is gone: %s", folder.name)
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove the folder and let go of its lock."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._reserved)
        os.close(self._lock)


def _dead(folder: Path) -> bool:
    try:
        if folder.name.startswith(_NEW) and time.time() - folder.stat().st_mtime < _MAKING:
            return False
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return True  # a folder is only seen with its lock in it
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True
