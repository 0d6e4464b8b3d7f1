"""What a file system call means here, on nodes and open files: nothing of FUSE, of its structures or of threads.

A path is absolute, `/` between its parts, undecodable bytes as surrogates. The kernel keeps names and attributes for a
second; this module keeps only directory nodes of archives, as long, so that `stat` of 20,000 files does
not walk from the root each time. Every change outside a writable folder is ReadOnly.

Threading: all methods may be called from any thread; nothing waits under a lock.
Errors: those of `pacifica_fs.errors`, and OSError of the spool.
"""

from __future__ import annotations

import enum
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from typing import cast

import cachetools
import msgspec

from ..clock import Clock
from ..errors import (
    Exists,
    Invalid,
    IsADirectory,
    NameTooLong,
    NoAttribute,
    NotADirectory,
    NotFound,
    NotPermitted,
    ReadOnly,
    Unsupported,
)
from ..tree.nodes import Attributes, Directory, Folder, Handle, Link, Node, RemoteFile, VirtualFile, Writable
from .files import OpenFile, RemoteContent, Snapshot, Written
from .needs import Content

STATE = "user.pacifica.state"
RENAME_NOREPLACE = 1
NAME_MAX = 255

_OPEN_FLAGS = os.O_ACCMODE | os.O_CREAT | os.O_EXCL | os.O_TRUNC
"""What a handle needs to know: the kernel itself finds the end for O_APPEND, and resolves the path."""


class Kind(enum.Enum):
    """Which of the tree's protocols a node fits, the first that does."""

    FOLDER = Folder
    DIRECTORY = Directory
    WRITABLE = Writable
    VIRTUAL = VirtualFile
    REMOTE = RemoteFile
    LINK = Link


class Look(msgspec.Struct, frozen=True):
    """How nodes show themselves that have no permission bits of their own. `life` is how long, in seconds, directory
    nodes are kept."""

    file_mode: int = 0o644
    dir_mode: int = 0o755
    life: float = 1.0


class Stat(msgspec.Struct, frozen=True, gc=False):
    """What `stat` shows, whoever owns it."""

    ino: int
    mode: int
    nlink: int
    size: int
    mtime_ns: int


class Operations:
    """The file system calls on the tree below `root`."""

    def __init__(self, root: Directory, content: Content, look: Look, clock: Clock) -> None:
        self._root = root
        self._content = content
        self._look = look
        self._clock = clock
        self._kinds: dict[type, Kind] = {}
        self._directories: cachetools.TTLCache[str, Directory] = cachetools.TTLCache(1024, look.life, clock.monotonic)
        self._lock = threading.Lock()

    def kind(self, node: Node) -> Kind:
        """What sort of node this is; decided once for each class, because checking a protocol is slow."""
        kind = self._kinds.get(type(node))
        if kind is None:
            kind = next((kind for kind in Kind if isinstance(node, kind.value)), None)
            if kind is None:
                raise Invalid(f"{type(node).__name__} is none of the tree's kinds of nodes")
            self._kinds[type(node)] = kind
        return kind

    def node(self, path: str) -> Node:
        """The node of `path`."""
        parent, _, name = path.rpartition("/")
        return self.directory(parent).lookup(name) if name else self._root

    def directory(self, path: str) -> Directory:
        """The directory of `path`; `""` and `/` are the root."""
        if path in ("", "/"):
            return self._root
        with self._lock:
            known = self._directories.get(path)
        if known is not None:
            return known
        node = self.node(path)
        kind = self.kind(node)
        if kind not in (Kind.DIRECTORY, Kind.FOLDER):
            raise NotADirectory(f"{path} is not a directory")
        if kind is Kind.DIRECTORY:
            with self._lock:
                self._directories[path] = cast(Directory, node)
        return cast(Directory, node)

    def stat(self, node: Node) -> Stat:
        """What `stat` shows of `node`: the size of remote content is what the content store knows it to be."""
        attributes = node.attributes()
        remote = self.kind(node) is Kind.REMOTE
        size = self._content.size(cast(RemoteFile, node).ref) if remote else attributes.size
        return self._stat(node, attributes, size)

    def _stat(self, node: Node, attributes: Attributes, size: int) -> Stat:
        mode = attributes.mode
        if not mode & 0o7777:
            mode |= self._look.file_mode if stat.S_ISREG(mode) else self._look.dir_mode if stat.S_ISDIR(mode) else 0o777
        return Stat(node.ino, mode, attributes.nlink, size, attributes.mtime_ns)

    def getattr(self, path: str) -> Stat:
        """`stat(2)`."""
        return self.stat(self.node(path))

    def fgetattr(self, file: OpenFile) -> Stat:
        """`fstat(2)` of a file that has no path any more."""
        attributes = file.attributes()
        return self._stat(file.node, attributes, attributes.size)

    def readdir(self, path: str) -> Iterator[tuple[str, Stat]]:
        """All entries, `.` and `..` first. A name whose node went away meanwhile is left out."""
        directory = self.directory(path)
        yield ".", self.stat(directory)
        yield "..", self.stat(self.directory(path.rpartition("/")[0]))
        for name, node in directory.entries():
            try:
                entry = self.stat(node)
            except NotFound:
                continue
            yield name, entry

    def readlink(self, path: str) -> str:
        """Where a symbolic link points."""
        node = self.node(path)
        if self.kind(node) is not Kind.LINK:
            raise Invalid(f"{path} is not a symbolic link")
        return cast(Link, node).target

    def open(self, path: str, flags: int) -> OpenFile:
        """`open(2)` of what exists, with `os.O_*` flags. Answers at once; reads wait."""
        node = self.node(path)
        kind = self.kind(node)
        if kind is Kind.WRITABLE:
            return _written(cast(Writable, node), cast(Writable, node).open(flags & _OPEN_FLAGS))
        if kind in (Kind.DIRECTORY, Kind.FOLDER):
            raise IsADirectory(f"{path} is a directory")
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            raise ReadOnly(f"{path} cannot be changed")
        if kind is Kind.VIRTUAL:
            return Snapshot(node, cast(VirtualFile, node).render())
        if kind is Kind.REMOTE:
            reader = self._content.open(cast(RemoteFile, node).ref, path)
            return RemoteContent(node, reader, bool(flags & os.O_DIRECT))
        raise Invalid(f"{path} cannot be opened")

    def create(self, path: str, flags: int, mode: int) -> OpenFile:
        """`open(2)` with O_CREAT of a name that was not there."""
        folder, name = self._folder(path)
        return _written(*folder.create(name, flags & _OPEN_FLAGS | os.O_CREAT, stat.S_IMODE(mode)))

    def truncate(self, path: str, size: int) -> None:
        """`truncate(2)`."""
        node = self._changeable(path)
        if self.kind(node) is not Kind.WRITABLE:
            raise IsADirectory(f"{path} is a directory")
        cast(Writable, node).truncate(size)

    def unlink(self, path: str) -> None:
        """`unlink(2)`."""
        folder, name = self._folder(path)
        folder.unlink(name)

    def mkdir(self, path: str, mode: int) -> None:
        """`mkdir(2)`."""
        folder, name = self._folder(path)
        folder.mkdir(name, stat.S_IMODE(mode))

    def rmdir(self, path: str) -> None:
        """`rmdir(2)`."""
        folder, name = self._folder(path)
        folder.rmdir(name)

    def rename(self, path: str, new: str, flags: int = 0) -> None:
        """`renameat2(2)`: RENAME_NOREPLACE is honoured, everything else (EXCHANGE, WHITEOUT) Invalid."""
        folder, name = self._folder(path)
        to, new_name = self._folder(new)
        if flags & ~RENAME_NOREPLACE:
            raise Invalid("names cannot be exchanged here")
        if flags & RENAME_NOREPLACE:
            try:
                to.lookup(new_name)
            except NotFound:
                pass
            else:
                raise Exists(f"{new} is there already")
        folder.rename(name, to, new_name)

    def utimens(self, path: str, mtime_ns: int | None) -> None:
        """`utimensat(2)`: `None` leaves the modification time as it is. The access time is not kept."""
        node = self._changeable(path)
        if mtime_ns is not None:
            node.set_times(mtime_ns)

    def chmod(self, path: str, mode: int) -> None:
        """`chmod(2)`."""
        self._changeable(path).set_mode(stat.S_IMODE(mode))

    def chown(self, path: str) -> None:
        """`chown(2)`: accepted and ignored in a writable folder, since tar and cp do it; the user owns everything."""
        self._changeable(path)

    def special(self, path: str) -> None:
        """`symlink`, `link`, `mknod` with the new name `path`: nobody may in a writable folder."""
        self._folder(path)
        raise NotPermitted("only files and folders can be put here, no links, devices or pipes")

    def space(self, path: str) -> tuple[int, int] | None:
        """Total and free bytes for `statfs(2)`, or None where nothing is ever written."""
        node = self.node(path)
        if self.kind(node) is Kind.WRITABLE:
            node = self.directory(path.rpartition("/")[0])
        return cast(Folder, node).space() if self.kind(node) is Kind.FOLDER else None

    def listxattr(self, path: str) -> list[str]:
        """The names of all extended attributes."""
        return list(self._xattrs(self.node(path)))

    def getxattr(self, path: str, name: str) -> bytes:
        """One extended attribute. What is not `user.*` is Unsupported, so that `ls` asks only once for all files."""
        if not name.startswith("user."):
            raise Unsupported("only extended attributes of users are kept")
        value = self._xattrs(self.node(path)).get(name)
        if value is None:
            raise NoAttribute(f"{path} has no attribute {name}")
        return value

    def setxattr(self, path: str) -> None:
        """`setxattr(2)` and `removexattr(2)`: ReadOnly, and Unsupported in a writable folder (as `cp -a` expects)."""
        self._changeable(path)
        raise Unsupported("extended attributes cannot be set here")

    def _xattrs(self, node: Node) -> Mapping[str, bytes]:
        known = node.xattrs()
        if self.kind(node) is not Kind.REMOTE:
            return known
        state = self._content.state(cast(RemoteFile, node).ref)
        return {**known, STATE: str(state.value if isinstance(state, enum.Enum) else state).encode()}

    def _folder(self, path: str) -> tuple[Folder, str]:
        """The writable folder and the name in it that `path` means; ReadOnly where it is not writable."""
        parent, _, name = path.rpartition("/")
        node = self.directory(parent)
        if self.kind(node) is not Kind.FOLDER:
            raise ReadOnly(f"{parent or '/'} cannot be changed")
        if len(name.encode("utf-8", "surrogateescape")) > NAME_MAX:
            raise NameTooLong(f"a name has at most {NAME_MAX} bytes")
        return cast(Folder, node), name

    def _changeable(self, path: str) -> Writable | Folder:
        node = self.node(path)
        if self.kind(node) not in (Kind.WRITABLE, Kind.FOLDER):
            raise ReadOnly(f"{path} cannot be changed")
        return cast("Writable | Folder", node)


def _written(node: Writable, handle: Handle) -> OpenFile:
    try:
        return Written(node, handle, node.attributes())
    except BaseException:
        handle.release()
        raise
