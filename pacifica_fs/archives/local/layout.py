"""The folder of a `local` archive: paths, format version, ids, the lock for publishing."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ...errors import BadAnswer, ConfigError, NotFound, Unreachable
from ...model import Digest

FORMAT = "1"
README = """\
An archive of pacifica-fs (kind "local"). Each folder in transactions/ is one transaction: files/ has its files as they
were archived, transaction.json says who archived them and has the size, time and digest of each. Nothing here changes
after it was published; copy or back up the folder with any program.
"""
STALE = 7 * 86400.0


class StoredFile(msgspec.Struct, frozen=True):
    """One file in `transaction.json`."""

    path: str
    size: int
    mtime_ns: int
    digest: str
    mime_type: str = "application/octet-stream"


class Head(msgspec.Struct, frozen=True):
    """`transaction.json` without its files, which may be many."""

    id: str
    submitted: str
    submitted_ns: int
    submitter: str = ""
    project: str = ""
    instrument: str = ""
    keys: tuple[tuple[str, str], ...] = ()
    fields: dict[str, str] = {}
    bundle: str = ""
    name: str = ""
    file_count: int = 0
    size: int = 0


class Record(Head, frozen=True):
    """`transaction.json`."""

    files: tuple[StoredFile, ...] = ()


class Layout:
    """The folder. Methods may be called from any thread and from several processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.transactions = root / "transactions"
        self.bundles = root / "bundles"
        self.incoming = root / "incoming"

    def prepare(self) -> None:
        """Make the folder if it is new; ConfigError if it cannot be used."""
        try:
            fresh = not self.root.exists() or not any(self.root.iterdir())
            if fresh:
                for folder in (self.root, self.transactions, self.bundles, self.incoming):
                    folder.mkdir(parents=True, exist_ok=True)
                (self.root / "README.txt").write_text(README)
                replace(self.root / "format", FORMAT + "\n")
            found = (self.root / "format").read_text().strip()
        except FileNotFoundError:
            raise ConfigError(
                f"{self.root}: not empty and not an archive of pacifica-fs; choose an empty folder as path"
            ) from None
        except OSError as error:
            raise ConfigError(f"{self.root}: cannot be used as an archive: {error.strerror}") from error
        if found != FORMAT:
            raise ConfigError(f"{self.root}: has format {found}; this program knows {FORMAT}: use a newer pacifica-fs")

    def check(self) -> None:
        """Unreachable if the folder is not there (an unmounted disk is an outage, not an empty archive)."""
        if not (self.root / "format").is_file():
            raise Unreachable(f"the archive's folder {self.root} is not there; is its disk mounted?")

    def ids(self) -> list[int]:
        """All transactions, newest first; Unreachable."""
        try:
            names = os.listdir(self.transactions)
        except OSError as error:
            raise Unreachable(f"the archive's folder {self.root} cannot be read: {error.strerror}") from error
        return sorted((int(name) for name in names if is_id(name)), reverse=True)

    def folder(self, id: str) -> Path:
        """A transaction's folder; NotFound for what cannot be one."""
        if not is_id(id):
            raise NotFound(f"there is no transaction {id!r}")
        return self.transactions / id

    def read(self, id: str, type: Any) -> Any:
        """`transaction.json` as `type`. NotFound only if the archive is there and the transaction is not."""
        path = self.folder(id) / "transaction.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=type)
        except FileNotFoundError:
            self.check()
            raise NotFound(f"there is no transaction {id}") from None
        except OSError as error:
            raise Unreachable(f"{path}: {error.strerror}") from error
        except msgspec.MsgspecError as error:
            raise BadAnswer(f"{path}: damaged: {error}") from error

    def published(self, bundle: str) -> str | None:
        """The transaction that a bundle became; None if there is none."""
        try:
            id = (self.bundles / bundle).read_text().strip()
        except FileNotFoundError:
            self.check()
            return None
        except OSError as error:
            raise Unreachable(f"{self.bundles}: {error.strerror}") from error
        try:
            return id if self.read(id, Head).bundle == bundle else None
        except NotFound:
            return None

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """One publisher at a time, over all processes; held for a few renames only."""
        with (self.root / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def next_id(self) -> str:
        """An id that was never used; call while publishing."""
        try:
            last = int((self.root / "last").read_text())
        except (OSError, ValueError):
            last = 0
        newest = self.ids()
        return str(max(last, newest[0] if newest else 0) + 1)

    def sweep(self) -> None:
        """Remove what dead uploads left a week ago."""
        for leftover in self.incoming.iterdir():
            try:
                if time.time() - leftover.stat().st_mtime > STALE:
                    shutil.rmtree(leftover, ignore_errors=True)
            except FileNotFoundError:
                continue


def is_id(name: str) -> bool:
    """Decimal, without leading zeros."""
    return name.isascii() and name.isdigit() and name[0] != "0" and len(name) < 19


def digest_of(file: StoredFile) -> Digest:
    """A stored digest as a value."""
    return Digest.parse(file.digest)


def replace(path: Path, text: str) -> None:
    """Write a small file durably: whole and new, or as it was."""
    temporary = path.with_name(path.name + f".{os.getpid()}.new")
    with temporary.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
