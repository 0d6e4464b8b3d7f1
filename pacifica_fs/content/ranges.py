"""A set of byte intervals."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Ranges:
    """Disjoint half-open intervals `[start, end)`, in order. Not thread-safe; no I/O."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> None:
        """Put `[start, end)` in; what touches or overlaps becomes one interval."""
        if start >= end:
            return
        low = bisect_left(self._ends, start)
        high = bisect_right(self._starts, end)
        if low < high:
            start = min(start, self._starts[low])
            end = max(end, self._ends[high - 1])
        self._starts[low:high] = [start]
        self._ends[low:high] = [end]

    def covers(self, start: int, end: int) -> bool:
        """True where every byte of `[start, end)` is in."""
        return start >= end or self.reach(start) >= end

    def reach(self, start: int) -> int:
        """The end of the interval that holds byte `start`, or `start` where none does."""
        at = bisect_right(self._starts, start) - 1
        return max(start, self._ends[at]) if at >= 0 else start

    def before(self, start: int) -> int:
        """How many bytes are in that lead up to `start` without a gap."""
        at = bisect_left(self._starts, start) - 1
        return start - self._starts[at] if at >= 0 and self._ends[at] >= start else 0

    def gaps(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of `[start, end)` that are not in, in order."""
        at = bisect_right(self._ends, start)
        while start < end:
            if at == len(self._starts) or self._starts[at] >= end:
                yield start, end
                return
            if start < self._starts[at]:
                yield start, self._starts[at]
            start = self._ends[at]
            at += 1

    def clear(self) -> None:
        """Take everything out."""
        self._starts.clear()
        self._ends.clear()

    @property
    def total(self) -> int:
        """How many bytes are in."""
        return sum(self._ends) - sum(self._starts)

    @property
    def end(self) -> int:
        """One more than the last byte that is in; 0 if none is."""
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._ends, strict=True))
