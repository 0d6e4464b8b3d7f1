"""Who fetches what, when: one flight for each blob, and a bounded number of streams for each archive."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from ..archive import Archive, Waiting
from ..clock import Clock
from ..errors import Corrupt, PacificaFSError
from ..model import FileRef
from .blob import POLL, Blob

log = logging.getLogger(__name__)
GRACE = 5.0  # seconds that a fetch goes on after its last reader closed the file
STALL = 2.0  # seconds without a byte after which a stream is not counted as one
THREADS = 384  # flights of one archive, the stalled ones included: more than requests can wait (see Gate)
REMEMBER = 60.0  # seconds that a failed fetch is shown


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


class Pilot(Protocol):
    """Who flies a flight to its end."""

    def fly(self, fetcher: Fetcher, flight: Flight) -> None:
        """Fetch; returns when the content is there, given up or not wanted. Blocks."""


class _Queue:
    def __init__(self, parallel: int) -> None:
        self.parallel = parallel
        self.queued: list[Flight] = []
        self.running: set[Flight] = set()
        self.resuming = 0


class Fetcher:
    """Starts flights, at most one for a blob. All methods may be called from any thread.

    None waits but `enter` and `stop`.
    """

    def __init__(
        self, archives: Mapping[str, Archive], clock: Clock, pilot: Pilot, landed: Callable[[Flight], None]
    ) -> None:
        """`landed` is called after each flight, or when one is not needed any more, without a lock."""
        self._clock = clock
        self._pilot = pilot
        self._on_landed = landed
        self._lock = threading.Condition()
        self._queues = {name: _Queue(max(1, archive.capabilities.parallel)) for name, archive in archives.items()}
        self._started = False
        self._stopped = False
        self._failed: deque[tuple[float, Flight]] = deque(maxlen=256)

    def start(self) -> None:
        """Threads may be started from now on."""
        with self._lock:
            self._started = True
        self.tick()

    def ensure(self, blob: Blob, ref: FileRef, anew: bool = True) -> None:
        """Somebody wants the blob: see that a flight fills it, or will, by the way of `ref`.

        Also `anew` after one gave up.
        """
        with self._lock:
            if self._stopped or blob.verified or blob.dead is not None:
                return
            if blob.flight is None:
                if blob.failure is not None and not anew:
                    return
                blob.failure = None
                blob.flight = Flight(blob, ref, self._clock.now(), self._clock.monotonic())
                self._queues[ref.archive].queued.append(blob.flight)
            queue = self._queues[blob.flight.ref.archive]
            if blob.flight not in queue.running:
                self._dispatch(queue)

    def tick(self) -> None:
        """Look at everything anew: streams may have stalled, readers may be gone. To be called each second."""
        with self._lock:
            now = self._clock.monotonic()
            gone: list[Flight] = []
            for queue in self._queues.values():
                unwanted = [flight for flight in queue.queued if not flight.wanted(now)]
                for flight in unwanted:
                    queue.queued.remove(flight)
                    flight.blob.flight = None
                gone += unwanted
                self._dispatch(queue)
        for flight in gone:
            self._on_landed(flight)

    def enter(self, flight: Flight) -> None:
        """Bytes came for a flight: returns once it may stream them; Stopped if nobody wants them meanwhile."""
        now = self._clock.monotonic()
        if not flight.active(now):
            queue = self._queues[flight.ref.archive]
            with self._lock:
                queue.resuming += 1
                try:
                    while sum(one.active(now) for one in queue.running if one is not flight) >= queue.parallel:
                        self._lock.wait(POLL)
                        now = self._clock.monotonic()
                        self.check(flight)
                finally:
                    queue.resuming -= 1
                flight.streaming = True
                flight.last = now
        flight.last = now
        flight.state = "receiving"
        flight.waiting_for = ""

    def park(self, flight: Flight) -> None:
        """The flight gives its stream to others while it waits."""
        flight.streaming = False
        with self._lock:
            self._dispatch(self._queues[flight.ref.archive])
            self._lock.notify_all()

    def check(self, flight: Flight) -> None:
        """Stopped if nobody wants the flight any more."""
        if flight.stop.is_set() or not flight.wanted(self._clock.monotonic()):
            raise Stopped

    def finish(self, flight: Flight, unless: Callable[[], bool]) -> bool:
        """The flight ends here, unless `unless()` finds that somebody began to wait; True if it ends."""
        with self._lock:
            if unless():
                return False
            if flight.blob.flight is flight:
                flight.blob.flight = None
            return True

    def give_up(self, flight: Flight, error: PacificaFSError) -> None:
        """The flight ends with an error, which those who wait get; whoever comes later may start another."""
        with self._lock:
            now = self._clock.monotonic()
            flight.state = "corrupt" if isinstance(error, Corrupt) else "failed"
            flight.error = str(error)
            if flight.blob.flight is flight:
                flight.blob.flight = None
                flight.blob.fail(error, now)
            self._failed.append((now, flight))

    def remember(self, flight: Flight) -> None:
        """Show a flight that went wrong for a while."""
        with self._lock:
            self._failed.append((self._clock.monotonic(), flight))

    def flights(self) -> list[Flight]:
        """All flights queued and under way, and those that failed lately."""
        with self._lock:
            now = self._clock.monotonic()
            while self._failed and now - self._failed[0][0] > REMEMBER:
                self._failed.popleft()
            current = [flight for queue in self._queues.values() for flight in (*queue.running, *queue.queued)]
            ended = [flight for _, flight in self._failed]
            return [flight for flight in current if flight not in ended] + ended

    def stop(self) -> list[Flight]:
        """No flights any more; those still under way, told to end."""
        with self._lock:
            self._stopped = True
            running = [flight for queue in self._queues.values() for flight in queue.running]
            for queue in self._queues.values():
                queue.queued.clear()
            for flight in running:
                flight.stop.set()
            self._lock.notify_all()
            return running

    def landed(self, seconds: float) -> bool:
        """Wait until all flights ended, at most `seconds` of real time; True if they did."""
        with self._lock:
            return self._lock.wait_for(lambda: not any(queue.running for queue in self._queues.values()), seconds)

    def _dispatch(self, queue: _Queue) -> None:
        if not self._started or self._stopped or not queue.queued:
            return
        now = self._clock.monotonic()
        for flight in startable(queue.queued, queue.running, queue.resuming, queue.parallel, now):
            queue.queued.remove(flight)
            queue.running.add(flight)
            flight.last = now
            flight.state = "staging"
            name = f"fetch {flight.ref.archive}"
            threading.Thread(target=self._run, args=(queue, flight), name=name, daemon=True).start()

    def _run(self, queue: _Queue, flight: Flight) -> None:
        try:
            self._pilot.fly(self, flight)
        except Exception as error:  # the outermost guard of a thread
            log.exception("fetching %s/%s failed unexpectedly", flight.ref.archive, flight.ref.id)
            self.give_up(flight, PacificaFSError(f"an error in the program: {error!r}"))
        finally:
            with self._lock:
                queue.running.discard(flight)
                if flight.blob.flight is flight:
                    flight.blob.flight = None
                self._dispatch(queue)
                self._lock.notify_all()
            self._on_landed(flight)
