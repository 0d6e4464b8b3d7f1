"""What the mount needs of the content store, by shape: this room and `content` need not import each other.

`content.content.Content` and its readers fit these. The enumeration of a reader's caching is compared by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..model import FileRef

KEEP, FRESH, DIRECT = "KEEP", "FRESH", "DIRECT"


class Caching(Protocol):
    """How the kernel may cache what is read through one open: the member of an enumeration."""

    @property
    def name(self) -> str:
        """`KEEP`: pages of earlier opens are good. `FRESH`: drop them first. `DIRECT`: no page cache at all."""


class Reader(Protocol):
    """One open remote file. Any method may be called from any thread, several at once."""

    @property
    def caching(self) -> Caching:
        """Constant during the open."""

    @property
    def fd(self) -> int:
        """A descriptor of the complete, verified content, or -1; may become >= 0 during the open, and -1 again."""

    @property
    def size(self) -> int:
        """Bytes; what `stat` shows."""

    def read_into(self, address: int, size: int, offset: int, interrupted: Callable[[], bool]) -> int:
        """Write exactly min(size, self.size - offset) bytes to `address`, or raise; waits with a deadline.

        While it waits it asks `interrupted` at least each 0.2 s and then raises InterruptedError.
        """

    def close(self) -> None:
        """The last descriptor is gone."""


class Content(Protocol):
    """The content store."""

    def open(self, ref: FileRef, path: str) -> Reader:
        """Answers at once. `path` is where in the mount it is opened: each path has a page cache of its own."""

    def size(self, ref: FileRef) -> int:
        """The size to show in `stat`; no I/O to servers."""

    def state(self, ref: FileRef) -> object:
        """`remote`, `staging`, `partial`, `cached`, `unverified` or `corrupt`, as text or as an enumeration of text."""
