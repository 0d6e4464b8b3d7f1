"""One fetch of one blob, and which of those that queue start next: values and pure decisions."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from ..archive import Waiting
from ..model import FileRef
from .blob import Blob

GRACE = 5.0  # seconds that a fetch goes on after its last reader closed the file
STALL = 2.0  # seconds without a byte after which a stream is not counted as one
HELD = 5.0  # seconds after which a file that somebody waits for is not kept back by streams of others any longer
THREADS = 384  # flights of one archive, the stalled ones included: more than requests can wait (see Gate)


class Stopped(Exception):
    """Nobody wants the bytes any more; never seen outside of the fetcher."""


class Flight:
    """One fetch of one blob, and what is known about it. Written by its thread, read by all."""

    def __init__(self, blob: Blob, ref: FileRef, since: float, now: float) -> None:
        self.blob = blob
        self.ref = ref
        self.since = since
        self.last = now
        self.streaming = True
        self.state = "queued"
        self.waiting_for = ""
        self.url = ""
        self.polls = 0
        self.attempts = 0
        self.error = ""
        self.stop = threading.Event()

    def note(self, arrival: Waiting) -> None:
        """The archive waits for its server: no stream of bytes meanwhile."""
        self.state = "staging"
        self.waiting_for, self.url, self.polls = arrival.reason, arrival.url, arrival.polls
        self.streaming = False

    def active(self, now: float) -> bool:
        """True where bytes flow, or are just asked for: this is what `capabilities.parallel` bounds."""
        return self.streaming and not self.stalled(now)

    def stalled(self, now: float) -> bool:
        """True where no byte came for a while."""
        return now - self.last >= STALL

    def wanted(self, now: float) -> bool:
        """False where the last reader is gone for `GRACE`, unless more than half of the content is there."""
        blob = self.blob
        if blob.readers or blob.waiting or blob.present * 2 > blob.size:
            return True
        return now - blob.idle_since < GRACE

    def describe(self) -> dict[str, object]:
        """One entry of `status/downloads.json`."""
        ref = self.ref
        return {
            "archive": ref.archive,
            "container": ref.container,
            "file": ref.id,
            "path": "/".join(ref.parts),
            "url": self.url,
            "state": self.state,
            "polls": self.polls,
            "waiting_for": self.waiting_for,
            "since": self.since,
            "bytes": self.blob.present,
            "size": self.blob.size,
            "attempts": self.attempts,
            "error": self.error,
            "readers": len(self.blob.readers),
            "waiting": self.blob.waiting,
        }


def startable(
    queued: Iterable[Flight], running: Iterable[Flight], resuming: int, parallel: int, now: float
) -> list[Flight]:
    """Which of the queued flights start now: those that somebody waits for first, then in their order.

    A flight that only stages or stalls holds no stream, so one stuck cart never keeps another file back; but files that
    nobody waits for yet are staged `parallel` at a time.
    """
    running = list(running)
    streams = parallel - resuming - sum(flight.active(now) for flight in running)
    room = THREADS - len(running)
    if min(streams, room) <= 0:
        return []
    order = sorted(queued, key=lambda flight: not flight.blob.waiting)
    chosen: list[Flight] = []
    for flight in order:
        if len(chosen) >= min(streams, room):
            break
        if flight.blob.waiting or len(running) + len(chosen) < parallel:
            chosen.append(flight)
    return chosen


def overdue(queued: Iterable[Flight], now: float) -> Flight | None:
    """The flight that was kept back longest, if that is too long: streams may take hours, and a reader only minutes."""
    held = [flight for flight in queued if flight.blob.waiting and now - flight.last >= HELD]
    return min(held, key=lambda flight: flight.last, default=None)
