"""Symbolic links, where `[drop] symlinks = "follow"` takes them: what they lead to is archived in their place.

A link is kept in the spool as a link until its bundle is sealed; then each that leads to a file becomes a copy of that
file (shared blocks where the disk can). The rest is left out, and said.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from ..errors import NoSpace
from .bundle import SpoolBundle
from .complete import plain
from .journal import LeftOut
from .room import Room
from .spool import walk

_SUFFIX = ".follow~"  # a temporary name: should it ever stay behind, it holds the bundle instead of being sent


def resolve_links(bundle: SpoolBundle, room: Room, go_on: Callable[[], bool]) -> list[LeftOut]:
    """Put files in the place of the links of a sealed bundle; what cannot be followed, and why."""
    left: list[LeftOut] = []
    for path, state in list(walk(bundle.files)):
        if stat.S_ISLNK(state.st_mode) and go_on():
            why = _follow(bundle, path, room)
            if why:
                left.append(LeftOut(plain(path), why))
    return left


def _follow(bundle: SpoolBundle, path: str, room: Room) -> str:
    real = bundle.real(path)
    target = os.readlink(real)
    shown = f"a link to {plain(target)}, which"
    if not os.path.isabs(target) and not os.path.realpath(real).startswith(os.path.realpath(bundle.files) + "/"):
        return f"{shown} leads out of the folder"
    try:
        state = os.stat(real)
        if not stat.S_ISREG(state.st_mode):
            return f"{shown} is not a file"
        room.take(state.st_size)
        try:
            _copy(bundle, real, state)
        except BaseException:
            room.take(-state.st_size)
            raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return f"{shown} cannot be read: {error.strerror}"
    except NoSpace as error:
        return f"{shown} does not fit into the spool: {error}"
    return ""


def _copy(bundle: SpoolBundle, real: str, state: os.stat_result) -> None:
    disk = bundle.disk
    try:
        disk.unlink(real + _SUFFIX)
    except FileNotFoundError:
        pass
    disk.copy(os.path.realpath(real), real + _SUFFIX, (state.st_mode & 0o777) | 0o600)
    fd = disk.open(real + _SUFFIX, os.O_WRONLY)
    try:
        disk.fsync(fd)
    finally:
        os.close(fd)
    disk.utime(real + _SUFFIX, state.st_mtime_ns)
    disk.rename(real + _SUFFIX, real)
    disk.sync_directory(os.path.dirname(real))
