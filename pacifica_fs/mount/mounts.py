"""What is mounted: this program's mounts as the kernel lists them, dead ones recognised without hanging on them."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ..errors import Denied, Invalid, PacificaFSError, WaitTimeout

TYPE = "fuse.pacifica-fs"
MOUNTINFO = Path("/proc/self/mountinfo")
CONNECTIONS = Path("/sys/fs/fuse/connections")
MNT_FORCE, MNT_DETACH = 1, 2
PATIENCE = 3.0
_ESCAPED = re.compile(r"\\([0-7]{3})")


class Mount(msgspec.Struct, frozen=True):
    """One line of the kernel's table. `minor` numbers the connection in /sys/fs/fuse/connections."""

    path: Path
    source: str
    type: str
    uid: int
    minor: int


def table(text: str | None = None) -> list[Mount]:
    """All FUSE mounts of this program, in the order of mounting."""
    return [mount for mount in everything(text) if mount.type == TYPE]


def everything(text: str | None = None) -> list[Mount]:
    """All mounts, whatever their type, in the order of mounting."""
    text = MOUNTINFO.read_text(errors="surrogateescape") if text is None else text
    found = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, (kind, source, options) = left.split(" "), right.split(" ", 2)
        uid = re.search(r"user_id=(\d+)", options)
        minor = int(fields[2].split(":")[1])
        found.append(Mount(Path(_plain(fields[4])), _plain(source), kind, int(uid[1]) if uid else -1, minor))
    return found


def mine() -> list[Mount]:
    """The mounts of this user."""
    return [mount for mount in table() if mount.uid == os.getuid()]


def at(path: Path) -> Mount | None:
    """The topmost mount of this program exactly at `path`; None if there is none."""
    return _topmost(path, table())


def automounted(path: Path) -> bool:
    """True if the kernel itself mounts something at `path` when it is used (systemd's `x-systemd.automount`)."""
    mount = _topmost(path, everything())
    return mount is not None and mount.type == "autofs"


def _topmost(path: Path, mounts: Sequence[Mount]) -> Mount | None:
    """Asks the table first: nothing may be asked of a mount point that hangs, not even whether it is a link."""
    path = Path(os.path.abspath(path))
    points = {mount.path: mount for mount in mounts}
    real = Path(os.path.realpath(path.parent)) / path.name
    return points.get(real) or points.get(Path(os.path.realpath(real)))


def stale(path: Path, patience: float = PATIENCE) -> bool:
    """True if the daemon behind the mount point is gone. WaitTimeout if it does not answer, though it lives."""
    answer: list[int] = []

    def ask() -> None:
        try:
            os.statvfs(path)  # what `stat` says the kernel may still remember of a daemon that is gone
            answer.append(0)
        except OSError as error:
            answer.append(error.errno or errno.EIO)

    # A mount that hangs would hang whoever asks: only this thread, which nobody waits for any longer.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(patience)
    if not answer:
        raise WaitTimeout(f"{path}: the daemon behind this mount does not answer; pacifica-fs umount --lazy {path}")
    return answer[0] in (errno.ENOTCONN, errno.ECONNABORTED)


def unmount(path: Path, lazy: bool = False, force: bool = False) -> None:
    """Unmount; `lazy` also with files open; `force` (root only) cuts the connection as `abort` does, too.

    PacificaFSError says why not.
    """
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.umount2(os.fsencode(path), MNT_DETACH * lazy | MNT_FORCE * force) == 0:
            return
        code = ctypes.get_errno()
        if code == errno.EBUSY:
            raise PacificaFSError(f"{path}: in use; close what uses it, or use --lazy")
        if code == errno.EINVAL:
            raise Invalid(f"{path}: not a mount point")
        raise Denied(f"{path}: {os.strerror(code)}")
    done = subprocess.run(
        [helper(), "-u", *(["-z"] if lazy else []), "--", str(path)], capture_output=True, text=True, timeout=30
    )
    if done.returncode:
        raise PacificaFSError(f"{path}: {done.stderr.strip() or 'cannot be unmounted'}")


def helper() -> str:
    """The program with which a user mounts and unmounts; PacificaFSError with the remedy if it is missing."""
    found = shutil.which("fusermount3")
    if found is None:
        raise PacificaFSError("fusermount3 is missing; install the package fuse3")
    return found


def abort(minor: int) -> bool:
    """Cut one connection, the last resort: every request in it ends with an error. False if that is not possible."""
    try:
        (CONNECTIONS / str(minor) / "abort").write_text("1")
    except OSError:
        return False
    return True


def waiting(minor: int) -> int | None:
    """How many requests of one connection are unanswered; None if unknown."""
    try:
        return int((CONNECTIONS / str(minor) / "waiting").read_text())
    except (OSError, ValueError):
        return None


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)
