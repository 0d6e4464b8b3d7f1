"""The types of columns, decided over all cells; and the cells as the DataStore takes them. Pure.

Nothing is guessed that could be wrong: a number is what a program would print as one (`00123`, `+5`, `1,5` stay text),
a time is ISO 8601 (no day is taken for a month), a truth value is `true` or `false`; everything else is text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from .options import BadTable, FieldOption

Value = str | bool | None
Convert = Callable[[str], Value]
"""A cell that is not empty as the DataStore's value; ValueError says what is wrong with it."""

_NUMERIC = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?").fullmatch
_ANY_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?").fullmatch
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}").fullmatch
_ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)?"
_NAIVE = re.compile(_ISO).fullmatch
_AWARE = re.compile(_ISO.removesuffix("?") + r" ?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)").fullmatch
_FRACTION = re.compile(r"\.([0-9]+)")
_BOOL = {"true": True, "false": False}
_WORDS = {**_BOOL, "t": True, "f": False, "yes": True, "no": False, "y": True, "n": False, "1": True, "0": False}
_BITS = {"int": 31, "bigint": 63}


def _parse(cell: str) -> datetime:
    """An ISO time; fractions of any length up to microseconds (datetime itself wants 3 or 6 digits before 3.11)."""
    return datetime.fromisoformat(cell.replace(" Z", "Z").replace(" +", "+").replace(" -", "-"))


def _is_time(matches: Callable[[str], object]) -> Callable[[str], bool]:
    def test(cell: str) -> bool:
        if not matches(cell):
            return False
        try:
            _parse(cell).astimezone(UTC)
        except (ValueError, OverflowError):
            return False
        return True

    return test


_TESTS: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("numeric", _NUMERIC),
    ("timestamp", _is_time(_NAIVE)),
    ("timestamp with offset", _is_time(_AWARE)),
    ("bool", lambda cell: cell.lower() in _BOOL),
)


class Guess:
    """What the cells of one column can be, as more and more of them are seen. For one thread."""

    def __init__(self) -> None:
        self._left = list(_TESTS)
        self.seen = False
        self.spoiler: tuple[int, str] | None = None
        """The first cell that is text where all before it were `before`: its line, and what it says."""
        self.before = ""

    @property
    def open(self) -> bool:
        """False once it is text: to see more makes no difference."""
        return bool(self._left)

    def see(self, cells: Sequence[str], lines: Sequence[int]) -> None:
        """More cells, already stripped, and the lines that they stand in; empty ones say nothing."""
        if not self._left:
            return
        values = set(cells)
        values.discard("")
        if not values:
            return
        left = [(name, test) for name, test in self._left if all(map(test, values))]
        if not left:
            self._spoilt(cells, lines)
        self.seen = True
        self._left = left

    @property
    def type(self) -> str:
        """The type so far; text if nothing was seen."""
        return self._left[0][0] if self._left and self.seen else "text"

    def _spoilt(self, cells: Sequence[str], lines: Sequence[int]) -> None:
        left = self._left
        seen = self.seen
        for line, cell in zip(lines, cells, strict=False):
            if not cell:
                continue
            still = [(name, test) for name, test in left if test(cell)]
            if not still:
                if seen:
                    self.spoiler, self.before = (line, cell), left[0][0]
                return
            left, seen = still, True


def looks_typed(cell: str) -> bool:
    """True for a cell that is certainly no heading: a time or a number."""
    return any(test(cell) for name, test in _TESTS if name != "bool")


def column_type(guessed: str) -> str:
    """The DataStore's type for what `Guess.type` says."""
    return "timestamp" if guessed.startswith("timestamp") else guessed


def converter(type: str, option: FieldOption | None = None, guessed: str = "") -> Convert:
    """What makes values of `type` out of cells; `option` is what was said of the column, if anything."""
    option = option or FieldOption("")
    if option.date_format:
        return _formatted(option.date_format, type)
    if guessed:
        return _GUESSED[guessed]
    if option.decimal != ".":
        return _decimal(option.decimal, _GIVEN[type])
    return _GIVEN[type]


def _text(cell: str) -> Value:
    return cell


def _same(cell: str) -> Value:
    return cell.strip()


def _number(cell: str) -> Value:
    cell = cell.strip()
    if not _ANY_NUMBER(cell):
        raise ValueError(f"{cell[:60]!r} is not a number")
    return cell


def _whole(bits: int) -> Convert:
    def convert(cell: str) -> Value:
        cell = cell.strip()
        if not _INTEGER(cell) or not -(1 << bits) <= int(cell) < 1 << bits:
            raise ValueError(f"{cell[:60]!r} is not a whole number of {bits + 1} bits")
        return cell

    return convert


def _bool(cell: str) -> Value:
    return _BOOL[cell.strip().lower()]


def _word(cell: str) -> Value:
    found = _WORDS.get(cell.strip().lower())
    if found is None:
        raise ValueError(f"{cell[:60]!r} is not true or false")
    return found


def _utc(cell: str) -> Value:
    return _parse(cell.strip()).astimezone(UTC).replace(tzinfo=None).isoformat()


def _timestamp(cell: str) -> Value:
    cell = cell.strip()
    if _is_time(_NAIVE)(cell):
        return cell
    if _is_time(_AWARE)(cell):
        return _utc(cell)
    raise ValueError(f"{cell[:60]!r} is not a time like 2024-01-31T12:00:00; give its date_format")


def _date(cell: str) -> Value:
    try:
        if len(cell.strip()) != 10:
            raise ValueError
        return datetime.strptime(cell.strip(), "%Y-%m-%d").date().isoformat()
    except ValueError:
        raise ValueError(f"{cell[:60]!r} is not a date like 2024-01-31; give its date_format") from None


def _time(cell: str) -> Value:
    text = cell.strip()
    for form in ("%H:%M:%S.%f", "%H:%M:%S", "%H:%M"):
        try:
            return datetime.strptime(text, form).time().isoformat()
        except ValueError:
            continue
    raise ValueError(f"{cell[:60]!r} is not a time like 12:30:00")


def _json(cell: str) -> Value:
    try:
        json.loads(cell)
    except ValueError:
        raise ValueError(f"{cell[:60]!r} is not JSON") from None
    return cell


def _formatted(form: str, type: str) -> Convert:
    def convert(cell: str) -> Value:
        try:
            found = datetime.strptime(cell.strip(), form)
        except ValueError:
            raise ValueError(f"{cell[:60]!r} does not fit date_format {form!r}") from None
        if found.tzinfo is not None:
            found = found.astimezone(UTC).replace(tzinfo=None)
        if type == "date":
            return found.date().isoformat()
        return found.time().isoformat() if type == "time" else found.isoformat()

    return convert


def _decimal(sign: str, convert: Convert) -> Convert:
    def converted(cell: str) -> Value:
        if "." in cell:
            raise ValueError(f"{cell[:60]!r} has a '.', but the decimal sign was said to be {sign!r}")
        return convert(cell.replace(sign, "."))

    return converted


_GUESSED: dict[str, Convert] = {
    "text": _text,
    "numeric": _same,
    "bool": _bool,
    "timestamp": _same,
    "timestamp with offset": _utc,
}
_GIVEN: dict[str, Convert] = {
    "text": _text,
    "numeric": _number,
    "float": _number,
    "int": _whole(_BITS["int"]),
    "bigint": _whole(_BITS["bigint"]),
    "bool": _word,
    "timestamp": _timestamp,
    "date": _date,
    "time": _time,
    "json": _json,
}


def check_option(option: FieldOption) -> None:
    """BadTable if the option itself makes no sense."""
    types: Any = tuple(_GIVEN)
    if option.type and option.type not in types:
        raise BadTable(f"field '{option.id}': the type is one of {', '.join(types)}, not {option.type!r}")
    if option.decimal not in (".", ","):
        raise BadTable(f"field '{option.id}': decimal is '.' or ',', not {option.decimal!r}")
    if option.date_format:
        if option.type not in ("", "timestamp", "date", "time"):
            raise BadTable(f"field '{option.id}': a date_format makes a timestamp, date or time, not {option.type}")
        try:
            datetime.strptime(datetime(2024, 1, 31, 12).strftime(option.date_format), option.date_format)
        except ValueError as error:
            raise BadTable(f"field '{option.id}': date_format {option.date_format!r}: {error}") from None
