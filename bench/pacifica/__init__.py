"""The measurements of `script/bench pacifica`, by name. Each takes a Bench and gives results; none needs another."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..bench import Bench
from ..result import Result
from . import scan

MEASUREMENTS: dict[str, Callable[[Bench], Iterable[Result]]] = {"scan": scan.scan}
