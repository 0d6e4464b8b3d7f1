"""Who fetches what, when: one flight for each blob, and a bounded number of streams for each archive."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ..archive import Archive
from ..clock import Clock
from ..errors import Corrupt, PacificaFSError
from ..model import FileRef
from .blob import POLL, Blob
from .flight import HELD, THREADS, Flight, Stopped, overdue, startable

log = logging.getLogger(__name__)
RELIEF = 1.0  # seconds between two streams that are begun for that reason
REMEMBER = 60.0  # seconds that a failed fetch is shown


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
        self.relieved = float("-inf")

    def relieve(self, now: float) -> bool:
        """True where one stream more than `parallel` may begin; called with the fetcher's lock held."""
        if now - self.relieved < RELIEF:
            return False
        self.relieved = now
        return True


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

    def together(self, wanted: Sequence[tuple[Blob, FileRef]], fly: Callable[[Sequence[Flight]], None]) -> bool:
        """Have a thread `fly` those of an archive's blobs that nobody fetches yet, in one stream; False if none is.

        It must `land` each of them.
        """
        with self._lock:
            if self._stopped or not self._started:
                return False
            flights = []
            for blob, ref in wanted:
                if blob.flight is None and not blob.verified and blob.dead is None:
                    blob.failure = None
                    blob.flight = Flight(blob, ref, self._clock.now(), self._clock.monotonic())
                    blob.flight.state, blob.flight.streaming = "staging", False
                    flights.append(blob.flight)
            if not flights:
                return False
            queue = self._queues[flights[0].ref.archive]
            queue.running.update(flights)

        def run() -> None:
            try:
                fly(flights)
            except Exception:  # the outermost guard of a thread
                log.exception("fetching %d files of %s failed unexpectedly", len(flights), flights[0].ref.archive)
            finally:
                for flight in flights:
                    self.land(flight)

        threading.Thread(target=run, name=f"fetch {flights[0].ref.archive}", daemon=True).start()
        return True

    def land(self, flight: Flight) -> None:
        """A flight is over, well or not; a second call does nothing."""
        queue = self._queues[flight.ref.archive]
        with self._lock:
            if flight not in queue.running:
                return
            queue.running.discard(flight)
            if flight.blob.flight is flight:
                flight.blob.flight = None
            self._dispatch(queue)
            self._lock.notify_all()
        self._on_landed(flight)

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
        begun = now = self._clock.monotonic()
        if not flight.active(now):
            queue = self._queues[flight.ref.archive]
            with self._lock:
                queue.resuming += 1
                try:
                    while sum(one.active(now) for one in queue.running if one is not flight) >= queue.parallel:
                        if flight.blob.waiting and now - begun >= HELD and queue.relieve(now):
                            break
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

    def drop(self, flight: Flight, error: PacificaFSError) -> bool:
        """The flight ends with an error that concerns nobody; False if somebody has the file open by now."""
        with self._lock:
            if flight.blob.readers:
                return False
            flight.state, flight.error = "failed", str(error)
            if flight.blob.flight is flight:
                flight.blob.flight, flight.blob.failure = None, error
            self._failed.append((self._clock.monotonic(), flight))
            return True

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
            self._start(queue, flight, now)
        held = overdue(queue.queued, now)
        if held is not None and len(queue.running) < THREADS and queue.relieve(now):
            self._start(queue, held, now)

    def _start(self, queue: _Queue, flight: Flight, now: float) -> None:
        queue.queued.remove(flight)
        queue.running.add(flight)
        flight.last = now
        flight.state = "staging"
        name = f"fetch {flight.ref.archive}"
        threading.Thread(target=self._run, args=(flight,), name=name, daemon=True).start()

    def _run(self, flight: Flight) -> None:
        try:
            self._pilot.fly(self, flight)
        except Exception as error:  # the outermost guard of a thread
            log.exception("fetching %s/%s failed unexpectedly", flight.ref.archive, flight.ref.id)
            self.give_up(flight, PacificaFSError(f"an error in the program: {error!r}"))
        finally:
            self.land(flight)
