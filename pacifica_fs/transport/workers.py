"""Calls that block, in threads that are used again: whoever asked waits as long as they like, and may stop waiting.

A thread for each call would cost as much as a small object's whole request. The threads are daemons: a call that hangs
keeps no program from ending.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
IDLE = 10.0
"""Real seconds after which a thread without work ends."""


class Workers:
    """At most `most` calls at once; more wait for their turn, in order. Any thread may call."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._lock = threading.Lock()
        self._tasks: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._threads = 0
        self._free = 0

    def __call__(self, call: Callable[[], T]) -> Future[T]:
        """The outcome of `call`, soon. `cancel` it when it is not wanted any more: it may not even begin then."""
        future: Future[T] = Future()
        with self._lock:
            self._tasks.put((future, call))
            if self._free > 0:
                self._free -= 1
            elif self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
        return future

    def close(self) -> None:
        """Threads end once they have nothing to do; nobody waits for them. Later calls still work."""
        with self._lock:
            for _ in range(self._threads):
                self._tasks.put(None)
            self._free = 0

    def _work(self) -> None:
        while True:
            try:
                task = self._tasks.get(timeout=IDLE)
            except queue.Empty:
                with self._lock:
                    if not self._tasks.empty():
                        continue
                    self._threads -= 1
                    self._free = max(0, self._free - 1)
                    return
            if task is None:
                with self._lock:
                    self._threads -= 1
                    self._free = max(0, self._free - 1)
                return
            future, call = task
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
                    future.set_exception(error)
            del task, future, call
            with self._lock:
                self._free += 1
