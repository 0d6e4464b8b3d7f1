"""A Pacifica site: its listings beside the requests that they cost, and a scan beside a cart made by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..bench import Bench
from ..result import Result
from . import listing, scan

MEASUREMENTS: dict[str, Callable[[Bench], Iterable[Result]]] = {
    "project": listing.project,
    "find": listing.find,
    "scan": scan.scan,
}
