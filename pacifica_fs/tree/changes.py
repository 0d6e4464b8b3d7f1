"""Whether an archive has changed: one cheap question instead of many listings."""

from __future__ import annotations

from ..archive import Archive, Versioned
from ..clock import Clock

EVERY = 5.0
"""Seconds between two questions."""


class Changes:
    """What an archive that is `Versioned` said last. Any thread; `seen` is for one at a time.

    `ttl`: how long, after the last look at a listing, the archive is asked at all, in seconds; at least a minute.
    """

    def __init__(self, archive: Archive, ttl: float, clock: Clock) -> None:
        self._versioned = archive if isinstance(archive, Versioned) else None
        self._idle = max(60.0, 2 * ttl)
        self._clock = clock
        self._used = float("-inf")
        self._version = ""
        self._asked = float("-inf")

    def used(self) -> None:
        """Somebody looks at a listing."""
        self._used = self._clock.monotonic()

    def steady(self) -> bool:
        """Whether the archive was asked a moment ago, and had not changed. Asks nobody."""
        return self._clock.monotonic() - self._asked < 2 * EVERY

    def seen(self) -> bool | None:
        """Ask, if somebody is looking; whether it has changed since the last time. None: it cannot be asked."""
        if self._versioned is None:
            return None
        if self._clock.monotonic() - self._used > self._idle:
            return False
        version = self._versioned.version()
        # What was listed before the first question may be older than its answer. Later a pause makes no difference,
        # however long the site took to answer: the same version twice means that nothing changed in between.
        changed = version != self._version
        self._version, self._asked = version, self._clock.monotonic()
        return changed
