"""The ways to the same bytes, cheapest first, and when the next one is taken.

Who read wrong or broken bytes asks again with a higher `attempt` and begins further down. Within one attempt the next
way is taken as long as no byte of the file at hand was handed out. A service that is down is passed over for a while.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Protocol

from ...archive import Arrival, Data
from ...clock import Clock
from ...errors import PacificaFSError, Unreachable, Unsupported
from ...model import FileRef

log = logging.getLogger(__name__)
REST_SECONDS = 30.0


class Rung(Protocol):
    """One way to bytes."""

    name: str

    def read(self, wanted: dict[int, FileRef], start: int = 0) -> Generator[Arrival | None, None, None]:
        """The bytes of `wanted`, which loses each file that has arrived whole; None after the last byte."""


class Ladder:
    """The configured ways of one site. Safe for any thread."""

    def __init__(self, rungs: Sequence[Rung], clock: Clock) -> None:
        self._rungs = tuple(rungs)
        self._clock = clock
        self._resting: dict[str, float] = {}

    def read(self, files: Sequence[FileRef], start: int, attempt: int) -> Generator[Arrival | None, None, None]:
        """The bytes of `files`; see `Archive.open`. Yields None after the last of them."""
        wanted = {index: ref for index, ref in enumerate(files) if not empty(ref)}
        if not wanted:
            return
        ways = self._ways(attempt)
        for way in ways:
            touched: set[int] = set()
            try:
                with closing(way.read(wanted, start)) as arrivals:
                    for arrival in arrivals:
                        if isinstance(arrival, Data):
                            touched.add(arrival.index)
                        yield arrival
                return
            except PacificaFSError as error:
                if isinstance(error, Unreachable):
                    self._resting[way.name] = self._clock.monotonic() + REST_SECONDS
                if way is ways[-1] or touched & wanted.keys():
                    raise
                log.info("the %s failed, trying the next way: %s", way.name, error)

    def _ways(self, attempt: int) -> tuple[Rung, ...]:
        """Where to begin, and what follows. The last way is never passed over: it is the one whose error is shown."""
        if not self._rungs:
            raise Unsupported("no service is configured that gives out files: cart, archive_interface or files_by_hash")
        ways = self._rungs[min(attempt, len(self._rungs) - 1) :]
        now = self._clock.monotonic()
        return tuple(way for way in ways if way is ways[-1] or self._resting.get(way.name, 0.0) <= now)


def empty(ref: FileRef) -> bool:
    """True for a file without bytes, by its size and its digest: it needs no request."""
    if ref.size:
        return False
    return ref.digest is None or (ref.digest.computable and ref.digest.hasher().hexdigest() == ref.digest.value)
