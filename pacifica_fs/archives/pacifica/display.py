"""`displayFormat`: a row of policy's answer as the site wants it to be shown. Pure.

Both of Python's ways are understood: `{_id} - {title}` and `%(_id)s - %(title)s`. Only columns can be named, nothing of
their insides; one that the row does not have is an empty text, as is one that is null.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

_PERCENT = re.compile(r"%(?:(%)|\((\w+)\)([-+ #0]*\d*(?:\.\d+)?[diouxXeEfFgGcrsa]))")


class _Braces(string.Formatter):
    """`str.format` without a way into objects: `{a.b}` and `{a[0]}` are errors."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        if not field_name or field_name.isdecimal() or not set(field_name).isdisjoint(".["):
            raise ValueError(f"the name of a column was expected, not '{field_name}'")
        return _text(kwargs.get(field_name)), field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        try:
            return str(super().format_field(value, format_spec))
        except ValueError:
            # `{size:d}` of a column that is missing here, or that has a text today.
            return str(value)


def render(format: str, row: Mapping[str, object]) -> str:
    """`row` in this form, on one line. ValueError for a format that `wrong` complains of."""
    if "%(" in format:
        if "%(" in _PERCENT.sub("", format):
            raise ValueError("a '%(' is not closed, or no letter such as 's' follows it")
        text = _PERCENT.sub(lambda found: "%" if found[1] else _percent(found[3], _text(row.get(found[2]))), format)
    else:
        text = _Braces().vformat(format, (), row)
    return " ".join(text.split())


def wrong(format: str) -> str:
    """What is wrong with a format, in a few words; an empty text if nothing is."""
    try:
        render(format, {})
    except (ValueError, KeyError, IndexError) as error:
        return f"{format!r} cannot be used: {error}"
    return ""


def _percent(how: str, value: object) -> str:
    try:
        return ("%" + how) % (value,)
    except (TypeError, ValueError):
        return str(value)


def _text(value: object) -> object:
    return "" if value is None else value
