"""The measurements of `script/bench djarchive`, by name: beside rclone, s3fs, and what bare requests take."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..bench import Bench
from ..result import Result
from . import large, names, random, small

MEASUREMENTS: dict[str, Callable[[Bench], Iterable[Result]]] = {
    "sequential": large.sequential,
    "warm": large.warm,
    "random": random.random,
    "small": small.small,
    "names": names.names,
    "one": names.one,
}
