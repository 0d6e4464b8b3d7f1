"""What each file system operation means, on nodes and handles; knows nothing of FUSE.

A binding resolves paths (or inode numbers) to nodes with `resolve`, calls one method for each request and hands the
result on. All methods may be called from any thread; none waits under a lock. Everything outside a writable folder
is read-only; what an archive says is immutable and may be kept, what drop and status say is asked anew each time.
"""

from __future__ import annotations

import itertools
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from ..errors import (
    Denied,
    Exists,
    Invalid,
    IsADirectory,
    NoAttribute,
    NotADirectory,
    NotFound,
    NotPermitted,
    PacificaFSError,
    ReadOnly,
    Unsupported,
)
from ..model import FileRef
from ..tree.nodes import DIRECTORY, OPEN, SHARED, Attributes, Folder, Handle, Node

STATE = "user.pacifica.state"
CONTROL = "user.pacifica.control"
REMEMBERED = 10_000
REMEMBERED_FOR = 1.0
CHANGES = os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_APPEND


class Reading(Protocol):
    """An open file of the content store."""

    @property
    def caching(self) -> Any:
        """An enum whose name is KEEP, FRESH or DIRECT."""

    @property
    def fd(self) -> int:
        """A descriptor of the whole verified content, or -1."""

    @property
    def size(self) -> int:
        """Bytes of the file."""

    def read_into(self, address: int, size: int, offset: int, interrupted: Callable[[], bool] | None = None) -> int:
        """Exactly min(size, file's size - offset) bytes into memory, or an error."""

    def close(self) -> None:
        """Give it back."""


class ContentStore(Protocol):
    """What operations need of the content store."""

    def open(self, ref: FileRef, path: str, among: Any = None) -> Reading:
        """Open at once; `among` is the node's, see `tree.among`."""

    def size(self, ref: FileRef) -> int:
        """The size to show."""

    def state(self, ref: FileRef) -> str:
        """`remote`, `cached`, …"""

    def request(self, ref: FileRef, data: bytes, allowed: bool) -> bool:
        """Do what a user wants of a file's content (evict, pin, …), Denied where that user is not `allowed` to.

        False if it is for somebody else to do.
        """


class Look(msgspec.Struct, frozen=True):
    """Whose the files are and what modes the archives' nodes have."""

    uid: int
    gid: int
    file_mode: int = 0o644
    dir_mode: int = 0o755

    @property
    def open_mode(self) -> int:
        """Of a folder in which everybody may write who may look into it."""
        return self.dir_mode | (self.dir_mode & 0o044) >> 1

    @property
    def shared_mode(self) -> int:
        """The same, where nobody removes what is somebody else's, as in /tmp."""
        return self.open_mode | (stat.S_ISVTX if self.open_mode & 0o022 else 0)


class Stat(msgspec.Struct, frozen=True, gc=False):
    """What `stat` shows; `uid` -1: the mount's."""

    ino: int
    mode: int
    nlink: int
    size: int
    mtime_ns: int
    chunk: int = 4096
    uid: int = -1


class Open:
    """An open file: content (`reading`), a snapshot (`data`) or a file of a writable folder (`handle`)."""

    __slots__ = ("data", "direct", "handle", "keep", "node", "reading")

    def __init__(
        self,
        node: Node,
        reading: Reading | None = None,
        data: bytes | None = None,
        handle: Handle | None = None,
        direct: bool = False,
        keep: bool = False,
    ) -> None:
        self.node = node
        self.reading = reading
        self.data = data
        self.handle = handle
        self.direct = direct
        self.keep = keep


class Operations:
    """One mounted tree. `volatile` names the top folders whose content changes by itself; `spare` gives the total and
    free bytes that `df` shows for what has no `space` of its own; `caller` says whose request a thread answers.
    """

    def __init__(
        self,
        root: Node,
        content: ContentStore,
        look: Look,
        volatile: Sequence[str] = ("drop", "status"),
        requests: Counter[str] | None = None,
        spare: Callable[[], tuple[int, int]] = lambda: (0, 0),
        caller: Callable[[], int] = os.getuid,
    ) -> None:
        self._spare = spare
        self._caller = caller
        self._root = root
        self._born = time.time_ns()  # the time of what has none
        self._content = content
        self.look = look
        # What has no permission bits of its own.
        self._modes = {
            stat.S_IFREG: stat.S_IFREG | look.file_mode,
            stat.S_IFDIR: stat.S_IFDIR | look.dir_mode,
            stat.S_IFLNK: stat.S_IFLNK | 0o777,
            DIRECTORY | OPEN: stat.S_IFDIR | look.open_mode,
            DIRECTORY | SHARED: stat.S_IFDIR | look.shared_mode,
        }
        self._volatile = frozenset(volatile)
        self._folders: dict[str, tuple[Node, float]] = {}
        self._numbers = itertools.count(1)
        self._open: dict[int, Open] = {}
        self.requests = requests if requests is not None else Counter()

    # ------------------------------------------------------------------ names

    def resolve(self, path: str) -> Node:
        """The node of an absolute path. NotFound, NotADirectory, or what the archive raises."""
        if path == "/":
            return self._root
        parent, _, name = path.rpartition("/")
        return _lookup(self._folder(parent or "/"), name)

    def stat(self, node: Node) -> Stat:
        """What `stat` shows of a node."""
        shown = node.attributes()
        ref = getattr(node, "ref", None)
        size = shown.size if ref is None else self._content.size(ref)
        return self._stat(shown, shown.ino or node.ino, size)

    def stat_path(self, path: str) -> Stat:
        """`stat(resolve(path))`, in one look where the folder can."""
        parent, _, name = path.rpartition("/")
        glance = getattr(self._folder(parent or "/"), "glance", None) if name else None
        if glance is None:
            return self.stat(self.resolve(path))
        shown: Attributes = glance(name)
        return self._stat(shown, shown.ino, shown.size)

    def stat_open(self, number: int, path: str | None) -> Stat:
        """What `fstat` shows: of the file itself where it can say so, whatever became of its name (None: removed)."""
        file = self.opened(number)
        look = getattr(file.handle, "attributes", None)
        if look is not None:
            shown: Attributes = look()
            return self._stat(shown, shown.ino, shown.size)
        return self.stat(file.node) if path is None else self.stat_path(path)

    def _stat(self, shown: Attributes, ino: int, size: int) -> Stat:
        mode = self._modes.get(shown.mode, shown.mode)
        return Stat(ino, mode, shown.nlink, size, shown.mtime_ns or self._born, shown.chunk, shown.uid)

    def listed(self, node: Node) -> tuple[Stat, bool]:
        """What a listing shows of an entry, for which no server is asked; False if `stat` would show more, or why not.

        NotFound where the entry is not there any more: what else is wrong with one must not hide the others.
        """
        if getattr(node, "known", True):
            try:
                return self.stat(node), True
            except NotFound:
                raise
            except PacificaFSError:
                pass
        return Stat(node.ino, stat.S_IFREG | self.look.file_mode, 1, 0, self._born), False

    def readlink(self, node: Node) -> str:
        """A link's target."""
        target = getattr(node, "target", None)
        if target is None:
            raise Invalid("not a symbolic link")
        return str(target)

    def entries(self, node: Node) -> Sequence[tuple[str, Node]]:
        """A folder's entries."""
        if not hasattr(node, "entries"):
            raise NotADirectory("not a folder")
        found: Sequence[tuple[str, Node]] = node.entries()
        return found

    # -------------------------------------------------------------- open files

    def open(self, path: str, flags: int) -> int:
        """Open by path; the number of an open file. Answers at once: content is fetched when it is read."""
        try:
            node = self.resolve(path)
        except NotFound:
            # The kernel believes a name for a second. One that went away by itself (`.commit`) and is made anew in that
            # time arrives here as an open without O_CREAT.
            if not flags & (os.O_WRONLY | os.O_RDWR):
                raise
            return self.create(path, flags, self.look.file_mode)
        if hasattr(node, "lookup"):
            raise IsADirectory(path)
        opener = getattr(node, "open", None)
        if opener is not None:
            handle = opener(flags)
            return self._add(Open(node, handle=handle, direct=_direct(handle, flags)))
        if flags & CHANGES:
            raise ReadOnly(path)
        ref = getattr(node, "ref", None)
        if ref is not None:
            reading = self._content.open(ref, path, getattr(node, "among", None))
            caching = reading.caching.name
            # A reader with O_DIRECT of a file that the kernel caches cannot be killed while it waits.
            direct = caching == "DIRECT" or bool(flags & os.O_DIRECT)
            return self._add(Open(node, reading=reading, direct=direct, keep=caching == "KEEP"))
        render = getattr(node, "render", None)
        if render is None:
            raise Invalid(path)
        return self._add(Open(node, data=render(), direct=True))

    def opened(self, number: int) -> Open:
        """The open file of a number."""
        try:
            return self._open[number]
        except KeyError:
            raise Invalid("this file is not open") from None

    def read_snapshot(self, file: Open, size: int, offset: int) -> bytes:
        """Bytes of what is not content of an archive."""
        if file.data is not None:
            return file.data[offset : offset + size]
        if file.handle is not None:
            return file.handle.read(size, offset)
        raise Invalid("nothing to read")

    def write(self, number: int, data: memoryview, offset: int) -> int:
        """All of `data`, or an error."""
        return self._handle(number).write(data, offset)

    def flush(self, number: int) -> None:
        """A close(2): durable when it returns."""
        file = self._open.get(number)
        if file is not None and file.handle is not None:
            file.handle.flush()

    def fsync(self, number: int) -> None:
        """Durable when it returns."""
        file = self.opened(number)
        if file.handle is not None:
            file.handle.fsync()

    def release(self, number: int) -> None:
        """The last descriptor is gone."""
        file = self._open.pop(number, None)
        if file is None:
            return
        if file.reading is not None:
            file.reading.close()
        if file.handle is not None:
            file.handle.release()

    # ----------------------------------------------------------------- changes

    def create(self, path: str, flags: int, mode: int) -> int:
        """Make and open a file in a writable folder."""
        folder, name = self._place(path)
        node, handle = folder.create(name, flags, mode)
        return self._add(Open(node, handle=handle, direct=_direct(handle, flags)))

    def mkdir(self, path: str, mode: int) -> None:
        """Make a folder in a writable one."""
        folder, name = self._place(path)
        folder.mkdir(name, mode)

    def unlink(self, path: str) -> None:
        """Remove a file from a writable folder."""
        folder, name = self._place(path)
        folder.unlink(name)

    def rmdir(self, path: str) -> None:
        """Remove an empty folder from a writable one."""
        folder, name = self._place(path)
        folder.rmdir(name)

    def rename(self, old: str, new: str, keep_existing: bool = False) -> None:
        """Move within writable folders; with `keep_existing` Exists instead of replacing."""
        folder, name = self._place(old)
        to, final = self._place(new)
        if keep_existing:
            try:
                to.lookup(final)
            except NotFound:
                pass
            else:
                raise Exists(new)
        folder.rename(name, to, final)

    def refuse_special(self, path: str) -> None:
        """A link, device or fifo: EPERM where files can be made, EROFS elsewhere."""
        self._place(path)
        raise NotPermitted("only files and folders can be archived")

    def truncate(self, path: str | None, size: int, number: int | None) -> None:
        """By open file where there is one, else by path."""
        if number is not None:
            return self._handle(number).truncate(size)
        self._writable(path).truncate(size)

    def set_times(self, path: str | None, mtime_ns: int | None, number: int | None = None) -> None:
        """`utimensat`; access times are not kept, so None (only that is to be set) changes nothing."""
        node = self._writable(path, number)
        if mtime_ns is not None:
            node.set_times(mtime_ns)

    def set_mode(self, path: str | None, mode: int, number: int | None = None) -> None:
        """`chmod`."""
        self._writable(path, number).set_mode(mode & 0o7777)

    def set_owner(self, path: str | None, number: int | None = None) -> None:
        """`chown`: taken without effect where files can be written, so that `cp -a` and `tar x` work."""
        self._writable(path, number)

    # -------------------------------------------------------------- attributes

    def xattr(self, node: Node, name: str) -> bytes:
        """One extended attribute; NoAttribute."""
        if name == STATE:
            ref = getattr(node, "ref", None)
            if ref is not None:
                return self._content.state(ref).encode()
        elif not name.startswith("user."):
            raise NoAttribute(name)
        try:
            return node.xattrs()[name]
        except KeyError:
            raise NoAttribute(name) from None

    def xattrs(self, node: Node) -> list[str]:
        """The names of all extended attributes."""
        names = list(node.xattrs())
        if getattr(node, "ref", None) is not None:
            names.append(STATE)
        return names

    def set_xattr(self, path: str, name: str, value: bytes) -> None:
        """What a user asks of a file or folder that takes requests, under the name CONTROL; any other is refused."""
        node = self.resolve(path)
        control, ref = getattr(node, "control", None), getattr(node, "ref", None)
        if name != CONTROL or (control is None and ref is None):
            self.refuse_xattr(path)
        elif ref is not None and self._content.request(ref, value, self._decides()):
            return
        elif control is not None:
            control(value)
        else:
            raise Invalid(f"not a request: {value[:100]!r}")

    def _decides(self) -> bool:
        """Whether the caller may say what is in the cache: who mounted it, or root."""
        return self._caller() in (0, os.getuid(), self.look.uid)

    def symlink(self, target: str, path: str) -> None:
        """A link, where a folder takes them; else refused as `refuse_special`."""
        folder, name = self._place(path)
        make = getattr(folder, "symlink", None)
        if make is None:
            self.refuse_special(path)
        else:
            make(name, target)

    def refuse_xattr(self, path: str) -> None:
        """Setting or removing one: nowhere."""
        if hasattr(self.resolve(path), "set_mode"):
            raise Unsupported("extended attributes are not archived")
        raise ReadOnly(path)

    def space(self, path: str) -> tuple[int, int]:
        """Total and free bytes below `path`: the spool's in the drop, the disk that bytes are kept on elsewhere."""
        node: Any = self._root
        found = None
        names = [name for name in path.split("/") if name]
        # `df` must not wait for a server: an archive's folders have nothing to say about room.
        for name in names if names[:1] and names[0] in self._volatile else ():
            try:
                node = _lookup(node, name)
            except PacificaFSError:
                break
            found = getattr(node, "space", found)
        return found() if found is not None else self._spare()

    # ---------------------------------------------------------------- internals

    def _folder(self, path: str) -> Node:
        """The folder of a path, remembered for a moment where it cannot change by itself.

        A writable folder is remembered, too: it is only a name, and looks anew at each call what is there.
        """
        if path == "/":
            return self._root
        # Single reads and assignments of whole values, so that nobody needs a lock.
        known = self._folders.get(path)
        now = time.monotonic()
        if known is not None and now < known[1]:
            return known[0]
        parent, _, name = path.rpartition("/")
        node = _lookup(self._folder(parent or "/"), name)
        if hasattr(node, "create") or path.split("/", 2)[1] not in self._volatile:
            if len(self._folders) >= REMEMBERED:
                self._folders = {}
            self._folders[path] = node, now + REMEMBERED_FOR
        return node

    def _place(self, path: str) -> tuple[Folder, str]:
        """The writable folder of `path` and the name in it; ReadOnly anywhere else."""
        parent, _, name = path.rpartition("/")
        folder: Any = self._folder(parent or "/")
        if not hasattr(folder, "create"):
            raise ReadOnly(path)
        return folder, name

    def _writable(self, path: str | None, number: int | None = None) -> Any:
        if number is not None and number in self._open:
            node: Any = self._open[number].node
        elif path is None:
            raise NotFound("removed")
        else:
            node = self.resolve(path)
        if not hasattr(node, "set_mode"):
            raise ReadOnly(path or "")
        return node

    def _handle(self, number: int) -> Handle:
        handle = self.opened(number).handle
        if handle is None:
            raise Denied("not open for writing")
        return handle

    def _add(self, file: Open) -> int:
        number = next(self._numbers)
        self._open[number] = file
        return number


def _direct(handle: Handle, flags: int) -> bool:
    """Whether a handle has no use for the page cache: it says so, or it neither reads nor can be mapped.

    Without the cache, bytes are copied once less, and the kernel does not ask for `security.capability` at each write.
    """
    return flags & os.O_ACCMODE == os.O_WRONLY or getattr(handle, "direct", False)


def _lookup(node: Any, name: str) -> Node:
    lookup = getattr(node, "lookup", None)
    if lookup is None:
        raise NotADirectory(name)
    found: Node = lookup(name)
    return found
