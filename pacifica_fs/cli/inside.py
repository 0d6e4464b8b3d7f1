"""The files that a command means: everything below paths in a mount."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from ..errors import WaitTimeout
from . import find, limited
from .asking import CONTROL
from .codes import Exit, Failed
from .outside import MountPoint, Outside

STATE = "user.pacifica.state"
DIGEST = "user.pacifica.digest"
ELSEWHERE = ("drop", "status")
WORDS = {
    errno.EHOSTDOWN: "the archive is out of reach; pacifica-fs check says more",
    errno.ETIMEDOUT: "its bytes did not come in time; they are still waited for, so try again later",
    errno.ENOMEDIUM: "it is on tape; pacifica-fs recall brings it back",
    errno.EIO: "its bytes could not be had as the archive claims them; status/downloads.json says more",
    errno.ENOSPC: "there is no room for it, neither in the cache nor by evicting",
    errno.ESTALE: "it changed on the server since it was listed; try again",
    errno.EROFS: "it is no file of an archive",
    errno.ENOTCONN: "the mount's daemon is gone; mount it again",
}
"""What an errno of the mount means for a user, where the system's own words do not say it."""


class Item(msgspec.Struct, frozen=True):
    """One file below a path that a user gave. `below` is its path from there, with the path's own last name."""

    path: str
    below: str
    size: int
    mtime_ns: int


def roots(outside: Outside, paths: Sequence[str], listed: Path | None) -> list[str]:
    """What the user names, also in the file `listed` (`-`: standard input), one path a line.

    Failed where that is nothing, or is not in an archive of a mount that answers.
    """
    named = [*paths, *(_lines(listed) if listed is not None else ())]
    if not named:
        raise Failed("name at least one file or folder below a mount", Exit.USAGE)
    for path in named:
        mount = find.mount(outside, Path(path))
        assert mount is not None, "asked for with a path"
        _check(path, mount)
    return named


def _lines(listed: Path) -> Iterable[str]:
    text = sys.stdin.read() if str(listed) == "-" else listed.read_text(errors="surrogateescape")
    return [line for line in text.splitlines() if line]


def _check(path: str, mount: MountPoint) -> None:
    try:
        limited.call(lambda: os.stat(path).st_size, 60.0, f"the mount at {mount.path}")
    except WaitTimeout as error:
        raise Failed(str(error), Exit.NO_MOUNT) from error
    except OSError as error:
        code = Exit.NO_MOUNT if error.errno == errno.ENOTCONN else Exit.FAILED
        raise Failed(f"{path}: {said(error)}", code) from error
    first = find.real(path).relative_to(mount.path).parts[:1]
    if not first or first[0] in ELSEWHERE:
        raise Failed(f"{path}: not in an archive; name a file or folder below {mount.path}/ARCHIVE", Exit.USAGE)


def walk(root: str, failed: Callable[[str, OSError], None]) -> list[Item]:
    """All files at or below `root`, each folder in the order in which it is listed; links are left alone.

    As for cp, `root/.` is what is in the folder without its name.
    """
    look = os.stat(root)
    root = root.rstrip("/")
    name = os.path.basename(root)
    if not stat.S_ISDIR(look.st_mode):
        return [Item(root, name, look.st_size, look.st_mtime_ns)]
    found: list[Item] = []
    _below(root.removesuffix("/."), "" if name in (".", "..") else name, found, failed)
    return found


def _below(folder: str, below: str, found: list[Item], failed: Callable[[str, OSError], None]) -> None:
    try:
        with os.scandir(folder) as entries:
            listed = [(entry.name, entry.is_dir(follow_symlinks=False), entry.is_symlink()) for entry in entries]
    except OSError as error:
        failed(folder, error)
        return
    for name, is_folder, is_link in listed:
        path, inner = f"{folder}/{name}", f"{below}/{name}" if below else name
        if is_folder:
            _below(path, inner, found, failed)
        elif not is_link:
            try:
                look = os.stat(path)
            except OSError as error:
                failed(path, error)
            else:
                found.append(Item(path, inner, look.st_size, look.st_mtime_ns))


def state(path: str) -> str:
    """Where a file's content is; "" for what is no file of an archive (a document)."""
    try:
        return os.getxattr(path, STATE).decode()
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return ""
        raise


def digest(path: str) -> str:
    """What the archive claims to be the file's digest, `sha1:…`; "" if it claims none."""
    try:
        return os.getxattr(path, DIGEST).decode(errors="replace")
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return ""
        raise


def ask(path: str, do: str) -> None:
    """Have the daemon do something with one file; OSError."""
    os.setxattr(path, CONTROL, msgspec.json.encode({"do": do}))


def said(error: OSError) -> str:
    """An error of the mount in words."""
    return WORDS.get(error.errno or 0) or error.strerror or str(error)
