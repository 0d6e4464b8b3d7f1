"""Fetches the files of events that match the configured rules, before anybody asks."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ..config import PrefetchRule
from ..errors import PacificaFSError
from ..model import Event, FileRef

log = logging.getLogger(__name__)
PIECE = 1 << 20
WAITING = 1000
"""Events that may wait to be fetched; more are fetched when they are read."""


class Reader(Protocol):
    """An open file of the content store."""

    @property
    def size(self) -> int:
        """Bytes of the file."""

    def read(self, size: int, offset: int) -> bytes:
        """Waits for them."""

    def close(self) -> None:
        """Give it back."""


class Store(Protocol):
    """The content store."""

    def open(self, ref: FileRef, path: str) -> Reader:
        """Open a file; answers at once."""


Called = Callable[[str, str, str], bool]
"""Whether `(dimension, id, name)` are the same: a user's number and login name. May ask the archive."""


def matches(rule: PrefetchRule, event: Event, called: Called = lambda dimension, id, name: False) -> bool:
    """Whether all that a rule says is true of an event; a key may have several values."""
    if not all(pair in event.keys for pair in rule.keys.items()):
        return False
    others = {name: value for name, value in rule.where.items() if event.where.get(name) != value}
    # Asked last, and only where everything else is true.
    return all(name in event.where and _may_be_called(name, value) for name, value in others.items()) and all(
        called(name, event.where[name], value) for name, value in others.items()
    )


def _may_be_called(dimension: str, value: str) -> bool:
    return dimension == "user" and not value.isdecimal()


class Prefetch:
    """One thread that reads what matches `rules` (archive → rules), file by file, as a reader in order does.

    `called` (archive → `Called`) is asked by that thread.
    """

    def __init__(
        self, store: Store, rules: Mapping[str, Sequence[PrefetchRule]], called: Mapping[str, Called] = {}
    ) -> None:
        self._store = store
        self._rules = rules
        self._called = called
        self._queue: queue.Queue[tuple[str, Event] | None] = queue.Queue(WAITING)
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin, where there are rules."""
        if not any(self._rules.values()):
            return
        threading.Thread(target=self._run, name="prefetch", daemon=True).start()

    def stop(self) -> None:
        """Fetch no more."""
        self._stop.set()
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            pass

    def told(self, archive: str, event: Event) -> bool:
        """An event came; whether it will be fetched, as far as that is known without asking. Never waits."""
        rules = self._rules.get(archive, ())
        if not event.files or not any(matches(rule, event, lambda *_: True) for rule in rules):
            return False
        try:
            self._queue.put_nowait((archive, event))
        except queue.Full:
            log.warning("%s: too many events wait; %r is fetched when it is read", archive, event.id)
            return False
        return True

    def _run(self) -> None:
        while not self._stop.is_set():
            next = self._queue.get()
            if next is None:
                return
            archive, event = next
            if not self._wanted(archive, event):
                continue
            done = sum(self._fetch(archive, ref) for ref in event.files if not self._stop.is_set())
            log.info("%s: event %r: %d of %d files are here", archive, event.id, done, len(event.files))

    def _wanted(self, archive: str, event: Event) -> bool:
        rules, called = self._rules[archive], self._called.get(archive, lambda dimension, id, name: False)
        try:
            return any(matches(rule, event, called) for rule in rules)
        except PacificaFSError as error:
            log.warning("%s: event %r is not fetched ahead: %s", archive, event.id, error)
        except Exception:  # the outermost guard of a thread
            log.exception("%s: whether event %r is wanted failed unexpectedly", archive, event.id)
        return False

    def _fetch(self, archive: str, ref: FileRef) -> bool:
        path = "/".join(("", archive, "transactions", ref.container, *ref.parts))
        try:
            reader = self._store.open(ref, path)
            try:
                offset = 0
                while offset < reader.size and not self._stop.is_set():
                    offset += len(reader.read(min(PIECE, reader.size - offset), offset))
            finally:
                reader.close()
        except PacificaFSError as error:
            log.warning("%s: %s is not fetched ahead: %s", archive, path, error)
            return False
        except Exception:  # the outermost guard of a thread
            log.exception("%s: fetching %s ahead failed unexpectedly", archive, path)
            return False
        return True
