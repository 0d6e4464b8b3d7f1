"""Threads that help those that serve the mount: with two waits for the disk at once, and with what can be done later.

Two fsyncs that run together share one commit of the file system's journal.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from .modesty import be_modest

HELPERS = 4
"""Threads that wait for the disk beside those that close files; more closes at once share them."""
PATIENCE = 0.2
"""Seconds that `close` waits for each of them."""


class _Task:
    __slots__ = ("done", "error", "work")

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()


class Together:
    """Runs two things at once, the second in a helper's thread, or one thing later.

    Threading: any thread, several calls at once.

    (A `ThreadPoolExecutor` costs four times the processor time, which shows in a copy of many small files.)
    """

    def __init__(self, helpers: int = HELPERS, modest: bool = False) -> None:
        """`modest`: see `modesty`."""
        self._most = helpers
        self._modest = modest
        self._lock = threading.Lock()
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._helpers: list[threading.Thread] = []
        self._closed = False

    def __call__(self, first: Callable[[], None], second: Callable[[], None]) -> None:
        """Returns when both are done; raises what one of them raised (of two errors the first's)."""
        task = _Task(second)
        if not self._given(task):
            first()
            second()
            return
        try:
            first()
        finally:
            task.done.acquire()
        if task.error is not None:
            raise task.error

    def later(self, work: Callable[[], None]) -> bool:
        """Have a helper do it, in its turn; False if there are none any more. `work` raises nothing."""
        return self._given(_Task(work))

    def _given(self, task: _Task) -> bool:
        with self._lock:
            if self._closed:
                return False
            if len(self._helpers) < self._most:
                helper = threading.Thread(target=self._help, name=f"disk {len(self._helpers)}", daemon=True)
                helper.start()
                self._helpers.append(helper)
            self._tasks.put(task)
            return True

    def close(self) -> None:
        """End the helpers, waiting a moment for what they do; later calls do one thing after the other."""
        with self._lock:
            self._closed = True
            for _ in self._helpers:
                self._tasks.put(None)
            helpers, self._helpers = self._helpers, []
        for helper in helpers:
            helper.join(PATIENCE)

    def _help(self) -> None:
        if self._modest:
            be_modest()
        while (task := self._tasks.get()) is not None:
            try:
                task.work()
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                task.error = error
            task.done.release()
