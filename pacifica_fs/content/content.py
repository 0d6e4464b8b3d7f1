"""The content store: bytes of archive files, fetched once, verified, kept below a limit, shared by all who read them."""

from __future__ import annotations

import copy
import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from ..archive import Archive
from ..clock import Clock
from ..errors import Corrupt, NoSpace, NotFound, PacificaFSError, Unreachable, WaitTimeout
from ..model import FileRef
from . import keys
from .blob import Blob, Gate
from .corruption import Corruption
from .evict import Candidate
from .fetch import Fetcher, Flight
from .files import BlobFile, digest_of
from .pages import Caching, Pages
from .pilot import FetchPilot
from .reader import Reader
from .store import Store

log = logging.getLogger(__name__)
HASTE = 5.0  # seconds for which a handle that timed out, or whose fetch failed, answers at once
TICK = 1.0  # real seconds between two rounds of housekeeping
IDLE = 64  # partial blobs that are kept although nobody has them open
CLOSING = 1.5  # real seconds that closing waits for fetches

__all__ = ["Caching", "Content", "ReadPolicy", "Reader"]


class ReadPolicy(msgspec.Struct, frozen=True):
    """How an archive is read: `read` is "progressive" or "verified", `read_wait` the seconds that one read may wait."""

    read: str = "progressive"
    read_wait: float = 600.0


class Content:
    """What the mount reads files from. All methods may be called from any thread.

    None but `Reader.read` and `Reader.read_into` waits for a server; `verify` and `adopt` may take as long as reading the file does.
    The lock of this class guards `_blobs`, `_poisoned`, `_pages`, `_corruption` and `_owed`; it is held for bookkeeping only.
    """

    def __init__(
        self,
        root: Path,
        limit: int,
        archives: Mapping[str, Archive],
        policies: Mapping[str, ReadPolicy],
        clock: Clock,
        *,
        kernel_timeout: float | None = None,
        max_waiting: int = 256,
    ) -> None:
        """`root` is the store's folder, `limit` bytes; `kernel_timeout` the kernel's request time-out in seconds, if set.

        Raises ConfigError if `root` cannot be used.
        """
        self._archives = archives
        self._policies = policies
        self._clock = clock
        self._limit = limit
        self._longest_wait = kernel_timeout * 0.8 if kernel_timeout else None
        self._lock = threading.Lock()
        self._blobs: dict[str, Blob] = {}
        self._poisoned: dict[str, set[Reader]] = {}
        self._pages = Pages()
        self._corruption = Corruption(clock)
        self._gate = Gate(max_waiting)
        self._owed = 0
        self._hits = 0
        self._misses = 0
        self._closing = threading.Event()
        self._untidy = threading.Event()
        self._threads: list[threading.Thread] = []
        self._store = Store(root, limit, clock, self)
        self._fetcher = Fetcher(archives, clock, FetchPilot(archives, clock, self._store, self), self._landed)

    # -- for the mount and the service

    def start(self) -> None:
        """Begin to fetch and to tidy up. Before this no thread runs (the daemon forks before)."""
        if self._threads:
            return
        for work in (self._scan, self._keep_house):
            self._threads.append(threading.Thread(target=work, name=f"content {work.__name__}", daemon=True))
        self._fetcher.start()
        for thread in self._threads:
            thread.start()

    def open(self, ref: FileRef, path: str) -> Reader:
        """Open a file; answers at once. `path` is the mount's name for it, by which the kernel caches its pages.

        Where bytes must be staged, fetching begins in the background. What goes wrong is told by the reads.
        """
        if ref.size == 0:
            return Reader(self, ref, None, 0)
        archive = self._archive(ref)
        key = keys.key(ref, archive.identity)
        name = keys.name(key, self._true_size(ref, key))
        blob = self._blobs.get(name)
        file = None
        if blob is None:
            file = self._stored(name)
            if file is None:
                name = self._other_size(ref, key) or name
                file = self._stored(name)
        size = keys.split(name)[1]
        with self._lock:
            condemned = self._corruption.condemned(name)
            blob = self._blobs.get(name)
            if blob is None and not condemned:
                blob = self._blobs[name] = self._new(ref, name, size, file)
                file = None
            reader = Reader(self, ref, None if condemned else blob, size)
            tainted = name in self._poisoned
            if blob is not None and not condemned:
                tainted = blob.join(reader) or tainted
                blob.used = self._clock.now()
                if self._policy(ref).read == "verified":
                    blob.hold = blob.size
            if condemned:
                reader.error = Corrupt(f"{ref.id}: what the archive sends does not match its digest; tried again later")
            if tainted or size != ref.size:
                reader.caching = Caching.DIRECT
                self._pages.direct(path)
            else:
                reader.caching = self._pages.open(path, name)
            hit = blob is not None and blob.verified
            self._hits += hit
            self._misses += not hit
        if file is not None:
            file.close()
        if blob is not None and not hit and not condemned and not archive.capabilities.instant:
            self._fetcher.ensure(blob, ref)
        return reader

    def size(self, ref: FileRef) -> int:
        """The size to show for a file: the true one, where the archive is known to claim a wrong one."""
        if not self._corruption.resized or ref.size == 0:
            return ref.size
        return self._true_size(ref, keys.key(ref, self._archive(ref).identity))

    def state(self, ref: FileRef) -> str:
        """`remote`, `staging`, `partial`, `cached`, `unverified` (all there, but nothing to check it against) or `corrupt`."""
        if ref.size == 0:
            return "cached"
        name = self._name(ref)
        with self._lock:
            if self._corruption.condemned(name):
                return "corrupt"
            blob = self._blobs.get(name)
        if blob.verified if blob is not None else self._store.has(name):
            return "cached" if keys.trusted(ref.digest) else "unverified"
        if blob is None:
            return "remote"
        if blob.present:
            return "partial"
        return "staging" if blob.flight is not None else "remote"

    def adopt(self, ref: FileRef, source: Path) -> bool:
        """Take a local file, whose content was verified to be `ref`'s, as a complete blob; False if it is not taken.

        `source` stays; it may share its inode with the blob afterwards: it may be removed, but must not be written.
        """
        if ref.size == 0:
            return True
        name = self._name(ref)
        try:
            if source.stat().st_size != keys.split(name)[1]:
                return False
            if not self._store.has(name):
                self._store.adopt(name, source)
        except (PacificaFSError, OSError) as error:
            log.warning("%s cannot be kept in the cache: %s", source, error)
            return False
        with self._lock:
            self._corruption.clear(name)
        return True

    def evict(self, ref: FileRef) -> bool:
        """Remove a file's content from the cache; False if it is open, or not there."""
        name = self._name(ref)
        if self.is_open(name):
            return False
        taken = self.drop_partial(name)
        if taken:
            self._store.room.give(taken)
        gone = self._store.room.remove(name) or taken > 0
        if gone and not keys.trusted(ref.digest):
            # Nothing guarantees that the next fetch brings the same bytes.
            with self._lock:
                self._pages.spoil(name)
        return gone

    def verify(self, ref: FileRef) -> bool:
        """Read a complete blob and compare it with its digest; False if it is not complete, or was damaged (and is gone now)."""
        if ref.size == 0:
            return True
        name = self._name(ref)
        file = self._stored(name) or self._unpublished(name)
        if file is None:
            return False
        try:
            digest = keys.trusted(ref.digest)
            if digest is None or digest_of(file.fd, digest) == digest.value:
                return True
        finally:
            file.close()
        self._damaged(name)
        return False

    def downloads(self) -> list[dict[str, object]]:
        """All fetches queued, under way or failed within the last minute, as JSON-able values; `since` is seconds since the epoch."""
        return [flight.describe() for flight in self._fetcher.flights()]

    def usage(self) -> dict[str, object]:
        """Bytes and numbers for `status/cache.json`; `pinned` are files that are open, which is what eviction spares."""
        with self._lock:
            pinned = sum(1 for blob in self._blobs.values() if blob.readers)
        index, room = self._store.index, self._store.room
        return {
            "size": index.size + room.partial,
            "limit": int(self._limit),
            "files": index.files,
            "hits": self._hits,
            "misses": self._misses,
            "evicted": room.evicted,
            "pinned": pinned,
            "partial": room.partial,
            "waiting": self._gate.waiting,
        }

    def close(self) -> None:
        """Wake all who wait with an error, end all fetches; takes at most two seconds."""
        self._closing.set()
        self._untidy.set()
        self._fetcher.stop()
        with self._lock:
            blobs = list(self._blobs.values())
        for blob in blobs:
            blob.kill(Unreachable("the mount is being stopped"))
        self._fetcher.landed(CLOSING)
        self._store.close()

    # -- for readers

    def wait(self, reader: Reader, start: int, end: int, interrupted: Callable[[], bool] | None) -> None:
        """Return once `[start, end)` is there and may be read; see `Reader.read_into` for the errors."""
        blob = reader.blob
        assert blob is not None
        now = self._clock.monotonic()
        if now < reader.hasty_until:
            raise WaitTimeout(f"{blob.id}: the bytes did not come in time a moment ago")
        failure = blob.dead
        if failure is None and reader.failures < blob.failures and now < blob.failed_at + HASTE:
            failure = blob.failure
        if failure is None and self._closing.is_set():
            failure = Unreachable("the mount is being stopped")
        if failure is not None:
            raise copy.copy(failure)
        with self._lock:
            if self._corruption.condemned(blob.name):
                raise Corrupt(f"{blob.id}: what the archive sends does not match its digest")
        deadline = now + self._patience(reader.ref)
        with self._gate:
            try:
                blob.wait(
                    reader,
                    start,
                    end,
                    remaining=lambda: deadline - self._clock.monotonic(),
                    fetch=lambda anew: self._fetcher.ensure(blob, reader.ref, anew),
                    interrupted=interrupted,
                )
            except WaitTimeout:
                now = self._clock.monotonic()
                if now >= deadline:
                    reader.hasty_until = now + HASTE
                raise

    def tainted(self, blob: Blob) -> None:
        """The unverified end of the file was handed out to its only reader: no other open may find its pages."""
        with self._lock:
            self._pages.spoil(blob.name)

    def damaged(self, blob: Blob) -> None:
        """A reader found the file cut short on disk."""
        self._damaged(blob.name, blob)

    def release(self, reader: Reader) -> None:
        """A reader closed its file."""
        blob = reader.blob
        if blob is None:
            return
        with self._lock:
            poisoned = self._poisoned.get(blob.name)
            if poisoned is not None:
                poisoned.discard(reader)
                if not poisoned:
                    del self._poisoned[blob.name]
            if blob.leave(reader):
                blob.idle_since = self._clock.monotonic()
        self._tidy(blob)

    # -- for the fetcher's flights

    def shared(self, blob: Blob) -> bool:
        """Use the complete blob of another process, if there is one by now; True if it is used."""
        file = self._stored(blob.name)
        if file is None:
            return False
        old, blob.file = blob.file, file
        if old is not None:
            self._store.discard(old, blob.taken)
            blob.taken = 0
            old.close()
        blob.verify()
        return True

    def strikes(self, blob: Blob) -> int:
        """How often this content was found wrong lately."""
        with self._lock:
            return self._corruption.strikes(blob.name)

    def verified(self, blob: Blob) -> None:
        """The content is right: make it a complete blob on disk."""
        with self._lock:
            self._corruption.clear(blob.name)
        self._publish(blob, blob.name)

    def resized(self, blob: Blob, size: int) -> None:
        """The content has its digest but not its size: what is open is wrong, the next open sees the truth."""
        error = Corrupt(f"{blob.id}: the archive claims {blob.size} bytes, but the content has {size}")
        key = keys.split(blob.name)[0]
        self._publish(blob, keys.name(key, size))
        with self._lock:
            self._corruption.resize(key, size)
            self._condemn_readers(blob, error)
        blob.kill(error)

    def mismatched(self, blob: Blob) -> PacificaFSError | None:
        """The content is wrong. None: nobody saw any of it, it is forgotten and may be fetched anew at once."""
        error = Corrupt(f"{blob.id}: what the archive sent does not match its digest")
        with self._lock:
            condemned = self._corruption.strike(blob.name)
        log.warning("%s (%s) does not match its digest", blob.id, blob.name)
        if blob.reset():
            self._store.room.give(blob.taken)
            blob.taken = 0
            return error if condemned else None
        self._poison(blob, error)
        return error

    # -- for the room: nothing here waits

    def idle_partials(self) -> Iterable[Candidate]:
        """Partial blobs that nobody has open and nothing fills."""
        with self._lock:
            return [Candidate(blob.name, blob.taken, blob.used) for blob in self._blobs.values() if _idle(blob)]

    def drop_partial(self, name: str) -> int:
        """Remove one of those from disk; the bytes that this gave back."""
        with self._lock:
            blob = self._blobs.get(name)
            if blob is None or not _idle(blob):
                return 0
            del self._blobs[name]
            file, taken = self._forget(blob)
        self._dispose(file, taken)
        return taken

    def is_open(self, name: str) -> bool:
        """True where a reader has the blob open."""
        blob = self._blobs.get(name)
        return blob is not None and (bool(blob.readers) or blob.flight is not None)

    # -- inside

    def _archive(self, ref: FileRef) -> Archive:
        try:
            return self._archives[ref.archive]
        except KeyError:
            raise NotFound(f"there is no archive {ref.archive!r}") from None

    def _policy(self, ref: FileRef) -> ReadPolicy:
        return self._policies.get(ref.archive, ReadPolicy())

    def _name(self, ref: FileRef) -> str:
        key = keys.key(ref, self._archive(ref).identity)
        return keys.name(key, self._true_size(ref, key))

    def _true_size(self, ref: FileRef, key: str) -> int:
        return self._corruption.size(key, ref.size)

    def _other_size(self, ref: FileRef, key: str) -> str | None:
        """The complete blob of the same digest that has another size than claimed, and notes that."""
        if keys.trusted(ref.digest) is None:
            return None
        sizes = self._store.index.sizes(key)
        if not sizes:
            return None
        with self._lock:
            self._corruption.resize(key, sizes[0])
        return keys.name(key, sizes[0])

    def _stored(self, name: str) -> BlobFile | None:
        try:
            return self._store.open(name)
        except Corrupt as error:
            log.warning("%s; it is fetched again", error)
            self._damaged(name)
            return None

    def _unpublished(self, name: str) -> BlobFile | None:
        """Content that is verified, but only on its way to its place."""
        with self._lock:
            blob = self._blobs.get(name)
            if blob is None or not blob.verified or blob.file is None:
                return None
            return BlobFile(blob.file.path, os.O_RDONLY)

    def _new(self, ref: FileRef, name: str, size: int, file: BlobFile | None) -> Blob:
        ranged = self._archives[ref.archive].capabilities.ranges and self._policy(ref).read != "verified"
        blob = Blob(name, ref.id, keys.trusted(ref.digest), size, ranged, sparse=size > self._limit)
        if file is not None:
            blob.file, blob.verified = file, True
        return blob

    def _patience(self, ref: FileRef) -> float:
        wait = self._policy(ref).read_wait
        return wait if self._longest_wait is None else min(wait, self._longest_wait)

    def _publish(self, blob: Blob, name: str) -> None:
        if blob.file is None or blob.taken == 0:
            return
        try:
            self._store.publish(name, blob.file, blob.taken)
            blob.taken = 0
        except OSError as error:
            log.warning("%s cannot be kept in the cache: %s", blob.id, error)
        self._untidy.set()

    def _damaged(self, name: str, blob: Blob | None = None) -> None:
        """A complete blob's file is not what it was: away with it, and nobody trusts what was read from it."""
        self._store.room.remove(name)
        with self._lock:
            self._pages.spoil(name)
            blob = blob or self._blobs.get(name)
        if blob is not None and blob.verified:
            self._poison(blob, Corrupt(f"{blob.id}: its cached content was damaged on disk"))

    def _poison(self, blob: Blob, error: PacificaFSError) -> None:
        """Bytes were handed out that are wrong: no open handle may go on reading, and no page may be used again."""
        with self._lock:
            self._pages.spoil(blob.name)
            readers = self._condemn_readers(blob, error)
            if readers:
                self._poisoned.setdefault(blob.name, set()).update(readers)
        blob.spoilt()
        self._tidy(blob)

    def _condemn_readers(self, blob: Blob, error: PacificaFSError) -> set[Reader]:
        """Every further read of who has `blob` open fails; new opens get another blob."""
        if self._blobs.get(blob.name) is blob:
            del self._blobs[blob.name]
        readers = set(blob.readers)
        for reader in readers:
            reader.error = error
        return readers

    def _landed(self, flight: Flight) -> None:
        self._tidy(flight.blob)

    def _tidy(self, blob: Blob) -> None:
        """Let go of what is neither open nor being filled; what is worth keeping of a partial blob stays, evictable."""
        with self._lock:
            if blob.readers or blob.flight is not None:
                return
            if self._blobs.get(blob.name) is blob:
                useless = blob.verified or blob.dead or blob.present == 0 or isinstance(blob.failure, NoSpace)
                if not useless:
                    return
                del self._blobs[blob.name]
            file, taken = self._forget(blob)
            self._owed += taken
        self._dispose(file, taken)
        if taken or self._store.room.over:
            self._untidy.set()

    def _forget(self, blob: Blob) -> tuple[BlobFile | None, int]:
        """Take the file from a blob that is out of use; with it what the room took for it, 0 if it is a complete blob."""
        if blob.handed and not blob.verified:
            self._pages.spoil(blob.name)
        file, blob.file = blob.file, None
        taken, blob.taken = blob.taken, 0
        return file, taken

    def _dispose(self, file: BlobFile | None, taken: int) -> None:
        if file is not None:
            if taken:
                self._store.unlink(file)
            file.close()

    # -- housekeeping

    def _scan(self) -> None:
        try:
            self._store.scan()
        except (PacificaFSError, OSError) as error:
            log.warning("the cache could not be looked through: %s", error)
        self._untidy.set()

    def _keep_house(self) -> None:
        while not self._closing.is_set():
            self._untidy.wait(TICK)
            self._untidy.clear()
            try:
                self._fetcher.tick()
                self._give_back()
            except (PacificaFSError, OSError) as error:
                log.warning("tidying up the cache failed: %s", error)

    def _give_back(self) -> None:
        room = self._store.room
        with self._lock:
            owed, self._owed = self._owed, 0
        if owed:
            room.give(owed)
        idle = sorted(self.idle_partials(), key=lambda one: one.used)
        for one in idle[: max(0, len(idle) - IDLE)]:
            room.give(self.drop_partial(one.name))
        if room.over:
            room.trim()


def _idle(blob: Blob) -> bool:
    return not blob.readers and blob.flight is None and blob.taken > 0 and not blob.verified
