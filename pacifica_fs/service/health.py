"""Asks each archive for a sign of life in the background, so that `status/archives/` never waits for a server."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

from ..archive import Archive
from ..clock import Clock
from ..model import Health

log = logging.getLogger(__name__)

WELL, ILL = 300.0, 30.0
APART = 5.0  # seconds between two questions, however many requests fail


class Watch:
    """One thread for each archive; `start` and `stop` are called once, `last` and `suspect` by anybody."""

    def __init__(self, archives: Mapping[str, Archive], clock: Clock) -> None:
        self._archives = archives
        self._clock = clock
        self._last: dict[str, tuple[Health, float]] = {}
        self._stop = threading.Event()
        self._wake = {name: threading.Event() for name in archives}

    def start(self) -> None:
        """Begin to ask."""
        for name, archive in self._archives.items():
            threading.Thread(target=self._run, args=(archive,), name=f"health {name}", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        for wake in self._wake.values():
            wake.set()

    def suspect(self, name: str) -> None:
        """A request found the archive out of reach: ask it soon, so that the status says so too. Never waits."""
        self._wake[name].set()

    def last(self, name: str) -> tuple[Health, float] | None:
        """The newest finding and when it was made (seconds since the epoch); None before the first."""
        return self._last.get(name)

    def _run(self, archive: Archive) -> None:
        before, wrong, wake = True, "", self._wake[archive.name]
        while not self._stop.is_set():
            try:
                health = archive.probe()
            except Exception as error:  # the outermost guard of a thread
                log.exception("asking the archive %s failed unexpectedly", archive.name)
                health = Health(False, error=f"an error in the program: {error!r}")
            self._last[archive.name] = (health, self._clock.now())
            if health.reachable != before:
                if health.reachable:
                    log.info("archive %s answers again", archive.name)
                else:
                    log.warning("archive %s is out of reach: %s", archive.name, health.error)
            elif health.reachable and health.error not in ("", wrong):
                log.warning("archive %s: %s", archive.name, health.error)
            before, wrong = health.reachable, health.error
            wake.clear()
            if self._stop.wait(min(APART, ILL)):
                return
            wake.wait(WELL if health.reachable and not health.error else ILL)
