"""What follows the writer of a file: its digest, and its way to the disk.

A file that is written in order is hashed along. Small ones are hashed where they are written, for their bytes are at
hand. Beyond `AT_HAND` a helper's thread reads what was written from the page cache, hashes it and has the kernel begin
to put it on the disk, while the writer goes on: a copy takes no longer for being hashed, and little is left to do for
the fsync of its close.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from ..model import Digest

if TYPE_CHECKING:
    import hashlib

    from .disk import Disk

AT_HAND = 1 << 20
"""Bytes of a file that its writer hashes itself."""
SLICE = 8 << 20
"""Bytes after which a helper's thread turns to the next file, and which are given to the disk together."""
PIECE = 1 << 20


class Trail:
    """The digest of one file, as long as it is written in order.

    Threading: `took` is called by one writer at a time (the file's lock is held), `digest` and `close` by anybody, and
    the rest by a helper's thread. Only `digest` waits: for this machine to hash what is left.
    """

    def __init__(self, disk: Disk, algorithm: str) -> None:
        self._disk, self._algorithm = disk, algorithm
        self._hasher: hashlib._Hash = Digest(algorithm, "").hasher()
        self._lock = threading.Lock()
        self._fd = -1
        self._hashed = 0
        self._under_way = False
        self.written = 0
        self.broken = False

    def took(self, fd: int, data: memoryview, offset: int) -> None:
        """`data` was written at `offset` of the file `fd`."""
        if self.broken:
            return
        if offset != self.written:
            self.broken = True
            return
        self.written += len(data)
        if self._fd < 0:
            if self.written <= AT_HAND:
                self._hasher.update(data)
                self._hashed = self.written
                return
            try:
                # A descriptor of its own: the writer's may be closed first, and may be for writing only.
                self._fd = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                self.broken = True
                return
        if not self._under_way and self.written - self._hashed >= PIECE:
            self._under_way = True
            self._disk.behind.later(self._follow)

    def digest(self, size: int) -> Digest | None:
        """Of the file's `size` bytes; None if that is not what was written in order, or it cannot be read."""
        while not self.broken and self._hashed < self.written == size:
            self._advance()
        if self.broken or self.written != size:
            return None
        return Digest(self._algorithm, self._hasher.copy().hexdigest())

    def close(self) -> None:
        """No digest is wanted any more. Does not wait: a helper that is at it closes the file itself."""
        self.broken = True
        if self._lock.acquire(blocking=False):
            try:
                if self._fd >= 0:
                    os.close(self._fd)
                    self._fd = -1
            finally:
                self._lock.release()

    def _follow(self) -> None:
        begun = self._hashed
        self._advance()
        # What comes between these two lines is seen by the next `took`, or by `digest`.
        self._under_way = False
        if not self.broken and self.written - self._hashed >= PIECE and self._hashed > begun and not self._under_way:
            self._under_way = True
            self._disk.behind.later(self._follow)

    def _advance(self) -> None:
        """Hash up to SLICE bytes."""
        self._hash_some()
        if self.broken:
            self.close()

    def _hash_some(self) -> None:
        with self._lock:
            if self._fd < 0:
                return
            start = self._hashed
            end = min(self.written, start + SLICE)
            while self._hashed < end and not self.broken:
                try:
                    piece = os.pread(self._fd, min(PIECE, end - self._hashed), self._hashed)
                except OSError:
                    piece = b""
                if not piece:
                    self.broken = True
                    return
                self._hasher.update(piece)
                self._hashed += len(piece)
            if not self.broken:
                self._disk.begin_writing(self._fd, start, end - start)
