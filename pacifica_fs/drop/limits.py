"""What keeps uploads in bounds: the sizes that archives refused, remembered, and a limit of bytes a second."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..clock import Clock
from .disk import Disk

log = logging.getLogger(__name__)
NAME = "limits.json"


class Refusals:
    """The smallest upload, in bytes, that each archive refused as too large; kept in `SPOOL/limits.json`.

    Threading: any thread; the lock is held while one small file is replaced.
    """

    def __init__(self, root: Path, disk: Disk) -> None:
        self._path, self._disk = root / NAME, disk
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}

    def load(self) -> None:
        """Read what was remembered; what cannot be read is forgotten, for it only saves a vain upload."""
        try:
            self._sizes = msgspec.json.decode(self._path.read_bytes(), type=dict[str, int])
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("%s: %s", self._path, error)

    def of(self, archive: str) -> int | None:
        """What `archive` refused, if it did."""
        return self._sizes.get(archive)

    def refused(self, archive: str, size: int) -> None:
        """Remember that `size` was too much."""
        self._keep({**self._sizes, archive: min(size, self._sizes.get(archive, size))})

    def forget(self, archive: str) -> None:
        """Its user wants to try again."""
        if archive in self._sizes:
            self._keep({name: size for name, size in self._sizes.items() if name != archive})

    def _keep(self, sizes: dict[str, int]) -> None:
        with self._lock:
            self._sizes = sizes
            try:
                self._disk.replace(str(self._path), msgspec.json.encode(sizes) + b"\n")
            except OSError as error:
                log.warning("%s: %s", self._path, error)


class Pace:
    """Holds one upload back to `rate` bytes a second; `wait` is called with seconds. For one thread."""

    def __init__(self, rate: float | None, clock: Clock, wait: Callable[[float], object]) -> None:
        self._rate, self._clock, self._wait = rate, clock, wait
        self._begin = clock.monotonic()

    def passed(self, total: int) -> None:
        """`total` bytes went out since the beginning."""
        if self._rate:
            early = self._begin + total / self._rate - self._clock.monotonic()
            if early > 0:
                self._wait(early)
