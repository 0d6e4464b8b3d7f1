"""Files that come into the drop without being written twice: by shared blocks, or by a hard link where that is safe.

Shared blocks (reflink) are always safe. A hard link is one file with two names, so it is only made of a file that
nobody may write and nobody has open for writing; should its content change all the same, its digest tells when it is
sent. A file that was linked in is copied before anything in the drop changes it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from ..errors import Denied, Invalid, Unsupported
from .bundle import MARK, SpoolBundle
from .complete import COMMIT
from .disk import translating
from .paths import make_parents, safe
from .room import Room

_CANNOT = frozenset({errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM})
_SUFFIX = ".unshare~"


@translating
def take(bundle: SpoolBundle, room: Room | None, source: str, path: str) -> None:
    """Make `path` of `bundle` the file `source`, durably, without copying it.

    Unsupported where it would have to be copied; Exists, NoSpace, Denied, NotFound; Invalid for what is no file.
    """
    for part in path.split("/"):
        safe(part)
    if not os.path.isabs(source) or path == COMMIT:
        raise Invalid("an absolute path of a file is needed, and a name in the bundle")
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            raise Invalid(f"{source} is not a file")
        with bundle.lock:
            bundle.change(path)
            make_parents(bundle, path)
            if room is not None:
                room.take(state.st_size, 0)
            try:
                if not _clone(bundle, fd, state, path):
                    _link(bundle, fd, state, source, path)
            except BaseException:
                if room is not None:
                    room.take(-state.st_size, 0)
                raise
            bundle.sync_names(path)
    finally:
        os.close(fd)
    bundle.closed(path)


def _clone(bundle: SpoolBundle, source: int, state: os.stat_result, path: str) -> bool:
    disk, real = bundle.disk, bundle.real(path)
    mode = (state.st_mode & 0o777) | 0o600
    fd = disk.open(real, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode | MARK)
    try:
        disk.clone(fd, source)
        disk.fsync(fd)
        disk.utime(real, state.st_mtime_ns)
        disk.chmod(fd, mode)
    except OSError as error:
        disk.unlink(real)
        if error.errno in _CANNOT:
            return False
        raise
    finally:
        os.close(fd)
    return True


def _link(bundle: SpoolBundle, fd: int, state: os.stat_result, source: str, path: str) -> None:
    if state.st_mode & 0o222 or state.st_mode & MARK:
        raise Unsupported(f"{source} may be written, so it is copied")
    try:
        # A read lease is only given where nobody has the file open for writing.
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        raise Unsupported(f"{source} is in use: {error.strerror}") from error
    try:
        bundle.disk.link(source, bundle.real(path))
    except OSError as error:
        if error.errno in _CANNOT:
            raise Unsupported(f"{source} cannot be linked: {error.strerror}") from error
        raise
    finally:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    if os.lstat(bundle.real(path)).st_ino != state.st_ino:
        bundle.disk.unlink(bundle.real(path))
        raise Denied(f"{source} was replaced meanwhile")


def unshare(bundle: SpoolBundle, path: str, room: Room) -> os.stat_result:
    """Before `path` is changed: make it a file of its own. Its state then; the bundle's lock is held."""
    real = bundle.real(path)
    state = os.lstat(real)
    if state.st_nlink < 2 or not stat.S_ISREG(state.st_mode):
        return state
    room.take(0, state.st_size)
    disk = bundle.disk
    try:
        disk.unlink(real + _SUFFIX)
    except FileNotFoundError:
        pass
    disk.copy(real, real + _SUFFIX, (state.st_mode & 0o777) | 0o600)
    fd = disk.open(real + _SUFFIX, os.O_WRONLY)
    try:
        disk.fsync(fd)
    finally:
        os.close(fd)
    disk.utime(real + _SUFFIX, state.st_mtime_ns)
    disk.rename(real + _SUFFIX, real)
    bundle.digests.pop(state.st_ino, None)
    return os.lstat(real)
