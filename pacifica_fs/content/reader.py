"""One open file."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Protocol

from ..errors import Corrupt, PacificaFSError
from ..model import FileRef
from . import files
from .blob import Blob
from .pages import Caching


class Desk(Protocol):
    """What a reader needs of the content store it belongs to."""

    def wait(self, reader: Reader, start: int, end: int, interrupted: Callable[[], bool] | None) -> None:
        """Return once `[start, end)` is there and may be read; see `Content`."""

    def tainted(self, blob: Blob) -> None:
        """Bytes were handed out whose pages nobody else may see."""

    def damaged(self, blob: Blob) -> None:
        """The blob's file was found cut short."""

    def release(self, reader: Reader) -> None:
        """The reader is closed."""


class Reader:
    """An open file. Reads may come from several threads; none may come after or during `close`.

    `caching` is how the kernel is to open it, `size` what `stat` must show while it is open. It has no `blob` if it is
    empty, or known to be corrupt (`error`).
    """

    __slots__ = ("_desk", "blob", "caching", "closed", "error", "failures", "hasty_until", "ref", "size")

    def __init__(self, desk: Desk, ref: FileRef, size: int) -> None:
        self._desk = desk
        self.blob: Blob | None = None
        self.ref = ref
        self.size = size
        self.caching = Caching.KEEP
        self.error: PacificaFSError | None = None
        self.failures = 0
        self.hasty_until = 0.0
        self.closed = False

    @property
    def fd(self) -> int:
        """A descriptor that holds the whole verified content, valid until `close`, else -1; ask before each read.

        Whoever reads it directly must call `read_into` instead of giving a short answer.
        """
        blob = self.blob
        if blob is None or not blob.verified or self.error is not None or blob.file is None:
            return -1
        return blob.file.fd

    def read_into(self, address: int, size: int, offset: int, interrupted: Callable[[], bool] | None = None) -> int:
        """Exactly min(size, size of the file - offset) bytes at `offset` into memory at `address`; how many these are.

        Waits for them where they are not there: WaitTimeout at the deadline or when `interrupted` (asked every 0.2 s),
        TooBusy where too many wait, Corrupt where the content is wrong, or the fetch's error.
        """
        size = min(size, self.size - offset)
        if size <= 0:
            self._check()
            return 0
        fd = self._ready(size, offset, interrupted)
        try:
            files.read_into(fd, address, size, offset)
        except Corrupt:
            self._damaged()
        return size

    def read(self, size: int, offset: int) -> bytes:
        """As `read_into`, into new bytes."""
        size = min(size, self.size - offset)
        if size <= 0:
            self._check()
            return b""
        fd = self._ready(size, offset, None)
        try:
            return files.read(fd, size, offset)
        except Corrupt:
            self._damaged()
            raise

    def close(self) -> None:
        """Give the file back; a second call does nothing."""
        if not self.closed:
            self.closed = True
            self._desk.release(self)

    def _check(self) -> None:
        if self.error is not None:
            raise copy.copy(self.error)

    def _ready(self, size: int, offset: int, interrupted: Callable[[], bool] | None) -> int:
        self._check()
        blob = self.blob
        assert blob is not None, "a reader without a blob is empty or has an error"
        if not blob.grant(self, offset, offset + size):
            self._desk.wait(self, offset, offset + size, interrupted)
        if self in blob.tainting:
            self._desk.tainted(blob)
        self._check()
        assert blob.file is not None
        return blob.file.fd

    def _damaged(self) -> None:
        assert self.blob is not None
        self._desk.damaged(self.blob)
        self._check()
