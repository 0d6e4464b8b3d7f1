"""Keeps the store below its limit while it fills: room is made before bytes are written."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Protocol

from ..errors import NoSpace
from .evict import Candidate, choose
from .files import locked
from .index import Index
from .owner import Owner

log = logging.getLogger(__name__)
QUANTUM = 64 * 2**20


class InUse(Protocol):
    """What the room must know of open blobs. Called with the room's lock held: must not wait."""

    def idle_partials(self) -> Iterable[Candidate]:
        """Partial blobs that nobody has open and nothing fills."""

    def drop_partial(self, name: str) -> int:
        """Remove one of those from disk, if it is still idle; the bytes that this gave back."""

    def is_open(self, name: str) -> bool:
        """True where a reader has the blob open."""


class Room:
    """The account of bytes: complete blobs of all processes, and what partial files may take.

    Reservations are made in quanta, so that the lock between processes is taken once in a while only. Methods may wait
    for that lock and for files to be removed; only fetches and the housekeeper call them, never a reader.
    """

    def __init__(
        self,
        limit: int,
        index: Index,
        lock: Path,
        owner: Callable[[], Owner],
        in_use: InUse,
        pinned: Callable[[], Collection[str]],
    ) -> None:
        """`pinned` gives the names of what is never evicted."""
        self.limit = limit
        self._pinned = pinned
        self.evicted = 0
        self._quantum = min(QUANTUM, limit // 16)
        self._index = index
        self._path = lock
        self._owner = owner
        self._in_use = in_use
        self._lock = threading.Lock()
        self._used = 0
        self._reserved = 0
        self._told = 0

    @property
    def partial(self) -> int:
        """Bytes of this process's partial files."""
        return self._used

    @property
    def over(self) -> bool:
        """True where this process knows that the limit is exceeded."""
        return self._index.size + self._used > self.limit

    def take(self, size: int, needed: bool) -> None:
        """Account for `size` bytes about to be written; evicts first.

        NoSpace if they do not fit and are not `needed`. What a reader waits for is needed: a file larger than the whole
        limit must still be readable, and what is open cannot go.
        """
        with self._lock:
            if self._used + size > self._reserved:
                self._reserve(self._used + size - self._reserved, needed)
            self._used += size

    def give(self, size: int, published: bool = False) -> None:
        """`size` bytes of partial files are gone, or are a complete blob now."""
        with self._lock:
            self._give(size, published)

    def squeeze(self, size: int) -> None:
        """The disk itself is full: evict at least `size` bytes; NoSpace if there is nothing to evict."""
        with self._lock, locked(self._path):
            self._index.refresh()
            if not self._evict(max(size, self._quantum)):
                raise NoSpace("the disk of the cache is full, and nothing in the cache can be evicted")

    def trim(self) -> None:
        """Evict down to the limit; for when something large was closed."""
        with self._lock, locked(self._path):
            self._index.refresh()
            self._set(self._used)
            self._evict(self._total() - self.limit)

    def _reserve(self, least: int, needed: bool) -> None:
        most = max(least, self._quantum)
        with locked(self._path):
            self._index.refresh()
            if self._total() + least > self.limit:
                # More than is needed at once, or a full cache would look for something to evict at every write.
                self._evict(self._total() + most - self.limit)
            free = self.limit - self._total()
            if free < least and not needed:
                raise NoSpace(
                    f"the cache's limit of {self.limit} bytes is reached, and all that is in it is open or pinned"
                )
            self._set(self._reserved + (most if free >= most else least))

    def _total(self) -> int:
        return self._index.size + self._owner().others() + self._reserved

    def _give(self, size: int, published: bool) -> None:
        self._used -= size
        spare = self._reserved - size if published else min(self._reserved, self._used + self._quantum)
        self._set(max(self._used, spare))

    def _set(self, reserved: int) -> None:
        self._reserved = reserved
        # The others may hear of a little more than there is; telling them costs as much as writing a small file.
        much = reserved and reserved + self._quantum // 16
        if not reserved <= self._told <= much:
            self._told = reserved
            self._owner().reserve(reserved)

    def _evict(self, need: int) -> int:
        """Evict until `need` bytes are free, or nothing is left that may go; how many bytes went."""
        freed = 0
        refused = set(self._pinned()) if need > 0 else set()
        while freed < need:
            partials = {one.name: one for one in self._in_use.idle_partials()}
            chosen = choose([*self._index.candidates(), *partials.values()], need - freed, refused)
            if not chosen:
                break
            for one in chosen:
                if partials.get(one.name) == one:
                    gone = self._in_use.drop_partial(one.name)
                    self._used -= gone
                    self._set(self._reserved - gone)
                else:
                    gone = self._remove(one)
                if gone == 0 and not self._fresher(one):
                    refused.add(one.name)
                freed += gone
        return freed

    def _remove(self, one: Candidate) -> int:
        if self._in_use.is_open(one.name) or self._fresher(one):
            return 0
        if not self.remove(one.name):
            return 0
        self.evicted += 1
        return one.size

    def _fresher(self, one: Candidate) -> bool:
        """True where another process used the blob since: the index knows it then."""
        try:
            used = os.stat(self._index.path(one.name)).st_mtime
        except OSError:
            return False
        if used <= one.used + 1:
            return False
        self._index.add(one.name, used)
        return True

    def remove(self, name: str) -> bool:
        """Remove a complete blob from disk; True if it was there."""
        try:
            os.unlink(self._index.path(name))
        except FileNotFoundError:
            self._index.remove(name)
            return False
        self._index.remove(name)
        return True
