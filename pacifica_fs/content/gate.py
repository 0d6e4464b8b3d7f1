"""How many requests may wait at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from ..errors import TooBusy

SPARE = 64


class Gate:
    """At most `limit` requests wait, in the whole process; the next gets TooBusy at once.

    Only for a file that is not hopeless (yet) there are some `spare` places more, so that readers of what hangs,
    however many they are, keep nobody from reading another file. May be used by any thread; never waits.
    """

    def __init__(self, limit: int, spare: int = SPARE) -> None:
        self.limit = limit
        self.spare = spare
        self.waiting = 0
        self.lock = threading.Lock()

    def place(self, hopeless: Callable[[], bool]) -> Place:
        """A place for one request, to be entered (`with`); `hopeless()` tells of the file that it waits for."""
        return Place(self, hopeless)


class Place:
    """One request's place; for one thread."""

    def __init__(self, gate: Gate, hopeless: Callable[[], bool]) -> None:
        self._gate = gate
        self._hopeless = hopeless
        self._is_spare = False

    def __enter__(self) -> Place:
        gate = self._gate
        with gate.lock:
            if gate.waiting >= gate.limit:
                if gate.waiting >= gate.limit + gate.spare or self._hopeless():
                    raise self._busy()
                self._is_spare = True
            gate.waiting += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._gate.lock:
            self._gate.waiting -= 1

    def keep(self) -> None:
        """To be called now and then while waiting: TooBusy if the place is a spare one and the file is hopeless."""
        if not self._is_spare:
            return
        with self._gate.lock:
            self._is_spare = self._gate.waiting > self._gate.limit
        if self._is_spare and self._hopeless():
            raise self._busy()

    def _busy(self) -> TooBusy:
        return TooBusy(f"{self._gate.waiting} requests wait for servers already")
