"""What somebody may say about a table, and what is said when it cannot be one. Frozen values."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ....errors import Invalid, Unsupported

TYPES = ("text", "numeric", "int", "bigint", "float", "bool", "timestamp", "date", "time", "json")
"""The column types that may be asked for; PostgreSQL's names. Only text, numeric, bool and timestamp are guessed."""

SHOWN = 5
"""How many lines of one kind a remark or an error names."""


class FieldOption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is wanted of one column. `id` is its heading in the file, or the name that is made of it.

    `type` is one of `TYPES`, or empty: decided from the cells. `date_format` is of `datetime.strptime` and makes the
    column a timestamp (or the date or time that `type` says). `decimal` is the decimal sign of numbers: `.` or `,`.
    """

    id: str
    type: str = ""
    label: str = ""
    notes: str = ""
    date_format: str = ""
    decimal: str = "."


class Options(msgspec.Struct, frozen=True):
    """How to read a file as a table; what is left empty is found out.

    `sheet`: a workbook's sheet by name, or by number from 0. `header`: the line of the headings, from 1; 0: there are
    none. `null_values`: cells that mean "nothing" beside empty ones.
    """

    sheet: str | int | None = None
    encoding: str = ""
    delimiter: str = ""
    header: int | None = None
    fields: tuple[FieldOption, ...] = ()
    null_values: tuple[str, ...] = ()


class Field(msgspec.Struct, frozen=True):
    """One column as the DataStore gets it: `heading` is what the file says, `id` what the DataStore allows."""

    id: str
    type: str
    heading: str = ""
    label: str = ""
    notes: str = ""

    @property
    def info(self) -> Mapping[str, str]:
        """CKAN's data dictionary entry, without what is empty."""
        return {key: value for key, value in (("label", self.label), ("notes", self.notes)) if value}


class NotATable(Unsupported):
    """The file has no table that the DataStore could hold; the message says why. The file itself is fine."""


class Fault(msgspec.Struct, frozen=True):
    """One cell that is not what its column was said to be: `line` of the file, `row` of data, both from 1."""

    line: int
    row: int
    column: str
    what: str

    def __str__(self) -> str:
        return f"line {self.line} (row {self.row}), column '{self.column}': {self.what}"


class BadTable(Invalid):
    """The file contradicts its options, or is damaged; `faults` has the first of the cells in question."""

    def __init__(self, message: str, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults
