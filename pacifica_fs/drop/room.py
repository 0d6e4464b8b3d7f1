"""How much the spool may still take: the disk's free space less what must stay free, and a configured limit."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from ..clock import Clock
from ..errors import NoSpace

_FRESH = 0.5
"""Seconds for which the disk's answer is believed."""


class Room:
    """Counts what is written. Threading: any thread; holds its lock for one statvfs at most."""

    def __init__(self, root: Path, limit: int | None, min_free: int, clock: Clock) -> None:
        self._root, self._limit, self._min_free, self._clock = root, limit, min_free, clock
        self._lock = threading.Lock()
        self._used = used(root / "bundles") if limit is not None else 0
        self._free = 0
        self._until = float("-inf")

    def take(self, growth: int, blocks: int | None = None) -> None:
        """Ask for `growth` more bytes (negative: give back); NoSpace says which limit is reached.

        `blocks` are the bytes of it that the disk needs, if not all: what is shared with another file takes none.
        """
        blocks = growth if blocks is None else blocks
        with self._lock:
            if blocks > 0:
                now = self._clock.monotonic()
                if now >= self._until or blocks > self._free:
                    self._free, self._until = self._disk()[1], now + _FRESH
                if blocks > self._free:
                    raise NoSpace(f"the spool's disk must keep {self._min_free} bytes free ([drop] min_free)")
            if growth > 0 and self._limit is not None and self._used + growth > self._limit:
                raise NoSpace(f"the spool has reached its limit of {self._limit} bytes ([drop] limit)")
            self._free -= blocks
            self._used = max(0, self._used + growth)

    def space(self) -> tuple[int, int]:
        """Total and free bytes, as `statfs` shows them."""
        total, free = self._disk()
        if self._limit is not None:
            total, free = min(total, self._limit), min(free, max(0, self._limit - self._used))
        return total, free

    def _disk(self) -> tuple[int, int]:
        disk = os.statvfs(self._root)
        return disk.f_blocks * disk.f_frsize, max(0, disk.f_bavail * disk.f_frsize - self._min_free)


def used(bundles: Path) -> int:
    """Bytes of all users' files in the bundles there; journals do not count."""
    total = 0
    for folder in bundles.glob("*/files"):
        for base, _, names in os.walk(folder):
            for name in names:
                try:
                    total += os.lstat(os.path.join(base, name)).st_size
                except FileNotFoundError:
                    continue
    return total
