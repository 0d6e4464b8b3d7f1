"""One flight: ask the archive, write what arrives, try again where it broke, and judge the whole."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from ..archive import Archive, Waiting
from ..clock import Clock
from ..errors import BadAnswer, Corrupt, NoSpace, PacificaFSError, Stale, Unobtainable, Unreachable
from ..model import FileRef
from . import files
from .blob import Blob
from .fetch import Fetcher
from .flight import Flight, Stopped
from .plan import Plan
from .store import Store

log = logging.getLogger(__name__)
BACKOFF = (0.5, 2.0, 5.0)  # seconds before the second, third, fourth try
PROGRESS = 2**20  # bytes after which a broken stream is not a failure in a row
SLACK = 64 * 2**20  # how much more than claimed is taken in, to tell a wrong size from a runaway server
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Unneeded(NoSpace):
    """There is no room for what nobody has open."""


class Judge(Protocol):
    """What follows from content that is all there. Called by the flight's thread."""

    def verified(self, blob: Blob) -> None:
        """It is right."""

    def resized(self, blob: Blob, size: int) -> None:
        """It has the right digest, but `size` bytes and not as many as claimed."""

    def mismatched(self, blob: Blob) -> PacificaFSError | None:
        """It is wrong. None: nobody saw any of it, the blob is empty again, try once more; else the flight is over."""

    def stale(self, blob: Blob, error: Stale) -> None:
        """It changed on the server since it was listed: what came so far is of another content than what would come."""

    def strikes(self, blob: Blob) -> int:
        """How often this content was found wrong lately."""

    def shared(self, blob: Blob) -> bool:
        """Use the complete blob of another process, if there is one by now; True if it is used."""


class FetchPilot:
    """Flies flights; one object for all of them, without state of its own."""

    def __init__(
        self,
        archives: Mapping[str, Archive],
        clock: Clock,
        store: Store,
        judge: Judge,
        stale: Callable[[FileRef], None] = lambda ref: None,
    ) -> None:
        """`stale` hears of files that are not what they were when their container was listed."""
        self._stale = stale
        self._archives = archives
        self._clock = clock
        self._store = store
        self._judge = judge

    def fly(self, fetcher: Fetcher, flight: Flight) -> None:
        """Fetch until the content is there, enough of it is, the fetch is given up, or nobody wants it."""
        blob = flight.blob
        failures = 0
        attempt = self._judge.strikes(blob)
        while True:
            before = blob.present
            flight.attempts += 1
            flight.last, flight.streaming = self._clock.monotonic(), True
            try:
                if self._attempt(fetcher, flight, attempt):
                    return
                error: PacificaFSError = Corrupt(f"{blob.id}: what the archive sent does not match its digest")
            except Stopped:
                if self._left(fetcher, flight):
                    return
                continue
            except Unneeded as raised:
                if fetcher.drop(flight, raised):
                    return
                continue
            except Unobtainable as raised:
                fetcher.give_up(flight, raised)
                return
            except (Unreachable, BadAnswer, Corrupt) as raised:
                error = raised
            except PacificaFSError as raised:
                if isinstance(raised, Stale):
                    self._judge.stale(blob, raised)
                    self._stale(flight.ref)
                fetcher.give_up(flight, raised)
                return
            except OSError as raised:
                fetcher.give_up(flight, _local(raised))
                return
            failures = 1 if blob.present - before >= PROGRESS else failures + 1
            attempt += 1
            flight.error = str(error)
            if failures > len(BACKOFF):
                fetcher.give_up(flight, error)
                return
            try:
                self._pause(fetcher, flight, BACKOFF[failures - 1])
            except Stopped:
                if self._left(fetcher, flight):
                    return

    def _attempt(self, fetcher: Fetcher, flight: Flight, attempt: int) -> bool:
        """Follow the plans until the flight ends (True) or the content was wrong and is to be fetched anew (False)."""
        blob = flight.blob
        if blob.present == 0 and self._judge.shared(blob):
            return True
        while True:
            plan = blob.plan()
            if plan is None and blob.contiguous < blob.size:
                if fetcher.finish(flight, blob.needs):
                    return True
                continue
            before = blob.present
            ended = plan is None or self._stream(fetcher, flight, plan, attempt)
            judged = self._judged(fetcher, flight, ended)
            if judged is not None:
                return judged
            if ended and blob.present == before:
                raise BadAnswer(f"{blob.id}: the archive's stream ended before the file was complete")

    def _stream(self, fetcher: Fetcher, flight: Flight, plan: Plan, attempt: int) -> bool:
        """Take in one stream; True if it came to its own end, False if it was left before."""
        blob = flight.blob
        arrivals = self._archives[flight.ref.archive].open([flight.ref], start=plan.start, attempt=attempt)
        position = plan.start
        try:
            for arrival in arrivals:
                fetcher.check(flight)
                if isinstance(arrival, Waiting):
                    flight.note(arrival)
                    fetcher.park(flight)
                    if blob.redirected(position):
                        return False
                    continue
                fetcher.enter(flight)
                position = arrival.offset + len(memoryview(arrival.data).cast("B"))
                if position > 2 * blob.size + SLACK:
                    raise BadAnswer(f"{blob.id}: the archive sends much more than the {blob.size} bytes it claims")
                blob.write(arrival.offset, arrival.data, self.put)
                if plan.stop is not None and position >= plan.stop:
                    return False
                if blob.contiguous == blob.extent == blob.size and blob.matches():
                    blob.verify()  # readers first: closing the stream may take a request
                    return False
                if blob.redirected(position):
                    return False
        finally:
            close = getattr(arrivals, "close", None)
            if close is not None:
                self._close(flight, close)
        if plan.stop is not None:
            raise BadAnswer(f"{blob.id}: the archive's stream ended before byte {plan.stop}")
        return True

    def _judged(self, fetcher: Fetcher, flight: Flight, ended: bool) -> bool | None:
        """None: go on; True: the flight is over; False: all was wrong, nobody saw it, and the blob is empty again."""
        blob = flight.blob
        total = blob.extent
        if not blob.verified:
            if not ended or blob.contiguous < total:
                return None
            right = blob.matches() if blob.digest is not None else total == blob.size
            if right and total != blob.size:
                flight.state = "corrupt-size"
                flight.error = f"the archive claims {blob.size} bytes, but the content with this digest has {total}"
                fetcher.remember(flight)
                self._judge.resized(blob, total)
                return True
            if not right and (total < blob.size or blob.digest is None):
                raise BadAnswer(f"{blob.id}: the archive sent {total} bytes and not {blob.size}")
            if not right:
                error = self._judge.mismatched(blob)
                if error is None:
                    return False
                fetcher.give_up(flight, error)
                return True
            blob.verify()
        flight.state = "verified"
        fetcher.park(flight)
        self._judge.verified(blob)
        return True

    def put(self, blob: Blob, data: memoryview, offset: int) -> None:
        """Write to the blob's file, room being made first."""
        needed = bool(blob.readers)
        try:
            self._store.room.take(len(data), needed)
        except NoSpace as error:
            if needed:
                raise
            raise Unneeded(str(error)) from None
        blob.taken += len(data)
        if blob.file is None:
            blob.file = self._store.create(blob.size)
        while True:
            try:
                files.write(blob.file.fd, data, offset)
                return
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                self._store.room.squeeze(len(data))

    def _left(self, fetcher: Fetcher, flight: Flight) -> bool:
        """Nobody wanted the flight: True, unless somebody came back just now."""
        flight.state = "stopped"

        def back() -> bool:
            return not flight.stop.is_set() and flight.wanted(self._clock.monotonic())

        return fetcher.finish(flight, back)

    def _pause(self, fetcher: Fetcher, flight: Flight, seconds: float) -> None:
        flight.state = "waiting"
        flight.waiting_for = f"{flight.error}; trying again"
        fetcher.park(flight)
        until = self._clock.monotonic() + seconds
        while (left := until - self._clock.monotonic()) > 0:
            fetcher.check(flight)
            self._clock.sleep(min(left, 0.1))

    def _close(self, flight: Flight, close: Callable[[], None]) -> None:
        try:
            close()
        except (PacificaFSError, OSError) as error:
            log.warning("%s: tidying up after %s failed: %s", flight.ref.archive, flight.ref.id, error)


def _local(error: OSError) -> PacificaFSError:
    """An error of this machine's disk, said so."""
    if error.errno in _FULL:
        return NoSpace(f"the disk of the cache is full: {error}")
    return PacificaFSError(f"the cache cannot be written: {error}")
