"""Threads that do one thing whenever it is due, and can be woken and stopped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .modesty import be_modest

if TYPE_CHECKING:
    from .bundle import SpoolBundle

log = logging.getLogger(__name__)

LONGEST = 60.0
"""Seconds after which a worker looks again even if nobody woke it."""
AFTER_A_BUG = 5.0


class Worker:
    """Calls `step` in a thread; it returns in how many seconds it wants to be called again (None: when woken)."""

    def __init__(self, name: str, step: Callable[[], float | None], modest: bool = False) -> None:
        """`modest`: see `modesty`."""
        self._step = step
        self._modest = modest
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Have it look now."""
        self._wake.set()

    def stop(self) -> None:
        """Ask it to end; returns at once."""
        self._stopping = True
        self._wake.set()

    def join(self, timeout: float) -> bool:
        """True if it ended within `timeout` seconds."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        if self._modest:
            be_modest()
        while not self._stopping:
            self._wake.clear()
            try:
                due = self._step()
            except OSError as error:  # the disk is full, perhaps: nothing is lost, and it goes on when there is room
                log.warning("%s: %s; trying again in %.0f s", self._thread.name, error, AFTER_A_BUG)
                due = AFTER_A_BUG
            except Exception:
                if self._stopping:
                    return
                log.exception("%s", self._thread.name)
                due = AFTER_A_BUG
            if not self._stopping and (due is None or due > 0):
                self._wake.wait(LONGEST if due is None else min(due, LONGEST))


class Apart:
    """Several bundles are looked after, and what goes wrong with one keeps no other back.

    For one thread. `end` raises the first error, so that the worker says it and tries again.
    """

    def __init__(self) -> None:
        self._first: Exception | None = None

    @contextmanager
    def one(self, bundle: SpoolBundle) -> Iterator[None]:
        """Look after `bundle`; an error shows in its status."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised by `end`
            words = str(error) if isinstance(error, OSError) else f"{error!r}, which is a bug: see status/log"
            bundle.waiting_for = f"another try, after an error on this machine: {words}"
            self._first = self._first or error

    def end(self) -> None:
        """All had their turn."""
        if self._first is not None:
            raise self._first


class Pauses:
    """When each of several things is due again, with pauses that grow as long as nothing changes.

    Not shared between threads.
    """

    def __init__(self, first: float, most: float, factor: float = 1.5) -> None:
        self._first, self._most, self._factor = first, most, factor
        self._due: dict[str, tuple[float, float]] = {}

    def due(self, key: str) -> float:
        """The time at which `key` is due; the beginning of time if it never was."""
        return self._due.get(key, (float("-inf"), 0.0))[0]

    def later(self, key: str, now: float) -> None:
        """Due again after a pause that is longer than the one before."""
        _, pause = self._due.get(key, (0.0, 0.0))
        pause = min(self._most, pause * self._factor) if pause else self._first
        self._due[key] = now + pause, pause

    def soon(self, key: str) -> None:
        """Due at once, and short pauses again."""
        self._due.pop(key, None)
