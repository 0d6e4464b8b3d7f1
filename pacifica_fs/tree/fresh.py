"""Answers that are kept for a while: what an archive said, for how long, and what is said when it cannot be asked.

One flight for each key however many ask; the others wait for it with a deadline, outside any lock. An answer lives for
`ttl` seconds. When it is too old and the archive is out of reach, the old answer is given (offline); when there is
none in memory, the `Shelf` on disk is asked; only then the outage is raised, and raised again at once to others for
`GRUDGE` seconds, so that a dead server costs one time-out and not one for each `stat`.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from ..clock import Clock
from ..errors import BadAnswer, PacificaFSError, Unreachable, WaitTimeout

T = TypeVar("T")

GRUDGE = 2.0


class Shelf:
    """Listings on disk, for the time when the archive is out of reach. Disposable; any failure is a miss.

    `limit` is the number of files kept; the oldest go first. Safe between threads and processes (atomic replace).
    """

    def __init__(self, root: Path, limit: int = 20_000) -> None:
        self._root = root
        self._limit = limit
        self._puts = 0

    def get(self, key: tuple[str, ...], type: Any) -> Any | None:
        """What was kept for `key`, as `type`; None if nothing (readable) is there."""
        try:
            return msgspec.msgpack.decode(self._path(key).read_bytes(), type=type)
        except (OSError, msgspec.MsgspecError):
            return None

    def put(self, key: tuple[str, ...], value: Any) -> None:
        """Keep `value`; silently not, where the disk does not take it."""
        path = self._path(key)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary.write_bytes(msgspec.msgpack.encode(value))
            os.replace(temporary, path)
            self._puts += 1
            if self._puts % 1000 == 1:
                self._prune()
        except (OSError, msgspec.MsgspecError):
            temporary.unlink(missing_ok=True)

    def _path(self, key: tuple[str, ...]) -> Path:
        name = hashlib.sha256("\0".join(key).encode("utf-8", "surrogateescape")).hexdigest()[:40]
        return self._root / name[:2] / name

    def _prune(self) -> None:
        files = sorted(
            (entry.stat().st_mtime, entry.path) for sub in os.scandir(self._root) for entry in os.scandir(sub)
        )
        for _, path in files[: max(0, len(files) - self._limit)]:
            os.unlink(path)


class _Answer:
    __slots__ = ("error", "flight", "until", "value")

    def __init__(self) -> None:
        self.value: Any = None
        self.until = 0.0
        self.error: PacificaFSError | None = None
        self.flight: threading.Event | None = None


class Fresh(Generic[T]):
    """A bounded table of answers by key.

    `weight` says how much of `capacity` an answer takes. `type` is the answer's type for the shelf; without a shelf
    answers live in memory only.
    """

    def __init__(
        self,
        ttl: float,
        clock: Clock,
        *,
        capacity: int = 100_000,
        weight: Callable[[T], int] = lambda value: 1,
        shelf: Shelf | None = None,
        name: str = "",
        type: Any = None,
        patience: float = 120.0,
    ) -> None:
        self._ttl = ttl
        self._clock = clock
        self._capacity = capacity
        self._weight = weight
        self._shelf = shelf
        self._name = name
        self._type = type
        self._patience = patience
        self._lock = threading.Lock()
        self._answers: OrderedDict[tuple[str, ...], _Answer] = OrderedDict()
        self._held = 0

    def get(self, key: tuple[str, ...], load: Callable[[], T]) -> T:
        """The answer for `key`: kept, or from `load()`, which runs in one of the asking threads.

        Raises what `load` raises; for an outage see the module's text. Waiting for another thread's flight ends in
        WaitTimeout.
        """
        while True:
            with self._lock:
                answer = self._answers.get(key)
                if answer is None:
                    answer = self._answers[key] = _Answer()
                else:
                    self._answers.move_to_end(key)
                if self._clock.monotonic() < answer.until:
                    if answer.error is not None:
                        raise type(answer.error)(*answer.error.args)
                    value: T = answer.value
                    return value
                flight = answer.flight
                if flight is None:
                    answer.flight = flight = threading.Event()
                    break
            if not flight.wait(self._patience):
                raise WaitTimeout(f"another request for {'/'.join((self._name, *key))} has been waiting for too long")
        try:
            return self._load(key, answer, load)
        finally:
            with self._lock:
                answer.flight = None
            flight.set()

    def known(self, key: tuple[str, ...]) -> T | None:
        """The answer in memory, however old; None if there is none. Never waits."""
        with self._lock:
            answer = self._answers.get(key)
            value: T | None = answer.value if answer else None
            return value

    def put(self, key: tuple[str, ...], value: T) -> None:
        """An answer that came by the way (one entry of a listing)."""
        with self._lock:
            answer = self._answers.setdefault(key, _Answer())
            self._keep(answer, value)

    def forget(self) -> None:
        """Every answer is asked for anew; old ones still serve while the archive is out of reach."""
        with self._lock:
            for answer in self._answers.values():
                answer.until = 0.0

    def _load(self, key: tuple[str, ...], answer: _Answer, load: Callable[[], T]) -> T:
        try:
            value = load()
        except (Unreachable, BadAnswer, WaitTimeout) as error:
            old = answer.value
            if old is None and self._shelf is not None:
                old = self._shelf.get((self._name, *key), self._type)
            with self._lock:
                if old is not None:
                    self._keep(answer, old)
                answer.until = self._clock.monotonic() + GRUDGE
                answer.error = None if old is not None else error
            if old is None:
                raise
            stale: T = old
            return stale
        except PacificaFSError:
            with self._lock:
                if answer.value is not None:
                    self._held -= self._weight(answer.value)
                self._answers.pop(key, None)
            raise
        with self._lock:
            self._keep(answer, value)
        if self._shelf is not None:
            self._shelf.put((self._name, *key), value)
        return value

    def _keep(self, answer: _Answer, value: T) -> None:
        if answer.value is not None:
            self._held -= self._weight(answer.value)
        answer.value, answer.error = value, None
        answer.until = self._clock.monotonic() + self._ttl
        self._held += self._weight(value)
        while self._held > self._capacity and len(self._answers) > 1:
            oldest, dropped = next(iter(self._answers.items()))
            if dropped is answer:
                break
            del self._answers[oldest]
            if dropped.value is not None:
                self._held -= self._weight(dropped.value)
