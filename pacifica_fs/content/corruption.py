"""What was found wrong: how often, for how long nobody tries again, and what its true size is."""

from __future__ import annotations

from ..clock import Clock

STRIKES = 4  # mismatches after which a content is held to be corrupt
CONDEMNED = 60.0  # seconds for which it then is
_MOST = 10_000


class Corruption:
    """Remembers wrong content by blob name; not thread-safe, no I/O. Memory is bounded: the oldest is forgotten."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._strikes: dict[str, int] = {}
        self._until: dict[str, float] = {}
        self._sizes: dict[str, int] = {}

    def strike(self, name: str) -> bool:
        """The content did not match once more; True if that was once too often, and it is condemned for a while."""
        self._strikes[name] = self._strikes.get(name, 0) + 1
        if self._strikes[name] < STRIKES:
            _bound(self._strikes)
            return False
        del self._strikes[name]
        self._until[name] = self._clock.monotonic() + CONDEMNED
        _bound(self._until)
        return True

    def strikes(self, name: str) -> int:
        """How often it did not match since it last did."""
        return self._strikes.get(name, 0)

    def condemned(self, name: str) -> bool:
        """True where nobody tries again yet."""
        if not self._until:
            return False
        until = self._until.get(name)
        if until is None:
            return False
        if self._clock.monotonic() < until:
            return True
        del self._until[name]
        return False

    def clear(self, name: str) -> None:
        """The content is right."""
        self._strikes.pop(name, None)
        self._until.pop(name, None)

    def resize(self, key: str, size: int) -> None:
        """The content of `key` has `size` bytes, whatever its archive claims."""
        self._sizes[key] = size
        _bound(self._sizes)

    @property
    def resized(self) -> bool:
        """True where any content is known to have another size than claimed."""
        return bool(self._sizes)

    def size(self, key: str, claimed: int) -> int:
        """The true size, as far as it is known."""
        return self._sizes.get(key, claimed)


def _bound(table: dict[str, int] | dict[str, float]) -> None:
    if len(table) > _MOST:
        del table[next(iter(table))]
