"""One file as a stream of ranges: small ones first, growing while they come fast, and the next ones asked for ahead.

A reader that only wants a few bytes somewhere leaves after the first range, which is as small as the kernel's own
read-ahead window; one that goes on gets the server's whole speed. No request is so large that it could outlast the
time-out on a slow line.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from ...archive import Waiting
from ...transport.workers import Workers
from .store import Object

SMALL = 128 * 1024
"""Bytes of the first range somewhere inside a file."""
FIRST = 1 << 20
"""Bytes of the first range from a file's start; what is not larger comes whole."""
LARGEST = 4 << 20
AHEAD = 3
"""Ranges that are asked for before the one in front of them came."""
BRISK = 2.0
"""Seconds in which a range must come for the next to be larger."""
EVERY = 1.0
"""Seconds after which a caller that waits hears so."""

Piece = tuple[memoryview, Object]


class Budget:
    """Bytes that all streams together may have asked for ahead. Any thread."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """False where that is too much."""
        with self._lock:
            if self._left < size:
                return False
            self._left -= size
            return True

    def give(self, size: int) -> None:
        """They came, or are not wanted any more."""
        with self._lock:
            self._left += size


def windows(
    fetch: Callable[[int, int], Piece], start: int, size: int, workers: Workers, budget: Budget, waiting: Waiting
) -> Iterator[Waiting | tuple[int, Piece]]:
    """Offset and bytes of each range of `[start, size)`, in order; `waiting` each second that nothing came.

    `fetch` gets a range's two ends and runs in a thread of `workers`; what it raises ends the stream.
    """
    asked: deque[tuple[int, int, Future[Piece]]] = deque()
    length = SMALL if start else FIRST
    position = start
    ahead = AHEAD if start == 0 else 0
    try:
        while position < size or asked:
            while position < size and len(asked) <= ahead:
                stop = min(position + length, size)
                if asked and not budget.take(stop - position):
                    break
                cost = stop - position if asked else 0
                asked.append((position, cost, workers(_call(fetch, position, stop))))
                position = stop
            offset, cost, future = asked.popleft()
            begun = time.monotonic()
            try:
                yield from waiting_for(future, waiting)
            finally:
                budget.give(cost)
            yield offset, future.result()
            ahead = min(AHEAD, ahead + 1)
            if time.monotonic() - begun < BRISK:
                length = min(4 * length, LARGEST)
            else:
                length = max(SMALL, length // 4)
    finally:
        for _, cost, future in asked:
            future.cancel()
            budget.give(cost)


def waiting_for(future: Future[Piece], waiting: Waiting) -> Iterator[Waiting]:
    """`waiting` each second, until the future has an outcome."""
    while True:
        try:
            future.exception(EVERY)
            return
        except TimeoutError:
            yield waiting


def _call(fetch: Callable[[int, int], Piece], start: int, stop: int) -> Callable[[], Piece]:
    return lambda: fetch(start, stop)
