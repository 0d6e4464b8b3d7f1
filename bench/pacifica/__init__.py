"""A Pacifica site: its listings, beside the requests that they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..bench import Bench
from ..result import Result
from . import listing

MEASUREMENTS: dict[str, Callable[[Bench], Iterable[Result]]] = {"project": listing.project, "find": listing.find}
