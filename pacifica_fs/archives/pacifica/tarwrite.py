"""A bundle as the tar that ingest takes, of a length known before its first byte.

Files first, `metadata.txt` last: an upload that is cut off cannot pass for a whole one.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator

from ...errors import Corrupt, PacificaFSError
from ...model import BundleFile
from .tarstream import BLOCK

PIECE = 2**18
"""Bytes. A slow `[drop] bandwidth` waits after each piece, and servers hang up after ten seconds without a byte."""
END = bytes(2 * BLOCK)


class TarBody:
    """The pieces of the tar, each at most PIECE bytes and a header; see `transport.http.Body`. For one upload.

    `sent` is called with the number of bytes passed on so far. `settle` is called once all files have been passed on,
    and returns when they have left this machine; then `last`, once, before the first byte of `metadata.txt`'s member:
    nothing of that has left this object before. An error in between is kept in `failure`, because the HTTP library
    dresses it up as an outage.
    """

    def __init__(
        self,
        files: tuple[BundleFile, ...],
        metadata: bytes,
        sent: Callable[[int], None] = lambda _: None,
        last: Callable[[], None] = lambda: None,
        settle: Callable[[Callable[[], None]], None] = lambda meanwhile: None,
    ) -> None:
        self._files = files
        self._metadata = metadata
        self._sent = sent
        self._last = last
        self._settle = settle
        self.failure: BaseException | None = None
        self.passed = 0

    def __len__(self) -> int:
        members = sum(_length(f"data/{file.path}", file.size, file.mtime_ns) for file in self._files)
        return members + _length("metadata.txt", len(self._metadata), 0) + len(END)

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._pieces():
                yield piece
                self.passed += len(piece)
                self._sent(self.passed)
        except BaseException as error:
            self.failure = error
            raise

    def _pieces(self) -> Iterator[bytes]:
        for file in self._files:
            yield from self._member(file)
        # A break of what is still in the kernel's buffers would be one after the end.
        self._settle(lambda: self._sent(self.passed))
        self._last()
        yield _header("metadata.txt", len(self._metadata), 0) + _padded(self._metadata) + END

    def _member(self, file: BundleFile) -> Iterator[bytes]:
        try:
            with file.source.open("rb", buffering=0) as stream:
                yield _header(f"data/{file.path}", file.size, file.mtime_ns)
                left = file.size
                while left:
                    piece = stream.read(min(PIECE, left))
                    if not piece:
                        raise Corrupt(f"{file.path} became shorter while it was sent")
                    left -= len(piece)
                    yield piece
                if stream.read(1):
                    raise Corrupt(f"{file.path} became longer while it was sent")
        except OSError as error:
            raise PacificaFSError(f"{file.path} cannot be read: {error.strerror}") from error
        if file.size % BLOCK:
            yield bytes(-file.size % BLOCK)


def _header(name: str, size: int, mtime_ns: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, mtime_ns // 10**9, 0o644
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _length(name: str, size: int, mtime_ns: int) -> int:
    return len(_header(name, size, mtime_ns)) + size + -size % BLOCK


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)
