"""The content of one file: filled by one fetch, read by many, verified once."""

from __future__ import annotations

import copy
import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..errors import PacificaFSError, WaitTimeout
from ..model import Digest
from . import files
from .files import BlobFile
from .plan import FAR, Demand, Plan, patience, plan, redirected
from .ranges import Ranges

if TYPE_CHECKING:
    from .flight import Flight
    from .reader import Reader

HOLD = 128 * 1024
CHUNK = 2**20
FEW = 4  # requests that one reader's read-ahead makes
POLL = 0.2  # seconds between looks at the clock and at a reader that may have been killed


class _Waiter:
    __slots__ = ("demand", "error", "ready")

    def __init__(self, demand: Demand, ready: threading.Condition) -> None:
        self.demand = demand
        self.ready = ready
        self.error: PacificaFSError | None = None


class Blob:
    """Bytes of one file on disk, and who waits for which of them.

    One thread (the fetch) calls `write`, `settle` and `reset`; any thread the rest. The lock is held for bookkeeping
    only, never during I/O. Of unverified content nothing in the last `hold` bytes is handed out, so that a program that
    reads from start to end cannot succeed with wrong bytes.
    """

    def __init__(
        self, name: str, id: str, digest: Digest | None, size: int, ranged: bool = False, sparse: bool = False
    ) -> None:
        """`ranged`: the archive gives byte ranges cheaply; `sparse`: scattered reads must not fill the whole file."""
        self.name = name
        self.id = id
        self.digest = digest
        self.size = size
        self.hold = min(HOLD, size)
        self.ranged = ranged
        self.file: BlobFile | None = None
        self.verified = False
        self.dead: PacificaFSError | None = None
        self.failure: PacificaFSError | None = None
        self.failures = 0
        self.failed_at = 0.0
        self.handed = False
        self.readers: set[Reader] = set()
        self.tainting: set[Reader] = set()
        self.idle_since = 0.0
        self.used = 0.0
        self.taken = 0
        self.present = 0
        self.flight: Flight | None = None
        self._ranges = Ranges()
        self._jumps = 0
        self._most_jumps = 1 if sparse else patience(size)
        self._hasher: hashlib._Hash | None = None  # made by the first write
        self._hashed = 0
        self._lock = threading.Lock()
        self._waiters: list[_Waiter] = []

    # -- readers

    @property
    def waiting(self) -> int:
        """How many reads wait."""
        return len(self._waiters)

    def join(self, reader: Reader) -> bool:
        """A new reader; True if it must not share its pages with an earlier one's (see `tainting`)."""
        with self._lock:
            self.readers.add(reader)
            reader.failures = self.failures
            return bool(self.tainting)

    def leave(self, reader: Reader) -> bool:
        """The reader closed the file; True if it was the last."""
        with self._lock:
            self.readers.discard(reader)
            self.tainting.discard(reader)
            return not self.readers

    def grant(self, reader: Reader, start: int, end: int) -> bool:
        """True where `[start, end)` may be read by `reader` now; it counts as handed out then."""
        if self.verified:
            return True
        with self._lock:
            return self._grant(reader, self._demand(start, end))

    def wait(
        self,
        reader: Reader,
        start: int,
        end: int,
        *,
        remaining: Callable[[], float],
        fetch: Callable[[bool], None],
        interrupted: Callable[[], bool] | None,
    ) -> None:
        """Return once `[start, end)` may be read.

        `remaining` gives the seconds to the deadline; `fetch` makes sure that somebody fills the blob (True: even if
        that was given up before), and raises where this reader shall not wait any longer. Raises WaitTimeout at the
        deadline or if `interrupted()`, and the fetch's error once it has given up.
        """
        with self._lock:
            waiter = _Waiter(self._demand(start, end), threading.Condition(self._lock))
            self._waiters.append(waiter)
        try:
            fetch(True)
            while True:
                with self._lock:
                    if self._grant(reader, waiter.demand):
                        return
                    error = self.dead or waiter.error
                    if error is not None:
                        raise copy.copy(error)
                    left = remaining()
                    shared = not waiter.demand.whole and self._ranges.covers(start, end)
                    if shared:
                        # Somebody else opened the file meanwhile: its pages must not hold an unverified end.
                        waiter.demand = Demand(start, end, True)
                    elif left > 0:
                        waiter.ready.wait(min(left, POLL))
                if interrupted is not None and interrupted():
                    raise WaitTimeout("the program that waited is gone")
                if left <= 0:
                    raise WaitTimeout(f"{self.id}: the bytes did not come in time; fetching goes on")
                fetch(False)
        finally:
            with self._lock:
                self._waiters.remove(waiter)

    def _demand(self, start: int, end: int) -> Demand:
        """The end of a file may be read unverified only far from what a sequential reader has, by the only reader."""
        whole = end > self.size - self.hold
        if whole and self.ranged and len(self.readers) == 1 and start > self._ranges.reach(0) + FAR:
            whole = False
        return Demand(start, end, whole)

    def _grant(self, reader: Reader, demand: Demand) -> bool:
        if self.verified:
            return True
        if self.dead is not None or demand.whole or not self._ranges.covers(demand.start, demand.end):
            return False
        if demand.end > self.size - self.hold:
            if len(self.readers) != 1:
                return False
            self.tainting.add(reader)
        self.handed = True
        return True

    def hopeless(self, now: float) -> bool:
        """True where a fetch is under way but brings nothing, or many wait for it already."""
        flight = self.flight
        return self.waiting > FEW or (flight is not None and flight.stalled(now))

    # -- the fetch

    def plan(self) -> Plan | None:
        """What to ask the server for next; counts jumps."""
        with self._lock:
            chosen = plan(self._ranges, self.size, self._demands(), self._jumps, self.ranged)
            if chosen is not None and chosen.jump:
                self._jumps = min(self._jumps + 1, self._most_jumps)
            return chosen

    def needs(self) -> bool:
        """True where `plan` would give something for those who wait now."""
        with self._lock:
            demands = self._demands()
            return bool(demands) and plan(self._ranges, self.size, demands, self._jumps, self.ranged) is not None

    def redirected(self, position: int) -> bool:
        """True where a stream at `position` should be left for bytes far away that somebody waits for."""
        if not self.ranged or not self._waiters:
            return False
        with self._lock:
            return redirected(position, self._ranges, self._demands(), self._jumps, patience(self.size))

    def _demands(self) -> Sequence[Demand]:
        return [waiter.demand for waiter in self._waiters]

    def write(self, offset: int, data: bytes | memoryview, put: Callable[[Blob, memoryview, int], None]) -> int:
        """Keep what is new of `data`; `put` writes it to disk. How many bytes were new.

        Bytes that are there are never written over: they may have been handed out, and the digest is to judge those.
        """
        view = memoryview(data).cast("B")
        end = offset + len(view)
        new = 0
        for start, stop in list(self._ranges.gaps(offset, end)):
            put(self, view[start - offset : stop - offset], start)
            with self._lock:
                self._ranges.add(start, stop)
                self.present += stop - start
                for waiter in self._waiters:
                    if not waiter.demand.whole and self._ranges.covers(waiter.demand.start, waiter.demand.end):
                        waiter.ready.notify()
            new += stop - start
        if self._hasher is None and self.digest is not None:
            self._hasher = self.digest.hasher()
        if self._hasher is not None and offset == self._hashed and new == len(view):
            self._hasher.update(view)
            self._hashed = end
        else:
            self._catch_up()
        return new

    def _catch_up(self) -> None:
        """Hash what became contiguous out of order, from the file."""
        if self._hasher is None or self.file is None:
            return
        reach = self._ranges.reach(0)
        while self._hashed < reach:
            data = files.read(self.file.fd, min(CHUNK, reach - self._hashed), self._hashed)
            self._hasher.update(data)
            self._hashed += len(data)

    @property
    def contiguous(self) -> int:
        """How many bytes from the start are there without a gap."""
        return self._ranges.reach(0)

    @property
    def extent(self) -> int:
        """One more than the offset of the last byte that is there."""
        return self._ranges.end

    def matches(self) -> bool:
        """True where all bytes that are there, from the first on, have the digest."""
        if self._hasher is None or self.digest is None:
            return False
        self._catch_up()
        return self._hashed == self.extent and self._hasher.hexdigest() == self.digest.value

    def verify(self) -> None:
        """All content is there and right: hand out everything from now on."""
        with self._lock:
            self.verified = True
            self.tainting.clear()
            self._wake()

    def reset(self) -> bool:
        """Forget all bytes, for another try; False if some of them were handed out."""
        with self._lock:
            if self.handed:
                return False
            self._ranges.clear()
            self.present = 0
        self._hasher = None
        self._hashed = 0
        if self.file is not None:
            os.ftruncate(self.file.fd, 0)
        return True

    def fail(self, error: PacificaFSError, at: float) -> None:
        """The fetch gave up: everybody who waits gets `error`."""
        with self._lock:
            self.failure = error
            self.failed_at = at
            self.failures += 1
            for waiter in self._waiters:
                waiter.error = error
            self._wake()

    def kill(self, error: PacificaFSError) -> None:
        """Nothing that is not verified is handed out any more, for good."""
        with self._lock:
            self.dead = error
            self._wake()

    def spoilt(self, error: PacificaFSError) -> None:
        """Kill because bytes handed out were wrong, or the file on disk changed; also what was verified."""
        with self._lock:
            self.verified = False
            self.dead = error
            self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            waiter.ready.notify()
