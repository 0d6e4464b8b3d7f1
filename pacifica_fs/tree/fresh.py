"""Answers that are kept for a while: what an archive said, for how long, and what is said when it cannot be asked.

One flight for each key however many ask; the others wait for it with a deadline, outside any lock, and get what it
brings. An answer lives for `ttl` seconds. When it is too old and the archive is out of reach, the old answer is given
(offline); when there is none in memory, the `Shelf` on disk is asked; only then the outage is raised, and raised again
at once to others for `GRUDGE` seconds, so that a dead server costs one time-out and not one for each `stat`;
an answer to any other question of the same `Crowd` ends that.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ..clock import Clock
from ..errors import BadAnswer, PacificaFSError, Unreachable, WaitTimeout
from .crowd import Crowd
from .shelf import Shelf

R = TypeVar("R")
T = TypeVar("T")
Key = tuple[str, ...]

GRUDGE = 2.0
RENEWED = 10
QUIET = 60.0  # seconds between two words in the log about one outage
_OUTAGES = (Unreachable, BadAnswer, WaitTimeout)
log = logging.getLogger(__name__)


class _Answer(Generic[T]):
    """A value, or the outage that stands in its place, and until when it is believed (monotonic seconds).

    `last` is until when it may be believed at most, without being asked for again.
    """

    __slots__ = ("error", "last", "until", "value", "weight")

    def __init__(
        self, value: T | None, error: PacificaFSError | None, until: float, weight: int, last: float = 0.0
    ) -> None:
        self.value = value
        self.error = error
        self.until = until
        self.last = last
        self.weight = weight


class _Flight(Generic[T]):
    """One request under way, and what it brought once `landed`."""

    __slots__ = ("error", "landed", "value")

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.value: T | None = None
        self.error: BaseException | None = None


class Fresh(Generic[R, T]):
    """A bounded table of answers by key. All methods may be called from any thread.

    `make(key, raw)` turns what was loaded into what is kept and given out; what stands on the shelf is the raw answer,
    of `type`. `weight` says how much of `capacity` an answer takes. Without a shelf answers live in memory only.
    `crowd` bounds how many requests wait. `outage` is called when the archive was out of reach. `patience` is how long
    one waits for another's flight, in seconds. `steady` says, without asking anybody, that the archive is known not to
    have changed: an answer then lives for another `ttl`, up to RENEWED times.
    """

    def __init__(
        self,
        ttl: float,
        clock: Clock,
        make: Callable[[Key, R], T],
        *,
        capacity: int = 100_000,
        weight: Callable[[T], int] = lambda value: 1,
        shelf: Shelf | None = None,
        crowd: Crowd | None = None,
        outage: Callable[[], None] = lambda: None,
        name: str = "",
        type: Any = None,
        patience: float = 120.0,
        steady: Callable[[], bool] = lambda: False,
    ) -> None:
        self._ttl = ttl
        self._clock = clock
        self._make = make
        self._capacity = capacity
        self._weight = weight
        self._shelf = shelf
        self._crowd = crowd or Crowd(clock)
        self._outage = outage
        self._name = name
        self._type = type
        self._patience = patience
        self._steady = steady
        self._lock = threading.Lock()
        self._answers: OrderedDict[Key, _Answer[T]] = OrderedDict()
        self._flights: dict[Key, _Flight[T]] = {}
        self._held = 0
        self._complain_at = 0.0

    def get(self, key: Key, load: Callable[[], R]) -> T:
        """The answer for `key`: kept, or made of `load()`, which runs in one of the asking threads.

        Raises what `load` raises; for an outage see the module's text. WaitTimeout where another thread's flight takes
        too long, TooBusy where too many wait for this archive.
        """
        with self._lock:
            answer = self._believed(key)
        if answer is not None:
            return _given(answer.value, answer.error)
        with self._crowd.place():
            with self._lock:
                answer, flight = self._believed(key), self._flights.get(key)
                mine: _Flight[T] | None = None
                if answer is None and flight is None:
                    mine = self._flights[key] = _Flight()
            if answer is not None:
                return _given(answer.value, answer.error)
            if mine is not None:
                return self._fly(key, mine, load)
            assert flight is not None
            if not flight.landed.wait(self._patience):
                raise WaitTimeout(f"another request for {self._said(key)} has been waiting for too long")
            return _given(flight.value, flight.error)

    def known(self, key: Key) -> T | None:
        """The answer in memory, however old; None if there is none. Never waits."""
        with self._lock:
            answer = self._answers.get(key)
            return answer.value if answer else None

    def current(self, key: Key) -> T | None:
        """The answer in memory if it is still believed, else None. Never waits."""
        with self._lock:
            answer = self._believed(key)
            return answer.value if answer else None

    def doubt(self, key: Key) -> None:
        """As `forget`, for one answer."""
        with self._lock:
            self._flights.pop(key, None)
            answer = self._answers.get(key)
            if answer is not None:
                answer.until = answer.last = 0.0

    def forget(self) -> None:
        """Every answer is asked for anew; old ones still serve while the archive is out of reach.

        Flights that are under way bring what was true before: who asks from now on does not wait for them.
        """
        with self._lock:
            self._flights.clear()
            for answer in self._answers.values():
                answer.until = answer.last = 0.0

    def _believed(self, key: Key) -> _Answer[T] | None:
        answer = self._answers.get(key)
        if answer is None:
            return None
        now = self._clock.monotonic()
        if now >= answer.until:
            if now >= answer.last or not self._steady():
                return None
            answer.until = now + self._ttl
        if answer.error is not None and answer.until - GRUDGE < self._crowd.answered:
            return None  # it is back: another question has been answered since
        self._answers.move_to_end(key)
        return answer

    def _fly(self, key: Key, flight: _Flight[T], load: Callable[[], R]) -> T:
        raw = None
        try:
            raw = load()
            flight.value = self._make(key, raw)
        except _OUTAGES as error:
            self._outage()
            flight.value = self._old(key, error)
            if flight.value is None:
                flight.error = error
                raise
        except BaseException as error:
            flight.error = error
            raise
        finally:
            self._land(key, flight, believed=raw is not None)
        if raw is not None and self._shelf is not None:
            self._shelf.put((self._name, *key), raw)
        return flight.value

    def _old(self, key: Key, error: PacificaFSError) -> T | None:
        old = self.known(key)
        if old is None and self._shelf is not None:
            raw = self._shelf.get((self._name, *key), self._type)
            old = None if raw is None else self._make(key, raw)
        now = self._clock.monotonic()
        if old is not None and now >= self._complain_at:
            self._complain_at = now + QUIET
            log.warning("%s: what was known before is shown, because: %s", self._said(key), error)
        return old

    def _land(self, key: Key, flight: _Flight[T], believed: bool) -> None:
        error = flight.error
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]
                self._drop(key)
                now = self._clock.monotonic()
                until = now + (self._ttl if believed else GRUDGE)
                if flight.value is not None:
                    last = now + RENEWED * self._ttl if believed else 0.0
                    self._keep(key, _Answer(flight.value, None, until, self._weight(flight.value), last))
                elif isinstance(error, _OUTAGES):
                    self._keep(key, _Answer(None, error, until, 1))
        flight.landed.set()

    def _keep(self, key: Key, answer: _Answer[T]) -> None:
        self._answers[key] = answer
        self._held += answer.weight
        while self._held > self._capacity and len(self._answers) > 1:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: Key) -> None:
        answer = self._answers.pop(key, None)
        if answer is not None:
            self._held -= answer.weight

    def _said(self, key: Key) -> str:
        return "/".join((self._name, *key)).replace("\0", " ")


def _given(value: T | None, error: BaseException | None) -> T:
    if error is not None:
        raise copy.copy(error)
    assert value is not None, "a flight brings a value or an error"
    return value
