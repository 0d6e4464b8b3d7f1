"""Which version of the layout a spool has: made, migrated step by step, or refused with words; never ignored.

1    format, lock, bundles/
2    and queue/ (what a user asked for while no daemon ran), levels/ (folders above bundles, as `layout` makes them)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import ConfigError
from .disk import Disk

FORMAT = "pacifica-fs spool 2"
BUNDLES, QUEUE, LEVELS = "bundles", "queue", "levels"


def prepare(root: Path, disk: Disk) -> None:
    """Make `root` a spool of this version, durably. ConfigError if it is of a version that is not understood."""
    path = root / "format"
    folders = [name for name in (BUNDLES, QUEUE, LEVELS) if not (root / name).is_dir()]
    if not path.exists() and BUNDLES in folders:
        # The name of the spool itself must not be lost, either.
        disk.sync_directory(str(root.parent))
        disk.replace(str(path), FORMAT.encode() + b"\n")
    found = path.read_text("utf-8", "replace").strip() if path.exists() else "nothing"
    while found in MIGRATIONS:
        found = MIGRATIONS[found](root, disk)
        disk.replace(str(path), found.encode() + b"\n")
        folders = [name for name in folders if not (root / name).is_dir()]
    if found != FORMAT:
        raise ConfigError(
            f"{path}: says {found!r}, this program understands {FORMAT!r}. The spool was made by another "
            "version of pacifica-fs, or is none: use that version until all is uploaded, or another [drop] path"
        )
    for name in folders:
        _folder(root, name, disk)
    if folders:
        disk.sync_directory(str(root))


def _folder(root: Path, name: str, disk: Disk) -> None:
    try:
        disk.mkdir(str(root / name))
    except FileExistsError:
        if not os.path.isdir(root / name):
            raise


def _to_2(root: Path, disk: Disk) -> str:
    """Version 1 had no `queue/` and no `levels/`; its journals are read as they are."""
    for name in (QUEUE, LEVELS):
        _folder(root, name, disk)
    disk.sync_directory(str(root))
    return FORMAT


MIGRATIONS: Mapping[str, Callable[[Path, Disk], str]] = {"pacifica-fs spool 1": _to_2}
"""What makes the next version of a spool, and its name. Each may be cut off and done again."""
