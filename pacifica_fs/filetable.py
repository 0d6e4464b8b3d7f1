"""Very many files of one container in a few flat buffers: about a tenth of what as many values would take.

Threading: a table is a value, any thread.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate, islice
from operator import eq, lt
from typing import overload

import msgspec

from .model import Digest, FileRef

END = b"\0"
"""Ends each component of a path in a table: so a folder's files come together, right after a file of its name."""
WIDTH = 32
"""Bytes of a digest."""
ROW = 8
"""Rows that take as much memory as one FileRef."""


class FileTable(msgspec.Struct, frozen=True, dict=True):
    """A sequence of FileRefs, ordered by path, each made when it is asked for; no path is there twice.

    All have one archive, container and validator, and `prefix` + path as their id; `others` are what differs by its
    row. A key is a path's raw components in UTF-8 (what is not is a surrogate escape), each with END behind it. `both`
    are the rows whose path is also a folder's.
    """

    archive: str
    container: str
    prefix: str
    validator: str | None
    mtime_ns: int
    algorithm: str
    keys: bytes
    ends: bytes
    sizes: bytes
    digests: bytes
    times: bytes = b""
    both: tuple[int, ...] = ()
    others: dict[int, FileRef] = {}

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, row: int) -> FileRef: ...
    @overload
    def __getitem__(self, row: slice) -> tuple[FileRef, ...]: ...
    def __getitem__(self, row: int | slice) -> FileRef | tuple[FileRef, ...]:
        if isinstance(row, slice):
            return tuple(map(self._made, self._rows[row]))
        return self._made(self._rows[row])

    def __iter__(self) -> Iterator[FileRef]:
        return map(self._made, self._rows)

    def key(self, row: int) -> bytes:
        """The key of a row; keys grow with the rows."""
        ends = self._ends
        return self.keys[ends[row - 1] if row else 0 : ends[row]]

    def first(self, key: bytes, low: int, high: int) -> int:
        """The first row of [low, high) whose key is not less; `high` if there is none."""
        return bisect_left(self._rows, key, low, high, key=self.key)

    def _made(self, row: int) -> FileRef:
        other = self.others.get(row)
        if other is not None:
            return other
        parts = self.key(row)[:-1].decode("utf-8", "surrogateescape").split("\0")
        return FileRef(
            self.archive, self.container, self.prefix + "/".join(parts), tuple(parts), self._sizes[row],
            self._times[row] if self.times else self.mtime_ns,
            Digest(self.algorithm, self.digests[WIDTH * row : WIDTH * (row + 1)].hex()), self.validator,
        )  # fmt: skip

    @cached_property
    def _rows(self) -> range:
        return range(len(self._ends))

    @cached_property
    def _ends(self) -> memoryview:
        return memoryview(self.ends).cast("I")

    @cached_property
    def _sizes(self) -> memoryview:
        return memoryview(self.sizes).cast("q")

    @cached_property
    def _times(self) -> memoryview:
        return memoryview(self.times).cast("q")


Sequence.register(FileTable)


class Twice(ValueError):
    """Two different files have one path, which is the argument."""


class Rows:
    """Files by columns, in any order, until they are a table. Not shared between threads."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.sizes = array("q")
        self.digests = bytearray()
        self.times = array("q")
        self._others: dict[bytes, FileRef] = {}

    def add(self, paths: Sequence[bytes], sizes: Sequence[int], digests: bytes, times: Sequence[int] = ()) -> None:
        """Files by their paths (`/` between components), the digests one behind the other; all or no times."""
        self.keys += _keys(paths)
        self.sizes.extend(sizes)
        self.digests += digests
        self.times.extend(times)

    def other(self, ref: FileRef) -> None:
        """A file that differs in more than that; it takes the place of another one of its path."""
        self._others[_keys(["/".join(ref.parts).encode("utf-8", "surrogateescape")])[0]] = ref

    def table(
        self, archive: str, container: str, prefix: str, validator: str | None, mtime_ns: int, algorithm: str
    ) -> FileTable:
        """All of them; Twice. To be called once: the rows are gone afterwards."""
        if not all(map(lt, self.keys, islice(self.keys, 1, None))):
            self._sort()
        for key, ref in self._others.items():
            self._insert(key, ref)
        keys, self.keys = self.keys, []
        others = {bisect_left(keys, key): ref for key, ref in self._others.items()}
        both: tuple[int, ...] = ()
        if any(map(bytes.startswith, islice(keys, 1, None), keys)):
            both = tuple(row for row in range(len(keys) - 1) if keys[row + 1].startswith(keys[row]))
        ends = array("I", accumulate(map(len, keys))).tobytes()
        joined = b"".join(keys)
        return FileTable(
            archive, container, prefix, validator, mtime_ns, algorithm, joined, ends, self.sizes.tobytes(),
            bytes(self.digests), self.times.tobytes(), both, others,
        )  # fmt: skip

    def _insert(self, key: bytes, ref: FileRef) -> None:
        row = bisect_left(self.keys, key)
        if row < len(self.keys) and self.keys[row] == key:
            return
        self.keys.insert(row, key)
        self.sizes.insert(row, ref.size)
        self.digests[WIDTH * row : WIDTH * row] = bytes(WIDTH)
        if self.times:
            self.times.insert(row, ref.mtime_ns)

    def _sort(self) -> None:
        order = self._distinct(sorted(range(len(self.keys)), key=self.keys.__getitem__))
        self.keys = [self.keys[row] for row in order]
        self.sizes = array("q", map(self.sizes.__getitem__, order))
        if self.times:
            self.times = array("q", map(self.times.__getitem__, order))
        digests = bytearray()
        for row in order:
            digests += self.digests[WIDTH * row : WIDTH * (row + 1)]
        self.digests = digests

    def _distinct(self, order: list[int]) -> list[int]:
        """Rows in their order, equal ones once."""
        keys = self.keys
        if not any(map(eq, map(keys.__getitem__, order), map(keys.__getitem__, islice(order, 1, None)))):
            return order
        found: list[int] = []
        for row in order:
            if found and keys[found[-1]] == keys[row]:
                if keys[row] not in self._others and self._facts(found[-1]) != self._facts(row):
                    raise Twice("/".join(keys[row][:-1].decode("utf-8", "surrogateescape").split("\0")))
            else:
                found.append(row)
        return found

    def _facts(self, row: int) -> tuple[int, bytes]:
        return self.sizes[row], bytes(self.digests[WIDTH * row : WIDTH * (row + 1)])


def _keys(paths: Sequence[bytes]) -> list[bytes]:
    joined = b"\n".join(paths)
    if joined.count(b"\n") != len(paths) - 1:
        return [key for path in paths for key in [path.replace(END, b"\xff").replace(b"/", END) + END]]
    if END in joined:  # no name can have it, neither here nor there
        joined = joined.replace(END, b"\xff")
    return (joined.replace(b"/", END).replace(b"\n", END + b"\n") + END).split(b"\n")
