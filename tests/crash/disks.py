"""Disks that die, forget or fail at their k-th effect."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from pathlib import Path

from pacifica_fs.drop.disk import Disk

EFFECTS = (
    "open",
    "write",
    "truncate",
    "fsync",
    "chmod",
    "utime",
    "rename",
    "unlink",
    "mkdir",
    "rmdir",
    "send",
    "adopt",
)


class CountingDisk(Disk):
    """Numbers all effects; `before(k)` may stop the k-th. It is called in the thread that asks for the effect."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.lock = threading.Lock()

    def before(self, k: int) -> None:
        """All is well."""

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name not in EFFECTS:
            return found

        def effect(*args, **kwargs):
            with self.lock:
                self.count += 1
                k = self.count
            self.before(k)
            return found(*args, **kwargs)

        return effect


class MortalDisk(CountingDisk):
    """Does `lives` effects, and none after; all that was done is still there."""

    def __init__(self, lives: int) -> None:
        super().__init__()
        self.lives = lives
        self.dead = threading.Event()

    def before(self, k: int) -> None:
        if k > self.lives:
            self.dead.set()
            raise OSError(errno.EIO, "the machine is off")

    def kill(self) -> None:
        """No effect from here on."""
        with self.lock:
            self.lives = 0


class FailingDisk(CountingDisk):
    """The k-th effect fails with `code`, all others work; with `until` k-th to `until`-th fail."""

    def __init__(self, k: int, code: int) -> None:
        super().__init__()
        self.k, self.code = k, code

    def before(self, k: int) -> None:
        if k == self.k:
            raise OSError(self.code, os.strerror(self.code))


class PowerCutDisk(MortalDisk):
    """A disk that keeps, of what it was told, only what was synced: names by the sync of their directory, bytes, size,
    mode and time of a file by its own. It is the least that POSIX lets a file system keep.

    Every inode that it saw is held open, so that no number is used twice. `survivors` writes what is left.
    """

    def __init__(self, lives: int, root: Path) -> None:
        super().__init__(lives)
        root.mkdir(parents=True, exist_ok=True)
        self._root = root.stat().st_ino
        self._names: dict[int, dict[str, tuple[int, bool]]] = {}
        self._files: dict[int, tuple[bytes, int, int]] = {}
        self._held: list[int] = []

    def open(self, path, flags, mode=0o600):
        new = not os.path.lexists(path)
        fd = super().open(path, flags, mode)
        if new:
            state = os.fstat(fd)
            self._files[state.st_ino] = b"", state.st_mode, state.st_mtime_ns
            self._held.append(os.dup(fd))
        return fd

    def mkdir(self, path, mode=0o700):
        super().mkdir(path, mode)
        self._held.append(os.open(path, os.O_RDONLY))

    def fsync(self, fd):
        state = os.fstat(fd)
        here = f"/proc/self/fd/{fd}"
        if os.path.isdir(here):
            with os.scandir(here) as entries:
                self._names[state.st_ino] = {e.name: (e.inode(), e.is_dir(follow_symlinks=False)) for e in entries}
        else:
            self._files[state.st_ino] = Path(here).read_bytes(), state.st_mode, state.st_mtime_ns

    def survivors(self, folder: Path) -> None:
        """What a machine finds in the root when it is switched on again, as the new folder `folder`."""
        self._restore(self._root, folder)
        while self._held:
            os.close(self._held.pop())

    def _restore(self, ino: int, folder: Path) -> None:
        folder.mkdir()
        for name, (child, directory) in self._names.get(ino, {}).items():
            path = folder / name
            if directory:
                self._restore(child, path)
                continue
            data, mode, mtime = self._files.get(child, (b"", 0o600, 0))
            with contextlib.suppress(FileExistsError):
                path.write_bytes(data)
                path.chmod(mode & 0o7777)
                os.utime(path, ns=(mtime, mtime))
