"""What a sidecar says, completed by the site's template and by what policy offers this user.

Values are found parents first. What the sidecar states is compared with what policy offers; what it leaves out is taken
where there is only one choice (or, where the site wants that, the first of them). Nothing is refused: what cannot be
found becomes a problem in words, and a better sidecar takes care of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ...model import Metadata, Problem
from .entries import HEADER, TABLE
from .template import Entry, Query, Template

Row = Mapping[str, Any]
Ask = Callable[[Query], Sequence[Row]]
"""Policy, asked as one user; raises what `transport.http` does."""
SHOWN = 8
_NUMBERED = frozenset({"users", "instruments"})


class Filled(msgspec.Struct, frozen=True):
    """`metadata` to upload, the folders `prefix` that the site wants around all files, and what is missing or wrong.

    `values` has each metaID that a value was found for.
    """

    metadata: Metadata
    prefix: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    values: Mapping[str, str] = {}

    @property
    def valid(self) -> bool:
        """Whether every entry of the template has a value that may be sent; what policy says is asked apart."""
        return not self.problems


def fill(template: Template, given: Metadata, ask: Ask, submitter: str, first: bool = False) -> Filled:
    """`given` completed; `submitter` is the number of the user that `ask` asks for. Raises what `ask` does.

    `first`: of several choices the first is taken, as pacifica-cli does.
    """
    work = _Work(template, given, ask, first)
    for entry in template.entries:
        work.find(entry, [submitter] if entry.field == "submitter" else stated(entry, given))
    return work.filled()


def stated(entry: Entry, given: Metadata) -> list[str]:
    """The values that a sidecar has for an entry: as a field, as a key/value, or in the native form."""
    found = [given.fields.get(name, "") for name in dict.fromkeys((entry.field, entry.id)) if name]
    found += [value for key, value in given.keys if entry.pair and key == entry.pair]
    found += [str(native.get("value") or "") for native in given.native if native.get("metaID") == entry.id]
    return list(dict.fromkeys(text for value in found if (text := value.strip())))


class _Work:
    """One sidecar under way; for one thread."""

    def __init__(self, template: Template, given: Metadata, ask: Ask, first: bool) -> None:
        self._template, self._given, self._ask, self._first = template, given, ask, first
        self._values: dict[str, str] = {}
        self._rows: dict[str, Row] = {}
        self._problems: list[Problem] = []
        self._replaced: dict[tuple[str, str], str] = {}

    def find(self, entry: Entry, said: Sequence[str]) -> None:
        """The value of one entry, whose parents were looked at before."""
        said = said or ([entry.preset] if entry.preset else [])
        known = all(parent in self._values for parent in entry.parents.values())
        rows = self._ask(entry.query(self._values)) if entry.asks and known else ()
        rows = [row for row in rows if entry.value_of(row)]
        if said:
            self._take(entry, said, rows)
        elif rows and (self._first or len({entry.value_of(row) for row in rows}) == 1):
            self._set(entry, entry.value_of(rows[0]), rows[0])
        elif known:
            self._problems.append(_missing(entry, rows))

    def filled(self) -> Filled:
        """The outcome."""
        given, values = self._given, self._values
        fields = dict(given.fields)
        keys = [(key, self._replaced.get((key, value), value)) for key, value in given.keys]
        native = [one for one in given.native if str(one.get("metaID")) not in self._template]
        for entry in self._template.entries:
            value = values.get(entry.id)
            if value is None:
                continue
            if not entry.pair and entry.field not in HEADER:
                native.append({"metaID": entry.id, TABLE: entry.table, "value": value})
            if entry.field and entry.field != "submitter":
                fields[entry.field] = value
            elif entry.pair and not any(key == entry.pair for key, _ in keys):
                keys.append((entry.pair, value))
        metadata = Metadata(fields, tuple(keys), tuple(native), given.files)
        return Filled(metadata, self._prefix(), tuple(self._problems), dict(values))

    def _take(self, entry: Entry, said: Sequence[str], rows: Sequence[Row]) -> None:
        """The sidecar states one value (or, of a key, several)."""
        if len(said) > 1 and not entry.pair:
            words = " and ".join(f"'{value}'" for value in said)
            self._problems.append(Problem(f"the metadata says {words} for {entry.name}", "keep one of them"))
            return
        for text in said:
            row = next((row for row in rows if entry.value_of(row) == text), None)
            # Who copies a whole line of `.choices/` means its value.
            row = row or next((row for row in rows if entry.line(row) == " ".join(text.split())), None)
            value = entry.value_of(row) if row else text
            if row is None and entry.source in _NUMBERED and entry.column == "_id" and not text.isdecimal():
                what = f"'{text}' is not the number of one of the site's {entry.source}, for {entry.name}"
                self._problems.append(Problem(what, _remedy(entry, rows)))
            elif row is None and rows and entry.listed and not entry.field:
                what = f"'{text}' is not one of the choices for {entry.name}"
                self._problems.append(Problem(what, _remedy(entry, rows)))
            else:
                self._replaced[entry.pair, text] = value
                self._set(entry, value, row)

    def _set(self, entry: Entry, value: str, row: Row | None) -> None:
        if entry.id not in self._values:
            self._values[entry.id] = value
            self._rows[entry.id] = row if row is not None else {"value": value, entry.column or "_id": value}

    def _prefix(self) -> tuple[str, ...]:
        found: list[str] = []
        for entry in self._template.folders:
            if entry.id in self._rows:
                name = entry.line(self._rows[entry.id])
                parts = [part for part in name.split("/") if part]
                if not parts or {".", ".."} & set(parts):
                    self._problems.append(
                        Problem(f"the site's template wants a folder '{name}' for {entry.name}", "tell the site")
                    )
                found += parts
        return tuple(found)


def _missing(entry: Entry, rows: Sequence[Row]) -> Problem:
    if not rows and entry.asks:
        return Problem(
            f"the metadata does not say {entry.name}, and the site offers nothing for it",
            f"add it to the sidecar: {_said(entry, '…')}",
        )
    return Problem(f"the metadata does not say {entry.name}", _remedy(entry, rows))


def _remedy(entry: Entry, rows: Sequence[Row]) -> str:
    """What to write, and what there is to choose from."""
    if not rows:
        return f"add it to the sidecar: {_said(entry, '…')}"
    lines = list(dict.fromkeys(entry.line(row) for row in rows))
    more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    choices = "; ".join(lines[:SHOWN]) + more
    return f"write into the sidecar for example {_said(entry, entry.value_of(rows[0]))}. Choices: {choices}"


def _said(entry: Entry, value: str) -> str:
    if entry.pair:
        return f'"keys": {{"{entry.pair}": "{value}"}}'
    return f'"{entry.field or entry.id}": "{value}"'
