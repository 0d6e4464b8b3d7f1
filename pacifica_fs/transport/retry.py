"""When a failed request is repeated, and after how long."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

import msgspec


class Retry(msgspec.Struct, frozen=True):
    """At most `tries` requests, and none is begun later than `budget` seconds after the first.

    The pause doubles from `first` seconds up to `longest`, with jitter so that clients do not come back in step.
    """

    tries: int = 3
    budget: float = 10.0
    first: float = 0.2
    longest: float = 5.0

    def pause(
        self, tried: int, elapsed: float, after: float | None, jitter: Callable[[], float] = random.random
    ) -> float | None:
        """Seconds to wait after `tried` tries that took `elapsed` seconds; None: give up.

        `after` is what the server asked for; a server that asks for more than the budget is not waited for.
        """
        if tried >= self.tries:
            return None
        pause = min(self.longest, self.first * 2 ** (tried - 1)) * (0.5 + jitter())
        pause = max(pause, after or 0.0)
        return pause if elapsed + pause <= self.budget else None


NEVER = Retry(tries=1)


def retry_after(value: str | None, now: float) -> float | None:
    """A `Retry-After` header (seconds or an HTTP date) as seconds from `now`; None for none or nonsense."""
    if not value:
        return None
    value = value.strip()
    if value.isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, date.timestamp() - now)
