"""What is inside one container: folders and files, from one listing, without further requests.

Threading: values, any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import Exists, Invalid, NotFound
from ..filetable import ROW
from ..model import UNKNOWN, FileRef
from .among import MOST, Among
from .names import Tree
from .nodes import DIRECTORY, FILE, Attributes, Node, file_xattrs, inode
from .spooled import SpooledFile, Spooling
from .tabled import TableLevel
from .virtual import Entries

KEPT = 60_000
"""Nodes of a container that are kept once they were shown."""
RECALL = b'{"do": "recall"}'


class Folders:
    """The folders of one container as arranged by `tree.names`. Immutable; of what was shown last, nodes are kept."""

    def __init__(self, archive: str, container: str, arranged: Tree | TableLevel, spooling: Spooling) -> None:
        self.archive = archive
        self.container = container
        self.spooling = spooling
        self.weight = arranged.rows // ROW if isinstance(arranged, TableLevel) else _count(arranged)
        self._arranged = arranged
        self._listed: dict[tuple[str, ...], dict[str, Node]] = {}
        # Who goes through very many files is followed in one folder after the other.
        self._whole = not isinstance(arranged, TableLevel) or arranged.rows <= MOST
        self.among = Among(arranged, archive, container)

    def listed(self, path: tuple[str, ...]) -> Mapping[str, Node]:
        """The nodes of a folder that was shown; empty where they are not kept."""
        return self._listed.get(path, {})

    def keep(self, path: tuple[str, ...], nodes: dict[str, Node]) -> None:
        """A folder was shown. Those of others go when there are too many."""
        # Assignments of whole values, so that nobody needs a lock.
        others = self._listed if sum(map(len, self._listed.values())) + len(nodes) <= KEPT else {}
        self._listed = {**others, path: nodes}

    def around(self, path: tuple[str, ...], level: Mapping[str, Any]) -> Among:
        """What a file in the folder `path` is one of."""
        return self.among if self._whole else Among(level, self.archive, self.container, "folder", *path)

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
        if isinstance(self._level, TableLevel) and self._level.rows > KEPT:
            return Made(self._made)
        nodes = self._folders.listed(self._path)
        if not nodes:
            nodes = dict(self._made())
            self._folders.keep(self._path, nodes)
        return tuple(nodes.items())

    def lookup(self, name: str) -> Node:
        """One entry; NotFound."""
        node = self._folders.listed(self._path).get(name)
        if node is not None:
            return node
        item = self._level.get(name)
        if item is None:
            raise NotFound(name)
        return self._node(name, item, self._folders.around(self._path, self._level))

    def _made(self) -> Iterator[tuple[str, Node]]:
        among = self._folders.around(self._path, self._level)
        return ((name, self._node(name, item, among)) for name, item in self._level.items())

    def _node(self, name: str, item: Any, among: Among) -> Node:
        if isinstance(item, FileRef):
            return file_node(item, self._folders.spooling, among)
        return SubFolder(self._folders, (*self._path, name), item, self._mtime_ns)


class Made(Sequence[tuple[str, Node]]):
    """Entries that are made while somebody goes through them."""

    def __init__(self, make: Callable[[], Iterator[tuple[str, Node]]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[tuple[str, Node]]:
        return self._make()

    def __len__(self) -> int:
        return sum(1 for _ in self._make())

    def __getitem__(self, index: Any) -> Any:
        return tuple(self._make())[index]


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
