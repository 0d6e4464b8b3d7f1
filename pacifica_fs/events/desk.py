"""What becomes of an event that arrives: judged, kept, told to who waits for it, and noted for the status."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..archive import Listener
from ..clock import Clock
from ..errors import PacificaFSError
from ..model import Event
from .store import EventStore

log = logging.getLogger(__name__)
NOTED = 100


class Desk:
    """Takes the events of one archive. `told` is called with each that was accepted, by the thread that closed it.

    Any thread.
    """

    def __init__(
        self, archive: str, listener: Listener, root: Path, clock: Clock, told: Callable[[Event], None]
    ) -> None:
        self.archive = archive
        self.store = EventStore(root, listener.event)
        self._clock = clock
        self._told = told
        self._lock = threading.Lock()
        self._notes: deque[Mapping[str, Any]] = deque(maxlen=NOTED)

    def take(self, name: str, data: bytes) -> Event:
        """Keep what was written as `name`. Raises what is wrong with it, which the status says, too."""
        try:
            event = self.store.put(data)
        except PacificaFSError as error:
            log.warning("%s: the event %r is refused: %s", self.archive, name, error)
            self._note(name, "refused", reason=str(error))
            raise
        log.info("%s: event %r: transaction %s, %d files", self.archive, event.id, event.container, len(event.files))
        self._note(name, "accepted", event)
        try:
            self._told(event)
        except Exception:  # who is told must not make the event fail: it is kept
            log.exception("%s: telling of the event %r failed unexpectedly", self.archive, event.id)
        return event

    def notes(self) -> list[Mapping[str, Any]]:
        """What came since the start, the newest first."""
        with self._lock:
            return list(reversed(self._notes))

    def _note(self, name: str, state: str, event: Event | None = None, reason: str = "") -> None:
        when = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        note: dict[str, Any] = {"name": name, "state": state, "reason": reason, "when": when}
        note["id"] = event.id if event else ""
        note["type"] = event.type if event else ""
        note["transaction"] = event.container if event else ""
        note["files"] = len(event.files) if event else 0
        note["bytes"] = sum(max(file.size, 0) for file in event.files) if event else 0
        with self._lock:
            self._notes.append(note)
