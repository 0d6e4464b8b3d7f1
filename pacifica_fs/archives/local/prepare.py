"""Making a folder an archive, or finding that it is one, or that it cannot be."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from ...errors import ConfigError
from .folder import FORMAT, ArchiveFolder, write_durably

README = """\
This folder is an archive of data sets ("transactions"), made by pacifica-fs.
Everything in it can be read without that program.

transactions/17/transaction.json   what is known about transaction 17: who submitted it, for which project, with which
                                   instrument, its key/value pairs, and path, size, time and digest of each file
transactions/17/files/             its files, as they were named when they were dropped

What is published does not change: please add transactions through the program only, and change or remove nothing by
hand. To check a file: the digest in transaction.json, such as "sha1:f1d2...", is what sha1sum prints.

Not data: format (marks the archive), sequence (the last id given), bundles/ (an index; may be deleted, is made again),
incoming/ (transactions that are being made).
"""

_OURS = frozenset({"README.txt", "format", "sequence", "transactions", "incoming", "bundles", "lost+found"})


def prepare(folder: ArchiveFolder, marker: Path | None, key: str) -> bool:
    """Make `folder` an archive where it is new; whether it is there now.

    `marker` is a file of the program's state that remembers a configured folder once it was an archive. Such a folder
    is not made again when it is missing or empty: its disk is not mounted, and an archive made in its place would be an
    empty one that looks real. ConfigError, which begins with `key`, for a folder that cannot be an archive.
    """
    try:
        if _is_archive(folder, key):
            _remember(folder, marker)
            return True
        if _was_archive(folder, marker):
            return False
        _create(folder, key, parents=marker is None)
        _remember(folder, marker)
        return True
    except OSError as error:
        raise ConfigError(f"{key}: {_refusal(folder, error)}") from error


def _is_archive(folder: ArchiveFolder, key: str) -> bool:
    try:
        found = folder.format.read_text("utf-8", "replace")
    except FileNotFoundError:
        return False
    if found != FORMAT:
        raise ConfigError(
            f"{key}: {folder.format} says {found[:60].strip()!r}; this program knows {FORMAT.strip()!r}: "
            "choose another folder, or use the version of the program that made it"
        )
    os.listdir(folder.transactions)
    return True


def _was_archive(folder: ArchiveFolder, marker: Path | None) -> bool:
    if marker is None:
        return False
    try:
        return marker.read_bytes() == os.fsencode(folder.root)
    except FileNotFoundError:
        return False


def _remember(folder: ArchiveFolder, marker: Path | None) -> None:
    if marker is not None and not _was_archive(folder, marker):
        marker.parent.mkdir(parents=True, exist_ok=True)
        write_durably(marker, os.fsencode(folder.root), marker.parent, 0o644)


def _create(folder: ArchiveFolder, key: str, parents: bool) -> None:
    folder.root.mkdir(parents=parents, exist_ok=True)
    foreign = sorted(set(os.listdir(folder.root)) - _OURS)
    if foreign:
        raise ConfigError(
            f"{key}: {folder.root} is no archive and not empty (it has '{foreign[0]}'): choose a new or an empty folder"
        )
    descriptor = os.open(folder.sequence, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        folder.wait_for(descriptor)
        with contextlib.suppress(FileNotFoundError):
            if os.listdir(folder.transactions) and not folder.format.exists():
                raise ConfigError(
                    f"{key}: {folder.root} has transactions, but its file 'format' is missing: restore it"
                )
        for directory in (folder.transactions, folder.incoming, folder.bundles):
            directory.mkdir(exist_ok=True)
        write_durably(folder.root / "README.txt", README.encode(), folder.incoming, 0o644)
        write_durably(folder.format, FORMAT.encode(), folder.incoming)
    finally:
        os.close(descriptor)


def _refusal(folder: ArchiveFolder, error: OSError) -> str:
    root = folder.root
    match error.errno:
        case errno.ENOENT if not root.parent.exists():
            return f"the folder {root.parent} does not exist: make it, or is its disk not mounted?"
        case errno.ENOENT:
            return f"{error.filename or root} is missing in the archive {root}: restore it"
        case errno.ENOTDIR | errno.EEXIST:
            return f"{root} is not a folder"
        case errno.EACCES | errno.EPERM:
            return f"no permission for {error.filename or root}: give yourself read and write access, or choose another"
        case errno.EROFS:
            return f"{root} is on a file system that cannot be written"
        case errno.ENOSPC | errno.EDQUOT:
            return f"the disk of {root} is full"
        case errno.ENOLCK | errno.ENOTSUP | errno.ENOSYS | errno.EINVAL:
            return f"the file system of {root} lacks what an archive needs (locks, renaming): choose another disk"
        case _:
            return f"{root} cannot be used: {error.strerror}"
