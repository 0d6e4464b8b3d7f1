"""Many small files reach the disk together: a sync for each costs as much as fetching it.

A blob that was not synced has the mark UNSYNCED, a permission bit that means nothing else here. The mark goes once the
disk has it. Should the machine stop before that, the next start removes what has the mark: it may hold anything.
"""

from __future__ import annotations

import ctypes
import logging
import os
import stat
import threading
from pathlib import Path

log = logging.getLogger(__name__)
SMALL = 2**20  # bytes; a larger file is synced by itself
UNSYNCED = stat.S_IXUSR
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Which start of this machine it is; "" where that cannot be told."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


class Durable:
    """Syncs the blobs of one store. Threading: any thread; nothing waits for `settle` but who calls it."""

    def __init__(self, root: Path, boot: str) -> None:
        """`boot`: see `boot_id`; without it every file is synced by itself."""
        self._root = root
        self._note = root / "boot"
        self._boot = boot
        self._lock = threading.Lock()
        self._unsynced: list[str] = []

    def sync(self, fd: int, size: int) -> bool:
        """Before a file gets its name: have it on disk, or mark it; True if it is marked: tell `placed` its path."""
        if size > SMALL or not self._boot:
            os.fdatasync(fd)
            return False
        os.fchmod(fd, 0o600 | UNSYNCED)
        return True

    def placed(self, path: str) -> None:
        """A marked file has its name."""
        with self._lock:
            self._unsynced.append(path)

    def settle(self) -> None:
        """Have all marked files on disk, and take their marks off. May take long; OSError."""
        with self._lock:
            paths, self._unsynced = self._unsynced, []
        if not paths:
            return
        _syncfs(self._root)
        for path in paths:
            try:
                os.chmod(path, 0o600)
            except FileNotFoundError:
                continue  # evicted

    def recover(self, complete: Path) -> None:
        """Remove what may not have reached the disk when this machine stopped. To be called before anything is read."""
        if not self._boot:
            return
        try:
            known = self._note.read_text()
        except FileNotFoundError:
            known = ""
        if known == self._boot:
            return
        gone = 0
        if known:
            for path in complete.glob("*/*"):
                if path.lstat().st_mode & UNSYNCED:
                    path.unlink()
                    gone += 1
        if gone:
            log.info("%d files of the cache had not reached the disk when this machine stopped; they are removed", gone)
        aside = self._note.with_suffix(".new")
        aside.write_text(self._boot)
        aside.rename(self._note)


def _syncfs(folder: Path) -> None:
    """Everything of the disk that `folder` is on."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if call is None:
            os.sync()
        elif call(fd) != 0:
            raise OSError(ctypes.get_errno(), f"syncfs: {os.strerror(ctypes.get_errno())}", str(folder))
    finally:
        os.close(fd)
