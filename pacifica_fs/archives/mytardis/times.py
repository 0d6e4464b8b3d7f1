"""Times as MyTardis gives them: naive, in the server's own zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def nanoseconds(text: Any, zone: ZoneInfo) -> int:
    """`2024-05-06T07:08:09.123456` of `zone` in nanoseconds since the epoch; 0 for none, or nonsense.

    An offset, where there is one, counts.
    """
    if not isinstance(text, str) or not text:
        return 0
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return 0
    passed = (time if time.tzinfo else time.replace(tzinfo=zone)) - _EPOCH
    return (passed.days * 86400 + passed.seconds) * 10**9 + passed.microseconds * 1000


def first(*times: int) -> int:
    """The first that is known."""
    return next((time for time in times if time), 0)
