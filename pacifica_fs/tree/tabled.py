"""The folders of a container whose files are a table: each is looked up and listed by itself, without arranging all.

What is shown is what `names.arrange` makes of the same files. Where a name has to be made safe, or a file has a
folder's path, it does so for that folder alone; all others are ranges of the table as they are. Threading: values,
any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, TypeAlias

from ..filetable import END, FileTable
from ..model import FileRef
from .names import arrange, safe_name

Path: TypeAlias = tuple[str, ...]
_ODD = re.compile(rb"\0(?:\.{0,2}\0|[^\0]{256})")


class _Odd:
    """Rows that are not shown under their own path. `at` has them by the folder where they are; `folders` are those
    folders and all above them.
    """

    def __init__(self, table: FileTable) -> None:
        rows = set(table.both) | ({*_unsafe(table)} if _is_odd(table.keys) else set())
        self.at: dict[Path, list[int]] = {}
        self.below: dict[Path, set[str]] = {}
        for row in sorted(rows):
            folder = tuple(map(safe_name, table[row].parts[:-1]))
            self.at.setdefault(folder, []).append(row)
            for depth in range(len(folder)):
                self.below.setdefault(folder[:depth], set()).add(folder[depth])
        self.rows = frozenset(rows)

    def touches(self, path: Path) -> bool:
        return path in self.at or path in self.below


class TableLevel(Mapping[str, Any]):
    """One folder: safe name → FileRef, or the level below. Nothing of it is kept, except where a name is odd."""

    __slots__ = ("__dict__", "_high", "_low", "_odd", "_path", "_prefix", "_table")

    def __init__(
        self, table: FileTable, odd: _Odd | None = None, path: Path = (), low: int = 0, high: int = -1
    ) -> None:
        """The container's own folder; the other arguments are this class's own."""
        self._table = table
        self._odd = _Odd(table) if odd is None else odd
        self._path = path
        self._prefix = b"".join(part.encode("utf-8", "surrogateescape") + END for part in path)
        self._low, self._high = low, len(table) if high < 0 else high

    def __getitem__(self, name: str) -> Any:
        if self._odd.touches(self._path):
            return self._arranged[name]
        try:
            key = self._prefix + name.encode("utf-8", "surrogateescape") + END
        except UnicodeEncodeError:
            raise KeyError(name) from None
        table = self._table
        row = table.first(key, self._low, self._high)
        if row < self._high:
            found = table.key(row)
            if found == key:
                return table[row]
            if found.startswith(key):
                return self._below(name, row)
        raise KeyError(name)

    @property
    def rows(self) -> int:
        """Files in it and below."""
        return self._high - self._low

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.items())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def items(self) -> Any:
        """Names in their order, each with what it is of."""
        return self._arranged.items() if self._odd.touches(self._path) else self._plain()

    def _plain(self) -> Iterator[tuple[str, Any]]:
        """What the table itself has in this folder, without odd rows and what only they are in."""
        table, odd, start = self._table, self._odd.rows, len(self._prefix)
        row = self._low
        while row < self._high:
            head, _, rest = table.key(row)[start:].partition(END)
            name = head.decode("utf-8", "surrogateescape")
            if not rest:
                if row not in odd:
                    yield name, table[row]
                row += 1
                continue
            below = self._below(name, row)
            if not odd or safe_name(name) == name:
                yield name, below
            row = below._high

    def _below(self, name: str, low: int) -> TableLevel:
        end = self._prefix + name.encode("utf-8", "surrogateescape") + b"\1"
        return TableLevel(self._table, self._odd, (*self._path, name), low, self._table.first(end, low, self._high))

    @cached_property
    def _arranged(self) -> Mapping[str, Any]:
        path, odd = self._path, self._odd
        folders = {name: item for name, item in self._plain() if isinstance(item, TableLevel)}
        for name in odd.below.get(path, ()):
            folders.setdefault(name, TableLevel(self._table, odd, (*path, name), 0, 0))
        files = [item for _, item in self._plain() if isinstance(item, FileRef)]
        files += [self._table[row] for row in odd.at.get(path, ())]
        found: Any = arrange(files, [(*path, name) for name in folders])
        for part in path:
            found = found[part]
        return {name: item if isinstance(item, FileRef) else folders[name] for name, item in found.items()}


def _is_odd(keys: bytes) -> bool:
    """Whether there may be a component that is no safe name. A look at all of them together."""
    if _ODD.search(keys) or _ODD.match(END + keys[:300]):
        return True
    if keys.isascii():
        return False
    try:
        keys.decode()
    except UnicodeDecodeError:
        return True
    return False


def _unsafe(table: FileTable) -> Iterator[int]:
    for row in range(len(table)):
        parts = table[row].parts
        if any(safe_name(part) != part for part in parts):
            yield row
