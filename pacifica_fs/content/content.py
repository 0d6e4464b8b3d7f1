"""The content store.

Bytes of archive files, fetched once, verified, kept below a limit, shared by all their readers.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from ..archive import Archive, Arrival, Gathers
from ..clock import Clock
from ..errors import Corrupt, NotFound, PacificaFSError, Unreachable, WaitTimeout
from ..model import FileRef
from . import keys, requests
from .blob import Blob
from .convoy import Convoy
from .fetch import Fetcher
from .files import BlobFile, digest_of
from .flight import Flight
from .gate import Gate
from .keeper import Keeper
from .pages import Caching
from .pilot import FetchPilot
from .readahead import FORGET
from .reader import Reader
from .registry import Registry
from .scout import Among, Scout

log = logging.getLogger(__name__)
HASTE = 5.0  # seconds for which a handle that timed out, or whose fetch failed, answers at once
PAUSE = 0.05  # real seconds between two rounds at the least: what thousands of small files leave is tidied up together
TICK = 1.0  # real seconds between two rounds of housekeeping
SETTLE = 5.0  # real seconds until small files are on disk for good
CLOSING = 1.5  # real seconds that closing waits for its threads
GATHERED = 200  # files that are gathered in one stream: each takes the place of a fetch
AHEAD_FOR = 10.0  # seconds for which a file is wanted that was asked for ahead by itself

__all__ = ["Among", "Caching", "Content", "ReadPolicy", "Reader"]


class ReadPolicy(msgspec.Struct, frozen=True):
    """How an archive is read: `read` is "progressive" or "verified", `read_wait` the seconds that one read may wait."""

    read: str = "progressive"
    read_wait: float = 600.0


class Content:
    """What the mount reads files from. All methods may be called from any thread.

    Of all that is here only a reader's reads wait for a server. `verify` and `adopt` may take as long as reading the
    file does; `evict` and `adopt` may also wait for another process that evicts.
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
        stale: Callable[[FileRef], None] = lambda ref: None,
    ) -> None:
        """`root` is the store's folder, `limit` in bytes; `kernel_timeout` the kernel's request time-out in seconds.

        `stale` is called, by any thread, with a file that is not what it was when its container was listed.

        Raises ConfigError if `root` cannot be used. An archive without a policy has the default one.
        """
        self._archives = archives
        self._policies = policies
        self._clock = clock
        self._limit = limit
        self._longest_wait = kernel_timeout * 0.8 if kernel_timeout else None
        self._registry = Registry(clock)
        self._keeper = Keeper(root, limit, clock, self._registry)
        self._store = self._keeper.store
        pilot = FetchPilot(archives, clock, self._store, self._keeper, stale)
        self._fetcher = Fetcher(archives, clock, pilot, lambda flight: self._keeper.tidy(flight.blob))
        self._convoy = Convoy(archives, clock, self._keeper, pilot.put)
        self._scout = Scout(archives, clock, self, limit)
        self._gate = Gate(max_waiting)
        self._hits = 0
        self._misses = 0
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []

    # -- for the mount and the service

    def start(self) -> None:
        """Begin to fetch and to tidy up. Before this no thread runs (the daemon forks before)."""
        if self._threads:
            return
        for work in (self._scan, self._keep_house, self._settle):
            self._threads.append(threading.Thread(target=work, name=f"content {work.__name__}", daemon=True))
        self._fetcher.start()
        for thread in self._threads:
            thread.start()

    def open(self, ref: FileRef, path: str, among: Among | None = None) -> Reader:
        """Open a file; answers at once. `path` is the mount's name for it, by which the kernel caches its pages.

        Where bytes must be staged, fetching begins in the background. What goes wrong is told by the reads. Of the
        files `among` which it is, the next ones are fetched, too, once they are opened one after the other.
        """
        if ref.size == 0:
            return Reader(self, ref, 0)
        reader = self._open(ref, path)
        if among is not None and not self._archives[ref.archive].capabilities.local:
            self._scout.opened(ref, among)
        return reader

    def _open(self, ref: FileRef, path: str) -> Reader:
        archive = self._archive(ref)
        key = keys.key(ref, archive.identity)
        name = keys.name(key, self._registry.size(key, ref.size))
        file = None
        if self._registry.find(name) is None:
            file = self._keeper.stored(name)
            if file is None and (other := self._other_size(ref, key)) is not None:
                name, file = other, self._keeper.stored(other)
        reader = Reader(self, ref, keys.split(name)[1])

        def new() -> Blob:
            nonlocal file
            taken, file = file, None
            return self._new(ref, name, reader.size, taken)

        self._registry.admit(reader, name, path, new)
        if file is not None:
            file.close()
        blob = reader.blob
        if blob is not None and blob.verified:
            self._hits += 1
            return reader
        self._misses += 1
        if blob is not None:
            if self._policy(ref).read == "verified":
                blob.hold = blob.size
            if not archive.capabilities.instant:
                self._fetcher.ensure(blob, ref)
        return reader

    def size(self, ref: FileRef) -> int:
        """The size to show for a file: the true one, where the archive is known to claim a wrong one."""
        if not self._registry.resized or ref.size == 0:
            return ref.size
        return keys.split(self._name(ref))[1]

    def state(self, ref: FileRef) -> str:
        """`remote`, `staging`, `partial`, `cached`, `unverified` (there, but with nothing to check it) or `corrupt`."""
        if ref.size == 0:
            return "cached"
        name = self._name(ref)
        if self._registry.condemned(name):
            return "corrupt"
        blob = self._registry.find(name)
        if blob.verified if blob is not None else self._store.has(name):
            return "cached" if keys.trusted(ref.digest) else "unverified"
        if blob is None:
            return "remote"
        if blob.present:
            return "partial"
        return "staging" if blob.flight is not None else "remote"

    def adopt(self, ref: FileRef, source: Path) -> bool:
        """Take a local file, whose content was verified to be `ref`'s, as a complete blob; False if it is not taken.

        `source` stays; it may be one inode with the blob afterwards: it may be removed, but must not be written.
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
        self._registry.clear(name)
        return True

    def evict(self, ref: FileRef) -> bool:
        """Remove a file's content from the cache; False if it is open, or not there."""
        name = self._name(ref)
        if ref.size == 0 or self._registry.is_open(name):
            return False
        taken = self._keeper.drop_partial(name)
        if taken:
            self._store.room.give(taken)
        gone = self._store.room.remove(name) or taken > 0
        if gone and not keys.trusted(ref.digest):
            self._registry.spoil(name)  # nothing guarantees that the next fetch brings the same bytes
        return gone

    def held(self, ref: FileRef) -> bool:
        """True where a file is open or being fetched, so that it is not evicted."""
        return ref.size > 0 and self._registry.is_open(self._name(ref))

    def verify(self, ref: FileRef) -> bool:
        """Compare a complete blob with its digest; False if it is not complete, or was damaged (and is gone now)."""
        if ref.size == 0:
            return True
        name = self._name(ref)
        file = self._keeper.stored(name) or self._keeper.unpublished(name)
        if file is None:
            return False
        try:
            digest = keys.trusted(ref.digest)
            if digest is None or digest_of(file.fd, digest) == digest.value:
                return True
        finally:
            file.close()
        self._keeper.damaged(name)
        return False

    def request(self, ref: FileRef, data: bytes, allowed: bool = True) -> bool:
        """Do what a user asks of a file in JSON, see `requests`; False if this is none of the content store's."""
        return requests.do(self, ref, data, allowed)

    def pin(self, ref: FileRef, pinned: bool) -> None:
        """Keep a file's content in the cache once it is there, or no longer. NoSpace where too much is pinned."""
        if ref.size == 0:
            return
        about = {"archive": ref.archive, "container": ref.container, "path": "/".join(ref.parts), "size": ref.size}
        if pinned:
            self._store.pins.add(self._name(ref), about)
        else:
            self._store.pins.remove(self._name(ref))

    def pinned(self, ref: FileRef) -> bool:
        """True where the file's content is to be kept."""
        return ref.size > 0 and self._store.pins.has(self._name(ref))

    def pins(self) -> list[dict[str, object]]:
        """What is pinned, for `status/cache.json`."""
        return self._store.pins.describe()

    def downloads(self) -> list[dict[str, object]]:
        """All fetches queued, under way, or failed within the last minute, as JSON-able values.

        `archive container file path` say what, `url state polls waiting_for since` (seconds since the epoch) where it
        is, `bytes size attempts error readers waiting` how far it is and for whom.
        """
        return [flight.describe() for flight in self._fetcher.flights()]

    def usage(self) -> dict[str, object]:
        """Bytes and numbers for `status/cache.json`; eviction spares `open` and `pinned` files."""
        index, room = self._store.index, self._store.room
        pinned, pinned_bytes = self._store.pins.usage()
        return {
            "size": index.size + room.partial,
            "limit": int(self._limit),
            "files": index.files,
            "hits": self._hits,
            "misses": self._misses,
            "evicted": room.evicted,
            "open": sum(1 for blob in self._registry.all() if blob.readers),
            "pinned": pinned,
            "pinned_bytes": pinned_bytes,
            "partial": room.partial,
            "waiting": self._gate.waiting,
        }

    def close(self) -> None:
        """Wake all who wait with an error, end all fetches; takes at most two seconds."""
        deadline = time.monotonic() + CLOSING
        self._closing.set()
        self._keeper.untidy.set()
        self._fetcher.stop()
        for blob in self._registry.all():
            blob.kill(Unreachable("the mount is being stopped"))
        self._fetcher.landed(CLOSING)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._store.close()

    def gather(self, group: str, refs: Sequence[FileRef]) -> None:
        """A user wants all `refs` of a group, or, where that is empty, of a list: have those that their archive gathers
        fetched in one stream, or in one for each `batch` of a list, if not too many. Returns at once; who reads one of
        them waits for it as always.
        """
        archive = self._archive(refs[0]) if refs else None
        if not isinstance(archive, Gathers):
            return
        chosen = [ref for ref in refs if archive.gathers(ref)]
        if len(chosen) < 2 or len(chosen) > GATHERED:
            return
        wanted = [(blob, ref) for ref in chosen if keys.trusted(ref.digest) and (blob := self._prepared(ref, FORGET))]

        def source(files: Sequence[FileRef]) -> Iterator[Arrival]:
            return archive.open_group(group, files)

        def fly(flights: Sequence[Flight]) -> None:
            self._convoy.fly(self._fetcher, flights, lambda staged: None, source if group else None)

        size = len(wanted) if group else self._archive(refs[0]).capabilities.batch
        for start in range(0, len(wanted), max(1, size)):
            self._fetcher.together(wanted[start : start + size], fly)
        for blob, _ in wanted:
            self._keeper.tidy(blob)

    # -- for the scout

    def one(self, ref: FileRef) -> bool:
        """See scout.Ahead."""
        blob = self._prepared(ref, AHEAD_FOR)
        if blob is not None:
            self._fetcher.ensure(blob, ref)
            self._keeper.tidy(blob)  # no flight, where it is closing
        return blob is not None

    def together(self, refs: Sequence[FileRef], done: Callable[[float | None, int], None]) -> bool:
        """See scout.Ahead. What has no digest would have to be told from a part by its neighbour: it is left out."""
        wanted = [(blob, ref) for ref in refs if keys.trusted(ref.digest) and (blob := self._prepared(ref, FORGET))]
        staging: list[float] = []

        def fly(flights: Sequence[Flight]) -> None:
            try:
                self._convoy.fly(self._fetcher, flights, staging.append)
            finally:
                done(staging[0] if staging else None, len(flights))

        begun = self._fetcher.together(wanted, fly)
        for blob, _ in wanted:
            self._keeper.tidy(blob)
        return begun

    def _prepared(self, ref: FileRef, seconds: float) -> Blob | None:
        name = self._name(ref)
        if self._store.has(name):
            return None
        size = keys.split(name)[1]
        return self._registry.prepare(name, lambda: self._new(ref, name, size, None), seconds)

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
        if failure is None and self._registry.condemned(blob.name):
            failure = Corrupt(f"{blob.id}: what the archive sends does not match its digest")
        if failure is not None:
            raise copy.copy(failure)
        deadline = now + self._patience(reader.ref)
        with self._gate.place(lambda: blob.hopeless(self._clock.monotonic())) as place:

            def fetch(anew: bool) -> None:
                place.keep()
                self._fetcher.ensure(blob, reader.ref, anew)

            try:
                blob.wait(
                    reader,
                    start,
                    end,
                    remaining=lambda: deadline - self._clock.monotonic(),
                    fetch=fetch,
                    interrupted=interrupted,
                )
            except WaitTimeout:
                now = self._clock.monotonic()
                if now >= deadline:
                    reader.hasty_until = now + HASTE
                raise

    def tainted(self, blob: Blob) -> None:
        """The unverified end of the file was handed out to its only reader: no other open may find its pages."""
        self._registry.spoil(blob.name)

    def damaged(self, blob: Blob) -> None:
        """A reader found the file cut short on disk."""
        self._keeper.damaged(blob.name, blob)

    def release(self, reader: Reader) -> None:
        """A reader closed its file."""
        if reader.blob is not None:
            self._registry.leave(reader, reader.blob)
            self._keeper.tidy(reader.blob)

    # -- inside

    def _archive(self, ref: FileRef) -> Archive:
        try:
            return self._archives[ref.archive]
        except KeyError:
            raise NotFound(f"there is no archive {ref.archive!r}") from None

    def _policy(self, ref: FileRef) -> ReadPolicy:
        return self._policies.get(ref.archive, ReadPolicy())

    def _patience(self, ref: FileRef) -> float:
        wait = self._policy(ref).read_wait
        return wait if self._longest_wait is None else min(wait, self._longest_wait)

    def _name(self, ref: FileRef) -> str:
        key = keys.key(ref, self._archive(ref).identity)
        return keys.name(key, self._registry.size(key, ref.size))

    def _other_size(self, ref: FileRef, key: str) -> str | None:
        """The complete blob of the same digest that has another size than claimed; takes note of that."""
        sizes = self._store.index.sizes(key) if keys.trusted(ref.digest) else []
        if not sizes:
            return None
        self._registry.note_size(key, sizes[0])
        return keys.name(key, sizes[0])

    def _new(self, ref: FileRef, name: str, size: int, file: BlobFile | None) -> Blob:
        ranged = self._archives[ref.archive].capabilities.ranges and self._policy(ref).read != "verified"
        blob = Blob(name, ref.id, keys.trusted(ref.digest), size, ranged, sparse=size > self._limit)
        if file is not None:
            blob.file, blob.verified = file, True
        return blob

    def _scan(self) -> None:
        try:
            self._store.scan()
        except (PacificaFSError, OSError) as error:
            log.warning("the cache could not be looked through: %s", error)
        self._keeper.untidy.set()

    def _settle(self) -> None:
        ended = False
        while not ended:
            ended = self._closing.wait(SETTLE)
            try:
                self._store.settle()
            except OSError as error:
                log.warning("the cache could not be brought to disk: %s", error)

    def _keep_house(self) -> None:
        while not self._closing.is_set():
            self._keeper.untidy.wait(TICK)
            self._keeper.untidy.clear()
            try:
                self._fetcher.tick()
                self._keeper.tidy_up()
            except (PacificaFSError, OSError) as error:
                log.warning("tidying up the cache failed: %s", error)
            self._closing.wait(PAUSE)
