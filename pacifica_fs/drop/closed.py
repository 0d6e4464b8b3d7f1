"""`drop/ARCHIVE/` while another daemon owns the spool: it is there, and takes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from ..errors import NotFound, ReadOnly
from ..tree.nodes import DIRECTORY, Attributes, Folder, Handle, Node, Writable, inode


class ClosedFolder:
    """Refuses every change with ReadOnly and the name of the owner."""

    def __init__(self, name: str, words: str) -> None:
        self._name, self._words = name, words

    @property
    def ino(self) -> int:
        return inode("drop", self._name)

    def attributes(self) -> Attributes:
        return Attributes(DIRECTORY | 0o500, nlink=2)

    def xattrs(self) -> Mapping[str, bytes]:
        return {"user.pacifica.archive": self._name.encode()}

    def entries(self) -> Sequence[tuple[str, Node]]:
        return ()

    def lookup(self, name: str) -> Node:
        raise NotFound(f"there is no {name}: {self._words}")

    def create(self, name: str, flags: int, mode: int) -> tuple[Writable, Handle]:
        self._refuse()

    def mkdir(self, name: str, mode: int) -> None:
        self._refuse()

    def unlink(self, name: str) -> None:
        self._refuse()

    def rmdir(self, name: str) -> None:
        self._refuse()

    def rename(self, name: str, to: Folder, new: str) -> None:
        self._refuse()

    def set_times(self, mtime_ns: int) -> None:
        self._refuse()

    def set_mode(self, mode: int) -> None:
        self._refuse()

    def space(self) -> tuple[int, int]:
        return 0, 0

    def _refuse(self) -> NoReturn:
        raise ReadOnly(self._words)
