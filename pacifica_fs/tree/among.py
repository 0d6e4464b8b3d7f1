"""In which orders programs go through the files of a folder: what the content store recognises a scan by.

`tar`, `find` and `grep` take entries as they are listed, shells and `rsync` by name, `cp -r` by inode number; all of
them go down into a folder where they meet it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..model import UNKNOWN, FileRef
from .nodes import inode

Level = Mapping[str, Any]
"""Files and, as further levels, folders by their safe names; anything else is passed over."""
MOST = 100_000
"""Files for which orders are made; among more, nothing is fetched ahead."""


class Among:
    """The files of one container (or of one folder of it) and their orders. Threading: any thread; a value."""

    __slots__ = ("_found", "_level", "key")

    def __init__(self, level: Level, *key: str) -> None:
        """`key` names the place: two of one key are the same files."""
        self.key = key
        self._level = level
        self._found: tuple[tuple[FileRef, ...], ...] | None = None

    def orders(self) -> tuple[tuple[FileRef, ...], ...]:
        """All files with content, in each order; nothing where there are too many. Made when first asked for."""
        if self._found is None:
            level = _kept(self._level, MOST)
            if level is None:
                self._found = ()
            else:
                orders: list[tuple[FileRef, ...]] = []
                for arrange in (list, sorted, self._by_inode):
                    order = _taken(level, arrange)
                    if order not in orders:  # they have the very same values, so this is quick
                        orders.append(order)
                self._found = tuple(orders)
        return self._found

    def _by_inode(self, entries: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
        archive, container = self.key[:2]

        def number(entry: tuple[str, Any]) -> int:
            item = entry[1]
            # Where a folder comes does not matter: it ends the run of its siblings either way.
            return inode(archive, container, "file", item.id) if isinstance(item, FileRef) else 0

        return sorted(entries, key=number)


def _kept(level: Level, most: int) -> Level | None:
    """The same, with values that stay: a level may make them anew each time. None where there are too many files."""
    left = most

    def copy(level: Level) -> Level | None:
        nonlocal left
        found: dict[str, Any] = {}
        for name, item in level.items():
            if isinstance(item, FileRef):
                left -= item.size not in (0, UNKNOWN)
                if left < 0:
                    return None
                found[name] = item
            elif isinstance(item, Mapping):
                below = copy(item)
                if below is None:
                    return None
                found[name] = below
        return found

    return copy(level)


def _taken(level: Level, arrange: Callable[[Iterable[tuple[str, Any]]], list[tuple[str, Any]]]) -> tuple[FileRef, ...]:
    def walk(level: Level) -> Iterator[FileRef]:
        for _, item in arrange(level.items()):
            if not isinstance(item, FileRef):
                yield from walk(item)
            elif item.size not in (0, UNKNOWN):
                yield item

    return tuple(walk(level))
