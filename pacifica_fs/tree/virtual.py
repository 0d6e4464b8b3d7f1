"""Nodes that are computed: text files, links and fixed folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..errors import NotFound
from .nodes import DIRECTORY, FILE, LINK, Attributes, Node, inode

Entries = Sequence[tuple[str, Node]]


class TextFile:
    """A file whose content is `render()` at the time of open."""

    __slots__ = ("_render", "_uid", "_xattrs", "ino")

    def __init__(
        self, key: tuple[str, ...], render: Callable[[], str], xattrs: Mapping[str, bytes] | None = None, uid: int = -1
    ) -> None:
        self.ino = inode(*key)
        self._uid = uid
        self._render = render
        self._xattrs = xattrs or {}

    def attributes(self) -> Attributes:
        """Size 0: what is computed at open has no size before."""
        return Attributes(FILE, uid=self._uid)

    def xattrs(self) -> Mapping[str, bytes]:
        """Those given."""
        return self._xattrs

    def render(self) -> bytes:
        """The content now, UTF-8."""
        return self._render().encode("utf-8", "replace")


class FixedFile(TextFile):
    """A text that does not change while the node lives, so that its size is known and `tar` keeps it."""

    __slots__ = ("_data", "_time")

    def __init__(self, key: tuple[str, ...], text: str, mtime_ns: int = 0) -> None:
        super().__init__(key, lambda: text)
        self._data = text.encode("utf-8", "replace")
        self._time = mtime_ns

    def attributes(self) -> Attributes:
        """With the real size."""
        return Attributes(FILE, len(self._data), self._time)

    def render(self) -> bytes:
        """The text, UTF-8."""
        return self._data


class Symlink:
    """A relative symbolic link."""

    __slots__ = ("ino", "target")

    def __init__(self, key: tuple[str, ...], target: str) -> None:
        self.ino = inode(*key)
        self.target = target

    def attributes(self) -> Attributes:
        """Size is the target's length in bytes."""
        return Attributes(LINK, len(self.target.encode("utf-8", "surrogateescape")))

    def xattrs(self) -> Mapping[str, bytes]:
        """None."""
        return {}


class ListedFolder:
    """A folder whose entries are computed at each look; nothing that is not listed can be looked up.

    `mode`: its permission bits; 0 leaves them to the mount. `uid`: whose it is; -1: the mount's.
    """

    __slots__ = ("_entries", "_mode", "_uid", "_xattrs", "ino")

    def __init__(
        self,
        key: tuple[str, ...],
        entries: Callable[[], Entries],
        mode: int = 0,
        xattrs: Mapping[str, bytes] | None = None,
        uid: int = -1,
    ) -> None:
        self._uid = uid
        self.ino = inode(*key)
        self._entries = entries
        self._mode = mode
        self._xattrs = xattrs or {}

    def attributes(self) -> Attributes:
        """A directory's."""
        return Attributes(DIRECTORY | self._mode, uid=self._uid)

    def xattrs(self) -> Mapping[str, bytes]:
        """Those given."""
        return self._xattrs

    def entries(self) -> Entries:
        """All entries, now."""
        return self._entries()

    def lookup(self, name: str) -> Node:
        """One of `entries`; NotFound otherwise."""
        for found, node in self._entries():
            if found == name:
                return node
        raise NotFound(name)
