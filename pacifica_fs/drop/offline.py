"""What a spool's journals say without the daemon that owns it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from .journal import Journal, load
from .upload import Upload, upload
from .version import BUNDLES

log = logging.getLogger(__name__)


def read_uploads(root: Path) -> list[Upload]:
    """Every bundle of a spool, newest first, from the journals only; needs no daemon."""
    journals: list[Journal] = []
    place = root / BUNDLES
    try:
        names = sorted(os.listdir(place), reverse=True)
    except FileNotFoundError:
        return []
    for name in names:
        if not name.startswith("."):
            try:
                journals.append(load(place / name))
            except (OSError, ValueError) as error:
                log.warning("%s cannot be read: %s", place / name, error)
    found = []
    for journal in journals:
        files = size = None
        if journal.revisable and not journal.files:
            files, size = count(str(place / journal.id / "files"))
        found.append(upload(journal, files=files, size=size))
    return found


def count(folder: str) -> tuple[int, int]:
    """Files below `folder`, and their bytes."""
    files = size = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.lstat(os.path.join(base, name)).st_size
                files += 1
            except FileNotFoundError:
                continue
    return files, size
