"""What the metadata service groups transactions by: projects, instruments, users, dates, keys and their values.

Each listing is one request (dates below the year's: one more). A table with more than 10,000 rows is not listed; its
entries are found by name all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import quote

from ... import periods
from ...errors import NotFound
from ...model import Group, Listing
from ...periods import Span
from . import rows

TOO_MANY = "There are more than 10,000. Each is found by its name all the same."
_ONE: Mapping[str, str | int] = {"page_number": 1, "items_per_page": 1}
_FOREVER = ("1900-01-01", "2999-12-31")


class Tables(Protocol):
    """What is needed of the metadata service."""

    def rows(self, path: str, params: Mapping[str, str | int]) -> list[dict[str, Any]]:
        """Rows of a table."""

    def whole(self, path: str, params: Mapping[str, str | int] | None = None) -> tuple[list[dict[str, Any]], bool]:
        """Rows of a table, at most 10,000, and whether they are all."""

    def object(self, path: str) -> dict[str, Any]:
        """An answer that is an object."""


def listed(tables: Tables, dimension: str, where: Mapping[str, str]) -> Listing[Group]:
    """All values of `dimension`; NotFound for a dimension that there is not, or an unknown value in `where`."""
    if dimension in _TABLES and not where:
        table, make = _TABLES[dimension]
        found, complete = tables.whole(table)
        return _listing((make(row) for row in found), complete)
    if dimension == "key" and not where:
        found, complete = tables.whole("/keys")
        return _listing(_texts(str(row["key"]) for row in found), complete)
    if dimension == "value" and set(where) == {"key"}:
        values = tables.object(f"/tkvinfo/values_for_key/{quote(where['key'], safe='')}")
        if not values:
            raise NotFound(f"no transaction has the key {where['key']!r}")
        return _listing(_texts(values), len(values) <= 10_000)
    if dimension in periods.LEVELS and list(where) == list(periods.LEVELS[: periods.LEVELS.index(dimension)]):
        return _dates(tables, dimension, where)
    raise NotFound(f"transactions are not grouped by {dimension}")


def named(tables: Tables, dimension: str, where: Mapping[str, str], name: str) -> Group:
    """One value by its name, without the listing; NotFound."""
    row: list[dict[str, Any]] = []
    if dimension in periods.LEVELS:
        periods.span({**where, dimension: name})
        return Group(name)
    if dimension == "user":
        row = tables.rows("/users", {"network_id": name})
        if not row and rows.is_id(name):
            row = tables.rows("/users", {"_id": name})
    elif dimension == "project" or (dimension == "instrument" and rows.is_id(name)):
        row = tables.rows(_TABLES[dimension][0], {"_id": name})
    elif dimension in ("key", "value") and tables.rows(f"/{dimension}s", {dimension: name}):
        return Group(name)
    if not row:
        raise NotFound(f"the site knows no {dimension} {name!r}")
    return _TABLES[dimension][1](row[0])


def _dates(tables: Tables, dimension: str, where: Mapping[str, str]) -> Listing[Group]:
    """Years, months or days. Those of a year with more than 10,000 transactions are all that there can be."""
    if dimension == "year":
        first, last = _extent(tables)
        years = list(range(first.year, last.year + 1)) if first <= last else []
        # Around New Year the service's days do not tell the year in UTC.
        for edge, day in ((0, first), (-1, last)):
            if years and (day + timedelta(days=2)).year != (day - timedelta(days=2)).year:
                begin = datetime(years[edge], 1, 1)
                if not tables.rows("/transsip", {**between(Span(begin, _next_year(begin))), **_ONE}):
                    del years[edge]
        return _listing(_texts(f"{year:04d}" for year in years), True)
    chosen = periods.span(where)
    assert chosen.begin is not None and chosen.end is not None
    found, complete = tables.whole("/transsip", between(chosen))
    times: Iterable[datetime] = [time for row in found if (time := rows.time(row)) is not None]
    if not complete:
        first, last = _extent(tables)
        begin, end = max(chosen.begin, first), min(chosen.end, last + timedelta(days=1))
        times = (begin + timedelta(days=day) for day in range((end - begin).days + 1) if begin + timedelta(day) < end)
    pattern = "%m" if dimension == "month" else "%d"
    return _listing(_texts(sorted({time.strftime(pattern) for time in times})), True)


def _extent(tables: Tables) -> tuple[datetime, datetime]:
    """The days of the first and of the last upload, a day more on either side: the service has its own time zone."""
    begin, end = datetime.max, datetime.min
    for instruments in tables.object(f"/transactioninfo/summary/{_FOREVER[0]}/{_FOREVER[1]}").values():
        for entry in instruments.values():
            begin = min(begin, datetime.fromisoformat(entry["upload_date_start"]))
            end = max(end, datetime.fromisoformat(entry["upload_date_end"]))
    if begin > end:
        return begin, end
    return begin - timedelta(days=1), end + timedelta(days=1)


def between(span: Span) -> dict[str, str | int]:
    """The parameters for rows that were made in a bounded span; both ends of the service's range are inside it."""
    assert span.begin is not None and span.end is not None
    last = span.end - timedelta(microseconds=1)
    words: dict[str, str | int] = {"created": 0, "created_operator": "between"}
    return words | {"created_0": span.begin.isoformat(), "created_1": last.isoformat()}


def _next_year(begin: datetime) -> datetime:
    return begin.replace(year=begin.year + 1)


def _texts(values: Iterable[str]) -> Iterable[Group]:
    return (Group(value) for value in values)


def _listing(found: Iterable[Group], complete: bool) -> Listing[Group]:
    return Listing(tuple(found), complete, "" if complete else TOO_MANY)


_TABLES: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], Group]]] = {
    "project": ("/projects", rows.project),
    "instrument": ("/instruments", rows.instrument),
    "user": ("/users", rows.user),
}
