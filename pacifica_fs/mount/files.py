"""Open files, as the transport sees them: content of an archive, a snapshot of a status file, a file in the drop."""

from __future__ import annotations

import threading
from typing import Protocol

from ..errors import Invalid, ReadOnly
from ..tree.nodes import Attributes, Handle, Node
from .needs import DIRECT, KEEP, Reader


class OpenFile(Protocol):
    """What `Operations.open` and `create` return. Any method may be called from any thread, several at once.

    `direct`: without page cache, so sizes do not matter and reads may be interrupted. `keep`: cached pages of earlier
    opens are good. `reader` is set where bytes come from the content store; then it is read, and not this.
    """

    node: Node
    direct: bool
    keep: bool
    reader: Reader | None

    def read(self, size: int, offset: int) -> bytes:
        """min(size, what there is from `offset` on) bytes."""

    def write(self, data: memoryview, offset: int) -> int:
        """All of `data`, which is only valid during the call."""

    def truncate(self, size: int) -> None:
        """Set the size."""

    def flush(self) -> None:
        """One descriptor is closed; errors reach its `close()`."""

    def fsync(self) -> None:
        """Durable when it returns."""

    def release(self) -> None:
        """The last descriptor is gone; errors reach nobody."""

    def attributes(self) -> Attributes:
        """What `fstat` shows of a file that has no name any more."""


class _Unchangeable:
    """What can only be read."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def write(self, data: memoryview, offset: int) -> int:
        raise ReadOnly("archives and status files do not change")

    def truncate(self, size: int) -> None:
        raise ReadOnly("archives and status files do not change")

    def flush(self) -> None:
        pass

    def fsync(self) -> None:
        pass

    def attributes(self) -> Attributes:
        return self.node.attributes()


class RemoteContent(_Unchangeable):
    """A file of an archive. `uncached` is set where the program asked for O_DIRECT.

    Such a file is opened as direct_io, too: else its reader cannot be killed while it waits.
    """

    def __init__(self, node: Node, reader: Reader, uncached: bool) -> None:
        super().__init__(node)
        caching = reader.caching.name
        self.reader: Reader | None = reader
        self.direct = uncached or caching == DIRECT
        self.keep = caching == KEEP and not self.direct
        self._opened = reader

    def read(self, size: int, offset: int) -> bytes:
        raise Invalid("remote content is read through its reader")

    def release(self) -> None:
        self._opened.close()


class Snapshot(_Unchangeable):
    """A virtual file as it was when it was opened."""

    reader: Reader | None = None
    direct = True
    keep = False

    def __init__(self, node: Node, data: bytes) -> None:
        super().__init__(node)
        self._data = data

    def read(self, size: int, offset: int) -> bytes:
        return self._data[offset : offset + size]

    def release(self) -> None:
        self._data = b""


class Written:
    """A file of a writable folder; keeps count of its size for the time when it has lost its name."""

    reader: Reader | None = None
    direct = False
    keep = False

    def __init__(self, node: Node, handle: Handle, attributes: Attributes) -> None:
        self.node = node
        self._handle = handle
        self._attributes = attributes
        self._size = attributes.size
        self._lock = threading.Lock()

    def read(self, size: int, offset: int) -> bytes:
        return self._handle.read(size, offset)

    def write(self, data: memoryview, offset: int) -> int:
        written = self._handle.write(data, offset)
        with self._lock:
            self._size = max(self._size, offset + written)
        return written

    def truncate(self, size: int) -> None:
        self._handle.truncate(size)
        with self._lock:
            self._size = size

    def flush(self) -> None:
        self._handle.flush()

    def fsync(self) -> None:
        self._handle.fsync()

    def release(self) -> None:
        self._handle.release()

    def attributes(self) -> Attributes:
        return Attributes(self._attributes.mode, self._size, self._attributes.mtime_ns, 0)
