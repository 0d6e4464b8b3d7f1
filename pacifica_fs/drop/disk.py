"""Everything that the spool does to the world, as one object that is passed in.

Tests put another in its place that records, fails or stops at the k-th effect. Reading (stat, listings, bytes) is not
an effect and is done directly. Descriptors and paths are those of the operating system.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from .. import errors
from ..archive import Inbox
from ..model import Bundle, FileRef, Ticket
from .together import Together

P = ParamSpec("P")
R = TypeVar("R")

_FICLONE = 0x40049409
_WRITE = 2  # SYNC_FILE_RANGE_WRITE
_HASHING = 2
"""Threads that hash what was written."""
_ERRORS: dict[int, type[errors.PacificaFSError]] = {
    errno.ENOENT: errors.NotFound,
    errno.EEXIST: errors.Exists,
    errno.ENOTEMPTY: errors.NotEmpty,
    errno.EISDIR: errors.IsADirectory,
    errno.ENOTDIR: errors.NotADirectory,
    errno.ENAMETOOLONG: errors.NameTooLong,
    errno.ENOSPC: errors.NoSpace,
    errno.EDQUOT: errors.NoSpace,
    errno.EFBIG: errors.NoSpace,
    errno.EACCES: errors.Denied,
    errno.EPERM: errors.NotPermitted,
    errno.EROFS: errors.ReadOnly,
    errno.EINVAL: errors.Invalid,
}


def translated(error: OSError) -> errors.PacificaFSError:
    """The error of `pacifica_fs.errors` that means the same; EIO for what has none."""
    kind = _ERRORS.get(error.errno or 0, errors.PacificaFSError)
    return kind(f"the spool: {error.strerror or error}")


def translating(function: Callable[P, R]) -> Callable[P, R]:
    """`function` with its OSErrors as errors of `pacifica_fs.errors`."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except OSError as error:
            raise translated(error) from error

    return call


class Disk:
    """The real disk. Every method may be called from any thread and raises OSError."""

    def __init__(self) -> None:
        self.together = Together()
        self.behind = Together(_HASHING, modest=True)
        self._sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)  # glibc's and musl's

    def close(self) -> None:
        """End the threads of `together` and `behind`."""
        self.together.close()
        self.behind.close()

    def open(self, path: str, flags: int, mode: int = 0o600) -> int:
        """A descriptor; never through a symbolic link."""
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode)

    def write(self, fd: int, data: memoryview | bytes, offset: int) -> None:
        """All of `data` at `offset`."""
        view = memoryview(data)
        while view:
            count = os.pwrite(fd, view, offset)
            view, offset = view[count:], offset + count

    def truncate(self, fd: int, size: int) -> None:
        """Set the size."""
        os.ftruncate(fd, size)

    def fsync(self, fd: int) -> None:
        """Data and attributes are durable when it returns."""
        os.fsync(fd)

    def begin_writing(self, fd: int, offset: int, size: int) -> None:
        """Have the kernel begin to write these bytes to the disk; nothing is promised by that."""
        if self._sync_file_range is not None:
            long = ctypes.c_int64
            self._sync_file_range(ctypes.c_int(fd), long(offset), long(size), ctypes.c_uint(_WRITE))

    def sync_directory(self, path: str) -> None:
        """The names in `path` are durable when it returns."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.fsync(fd)
        finally:
            os.close(fd)

    def chmod(self, target: int | str, mode: int) -> None:
        """Mode bits of a descriptor or a path."""
        os.chmod(target, mode)

    def utime(self, path: str, mtime_ns: int) -> None:
        """The modification time."""
        os.utime(path, ns=(mtime_ns, mtime_ns), follow_symlinks=False)

    def rename(self, old: str, new: str) -> None:
        """Atomic; replaces a file of the new name."""
        os.rename(old, new)

    def unlink(self, path: str) -> None:
        """Remove a name."""
        os.unlink(path)

    def mkdir(self, path: str, mode: int = 0o700) -> None:
        """Make a directory."""
        os.mkdir(path, mode)

    def symlink(self, target: str, path: str) -> None:
        """Make a symbolic link."""
        os.symlink(target, path)

    def link(self, source: str, path: str) -> None:
        """Another name for the file `source`."""
        os.link(source, path, follow_symlinks=False)

    def clone(self, fd: int, source: int) -> None:
        """Give the file `fd` the content of the file `source`, with shared blocks; OSError where the disk cannot."""
        fcntl.ioctl(fd, _FICLONE, source)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        os.rmdir(path)

    def send(self, inbox: Inbox, bundle: Bundle, sent: Callable[[int], None], last: Callable[[], None]) -> Ticket:
        """An upload is an effect, too."""
        return inbox.send(bundle, sent, last)

    def adopt(self, adopt: Callable[[FileRef, Path], bool], ref: FileRef, path: Path) -> bool:
        """Hand a file over to the content store."""
        return adopt(ref, path)

    # Made of the above.

    def replace(self, path: str, data: bytes) -> None:
        """Put `data` in the place of `path`, durably and atomically."""
        new = f"{path}.new"
        fd = self.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            self.write(fd, data, 0)
            self.fsync(fd)
        finally:
            os.close(fd)
        self.rename(new, path)
        self.sync_directory(os.path.dirname(path))

    def copy(self, source: str, target: str, mode: int) -> None:
        """Make `target`, which must not exist, with the bytes of `source`, sharing blocks if possible."""
        fd = self.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with open(source, "rb") as stream:
                try:
                    self.clone(fd, stream.fileno())
                    return
                except OSError:
                    pass
                offset = 0
                while data := stream.read(1 << 20):
                    self.write(fd, data, offset)
                    offset += len(data)
        finally:
            os.close(fd)

    def remove_tree(self, path: str) -> None:
        """Remove a directory and what is in it; one that is not there is fine."""
        try:
            entries = list(os.scandir(path))
        except FileNotFoundError:
            return
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                self.remove_tree(entry.path)
            else:
                self.unlink(entry.path)
        self.rmdir(path)
