"""Reads a tar while it arrives. Nothing is extracted, and no name in it is used as a path.

ustar, GNU and PAX archives; what is not a regular file is passed over. A stream that ends before the archive's end mark
is an error, never a short file.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator

import msgspec

from ...errors import BadAnswer

BLOCK = 512
_LONGEST_HEADER = 2**20
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


class Member(msgspec.Struct, frozen=True):
    """The start of a regular file of `size` bytes; its pieces follow."""

    name: str
    size: int


def members(chunks: Iterable[bytes]) -> Iterator[Member | memoryview]:
    """Each regular file's Member, then its bytes in pieces as they come. BadAnswer if it is not a whole tar."""
    source = _Source(chunks)
    long_name, pax = "", {}
    while True:
        block = source.exactly(BLOCK)
        if not block.strip(b"\0"):
            return
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise BadAnswer(f"the tar is damaged: {error}") from error
        if header.size < 0:
            raise BadAnswer("the tar is damaged: a member of negative size")
        if header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            pax = _pax(source.padded(header.size))
            continue
        if header.type == tarfile.GNUTYPE_LONGNAME:
            long_name = source.padded(header.size).rstrip(b"\0").decode("utf-8", "surrogateescape")
            continue
        if header.type in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
            source.padded(header.size)
            continue
        name = pax.get("path") or long_name or header.name
        size = int(pax["size"]) if pax.get("size", "").isdecimal() else header.size
        long_name, pax = "", {}
        if header.type in _REGULAR:
            yield Member(name, size)
            yield from source.pieces(size)
        else:
            for _ in source.pieces(size):
                pass
        source.exactly(-size % BLOCK)


class _Source:
    """Bytes by number instead of by chunk."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def pieces(self, size: int) -> Iterator[memoryview]:
        """The next `size` bytes, as they come."""
        while size:
            if not self._rest:
                self._rest = memoryview(next(self._chunks, b""))
                if not self._rest:
                    raise BadAnswer(f"the tar ends too early: {size} bytes are missing")
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            yield piece

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes at once; for headers."""
        return b"".join(self.pieces(size))

    def padded(self, size: int) -> bytes:
        """A header's `size` bytes, without the padding behind them."""
        if size > _LONGEST_HEADER:
            raise BadAnswer("the tar is damaged: a header of more than a megabyte")
        content = self.exactly(size)
        self.exactly(-size % BLOCK)
        return content


def _pax(content: bytes) -> dict[str, str]:
    """The records of a PAX header: `LENGTH KEY=VALUE` and a line end, where LENGTH counts the whole record."""
    records: dict[str, str] = {}
    while content.strip(b"\0"):
        length, space, _ = content.partition(b" ")
        size = int(length) if length.isdigit() else 0
        if not space or not len(length) + 2 < size <= len(content):
            raise BadAnswer("the tar is damaged: a PAX record")
        key, _, value = content[len(length) + 1 : size - 1].partition(b"=")
        records[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        content = content[size:]
    return records
