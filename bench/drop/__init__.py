"""The measurements of `script/bench drop`, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..bench import Bench
from ..result import Result
from . import busy, serial

MEASUREMENTS: dict[str, Callable[[Bench], Iterable[Result]]] = {
    "busy": busy.busy,
    "serial": serial.serial,
}
