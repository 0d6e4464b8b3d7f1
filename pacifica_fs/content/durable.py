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

from .files import BlobFile

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
        self._marks = bool(boot) and _new_files_keep(UNSYNCED)
        self._lock = threading.Lock()
        self._unsynced: list[str] = []

    def mark(self, size: int) -> int:
        """The permission bits to create a file with that will have `size` bytes: most need no other call for it."""
        return UNSYNCED if self._marks and size <= SMALL else 0

    def sync(self, file: BlobFile, size: int) -> bool:
        """Before a file gets its name: have it on disk, or mark it; True if it is marked: tell `placed` its path."""
        small = size <= SMALL and bool(self._boot)
        if not small:
            os.fdatasync(file.fd)
        if file.marked != small:
            os.fchmod(file.fd, 0o600 | (UNSYNCED if small else 0))
        return small

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


def _new_files_keep(bits: int) -> bool:
    """Whether this process creates files with those permissions if it wants to."""
    try:
        umask = Path("/proc/self/status").read_text().partition("Umask:")[2].split()[0]
        return not int(umask, 8) & bits
    except (OSError, IndexError, ValueError):
        return False


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
