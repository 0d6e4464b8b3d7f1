"""Which mounts of this program there are, whether they answer, and how to be rid of one."""

from __future__ import annotations

import ctypes
import enum
import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from ..errors import PacificaFSError

SUBTYPE = "pacifica-fs"
TYPE = f"fuse.{SUBTYPE}"

_MOUNTINFO = Path("/proc/self/mountinfo")
_CONNECTIONS = Path("/sys/fs/fuse/connections")
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8


class MountError(PacificaFSError):
    """Mounting or unmounting is not possible; the message has the remedy."""

    errno = errno.EINVAL


class Answer(enum.Enum):
    """What a mount point says: `ALIVE`, `DEAD` (its daemon is gone), `SILENT` (no answer within the limit)."""

    ALIVE = "alive"
    DEAD = "dead"
    SILENT = "silent"


class Mount(msgspec.Struct, frozen=True):
    """One line of /proc/self/mountinfo. `uid` is who mounted it (FUSE only), `minor` names the FUSE connection."""

    point: Path
    type: str
    source: str
    uid: int | None
    minor: int


def read_mountinfo(text: str) -> list[Mount]:
    """All mounts of a mountinfo file (proc(5)), the topmost of one point last."""
    mounts = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, rest = left.split(" "), right.split(" ")
        uid = re.search(r"(?:^|,)user_id=(\d+)", rest[2] if len(rest) > 2 else "")
        mounts.append(
            Mount(
                point=Path(_unescape(fields[4])),
                type=rest[0],
                source=_unescape(rest[1]),
                uid=int(uid[1]) if uid else None,
                minor=int(fields[2].partition(":")[2]),
            )
        )
    return mounts


def _unescape(text: str) -> str:
    raw = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), os.fsencode(text))
    return os.fsdecode(raw)


def all_mounts() -> list[Mount]:
    """All mounts that this process sees."""
    return read_mountinfo(_MOUNTINFO.read_text("utf-8", "surrogateescape"))


def mounts_of(uid: int) -> list[Mount]:
    """The pacifica-fs mounts that the user `uid` made, in the order of mounting."""
    return [mount for mount in all_mounts() if mount.type == TYPE and mount.uid == uid]


def topmost(point: Path) -> Mount | None:
    """The mount that one sees at `point`, or None. Does not touch the point itself."""
    real = where(point)
    return next((mount for mount in reversed(all_mounts()) if mount.point == real), None)


def where(point: Path) -> Path:
    """`point` as the kernel names it, without a system call on a point that may be dead."""
    point = Path(os.path.abspath(point))
    return Path(os.path.realpath(point.parent)) / point.name if point.name else point


def probe(point: Path, limit: float = 2.0) -> Answer:
    """Whether a mount answers within `limit` seconds. A process asks, because the question itself may hang for ever.

    statvfs and not stat: the kernel answers stat from memory for a second after the daemon died.
    """
    ask = "import os, sys\ntry: os.statvfs(sys.argv[1])\nexcept OSError as error: sys.exit(error.errno)"
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", ask, str(point)], stderr=subprocess.DEVNULL)
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        process.kill()
        return Answer.SILENT
    return Answer.DEAD if code in (errno.ENOTCONN, errno.ECONNABORTED) else Answer.ALIVE


def unmount(point: Path, lazy: bool = False) -> None:
    """Unmount; `lazy` also while it is in use, or dead. Raises MountError.

    Root does it by umount2(2), everybody else by fusermount3.
    """
    real = where(point)
    if os.geteuid() == 0:
        code = _umount2(real, _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazy else 0))
        if code == 0:
            return
        if code != errno.EPERM:
            raise MountError(_why_not(point, os.strerror(code), busy=code == errno.EBUSY))
    command = shutil.which("fusermount3") or shutil.which("fusermount")
    if command is None:
        raise MountError("fusermount3 is missing: install the package fuse3")
    process = subprocess.run(
        [command, "-u", *(["-z"] if lazy else []), "--", str(real)], capture_output=True, text=True, timeout=20
    )
    if process.returncode:
        raise MountError(_why_not(point, process.stderr.strip(), busy="busy" in process.stderr))


def _why_not(point: Path, why: str, busy: bool) -> str:
    remedy = "; close what uses it (`fuser -m` names it), or unmount it lazily" if busy else ""
    return f"cannot unmount {point}: {why}{remedy}"


def _umount2(point: Path, flags: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    return 0 if libc.umount2(os.fsencode(point), flags) == 0 else ctypes.get_errno()


def abort(minor: int) -> bool:
    """Cut the FUSE connection `minor`: everything that waits for it gets an error. True if that was possible.

    Needs fusectl, mounted by most systems; the connection's owner may do it.
    """
    try:
        (_CONNECTIONS / str(minor) / "abort").write_text("1")
    except OSError:
        return False
    return True
