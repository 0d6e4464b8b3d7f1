"""A blocking source behind a bounded queue, so that whoever pulls never waits long.

A source is a generator that may block for as long as a server's time-outs allow. It runs in a thread of its own; the
puller gets its items as they come, and an item of `idle` when none came for a while. Closing the puller's side returns
at once: the source is closed at its next item, in its thread, where it may still tidy up (delete a cart).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

T = TypeVar("T")
log = logging.getLogger(__name__)


class _Channel(Generic[T]):
    """A bounded queue with an end on either side."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._unwanted = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Append, once there is room; False if nobody wants it any more."""
        with self._changed:
            while len(self._items) >= self._room and not self._unwanted:
                self._changed.wait(60)
            self._items.append(item)
            self._changed.notify_all()
            return not self._unwanted

    def end(self, error: BaseException | None = None) -> None:
        """Nothing follows; the first call counts."""
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
                self._changed.notify_all()

    def abandon(self) -> None:
        """Nobody wants more."""
        with self._changed:
            self._unwanted = True
            self._items.clear()
            self._changed.notify_all()

    def take(self, seconds: float) -> list[T] | None:
        """The next item in a list, which is empty if none came in time; None at the end. Raises the source's error."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._ended, seconds)
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return [item]
            if not self._ended:
                return []
            if self._error is not None:
                raise self._error
            return None


class Pumps:
    """Runs sources; `close` waits a moment for those that still tidy up. Safe for any thread."""

    def __init__(self, room: int = 4, every: float = 1.5) -> None:
        self._room = room
        self._every = every
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()

    def run(self, source: Generator[T | None, None, None], idle: Callable[[], T]) -> Generator[T, None, None]:
        """The items of `source`; `idle()` whenever `every` seconds passed without one.

        A source yields None when the puller has all it wants, and the rest is tidying up that nobody waits for.
        The source begins at the first pull.
        """
        channel: _Channel[T] = _Channel(self._room)
        thread = threading.Thread(target=self._drive, args=(source, channel), name="pump", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()
        try:
            while (items := channel.take(self._every)) is not None:
                yield items[0] if items else idle()
        finally:
            channel.abandon()

    def close(self, seconds: float = 2.0) -> None:
        """Wait, at most `seconds` in all, until running sources have ended."""
        with self._lock:
            threads = list(self._threads)
        end = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _drive(self, source: Generator[T | None, None, None], channel: _Channel[T]) -> None:
        try:
            for item in source:
                if item is None:
                    channel.end()
                elif not channel.put(item):
                    break
            source.close()
            channel.end()
        except BaseException as error:  # noqa: BLE001 - handed to the puller, who raises it
            channel.end(error)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
