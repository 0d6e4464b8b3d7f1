"""The tree without a mount: for `ls`, `cat`, `cp` and `demo` where there is no /dev/fuse (containers, macOS).

The same nodes and the same operations as behind FUSE, called by one thread of this process.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..errors import Exists
from ..mount.operations import Operations

CHUNK = 1 << 20


class Item(msgspec.Struct, frozen=True):
    """One name of a listing. `mtime` is in seconds since the epoch; `target` is a link's."""

    name: str
    folder: bool
    size: int = 0
    mtime: float = 0.0
    target: str = ""


class Bare:
    """A tree whose paths have no leading slash; "" is its top. Raises the errors of `pacifica_fs.errors`."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def item(self, path: str) -> Item:
        """What is at `path`."""
        operations, path = self._operations, _absolute(path)
        node = operations.resolve(path)
        shown = operations.stat(node)
        target = operations.readlink(node) if stat.S_ISLNK(shown.mode) else ""
        name = path.rpartition("/")[2]
        return Item(name, stat.S_ISDIR(shown.mode), shown.size, shown.mtime_ns / 1e9, target)

    def items(self, path: str) -> list[Item]:
        """What is in the folder `path`; `path` itself where it is none."""
        operations, path = self._operations, _absolute(path)
        node = operations.resolve(path)
        if not hasattr(node, "entries"):
            return [self.item(path)]
        found = []
        for name, entry in operations.entries(node):
            shown, _ = operations.listed(entry)
            target = operations.readlink(entry) if stat.S_ISLNK(shown.mode) else ""
            found.append(Item(name, stat.S_ISDIR(shown.mode), shown.size, shown.mtime_ns / 1e9, target))
        return found

    def read(self, path: str) -> Iterator[bytes]:
        """The content of a file, in pieces."""
        operations, path = self._operations, _absolute(path)
        number = operations.open(path, os.O_RDONLY)
        try:
            file = operations.opened(number)
            buffer, offset = ctypes.create_string_buffer(CHUNK), 0
            while True:
                if file.reading is None:
                    data = operations.read_snapshot(file, CHUNK, offset)
                else:
                    count = file.reading.read_into(ctypes.addressof(buffer), CHUNK, offset)
                    data = ctypes.string_at(buffer, count)
                if not data:
                    return
                yield data
                offset += len(data)
        finally:
            operations.release(number)

    def put(self, source: Path, path: str) -> None:
        """Copy a local file into the drop, durably, with its time."""
        operations, path = self._operations, _absolute(path)
        number = operations.create(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            offset = 0
            with source.open("rb") as stream:
                while data := stream.read(CHUNK):
                    offset += operations.write(number, memoryview(data), offset)
            operations.flush(number)
        finally:
            operations.release(number)
        operations.set_times(path, source.stat().st_mtime_ns)

    def make(self, path: str) -> None:
        """Make a folder in the drop, with those above it; one that is there is fine."""
        parts = _absolute(path).split("/")[1:]
        for count in range(3, len(parts) + 1):
            try:
                self._operations.mkdir("/" + "/".join(parts[:count]), 0o755)
            except Exists:
                continue

    def commit(self, path: str) -> None:
        """Say that the bundle `path` is complete."""
        number = self._operations.create(f"{_absolute(path)}/.commit", os.O_WRONLY | os.O_CREAT, 0o600)
        self._operations.flush(number)
        self._operations.release(number)


def walk(tree: Bare, path: str) -> Iterator[tuple[str, Item]]:
    """All files and links below `path` (or at it) as (path below it, item); NotFound, …"""
    top = tree.item(path)
    if not top.folder:
        yield "", top
        return
    waiting = [""]
    while waiting:
        here = waiting.pop()
        for item in tree.items(f"{path}/{here}" if here else path):
            below = f"{here}/{item.name}" if here else item.name
            if item.folder:
                waiting.append(below)
            else:
                yield below, item


def _absolute(path: str) -> str:
    return "/" + "/".join(part for part in path.split("/") if part and part != ".")
