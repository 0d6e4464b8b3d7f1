"""The ways to a file's bytes that need no staging: the archive interface, and the site's proxy by hash."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing

from ...archive import Data
from ...errors import BadAnswer
from ...model import FileRef
from ...transport.http import Http, Stream
from .cartrun import Reading, Wanted


class ArchiveInterface:
    """Inside the data centre: a file by its id in milliseconds; ranges where the site's are trusted.

    It verifies nothing, and in its default deployment mixes up the bytes of parallel readers.
    """

    name = "archive interface"

    def __init__(self, http: Http, ranges: bool) -> None:
        self.http = http
        self._ranges = ranges

    def read(self, wanted: Wanted, start: int = 0) -> Reading:
        """As `Carts.read`, without waiting; begins at `start` where ranges are trusted."""
        return _each(wanted, start if self._ranges else 0, self._open)

    def _open(self, ref: FileRef, start: int) -> Stream:
        # The end is exclusive, and must be given.
        params = {"byte_range": f"{start}-{ref.size}"} if start else None
        return self.http.stream(ref.id, params=params)


class HashProxy:
    """A whole file by its digest."""

    name = "hash proxy"

    def __init__(self, http: Http) -> None:
        self.http = http

    def read(self, wanted: Wanted, start: int = 0) -> Reading:
        """As `Carts.read`, without waiting, and always from 0."""
        return _each(wanted, 0, self._open)

    def _open(self, ref: FileRef, start: int) -> Stream:
        if ref.digest is None:
            raise BadAnswer(f"the site lists no hash for file {ref.id}")
        return self.http.stream(f"files/{ref.digest.algorithm}/{ref.digest.value}")


def _each(wanted: Wanted, start: int, open_file: Callable[[FileRef, int], Stream]) -> Reading:
    for index, ref in list(wanted.items()):
        with open_file(ref, start) as stream, closing(_data(stream, index, start)) as pieces:
            yield from pieces
        del wanted[index]
    yield None


def _data(stream: Stream, index: int, offset: int) -> Generator[Data, None, None]:
    for chunk in stream.chunks():
        yield Data(index, offset, chunk)
        offset += len(chunk)
