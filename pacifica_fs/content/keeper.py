"""Brings blobs to disk, judges them, and clears away what is not needed any more."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from ..clock import Clock
from ..errors import Corrupt, PacificaFSError, Stale
from . import keys
from .blob import Blob
from .evict import Candidate
from .files import BlobFile
from .registry import Registry
from .store import Store

log = logging.getLogger(__name__)
IDLE = 64  # partial blobs that are kept although nobody has them open


class Keeper:
    """Between the registry and the store: what a fetch (`pilot.Judge`) and the room (`room.InUse`) must know of blobs.

    All methods may be called from any thread. `untidy` is set when there is something for `tidy_up` to do.
    """

    def __init__(self, root: Path, limit: int, clock: Clock, registry: Registry) -> None:
        """ConfigError if `root` cannot be used; `limit` in bytes."""
        self._registry = registry
        self.store = Store(root, limit, clock, self)
        self.untidy = threading.Event()
        self._owed = 0
        self._lock = threading.Lock()

    # -- for readers and the content store

    def stored(self, name: str) -> BlobFile | None:
        """A complete blob, opened; None if there is none, also if it was found damaged and removed."""
        try:
            return self.store.open(name)
        except Corrupt as error:
            log.warning("%s; it is fetched again", error)
            self.damaged(name)
            return None

    def unpublished(self, name: str) -> BlobFile | None:
        """Content that is verified, but only on its way to its place."""
        blob = self._registry.find(name)
        file = blob.file if blob is not None and blob.verified else None
        try:
            return BlobFile(file.path, os.O_RDONLY) if file is not None else None
        except FileNotFoundError:
            return self.stored(name)

    def damaged(self, name: str, blob: Blob | None = None) -> None:
        """A complete blob's file is not what it was: away with it, and nobody trusts what was read from it."""
        self.store.room.remove(name)
        self._registry.spoil(name)
        blob = blob or self._registry.find(name)
        if blob is not None and blob.verified:
            self._poison(blob, Corrupt(f"{blob.id}: its cached content was damaged on disk"))

    def tidy(self, blob: Blob) -> None:
        """Let go of a blob that is neither open nor being filled; what is worth keeping of it stays, evictable."""
        removed = self._registry.remove_useless(blob)
        if removed is not None:
            taken = self._dispose(removed)
            with self._lock:
                self._owed += taken
            if taken or self.store.room.over:
                self.untidy.set()

    def tidy_up(self) -> None:
        """Settle the account with the room, keep few idle blobs, keep the limit. May wait for other processes."""
        room = self.store.room
        with self._lock:
            owed, self._owed = self._owed, 0
        if owed:
            room.give(owed)
        idle = sorted(self._registry.idle(), key=lambda one: one.used)
        for one in idle[: max(0, len(idle) - IDLE)]:
            room.give(self.drop_partial(one.name))
        if room.over:
            room.trim()

    # -- for the room: nothing here waits

    def idle_partials(self) -> Iterable[Candidate]:
        """Partial blobs that nobody has open and nothing fills."""
        return self._registry.idle()

    def drop_partial(self, name: str) -> int:
        """Remove one of those from disk, if it is still idle; the bytes that this gave back."""
        removed = self._registry.remove_idle(name)
        return self._dispose(removed) if removed is not None else 0

    def is_open(self, name: str) -> bool:
        """True where the blob must not be evicted."""
        return self._registry.is_open(name)

    # -- for flights

    def shared(self, blob: Blob) -> bool:
        """Use the complete blob of another process, if there is one by now; True if it is used."""
        file = self.stored(blob.name)
        if file is None:
            return False
        old, blob.file = blob.file, file
        if old is not None:
            self.store.discard(old, blob.taken)
            blob.taken = 0
            old.close()
        blob.verify()
        return True

    def strikes(self, blob: Blob) -> int:
        """How often this content was found wrong lately."""
        return self._registry.strikes(blob.name)

    def verified(self, blob: Blob) -> None:
        """The content is right: make it a complete blob on disk."""
        self._registry.clear(blob.name)
        self._publish(blob, blob.name)

    def resized(self, blob: Blob, size: int) -> None:
        """The content has its digest but not its size: what is open is wrong, the next open sees the truth."""
        error = Corrupt(f"{blob.id}: the archive claims {blob.size} bytes, but the content has {size}")
        key = keys.split(blob.name)[0]
        self._publish(blob, keys.name(key, size))
        self._registry.resize(blob, key, size, error)
        blob.kill(error)

    def mismatched(self, blob: Blob) -> PacificaFSError | None:
        """The content is wrong. None: nobody saw any of it, it is forgotten and may be fetched anew at once."""
        log.warning("%s (%s) does not match its digest", blob.id, blob.name)
        error = Corrupt(f"{blob.id}: what the archive sends does not match its digest")
        condemned = self._registry.strike(blob.name)
        if blob.reset():
            self.store.room.give(blob.taken)
            blob.taken = 0
            return error if condemned else None
        self._poison(blob, error)
        return error

    def stale(self, blob: Blob, error: Stale) -> None:
        """The file is another one by now: nothing of this content is read or fetched on."""
        self._poison(blob, error)

    def _publish(self, blob: Blob, name: str) -> None:
        if blob.file is None or blob.taken == 0:
            return
        try:
            self.store.publish(name, blob.file, blob.taken)
            blob.taken = 0
        except OSError as error:
            log.warning("%s cannot be kept in the cache: %s", blob.id, error)
        self.untidy.set()

    def _poison(self, blob: Blob, error: PacificaFSError) -> None:
        self._registry.poison(blob, error)
        blob.spoilt(error)
        self.tidy(blob)

    def _dispose(self, blob: Blob) -> int:
        """Close a removed blob's file, and delete it where it was partial; the bytes that this gave back."""
        file, blob.file = blob.file, None
        taken, blob.taken = blob.taken, 0
        if file is not None:
            if taken:
                self.store.unlink(file)
            file.close()
        return taken
