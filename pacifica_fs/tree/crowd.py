"""How many requests may wait for one archive's listings, so that those that hang leave threads for everything else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..clock import Clock
from ..errors import TooBusy, Unreachable, WaitTimeout

SILENCE = 5.0
MOST = 160


class Crowd:
    """At most `limit` wait for an archive that has not answered for `SILENCE` seconds, and `MOST` for any; the next
    gets TooBusy at once. A quick archive is asked by as many as come. May be used by any thread; never waits.
    """

    def __init__(self, clock: Clock, limit: int = 64, most: int = MOST) -> None:
        self._clock = clock
        self._limit = limit
        self._most = most
        self._lock = threading.Lock()
        self._inside = 0
        self._heard = 0.0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one request while it waits. TooBusy."""
        with self._lock:
            now = self._clock.monotonic()
            if self._inside == 0:
                self._heard = now
            silent = now - self._heard > SILENCE
            if self._inside >= self._most or (silent and self._inside >= self._limit):
                raise TooBusy(f"{self._inside} requests wait for this archive already, and it does not answer")
            self._inside += 1
        silent = False
        try:
            yield
        except (Unreachable, WaitTimeout):
            silent = True
            raise
        finally:
            with self._lock:
                self._inside -= 1
                if not silent:
                    self._heard = self._clock.monotonic()
