"""How fast something moves, told by looking at it now and then."""

from __future__ import annotations

from collections import deque

from .output import size

WINDOW = 15.0
"""Seconds that a rate is the mean of."""


class Pace:
    """The rates of what is under way. For one thread."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[float, int]]] = {}

    def note(self, key: str, count: int, now: float) -> None:
        """`count` bytes of `key` are through at `now` (seconds). Fewer than before: it was begun anew."""
        seen = self._seen.setdefault(key, deque())
        if seen and count < seen[-1][1]:
            seen.clear()
        seen.append((now, count))
        while len(seen) > 2 and now - seen[1][0] >= WINDOW:
            seen.popleft()

    def keep(self, keys: set[str]) -> None:
        """Forget all but `keys`."""
        for key in self._seen.keys() - keys:
            del self._seen[key]

    def words(self, key: str, total: int) -> str:
        """`1.5 MiB/s, 3 min left` of `total` bytes; "" where it is not known yet, or nothing moves."""
        seen = self._seen.get(key)
        if not seen or seen[-1][0] <= seen[0][0] or seen[-1][1] <= seen[0][1]:
            return ""
        rate = (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])
        left = total - seen[-1][1]
        return f"{size(int(rate))}/s" + (f", {_span(left / rate)} left" if left > 0 else "")


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
