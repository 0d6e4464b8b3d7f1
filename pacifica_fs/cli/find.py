"""Which mount a command means."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import WaitTimeout
from . import limited
from .codes import Exit, Failed
from .outside import MountPoint, Outside


def real(path: str | Path) -> Path:
    """`path` as an absolute path without links; one that leads into a dead mount stays as it is written."""
    absolute = os.path.abspath(os.path.expanduser(path))
    try:
        return Path(limited.call(lambda: os.path.realpath(absolute), 2))
    except (WaitTimeout, OSError):
        return Path(absolute)


def mount(outside: Outside, wanted: Path | None, file: Path | None = None) -> MountPoint | None:
    """The mount at or above `wanted`; without it the only one, or the one that the command was started in.

    `file` is a configuration: then only mounts of it are meant.

    None where there is no mount at all and none was asked for. Raises Failed with the choice if there are several.
    """
    everyones = {each.path: each for each in outside.mounts()}
    source = None if file is None else os.path.abspath(file.expanduser())
    known = {path: each for path, each in everyones.items() if each.mine and source in (None, each.source)}
    if wanted is not None:
        inside = _innermost(everyones, real(wanted))
        if inside is None:
            raise Failed(f"{wanted}: no pacifica-fs is mounted here{_list(list(everyones.values()))}", Exit.NO_MOUNT)
        return inside
    if len(known) < 2:
        return next(iter(known.values()), None)
    inside = _innermost(known, Path(outside.environ.get("PWD") or os.getcwd()))
    if inside is None:
        raise Failed(f"there are several mounts; say which with -m DIR{_list(list(known.values()))}", Exit.USAGE)
    return inside


def _innermost(known: Mapping[Path, MountPoint], path: Path) -> MountPoint | None:
    return next((known[each] for each in (path, *path.parents) if each in known), None)


def _list(mounts: Sequence[MountPoint]) -> str:
    if not mounts:
        return "; there is no mount at all"
    return ": " + ", ".join(str(each.path) for each in mounts)
