"""Files whose size nobody knows before they were read: an export that the server makes when it is asked.

Each open has a stream of its own, which goes into an unlinked file of this machine as far as it was read; so it can be
read at any offset and more than once, without being in memory. Nothing of it is kept after the last close.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from ..archive import Archive, Arrival, Data, Recalls
from ..clock import Clock
from ..errors import NoSpace, PacificaFSError, ReadOnly, WaitTimeout
from ..model import FileRef
from .nodes import FILE, Attributes, file_xattrs, inode

CHANGES = os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_APPEND


class Spooling:
    """How such files of one archive are read: `folder` is where the bytes go meanwhile (None: the system's folder for
    temporary files), `wait` the most seconds that one read waits for the next bytes.
    """

    def __init__(self, archive: Archive, clock: Clock, folder: Path | None, wait: float) -> None:
        self._archive = archive
        self.recall = archive.recall if isinstance(archive, Recalls) else None
        self._folder = folder
        self.clock = clock
        self.wait = wait

    def begin(self, ref: FileRef) -> Iterator[Arrival]:
        """The stream of one file."""
        return self._archive.open((ref,))

    def file(self) -> int:
        """A descriptor of a new file without a name; NoSpace where there can be none."""
        try:
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=self._folder) as made:
                return os.dup(made.fileno())
        except OSError as error:
            raise NoSpace(f"there is no room for a file that is being read: {error.strerror}") from error


class SpooledFile:
    """A file of unknown size; shown with size 0."""

    __slots__ = ("_ref", "_spooling", "ino")

    def __init__(self, ref: FileRef, spooling: Spooling) -> None:
        self._ref, self._spooling = ref, spooling
        self.ino = inode(ref.archive, ref.container, "file", ref.id)

    def attributes(self) -> Attributes:
        """Size 0, and the time that the archive lists."""
        return Attributes(FILE, 0, self._ref.mtime_ns)

    def xattrs(self) -> Mapping[str, bytes]:
        """As of any file of an archive."""
        return file_xattrs(self._ref)

    def open(self, flags: int) -> SpooledHandle:
        """A stream of its own; ReadOnly for writing. Asks nobody yet."""
        if flags & CHANGES:
            raise ReadOnly(self._ref.id)
        return SpooledHandle(self._ref, self._spooling)


class SpooledHandle:
    """An open file of unknown size. Any thread; who reads what has arrived waits for nobody."""

    direct = True
    """Read past the size that is shown: the kernel's page cache is not used."""

    def __init__(self, ref: FileRef, spooling: Spooling) -> None:
        self._ref, self._spooling = ref, spooling
        self._pulling = threading.Lock()
        self._arrivals: Iterator[Arrival] | None = None
        self._fd = -1
        self._size = 0
        self._whole = False
        self._error: PacificaFSError | None = None

    def read(self, size: int, offset: int) -> bytes:
        """All of it that exists; waits for its bytes. WaitTimeout, or what the archive raises."""
        if not self._whole and self._size < offset + size:
            deadline = self._spooling.clock.monotonic() + self._spooling.wait
            if not self._pulling.acquire(timeout=self._spooling.wait):
                raise WaitTimeout(f"another read of {'/'.join(self._ref.parts)} has been waiting for too long")
            try:
                self._pull(offset + size, deadline)
            finally:
                self._pulling.release()
        if self._fd < 0:
            return b""
        return os.pread(self._fd, size, offset)

    def attributes(self) -> Attributes:
        """The size once all of it has arrived, else 0."""
        ino = inode(self._ref.archive, self._ref.container, "file", self._ref.id)
        return Attributes(FILE, self._size if self._whole else 0, self._ref.mtime_ns, ino=ino)

    def release(self) -> None:
        """Ends the stream and frees the room."""
        with self._pulling:
            self._whole = True
            self._stop()
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def write(self, data: memoryview, offset: int) -> int:
        """ReadOnly."""
        self._refuse()

    def truncate(self, size: int) -> None:
        """ReadOnly."""
        self._refuse()

    def flush(self) -> None:
        """Nothing to do."""

    def fsync(self) -> None:
        """Nothing to do."""

    def _pull(self, end: int, deadline: float) -> None:
        if self._error is not None:
            raise self._error  # what was broken off is not begun anew: its two halves need not fit
        if self._arrivals is None and not self._whole:
            self._fd = self._spooling.file()
            self._arrivals = self._spooling.begin(self._ref)
        try:
            while self._size < end and not self._whole:
                assert self._arrivals is not None
                arrival = next(self._arrivals, None)
                if arrival is None:
                    self._whole = True
                    self._stop()
                elif isinstance(arrival, Data):
                    self._put(arrival.data)
                elif self._spooling.clock.monotonic() >= deadline:
                    raise WaitTimeout(f"{'/'.join(self._ref.parts)}: {arrival.reason}")
        except WaitTimeout:
            raise  # the stream goes on: a later read finds more
        except PacificaFSError as error:
            self._error = error
            self._stop()
            raise

    def _put(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._fd, view, self._size)
                self._size += written
                view = view[written:]
        except OSError as error:
            raise NoSpace(f"there is no room for a file that is being read: {error.strerror}") from error

    def _stop(self) -> None:
        arrivals, self._arrivals = self._arrivals, None
        close = getattr(arrivals, "close", None)
        if close is not None:
            close()

    def _refuse(self) -> NoReturn:
        raise ReadOnly("/".join(self._ref.parts))
