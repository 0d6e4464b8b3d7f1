"""Several flights in one stream: a batch of files that the archive stages together (a cart).

What does not arrive, or not right, is not tried again here: who reads it gets a flight of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Protocol

from ..archive import Archive, Arrival, Waiting
from ..clock import Clock
from ..errors import BadAnswer, PacificaFSError
from ..model import FileRef
from .blob import Blob
from .fetch import Fetcher
from .flight import Flight, Stopped

log = logging.getLogger(__name__)


class Judge(Protocol):
    """What follows from content that is all there; see `pilot.Judge`."""

    def verified(self, blob: Blob) -> None:
        """It is right."""

    def mismatched(self, blob: Blob) -> PacificaFSError | None:
        """It is wrong; an error where somebody saw some of it."""


class Convoy:
    """Flies batches; one object for all of them, without state of its own."""

    def __init__(
        self,
        archives: Mapping[str, Archive],
        clock: Clock,
        judge: Judge,
        put: Callable[[Blob, memoryview, int], None],
    ) -> None:
        self._archives = archives
        self._clock = clock
        self._judge = judge
        self._put = put

    def fly(
        self,
        fetcher: Fetcher,
        flights: Sequence[Flight],
        staged: Callable[[float], None],
        source: Callable[[Sequence[FileRef]], Iterator[Arrival]] | None = None,
    ) -> None:
        """Fetch all of them; `staged` is told how many seconds passed until the first byte.

        `source` opens them in place of the archive's `open`.
        """
        left = dict(enumerate(flights))
        try:
            self._stream(fetcher, left, staged, source)
        except Stopped:
            pass
        except (PacificaFSError, OSError) as error:
            log.info("a batch of %d files broke (%s); what is missing is fetched file by file", len(flights), error)
        finally:
            for flight in left.values():
                self._missed(fetcher, flight)

    def _stream(
        self,
        fetcher: Fetcher,
        left: dict[int, Flight],
        staged: Callable[[float], None],
        source: Callable[[Sequence[FileRef]], Iterator[Arrival]] | None,
    ) -> None:
        refs = [left[index].ref for index in sorted(left)]
        begun, current = self._clock.monotonic(), None
        arrivals: Any = (source or self._archives[refs[0].archive].open)(refs)
        for flight in left.values():
            flight.attempts = 1
        with closing(arrivals):
            for arrival in arrivals:
                self._check(left)
                if isinstance(arrival, Waiting):
                    for flight in left.values():
                        flight.note(arrival)
                    fetcher.park(next(iter(left.values())))
                    continue
                if begun:
                    staged(self._clock.monotonic() - begun)
                    begun = 0.0
                index = arrival.index
                found = left.get(index)
                if found is None:
                    continue
                if current is not None and current is not found:
                    fetcher.park(current)
                current = found
                fetcher.enter(found)
                if self._arrived(found, arrival.offset, arrival.data):
                    del left[index]
                    current = None
                    fetcher.land(found)
                    if not left:
                        return

    def _arrived(self, flight: Flight, offset: int, data: bytes | memoryview) -> bool:
        """True if this was the last of a file's bytes, and all are right."""
        blob = flight.blob
        if offset + len(data) > blob.size:
            raise BadAnswer(f"{blob.id}: the archive sends more than the {blob.size} bytes it claims")
        blob.write(offset, data, self._put)
        if blob.contiguous < blob.size:
            return False
        if blob.matches():
            blob.verify()
            flight.state = "verified"
            self._judge.verified(blob)
            return True
        return False

    def _missed(self, fetcher: Fetcher, flight: Flight) -> None:
        blob = flight.blob
        error = None
        if blob.contiguous >= blob.size:
            error = self._judge.mismatched(blob)
        if error is not None:
            fetcher.give_up(flight, error)
            fetcher.land(flight)
            return
        fetcher.land(flight)
        if blob.readers or blob.waiting:
            fetcher.ensure(blob, flight.ref)

    def _check(self, left: Mapping[int, Flight]) -> None:
        now = self._clock.monotonic()
        if any(flight.stop.is_set() for flight in left.values()):
            raise Stopped
        if not any(flight.wanted(now) for flight in left.values()):
            raise Stopped
