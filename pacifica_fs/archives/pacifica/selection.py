"""Which transactions are meant: a `where` in the services' own words. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ... import periods
from ...errors import NotFound
from ...periods import Span
from . import rows

# What transactions can be selected by, and the field of a transaction's row that has it.
FIELDS = {"project": "project", "instrument": "instrument", "user": "submitter", "transaction": "_id"}
NUMBERS = frozenset({"instrument", "transaction"})
OTHERS = periods.NAMES | {"key", "value", "released"}


class Selection(msgspec.Struct, frozen=True):
    """`fields` of a row and the values that they must have; `submitter` is still what the user typed: a login name or
    number. `span`: when it was submitted. `pair`: a key, and a value or None for any. `released`: only such.
    """

    fields: Mapping[str, str] = {}
    span: Span = Span()
    pair: tuple[str, str | None] | None = None
    released: bool = False

    @property
    def in_rows(self) -> bool:
        """Whether a transaction's own row says if it is meant."""
        return self.pair is None and not self.released


def selection(where: Mapping[str, str]) -> Selection:
    """`where` (dimension → value) as a Selection; NotFound for dimensions and values that cannot be."""
    unknown = sorted(set(where) - set(FIELDS) - OTHERS)
    if unknown:
        raise NotFound(f"transactions are not listed by {unknown[0]}")
    for name in NUMBERS & set(where):
        if not rows.is_id(where[name]):
            raise NotFound(f"{where[name]!r} is not the number of an {name}")
    if where.get("released", "yes") != "yes":
        raise NotFound("only released=yes can be asked for")
    if "value" in where and "key" not in where:
        raise NotFound("a value needs its key")
    return Selection(
        {field: where[name] for name, field in FIELDS.items() if name in where},
        periods.span(where),
        (where["key"], where.get("value")) if "key" in where else None,
        "released" in where,
    )
