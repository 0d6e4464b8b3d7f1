"""What is inside one container: folders and files, from one listing, without further requests.

Threading: values, any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import Exists, Invalid, NotFound
from ..model import UNKNOWN, FileRef
from .among import Among
from .names import Tree
from .nodes import DIRECTORY, FILE, Attributes, Node, file_xattrs, inode
from .spooled import SpooledFile, Spooling
from .virtual import Entries

RECALL = b'{"do": "recall"}'


class Folders:
    """The folders of one container as arranged by `tree.names`. Immutable; nodes are made once, when first shown."""

    def __init__(self, archive: str, container: str, arranged: Tree, spooling: Spooling) -> None:
        self.archive = archive
        self.container = container
        self.spooling = spooling
        self.count = _count(arranged)
        self.listed: dict[tuple[str, ...], Entries] = {}
        self._arranged = arranged
        self.among = Among(arranged, archive, container)

    def top(self, mtime_ns: int) -> SubFolder:
        """The container's own level."""
        return SubFolder(self, (), self._arranged, mtime_ns)


class SubFolder:
    """A folder inside a container."""

    __slots__ = ("_folders", "_level", "_mtime_ns", "_path", "ino")

    def __init__(self, folders: Folders, path: tuple[str, ...], level: Mapping[str, Any], mtime_ns: int) -> None:
        self._folders, self._path, self._level, self._mtime_ns = folders, path, level, mtime_ns
        self.ino = inode(folders.archive, folders.container, "folder", *path)

    def attributes(self) -> Attributes:
        """A directory's, with the container's time."""
        return Attributes(DIRECTORY, 0, self._mtime_ns)

    def xattrs(self) -> Mapping[str, bytes]:
        """Archive and container."""
        return {
            "user.pacifica.archive": self._folders.archive.encode(),
            "user.pacifica.transaction": self._folders.container.encode(),
        }

    def entries(self) -> Entries:
        """Everything in it, without a request."""
        listed = self._folders.listed.get(self._path)
        if listed is None:
            listed = tuple((name, self._node(name, item)) for name, item in self._level.items())
            self._folders.listed[self._path] = listed
        return listed

    def lookup(self, name: str) -> Node:
        """One entry; NotFound."""
        item = self._level.get(name)
        if item is None:
            raise NotFound(name)
        return self._node(name, item)

    def _node(self, name: str, item: Any) -> Node:
        if isinstance(item, FileRef):
            return file_node(item, self._folders.spooling, self._folders.among)
        return SubFolder(self._folders, (*self._path, name), item, self._mtime_ns)


class ArchiveFile:
    """A file whose content comes through the content store."""

    __slots__ = ("among", "ino", "ref")

    def __init__(self, ref: FileRef, among: Among | None = None) -> None:
        """`among`: the files that a program may go through, of which this is one."""
        self.ref = ref
        self.among = among
        # The same for every path to this file.
        self.ino = inode(ref.archive, ref.container, "file", ref.id)

    def attributes(self) -> Attributes:
        """Size and time as the archive lists them."""
        return Attributes(FILE, self.ref.size, self.ref.mtime_ns)

    def xattrs(self) -> Mapping[str, bytes]:
        """What is known without asking anybody; the state of the content is the mount's to add."""
        return file_xattrs(self.ref)


class TapeFile(ArchiveFile):
    """A file that may be on tape, from where a user can have it brought back."""

    __slots__ = ("_recall",)

    def __init__(self, ref: FileRef, among: Among | None, recall: Callable[[FileRef], bool]) -> None:
        super().__init__(ref, among)
        self._recall = recall

    def control(self, data: bytes) -> None:
        """`{"do": "recall"}`; Invalid for anything else, Exists if it is not on tape."""
        if data != RECALL:
            raise Invalid(f"not a request: {data[:100]!r}")
        if not self._recall(self.ref):
            raise Exists("it is not on tape")


def file_node(ref: FileRef, spooling: Spooling, among: Among | None = None) -> Node:
    """The node of an archive's file."""
    if ref.size == UNKNOWN:
        return SpooledFile(ref, spooling)
    return ArchiveFile(ref, among) if spooling.recall is None else TapeFile(ref, among, spooling.recall)


def _count(level: Mapping[str, Any]) -> int:
    return sum(1 if isinstance(item, FileRef) else 1 + _count(item) for item in level.values())
