"""The measurements of `script/bench mytardis`, by name. They need no services: the site is the tests' fake."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..bench import Bench
from ..result import Result
from . import listing, reading

MEASUREMENTS: dict[str, Callable[[Bench], Iterable[Result]]] = {
    "listing": listing.listing,
    "first-byte": reading.first_byte,
    "sequential": reading.sequential,
    "small": reading.small,
}
