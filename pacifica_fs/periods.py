"""Days, months and years as people write them, and the span of time that a `where` of an archive selects.

All times are UTC and naive. The dimensions are `year` (`2020`), `month` (`05`) and `day` (`17`), each below the one
before, and `after` and `before`, which take `2020`, `2020-05`, `2020-05-17` or `2020-05-17T12:30:00`: from its
beginning on, and until just before its beginning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from .errors import NotFound

LEVELS = ("year", "month", "day")
NAMES = frozenset({*LEVELS, "after", "before"})
_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?(?:(?<=-\d\d-\d\d)T\d\d:\d\d(?::\d\d)?)?", re.ASCII)


class Span(msgspec.Struct, frozen=True):
    """From `begin` until just before `end`; None: not bounded."""

    begin: datetime | None = None
    end: datetime | None = None

    def __contains__(self, time: datetime) -> bool:
        return (self.begin is None or self.begin <= time) and (self.end is None or time < self.end)

    @property
    def bounded(self) -> bool:
        """Whether it says anything."""
        return self.begin is not None or self.end is not None

    def meet(self, other: Span) -> Span:
        """What is in both."""
        begins = [time for time in (self.begin, other.begin) if time is not None]
        ends = [time for time in (self.end, other.end) if time is not None]
        return Span(max(begins, default=None), min(ends, default=None))


def span(where: Mapping[str, str]) -> Span:
    """What the dates of `where` select; NotFound for what is no date."""
    found = Span()
    levels = [where[level] for level in LEVELS if level in where]
    if levels:
        if any(level in where for level in LEVELS[len(levels) :]):
            raise NotFound("a month needs its year, a day its month")
        found = _whole("-".join(levels))
    if "after" in where:
        found = found.meet(Span(_whole(where["after"]).begin, None))
    if "before" in where:
        found = found.meet(Span(None, _whole(where["before"]).begin))
    return found


def _whole(text: str) -> Span:
    match = _DATE.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        if "T" in text:
            begin = datetime.fromisoformat(text)
            return Span(begin, begin + timedelta(seconds=1))
        year, month, day = match[1], match[2], match[3]
        begin = datetime.fromisoformat(f"{year}-{month or '01'}-{day or '01'}")
        if day:
            end = begin + timedelta(days=1)
        elif month:
            end = (begin + timedelta(days=31)).replace(day=1)
        else:
            end = begin.replace(year=begin.year + 1)
    except (ValueError, OverflowError):
        raise NotFound(f"{text!r} is no date: 2020, 2020-05 or 2020-05-17 was expected") from None
    return Span(begin, end)
