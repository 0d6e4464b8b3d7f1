"""The archive's folder: its layout, whether it is there, its lock, and its failures in this program's words.

    ROOT/README.txt                         what this is, for who finds it without the program
    ROOT/format                             kind and version; where it is missing, the archive is not there
    ROOT/sequence                           the last id given; locked (flock) while a transaction is published
    ROOT/transactions/17/transaction.json   what is known about transaction 17
    ROOT/transactions/17/files/…            its files, under the user's paths
    ROOT/bundles/SHA256                     an index: the transaction of the bundle whose id has that hash
    ROOT/incoming/UUID/                     a transaction that is being made; held by a lock while its maker lives

Locking: `sequence` is held for the milliseconds of a publication and by no reader. Every wait for it has a deadline.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from ...clock import Clock
from ...errors import (
    BadAnswer,
    Corrupt,
    Denied,
    NameTooLong,
    NoSpace,
    NotFound,
    PacificaFSError,
    ReadOnly,
    Unreachable,
    Unsupported,
    WaitTimeout,
)

FORMAT = "pacifica-fs local archive, version 1\n"
LOCK_WAIT = 60.0
"""Seconds to wait for somebody else's publication."""
PATH_MAX = 4095
"""Bytes of a path that Linux takes at once."""

_ID = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_PAUSE = 0.01
_WALK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # NONBLOCK: a fifo put there must not stop us
_ERRORS: dict[int, type[PacificaFSError]] = {
    errno.ENOSPC: NoSpace,
    errno.EDQUOT: NoSpace,
    errno.EFBIG: NoSpace,
    errno.EACCES: Denied,
    errno.EPERM: Denied,
    errno.EROFS: ReadOnly,
    errno.ENAMETOOLONG: NameTooLong,
    errno.ENOLCK: Unsupported,
    errno.ENOTSUP: Unsupported,
    errno.ENOSYS: Unsupported,
    errno.EINVAL: Unsupported,
    errno.EEXIST: Unsupported,
    errno.ELOOP: BadAnswer,
    errno.ENOTDIR: BadAnswer,
}


class ArchiveFolder:
    """The folder `root`. Holds nothing open; all methods may be called from any thread."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root = root
        self.clock = clock
        self.transactions = root / "transactions"
        self.incoming = root / "incoming"
        self.bundles = root / "bundles"
        self.format = root / "format"
        self.sequence = root / "sequence"

    def require(self) -> None:
        """Unreachable where the archive is not there; BadAnswer where it is another program's or version's."""
        try:
            found = self.format.read_text("utf-8", "replace")
        except (FileNotFoundError, NotADirectoryError):
            raise Unreachable(f"the archive's folder {self.root} is not there: is its disk mounted?") from None
        except OSError as error:
            raise Unreachable(f"the archive's folder {self.root} cannot be read: {error.strerror}") from error
        if found != FORMAT:
            raise BadAnswer(f"{self.format} says {found[:60].strip()!r}: this program knows {FORMAT.strip()!r}")

    def identity(self) -> str:
        """What tells this archive from another one that is put in its place. Unreachable, BadAnswer."""
        self.require()
        with self.errors(f"{self.format} cannot be read"):
            found = self.format.stat()
        return f"{self.root} {found.st_ino} {found.st_mtime_ns}"

    @contextlib.contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Turn an OSError of work in this folder into an error of this program; `what` begins the sentence."""
        try:
            yield
        except OSError as error:
            self.require()
            kind = _ERRORS.get(error.errno or 0, Unreachable)
            raise kind(f"{what}: {error.strerror or error}") from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the archive's lock; the value is a descriptor of `sequence`. WaitTimeout after `LOCK_WAIT` seconds."""
        self.require()
        with self.errors(f"{self.sequence} cannot be locked"):
            descriptor = os.open(self.sequence, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                self.wait_for(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def wait_for(self, descriptor: int) -> None:
        """Lock an open file; WaitTimeout after `LOCK_WAIT` seconds."""
        deadline = self.clock.monotonic() + LOCK_WAIT
        while not lock(descriptor):
            if self.clock.monotonic() >= deadline:
                raise WaitTimeout(f"another program has been publishing into {self.root} for {LOCK_WAIT:.0f} s")
            self.clock.sleep(_PAUSE)

    def open_below(self, id: str, *parts: str) -> int:
        """A descriptor for reading of a regular file of transaction `id`; the caller closes it.

        No symbolic link below the archive's folder is followed. NotFound where there is no such transaction, Corrupt
        where it has no such file, Unreachable where the archive is gone.
        """
        if not valid_id(id):
            self.require()
            raise NotFound(f"{self.root}: there is no transaction {id!r}")
        if any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts):
            raise BadAnswer(f"transaction {id}: {'/'.join(parts)!r} is no path of a file")
        try:
            try:
                return self._walk((id, *parts))
            except FileNotFoundError:
                self.require()
                if not self.has(id):
                    raise NotFound(f"{self.root}: there is no transaction {id}") from None
                return self._walk((id, *parts))  # it may just have been published
        except FileNotFoundError:
            raise Corrupt(f"{self.transactions / id}: {'/'.join(parts)} is missing") from None
        except (OSError, UnicodeEncodeError) as error:
            self.require()
            kind = Denied if isinstance(error, PermissionError) else BadAnswer
            reason = "a link or folder is in its place" if _is_misplaced(error) else str(error)
            raise kind(f"{self.transactions / id}: {'/'.join(parts)!r} cannot be read: {reason}") from error

    def _walk(self, parts: tuple[str, ...]) -> int:
        here = os.open(self.transactions, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts[:-1]:
                below = os.open(part, _WALK, dir_fd=here)
                os.close(here)
                here = below
            found = os.open(parts[-1], _READ, dir_fd=here)
        finally:
            os.close(here)
        if stat.S_ISREG(os.fstat(found).st_mode):
            return found
        os.close(found)
        raise IsADirectoryError(errno.EISDIR, "not a regular file")

    def has(self, id: str) -> bool:
        """Whether transaction `id` was published. Unreachable where nobody can tell."""
        if not valid_id(id):
            return False
        try:
            return stat.S_ISDIR(os.lstat(self.transactions / id).st_mode)
        except FileNotFoundError:
            self.require()
            return False
        except OSError as error:
            raise Unreachable(f"{self.transactions / id} cannot be read: {error.strerror}") from error

    def ids(self) -> list[int]:
        """The ids of all transactions, in no order; one scan of names, nothing is opened."""
        self.require()
        with self.errors(f"{self.transactions} cannot be listed"):
            return [int(name) for name in os.listdir(self.transactions) if valid_id(name)]

    def index(self, bundle: str) -> Path:
        """Where the transaction of the bundle with id `bundle` is noted."""
        return self.bundles / hashlib.sha256(bundle.encode("utf-8", "surrogatepass")).hexdigest()


def valid_id(name: str) -> bool:
    """Whether `name` is the canonical decimal form of a transaction's id."""
    return _ID.fullmatch(name) is not None


def lock(descriptor: int) -> bool:
    """Try to lock; false where somebody else holds it. Held until the descriptor is closed, or its owner dies."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, data: bytes, through: Path, mode: int = 0o444) -> None:
    """Put `data` in place of `path` in one step that survives a power cut, its directory's entry included.

    It is written in the folder `through` first, where a crash may leave it.
    """
    beside = through / f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    sync_directory(path.parent)


def _is_misplaced(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO)
