"""What a tree is made of: nodes that know nothing of FUSE, handles, caches or clocks.

`mount.operations` walks these; `tree.views` (archives), `tree.virtual` (status files) and `drop.folder` (the write-only
part) make them. Nodes are cheap values made on the way: two nodes of one `ino` are the same thing.

Threading: all methods may be called from any thread. `attributes` and `xattrs` of what is known do no I/O to servers.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from ..model import FileRef


class Attributes(msgspec.Struct, frozen=True, gc=False):
    """What `stat` shows. `mode` has the type bits; permission bits are the mount's business for archive nodes (0).

    Folders have one link, which tells `find` that the number of subfolders is not in it. A time of 0 is unknown.
    `ino` is the node's own `ino` where looking found it by the way, else 0. `chunk` is how many bytes at once suit it
    (`st_blksize`), for programs that ask. `uid` is whose it is; -1: the mount's.
    """

    mode: int
    size: int = 0
    mtime_ns: int = 0
    nlink: int = 1
    ino: int = 0
    chunk: int = 4096
    uid: int = -1


DIRECTORY = stat.S_IFDIR
FILE = stat.S_IFREG
LINK = stat.S_IFLNK
OPEN, SHARED = 0o2777, 0o3777
"""Permission bits of a folder in which all who are let in may write; in SHARED they remove only what is theirs."""


def inode(*key: str) -> int:
    """A stable inode number for what `key` names: the same thing reached by two ways has one number."""
    digest = hashlib.blake2b("\0".join(key).encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return (int.from_bytes(digest, "little") & 0x7FFF_FFFF_FFFF_FFFF) | 0x100


def file_xattrs(ref: FileRef) -> Mapping[str, bytes]:
    """What is known of an archive's file without asking anybody; the state of its content is the mount's to add."""
    found = {
        **{f"user.pacifica.{word}": value for word, value in ref.extra},
        "user.pacifica.id": ref.id,
        "user.pacifica.transaction": ref.container,
        "user.pacifica.archive": ref.archive,
    }
    if ref.digest:
        found["user.pacifica.digest"] = str(ref.digest)
    if ref.mime_type:
        found["user.mime_type"] = ref.mime_type
    return {name: value.encode() for name, value in found.items()}


class Node(Protocol):
    """Anything with a name."""

    @property
    def ino(self) -> int:
        """The inode number; see `inode`."""

    def attributes(self) -> Attributes:
        """What `stat` shows, now."""

    def xattrs(self) -> Mapping[str, bytes]:
        """Extended attributes by full name (`user.pacifica.id`)."""


@runtime_checkable
class Directory(Node, Protocol):
    """A folder. Either complete, or an error is raised: never an empty listing in place of an outage."""

    def entries(self) -> Sequence[tuple[str, Node]]:
        """All that is in it, names safe (`tree.names`), in the order to show; without `.` and `..`."""

    def lookup(self, name: str) -> Node:
        """The node of one name, also of one that `entries` does not list; NotFound if there is none."""


@runtime_checkable
class RemoteFile(Node, Protocol):
    """A file whose content comes through the content store."""

    @property
    def ref(self) -> FileRef:
        """What the content store is asked for."""


@runtime_checkable
class VirtualFile(Node, Protocol):
    """A file that is computed when it is opened (size 0 in `stat`, so always opened with direct_io)."""

    def render(self) -> bytes:
        """The content now; one open sees one content."""


@runtime_checkable
class Deferred(Node, Protocol):
    """A file whose attributes are asked of a server, one by one: a listing of its folder does without them."""

    @property
    def known(self) -> bool:
        """True once `attributes` asks nobody."""


@runtime_checkable
class Link(Node, Protocol):
    """A symbolic link."""

    @property
    def target(self) -> str:
        """Where it points, relative."""


class Handle(Protocol):
    """An open file of a writable folder. Calls for one handle may come from several threads."""

    def read(self, size: int, offset: int) -> bytes:
        """Exactly min(size, st_size - offset) bytes; Denied unless opened read-write."""

    def write(self, data: memoryview, offset: int) -> int:
        """All of `data`, or an error; `data` is only valid during the call."""

    def truncate(self, size: int) -> None:
        """Set the size."""

    def flush(self) -> None:
        """A `close()` of one of its descriptors: durable when it returns; does nothing without new writes.

        The only place besides `fsync` whose errors a closing program sees.
        """

    def fsync(self) -> None:
        """Durable when it returns."""

    def attributes(self) -> Attributes:
        """What `fstat` shows, with `ino`, whatever became of the file's name."""

    def release(self) -> None:
        """The last descriptor is gone; errors reach nobody."""


@runtime_checkable
class Writable(Node, Protocol):
    """A file in a writable folder."""

    def open(self, flags: int) -> Handle:
        """Open with `os.O_*` flags; Denied for O_RDONLY."""

    def truncate(self, size: int) -> None:
        """`truncate(2)` by path."""

    def set_times(self, mtime_ns: int) -> None:
        """`utimensat(2)`; the access time is not kept."""

    def set_mode(self, mode: int) -> None:
        """`chmod(2)`."""


@runtime_checkable
class Glancing(Directory, Protocol):
    """A folder that finds out attributes by looking up."""

    def glance(self, name: str) -> Attributes:
        """The attributes, with `ino`, of what `lookup(name)` gives; errors as `lookup`."""


@runtime_checkable
class Folder(Directory, Protocol):
    """A folder that takes files. Refusals are `Denied`, `NotPermitted`, `Exists`, `NoSpace`, ….

    `attributes().mode` has permission bits. A folder may also have `symlink(name, target)`, and any node
    `control(data: bytes)`, which gets what a user sets as the extended attribute `user.pacifica.control`.
    """

    def create(self, name: str, flags: int, mode: int) -> tuple[Writable, Handle]:
        """Make or open a file and open it."""

    def mkdir(self, name: str, mode: int) -> None:
        """Make a folder."""

    def unlink(self, name: str) -> None:
        """Remove a file."""

    def rmdir(self, name: str) -> None:
        """Remove an empty folder."""

    def rename(self, name: str, to: Folder, new: str) -> None:
        """Move an entry; replaces a file of the new name. `to` may be this folder. Invalid across archives."""

    def set_times(self, mtime_ns: int) -> None:
        """`utimensat(2)` of the folder itself."""

    def set_mode(self, mode: int) -> None:
        """`chmod(2)` of the folder itself."""

    def space(self) -> tuple[int, int]:
        """Total and free bytes of the disk below, for `statfs`."""
