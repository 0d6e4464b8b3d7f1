"""Looks through the mount as a program would, again and again: the proof of life for systemd's watchdog and monitoring.

A thread that looks may hang in the kernel together with the mount; then nobody is told that all is well, which is the
message.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

EVERY = 10.0
NAME = ".pulse"
"""Looked up below `status/`, where it is never found: what is not there is asked of the daemon each time."""


class Pulse:
    """One thread. `beat` is called after each look that was answered; `every` is in seconds."""

    def __init__(self, mountpoint: Path, beat: Callable[[], None], every: float = EVERY) -> None:
        self.mountpoint = mountpoint
        self._probe = mountpoint / "status" / NAME
        self._beat, self._every = beat, every
        self._stop = threading.Event()
        self._last = time.monotonic()

    def start(self) -> None:
        """Begin to look; the mount answers already."""
        self._last = time.monotonic()
        threading.Thread(target=self._run, name="pulse", daemon=True).start()

    def stop(self) -> None:
        """Look no more; does not wait."""
        self._stop.set()

    @property
    def age(self) -> float:
        """Seconds since the mount last answered. Any thread."""
        return time.monotonic() - self._last

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._answers():
                self._last = time.monotonic()
                try:
                    self._beat()
                except Exception:  # the outermost guard of a thread
                    log.exception("telling that the mount is alive failed unexpectedly")
            self._stop.wait(self._every)

    def _answers(self) -> bool:
        try:
            os.stat(self._probe)
        except FileNotFoundError:
            return True
        except OSError as error:
            if not self._stop.is_set():
                log.error("the mount does not answer: %s; it is probably being unmounted", error.strerror)
        return False
