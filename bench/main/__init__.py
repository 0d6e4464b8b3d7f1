"""The measurements of `script/bench main`, by name. Each takes a Bench and gives results; none needs another."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..bench import Bench
from ..result import Result
from . import cart, drop, listing, reread, upload

MEASUREMENTS: dict[str, Callable[[Bench], Iterable[Result]]] = {
    "cart": cart.small,
    "first-byte": cart.first_byte,
    "interface": cart.interface,
    "upload": upload.upload,
    "reread": reread.again,
    "cpu": reread.first,
    "ls": listing.ls,
    "cp": drop.cp,
}
