"""Which blobs are in use, by whom, and what is known to be wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..clock import Clock
from ..errors import Corrupt, NoSpace, PacificaFSError
from .blob import Blob
from .corruption import Corruption
from .evict import Candidate
from .pages import Caching, Pages
from .reader import Reader


class Registry:
    """The blobs that are open, being filled, or partly there; at most one for a name.

    All methods may be called from any thread. One lock guards everything here; it is held for bookkeeping only. It may
    be taken with the room's or the fetcher's lock held, and a blob's lock within it; nothing else is called with it
    held.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._blobs: dict[str, Blob] = {}
        self._poisoned: dict[str, set[Reader]] = {}
        self._pages = Pages()
        self._corruption = Corruption(clock)

    # -- blobs

    def find(self, name: str) -> Blob | None:
        """The blob of that name, if it is in use."""
        return self._blobs.get(name)

    def all(self) -> list[Blob]:
        """All blobs that are in use."""
        with self._lock:
            return list(self._blobs.values())

    def admit(self, reader: Reader, name: str, path: str, new: Callable[[], Blob]) -> None:
        """Give `reader` its blob (a `new` one if there is none, none if the content is condemned) and its caching."""
        with self._lock:
            if self._corruption.condemned(name):
                reader.error = Corrupt(f"{reader.ref.id}: what the archive sends does not match its digest")
                reader.caching = Caching.DIRECT
                self._pages.direct(path)
                return
            blob = self._blobs.get(name)
            if blob is None:
                blob = self._blobs[name] = new()
            reader.blob = blob
            blob.used = self._clock.now()
            tainted = blob.join(reader) or name in self._poisoned
            if tainted or reader.size != reader.ref.size:
                reader.caching = Caching.DIRECT
                self._pages.direct(path)
            else:
                reader.caching = self._pages.open(path, name)

    def prepare(self, name: str, new: Callable[[], Blob], seconds: float) -> Blob | None:
        """A blob that is to be filled before anybody opens it, and is wanted for so long; None if that is no use."""
        with self._lock:
            if self._corruption.condemned(name):
                return None
            blob = self._blobs.get(name)
            if blob is None:
                blob = self._blobs[name] = new()
            elif blob.verified or blob.dead is not None or blob.flight is not None:
                return None
            blob.used = self._clock.now()
            blob.idle_since = max(blob.idle_since, self._clock.monotonic() + seconds)
            return blob

    def leave(self, reader: Reader, blob: Blob) -> None:
        """The reader closed its file."""
        with self._lock:
            poisoned = self._poisoned.get(blob.name)
            if poisoned is not None:
                poisoned.discard(reader)
                if not poisoned:
                    del self._poisoned[blob.name]
            if blob.leave(reader):
                blob.idle_since = self._clock.monotonic()

    def is_open(self, name: str) -> bool:
        """True where the blob must not be evicted: somebody reads or fills it."""
        blob = self._blobs.get(name)
        return blob is not None and (bool(blob.readers) or blob.flight is not None)

    def idle(self) -> list[Candidate]:
        """Partial blobs that nobody has open and nothing fills."""
        with self._lock:
            return [Candidate(blob.name, blob.taken, blob.used) for blob in self._blobs.values() if _idle(blob)]

    def remove_idle(self, name: str) -> Blob | None:
        """Take one of those out; None if it is not idle any more."""
        with self._lock:
            blob = self._blobs.get(name)
            return self._remove(blob) if blob is not None and _idle(blob) else None

    def remove_useless(self, blob: Blob) -> Blob | None:
        """Take the blob out if nobody uses it and there is nothing in it to come back to; None if it stays.

        A blob that is out already is given back too, once its last reader left.
        """
        with self._lock:
            if blob.readers or blob.flight is not None:
                return None
            useless = blob.verified or blob.dead or blob.present == 0 or isinstance(blob.failure, NoSpace)
            if self._blobs.get(blob.name) is blob and not useless:
                return None
            return self._remove(blob)

    def _remove(self, blob: Blob) -> Blob:
        if self._blobs.get(blob.name) is blob:
            del self._blobs[blob.name]
        if blob.handed and not blob.verified:
            self._pages.spoil(blob.name)
        return blob

    # -- what is wrong

    def poison(self, blob: Blob, error: PacificaFSError) -> None:
        """Wrong bytes of the blob were handed out: its readers get errors, its pages are not used again.

        New opens get another blob, without the page cache as long as one of its readers is there.
        """
        with self._lock:
            self._pages.spoil(blob.name)
            readers = self._condemn(blob, error)
            if readers:
                self._poisoned.setdefault(blob.name, set()).update(readers)

    def resize(self, blob: Blob, key: str, size: int, error: PacificaFSError) -> None:
        """The content of `key` has `size` bytes: readers of the blob, who expect another size, get errors."""
        with self._lock:
            self._corruption.resize(key, size)
            self._condemn(blob, error)

    def note_size(self, key: str, size: int) -> None:
        """The content of `key` was found on disk with `size` bytes."""
        with self._lock:
            self._corruption.resize(key, size)

    def size(self, key: str, claimed: int) -> int:
        """The true size, where it is known to differ from the claimed."""
        return self._corruption.size(key, claimed)

    @property
    def resized(self) -> bool:
        """True where any content is known to have another size than claimed."""
        return self._corruption.resized

    def spoil(self, name: str) -> None:
        """Pages that were filled from the blob are not to be used again."""
        with self._lock:
            self._pages.spoil(name)

    def strike(self, name: str) -> bool:
        """The content did not match once more; True if it is condemned for a while now."""
        with self._lock:
            return self._corruption.strike(name)

    def strikes(self, name: str) -> int:
        """How often the content did not match lately."""
        with self._lock:
            return self._corruption.strikes(name)

    def condemned(self, name: str) -> bool:
        """True where the content did not match so often that nobody tries for a while."""
        with self._lock:
            return self._corruption.condemned(name)

    def clear(self, name: str) -> None:
        """The content is right."""
        with self._lock:
            self._corruption.clear(name)

    def _condemn(self, blob: Blob, error: PacificaFSError) -> set[Reader]:
        if self._blobs.get(blob.name) is blob:
            del self._blobs[blob.name]
        readers = set(blob.readers)
        for reader in readers:
            reader.error = error
        return readers


def _idle(blob: Blob) -> bool:
    return not blob.readers and blob.flight is None and blob.taken > 0 and not blob.verified
