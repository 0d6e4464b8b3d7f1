"""Containers that are too large for one listing: each of their folders is asked for by itself, when it is looked at.

Names are as in `inside`: what is shown does not depend on how it was listed. Threading: as `containers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from ..archive import Inside
from ..errors import NotFound
from ..model import FileRef
from .among import Among
from .inside import file_node
from .names import arrange, safe_name
from .nodes import DIRECTORY, Attributes, Node, inode
from .virtual import Entries

if TYPE_CHECKING:
    from .answers import Answers

Path: TypeAlias = tuple[str, ...]
Level: TypeAlias = Mapping[str, "FileRef | tuple[Path, ...]"]
"""One folder by safe names: a file, or the raw paths of the folders that are shown under that name."""


def level_of(inside: Inside, path: Path) -> Level:
    """The names in the folder at the raw `path`."""
    tree = arrange(inside.files, inside.folders)
    for part in path:
        below = tree.get(safe_name(part), {})
        tree = {} if isinstance(below, FileRef) else below
    raws: dict[str, list[Path]] = {}
    for folder in inside.folders:
        if folder[:-1] == path:
            raws.setdefault(safe_name(folder[-1]), []).append(folder)
    return {
        name: item if isinstance(item, FileRef) else tuple(raws.get(name, [(*path, name)]))
        for name, item in tree.items()
    }


class DeepFolder:
    """A folder of a large container. `raws` are its raw paths: more than one where their safe names are equal."""

    __slots__ = ("_answers", "_container", "_mtime_ns", "_path", "_raws", "ino")

    def __init__(self, answers: Answers, container: str, path: Path, raws: Sequence[Path], mtime_ns: int) -> None:
        self._answers, self._container, self._path, self._raws = answers, container, path, raws
        self._mtime_ns = mtime_ns
        self.ino = inode(answers.archive.name, container, *(("folder", *path) if path else ()))

    def attributes(self) -> Attributes:
        """A directory's, with the container's time."""
        return Attributes(DIRECTORY, 0, self._mtime_ns)

    def xattrs(self) -> Mapping[str, bytes]:
        """Archive and container."""
        return {
            "user.pacifica.archive": self._answers.archive.name.encode(),
            "user.pacifica.transaction": self._container.encode(),
        }

    def entries(self) -> Entries:
        """Everything in it: the requests of one folder's listing."""
        level = self._level()
        among = self._among(level)
        return [(name, self._node(name, item, among)) for name, item in level.items()]

    def lookup(self, name: str) -> Node:
        """One entry; NotFound."""
        level = self._level()
        item = level.get(name)
        if item is None:
            raise NotFound(name)
        return self._node(name, item, self._among(level))

    def _level(self) -> Level:
        found: dict[str, FileRef | tuple[Path, ...]] = {}
        for raw in self._raws:
            found |= self._answers.level(self._container, raw)
        return found

    def _among(self, level: Level) -> Among:
        return Among(level, self._answers.archive.name, self._container, "folder", *self._path)

    def _node(self, name: str, item: FileRef | tuple[Path, ...], among: Among) -> Node:
        if isinstance(item, FileRef):
            return file_node(item, self._answers.spooling, among)
        return DeepFolder(self._answers, self._container, (*self._path, name), item, self._mtime_ns)
